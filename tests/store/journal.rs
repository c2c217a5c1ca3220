//! Intents and their answers.

use arcadia::{
    saga::{Answer, AnswerVerdict, JournalRecord, Phase, RecordState, RecordedResponse, SagaId},
    store::{Applied, Change, HostId, RecordIntent},
};
use uuid::Uuid;

use super::fixture::{Fixture, advance, done, intent, on_every_store};

fn response(status: u16) -> RecordedResponse {
    RecordedResponse {
        status,
        headers: vec![("x-request-id".to_owned(), "abc".to_owned())],
        body: vec![0, 255, b'{'],
    }
}

fn answered(status: u16, conclusive: bool) -> AnswerVerdict {
    AnswerVerdict::Answered {
        response: response(status),
        conclusive,
    }
}

async fn record(store: &Fixture, number: u128, saga: SagaId, phase: Phase) {
    let change = Change::Intent(Box::new(RecordIntent {
        fence: store.fence(),
        intent: intent(number, saga, 0, phase),
    }));
    assert_eq!(store.one(change).await, Applied::Done);
}

async fn answer(store: &Fixture, number: u128, verdict: AnswerVerdict, at_ms: i64) -> Applied {
    let answer = Answer {
        intent: Uuid::from_u128(number),
        verdict,
        at_ms,
    };
    store.one(Change::Answer(Box::new(answer))).await
}

async fn state(store: &Fixture, number: u128) -> RecordState {
    let record = store.store.journal_record(Uuid::from_u128(number)).await;
    record.unwrap().unwrap().state
}

async fn latest(store: &Fixture, saga: SagaId, phase: Phase, key: &str) -> Option<u128> {
    let latest = store.store.journal_latest(saga, 0, phase, key).await.unwrap();
    latest.map(|record| record.intent.id.as_u128())
}

on_every_store! {
    an_intent_is_read_back_open_and_whole(store) {
        let start = store.start(1).await;
        record(store, 70, start.id, Phase::Run).await;
        let expected = JournalRecord {
            intent: intent(70, start.id, 0, Phase::Run),
            state: RecordState::Open { ended_at_ms: None },
        };
        assert_eq!(store.store.journal(start.id).await.unwrap(), std::slice::from_ref(&expected));
        let found = store.store.journal_record(Uuid::from_u128(70)).await.unwrap();
        assert_eq!(found, Some(expected));
        assert_eq!(store.store.journal_record(Uuid::from_u128(71)).await.unwrap(), None);
    }

    the_first_conclusive_state_of_a_record_stays(store) {
        let start = store.start(1).await;
        let verdicts = [
            answered(202, true),
            answered(500, false),
            AnswerVerdict::Refused { response: response(422) },
            AnswerVerdict::Unsent,
        ];
        let states = [
            RecordState::Answered { response: response(202), conclusive: true, at_ms: 2_000 },
            RecordState::Answered { response: response(500), conclusive: false, at_ms: 2_000 },
            RecordState::Refused { response: response(422), at_ms: 2_000 },
            RecordState::Unsent { at_ms: 2_000 },
        ];
        for (number, (verdict, expected)) in (70..).zip(verdicts.iter().zip(states)) {
            record(store, number, start.id, Phase::Run).await;
            answer(store, number, verdict.clone(), 2_000).await;
            for second in verdicts.iter().chain([&AnswerVerdict::Lost]) {
                assert_eq!(answer(store, number, second.clone(), 3_000).await, Applied::Done);
                assert_eq!(state(store, number).await, expected);
            }
        }
    }

    a_lost_exchange_stays_open_with_its_first_end_and_can_still_be_answered(store) {
        let start = store.start(1).await;
        record(store, 70, start.id, Phase::Run).await;
        answer(store, 70, AnswerVerdict::Lost, 2_000).await;
        answer(store, 70, AnswerVerdict::Lost, 3_000).await;
        assert_eq!(state(store, 70).await, RecordState::Open { ended_at_ms: Some(2_000) });
        answer(store, 70, answered(202, true), 4_000).await;
        let expected = RecordState::Answered { response: response(202), conclusive: true, at_ms: 4_000 };
        assert_eq!(state(store, 70).await, expected);
    }

    an_answer_without_an_intent_fails_alone(store) {
        let start = store.start(1).await;
        let orphan = Answer { intent: Uuid::from_u128(99), verdict: AnswerVerdict::Unsent, at_ms: 2_000 };
        let applied = store
            .commit(vec![
                Change::Answer(Box::new(orphan)),
                Change::Advance(Box::new(advance(&start, done(0), store.fence()))),
            ])
            .await;
        assert!(matches!(applied[..], [Applied::Failed(_), Applied::Done]), "{applied:?}");
    }

    an_intent_and_its_answer_may_come_in_one_commit(store) {
        let start = store.start(1).await;
        let applied = store
            .commit(vec![
                Change::Intent(Box::new(RecordIntent {
                    fence: store.fence(),
                    intent: intent(70, start.id, 0, Phase::Run),
                })),
                Change::Answer(Box::new(Answer {
                    intent: Uuid::from_u128(70),
                    verdict: AnswerVerdict::Unsent,
                    at_ms: 2_000,
                })),
            ])
            .await;
        assert_eq!(applied, vec![Applied::Done; 2]);
        assert_eq!(state(store, 70).await, RecordState::Unsent { at_ms: 2_000 });
    }

    a_loaded_saga_tells_where_its_requests_went_that_may_have_done_something(store) {
        let start = store.start(1).await;
        let nothing = store.store.load(start.id).await.unwrap().unwrap();
        assert!(nothing.identities.is_empty());
        let requests = [
            (70, "a", Some("o#1"), None),
            (71, "a", Some("o#2"), Some(answered(500, false))),
            (72, "a", Some("o#2"), Some(answered(202, true))),
            (73, "a", Some("o#3"), Some(AnswerVerdict::Refused { response: response(401) })),
            (74, "a", Some("o#4"), Some(AnswerVerdict::Unsent)),
            (75, "a", None, Some(AnswerVerdict::Lost)),
            (76, "b", Some("p"), Some(AnswerVerdict::Lost)),
        ];
        for (number, service, identity, verdict) in requests {
            let intent = arcadia::saga::Intent {
                service: service.to_owned(),
                identity: identity.map(str::to_owned),
                ..intent(number, start.id, 0, Phase::Run)
            };
            let change = RecordIntent { fence: store.fence(), intent };
            assert_eq!(store.one(Change::Intent(Box::new(change))).await, Applied::Done);
            if let Some(verdict) = verdict {
                answer(store, number, verdict, 2_000).await;
            }
        }
        let loaded = store.store.load(start.id).await.unwrap().unwrap();
        let expected = [
            ("a".to_owned(), ["o#1".to_owned(), "o#2".to_owned()].into()),
            ("b".to_owned(), ["p".to_owned()].into()),
        ];
        assert_eq!(loaded.identities, expected.into());
    }

    the_newest_record_under_a_key_is_the_newest_that_left(store) {
        let start = store.start(1).await;
        assert_eq!(latest(store, start.id, Phase::Run, "create").await, None);
        for number in [70, 71, 72] {
            record(store, number, start.id, Phase::Run).await;
        }
        record(store, 80, start.id, Phase::Compensate).await;
        assert_eq!(latest(store, start.id, Phase::Run, "create").await, Some(72));
        answer(store, 72, AnswerVerdict::Unsent, 2_000).await;
        assert_eq!(latest(store, start.id, Phase::Run, "create").await, Some(71));
        answer(store, 71, AnswerVerdict::Refused { response: response(422) }, 2_000).await;
        assert_eq!(latest(store, start.id, Phase::Run, "create").await, Some(71));
        assert_eq!(latest(store, start.id, Phase::Compensate, "create").await, Some(80));
        assert_eq!(latest(store, start.id, Phase::Run, "other").await, None);
    }

    freeing_keys_turns_only_what_was_answered_4xx_into_refused(store) {
        let start = store.start(1).await;
        let verdicts = [
            (70, Phase::Run, answered(403, false)),
            (71, Phase::Run, answered(500, false)),
            (72, Phase::Run, AnswerVerdict::Lost),
            (73, Phase::Compensate, answered(404, true)),
        ];
        for (number, phase, verdict) in verdicts {
            record(store, number, start.id, phase).await;
            answer(store, number, verdict, 2_000).await;
        }
        let mut change = advance(&start, done(0), store.fence());
        change.free_keys = vec![(0, Phase::Run)];
        assert_eq!(store.one(Change::Advance(Box::new(change))).await, Applied::Done);
        assert_eq!(state(store, 70).await, RecordState::Refused { response: response(403), at_ms: 2_000 });
        let kept = RecordState::Answered { response: response(500), conclusive: false, at_ms: 2_000 };
        assert_eq!(state(store, 71).await, kept);
        assert_eq!(state(store, 72).await, RecordState::Open { ended_at_ms: Some(2_000) });
        let other_phase = RecordState::Answered { response: response(404), conclusive: true, at_ms: 2_000 };
        assert_eq!(state(store, 73).await, other_phase);
    }

    a_pivots_intent_comes_with_its_advance(store) {
        let start = store.start(1).await;
        let mut change = advance(&start, done(0), store.fence());
        change.intent = Some(intent(70, start.id, 0, Phase::Run));
        assert_eq!(store.one(Change::Advance(Box::new(change))).await, Applied::Done);
        assert_eq!(state(store, 70).await, RecordState::Open { ended_at_ms: None });
    }

    a_takeover_ends_the_exchanges_on_the_wire_and_no_others(store) {
        let start = store.start(1).await;
        for number in [70, 71, 72] {
            record(store, number, start.id, Phase::Run).await;
        }
        answer(store, 71, AnswerVerdict::Lost, 2_000).await;
        answer(store, 72, AnswerVerdict::Unsent, 2_000).await;
        let before_ms = store.store.now_ms();
        store.hand_over(HostId(Uuid::from_u128(0xB))).await;
        let RecordState::Open { ended_at_ms: Some(ended_ms) } = state(store, 70).await else {
            panic!("the exchange of a dead host has ended");
        };
        assert!((before_ms..=store.store.now_ms()).contains(&ended_ms));
        assert_eq!(state(store, 71).await, RecordState::Open { ended_at_ms: Some(2_000) });
        assert_eq!(state(store, 72).await, RecordState::Unsent { at_ms: 2_000 });
    }
}
