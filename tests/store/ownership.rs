//! Hosts, heartbeats, takeovers, and what is due.

use arcadia::{
    saga::{Outcome, Status},
    store::{Applied, Change, Fence, HostId, StoreError, Takeover},
};
use uuid::Uuid;

use super::fixture::{T0, advance, cancel, done, ended, on_every_store};

const B: HostId = HostId(Uuid::from_u128(0xB));
const C: HostId = HostId(Uuid::from_u128(0xC));

on_every_store! {
    a_takeover_leaves_ended_sagas_alone_and_takes_those_that_need_attention(store) {
        let finished = store.start(1).await;
        let mut saga = finished.clone();
        for step in 0..3 {
            saga = store.go(&saga, done(step)).await;
        }
        assert_eq!(saga.status, Status::Completed);
        let waiting = store.start(2).await;
        let takeover = store.store.open_host(B).await.unwrap();
        assert_eq!(takeover, Takeover { taken: 1, called: Vec::new() });
        assert_eq!(store.store.load(finished.id).await.unwrap().unwrap().fence, store.fence());
        let fence = Fence { owner: B, number: 2 };
        assert_eq!(store.store.load(waiting.id).await.unwrap().unwrap().fence, fence);
    }

    a_takeover_names_the_open_sagas_that_the_dead_host_was_calling(store) {
        let (called, ended_since, idle) = (store.start(1).await, store.start(2).await, store.start(3).await);
        store.store.heartbeat(store.host, &[idle.id]).await.unwrap();
        store.store.heartbeat(store.host, &[ended_since.id, called.id]).await.unwrap();
        let mut saga = ended_since.clone();
        for step in 0..3 {
            saga = store.go(&saga, done(step)).await;
        }
        let takeover = store.store.open_host(B).await.unwrap();
        assert_eq!(takeover, Takeover { taken: 2, called: vec![called.id] });
        let takeover = store.store.open_host(C).await.unwrap();
        assert_eq!(takeover, Takeover { taken: 2, called: Vec::new() });
    }

    only_a_host_that_opened_the_database_has_a_heartbeat(store) {
        let refused = store.store.heartbeat(B, &[]).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        store.store.open_host(B).await.unwrap();
        store.store.heartbeat(B, &[]).await.unwrap();
    }

    what_is_due_comes_soonest_first_up_to_the_time_and_the_limit(store) {
        let mut sagas = Vec::new();
        for (number, after_ms) in [(1, 5_000), (2, 3_000), (3, 9_000)] {
            let saga = store.start(number).await;
            let again = Outcome::Again { after_ms, saved: None, progress: None };
            sagas.push(store.go(&saga, ended(0, again)).await);
        }
        let at = |number: usize, after_ms: i64| (sagas[number].id, T0 + 1 + after_ms);
        let due = |until_ms, limit| store.store.due(store.host, until_ms, limit);
        assert_eq!(due(T0, 10).await.unwrap(), []);
        assert_eq!(due(T0 + 3_001, 10).await.unwrap(), [at(1, 3_000)]);
        let all = [at(1, 3_000), at(0, 5_000), at(2, 9_000)];
        assert_eq!(due(i64::MAX, 10).await.unwrap(), all);
        assert_eq!(due(i64::MAX, 2).await.unwrap(), all[..2]);
        assert_eq!(store.store.due(B, i64::MAX, 10).await.unwrap(), []);
        store.store.open_host(B).await.unwrap();
        assert_eq!(store.store.due(B, i64::MAX, 10).await.unwrap(), all);
    }

    a_saga_without_work_is_never_due(store) {
        let mut finished = store.start(1).await;
        for step in 0..3 {
            finished = store.go(&finished, done(step)).await;
        }
        let turned = store.start(2).await;
        store.go(&turned, cancel()).await;
        let due = store.store.due(store.host, i64::MAX, 10).await.unwrap();
        assert_eq!(due, [(turned.id, T0)], "a turned saga has a step to settle");
        let applied = store
            .one(Change::Advance(Box::new(advance(&turned, done(0), store.fence()))))
            .await;
        assert_eq!(applied, Applied::Fenced, "the cancel has moved its revision on");
    }
}
