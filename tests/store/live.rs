//! What is read to follow sagas: events of all of them, log lines, requests.

use arcadia::{
    saga::{Answer, AnswerVerdict, Phase, RecordState, RecordedResponse, SagaId},
    store::{Applied, Change, MAX_LOG_ROWS, NewLog, RecordIntent},
};
use uuid::Uuid;

use super::fixture::{T0, done, intent, on_every_store};

fn line(saga: SagaId, number: u32) -> NewLog {
    NewLog {
        saga,
        at_ms: T0,
        step: 1,
        phase: Phase::Compensate,
        level: "info",
        message: format!("line {number}"),
        fields: vec![("number".to_owned(), number.to_string())],
    }
}

on_every_store! {
    events_of_all_sagas_are_read_in_order_from_anywhere(store) {
        assert_eq!(store.store.newest_event().await.unwrap(), 0);
        let (one, two) = (store.start(1).await, store.start(2).await);
        store.go(&one, done(0)).await;
        store.go(&two, done(0)).await;
        let all = store.store.events_after(0, 100).await.unwrap();
        let sagas: Vec<SagaId> = all.iter().map(|event| event.saga).collect();
        assert_eq!(sagas, [one.id, two.id, one.id, two.id]);
        assert_eq!(store.store.newest_event().await.unwrap(), all[3].id);
        for (seen, event) in all.iter().enumerate() {
            let rest = &all[seen + 1..];
            assert_eq!(store.store.events_after(event.id, 100).await.unwrap(), rest);
            assert_eq!(store.store.events_after(event.id, 1).await.unwrap(), rest[..rest.len().min(1)]);
        }
        let own = [all[0].clone(), all[2].clone()];
        assert_eq!(store.store.events(one.id, 0, 100).await.unwrap(), own);
        let nobody = SagaId(Uuid::from_u128(9));
        let rows = store.store.sagas_of(&[two.id, nobody]).await.unwrap();
        assert_eq!(rows.iter().map(|row| (row.id, row.revision)).collect::<Vec<_>>(), [(two.id, 2)]);
    }

    the_newest_lines_of_each_saga_are_kept(store) {
        let (one, two) = (store.start(1).await, store.start(2).await);
        let lines = |numbers: std::ops::Range<u32>| numbers.map(|number| line(one.id, number));
        let first = std::iter::once(line(two.id, 0)).chain(lines(0..MAX_LOG_ROWS));
        store.store.add_logs(first.collect()).await.unwrap();
        store.store.add_logs(lines(MAX_LOG_ROWS..MAX_LOG_ROWS + 5).collect()).await.unwrap();
        let kept = store.store.logs(one.id, 0, 2_000).await.unwrap();
        assert_eq!(kept.len(), MAX_LOG_ROWS as usize);
        let shown = (kept[0].step, kept[0].phase, kept[0].level.as_str(), kept[0].message.as_str());
        assert_eq!(shown, (1, Phase::Compensate, "info", "line 5"));
        assert_eq!(kept[0].fields, [("number".to_owned(), "5".to_owned())]);
        assert_eq!(store.store.logs(one.id, kept[7].id, 2).await.unwrap(), kept[8..10]);
        assert_eq!(store.store.logs(two.id, 0, 10).await.unwrap().len(), 1);
    }

    requests_are_listed_without_the_bodies_of_their_answers(store) {
        let saga = store.start(1).await;
        for number in 1..=3 {
            let record = RecordIntent { fence: store.fence(), intent: intent(number, saga.id, 0, Phase::Run) };
            store.one(Change::Intent(Box::new(record))).await;
        }
        let response = RecordedResponse { status: 202, headers: Vec::new(), body: vec![1, 2] };
        let verdict = AnswerVerdict::Answered { response: response.clone(), conclusive: true };
        let answer = Answer { intent: Uuid::from_u128(1), verdict, at_ms: T0 + 7 };
        store.one(Change::Answer(Box::new(answer))).await;
        let all = store.store.requests(saga.id, None, 10).await.unwrap();
        let ids: Vec<u128> = all.iter().map(|record| record.intent.id.as_u128()).collect();
        assert_eq!(ids, [1, 2, 3]);
        let bare = RecordedResponse { body: Vec::new(), ..response };
        assert_eq!(all[0].state, RecordState::Answered { response: bare, conclusive: true, at_ms: T0 + 7 });
        let second = store.store.requests(saga.id, Some(all[0].intent.id), 1).await.unwrap();
        assert_eq!(second, all[1..2]);
    }

    creates_of_all_sagas_are_listed_by_age(store) {
        let (one, two) = (store.start(1).await, store.start(2).await);
        let sent = [(11, one.id, Phase::Run), (12, one.id, Phase::Compensate), (13, two.id, Phase::Run), (14, one.id, Phase::Run)];
        for (number, saga, phase) in sent {
            let record = RecordIntent { fence: store.fence(), intent: intent(number, saga, 0, phase) };
            assert_eq!(store.one(Change::Intent(Box::new(record))).await, Applied::Done);
        }
        let mut delete = intent(15, two.id, 0, Phase::Run);
        delete.method = "DELETE".to_owned();
        let delete = RecordIntent { fence: store.fence(), intent: delete };
        assert_eq!(store.one(Change::Intent(Box::new(delete))).await, Applied::Done);
        let ids = async |after: Option<u128>, limit| {
            let records = store.store.creates(after.map(Uuid::from_u128), limit).await.unwrap();
            records.iter().map(|record| record.intent.id.as_u128()).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, 10).await, [11, 13, 14]);
        assert_eq!(ids(None, 2).await, [11, 13]);
        assert_eq!(ids(Some(13), 10).await, [14]);
    }
}
