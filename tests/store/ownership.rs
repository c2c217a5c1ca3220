//! Hosts, their leases and heartbeats, what they claim, and what is due.

use arcadia::{
    saga::{Outcome, Phase, RecordState, Status},
    store::{Applied, Beat, Change, Fence, HostId, Takeover},
};
use uuid::Uuid;

use super::{
    contract::record,
    fixture::{LEASE_MS, T0, advance, cancel, done, ended, on_every_store},
};

const B: HostId = HostId(Uuid::from_u128(0xB));
const C: HostId = HostId(Uuid::from_u128(0xC));
/// It has run out as soon as anybody looks.
const RUN_OUT_MS: i64 = -1;

on_every_store! {
    a_claim_leaves_ended_sagas_alone_and_takes_those_that_need_attention(store) {
        let finished = store.start(1).await;
        let mut saga = finished.clone();
        for step in 0..3 {
            saga = store.go(&saga, done(step)).await;
        }
        assert_eq!(saga.status, Status::Completed);
        let waiting = store.start(2).await;
        let takeover = store.hand_over(B).await;
        assert_eq!(takeover, Takeover { taken: vec![waiting.id], called: Vec::new() });
        assert_eq!(store.store.load(finished.id).await.unwrap().unwrap().fence, store.fence());
        let fence = Fence { owner: B, number: 2 };
        assert_eq!(store.store.load(waiting.id).await.unwrap().unwrap().fence, fence);
    }

    only_a_lost_host_is_claimed_from(store) {
        let saga = store.start(1).await;
        store.store.open_host(B, LEASE_MS).await.unwrap();
        assert_eq!(store.store.claim(B, 10).await.unwrap(), Takeover::default());
        assert_eq!(store.store.load(saga.id).await.unwrap().unwrap().fence, store.fence());
        store.store.heartbeat(store.host, &[], RUN_OUT_MS).await.unwrap();
        assert_eq!(store.store.claim(B, 10).await.unwrap().taken, [saga.id]);
        assert_eq!(store.store.claim(B, 10).await.unwrap(), Takeover::default());
    }

    a_lost_host_stays_lost(store) {
        store.store.heartbeat(store.host, &[], RUN_OUT_MS).await.unwrap();
        let alive = Beat::Alive { strangers: Vec::new(), hosts: 1, eldest: true };
        assert_eq!(store.store.heartbeat(store.host, &[], RUN_OUT_MS).await.unwrap(), alive, "nobody has noticed");
        store.store.open_host(B, LEASE_MS).await.unwrap();
        store.store.claim(B, 10).await.unwrap();
        assert_eq!(store.store.heartbeat(store.host, &[], LEASE_MS).await.unwrap(), Beat::Lost);
        assert_eq!(store.store.heartbeat(store.host, &[], LEASE_MS).await.unwrap(), Beat::Lost);
        store.store.open_host(store.host, LEASE_MS).await.unwrap();
        assert_eq!(store.store.heartbeat(store.host, &[], LEASE_MS).await.unwrap(), Beat::Lost, "not by opening either");
        assert_eq!(store.store.heartbeat(B, &[], LEASE_MS).await.unwrap(), alive);
        store.store.leave(B).await.unwrap();
        assert_eq!(store.store.heartbeat(B, &[], LEASE_MS).await.unwrap(), Beat::Lost);
        assert_eq!(store.store.heartbeat(C, &[], LEASE_MS).await.unwrap(), Beat::Lost, "never opened");
    }

    a_host_does_not_lose_itself_by_claiming_late(store) {
        store.store.heartbeat(store.host, &[], RUN_OUT_MS).await.unwrap();
        let saga = store.start(1).await;
        assert_eq!(store.store.claim(store.host, 10).await.unwrap(), Takeover::default());
        assert_eq!(store.store.load(saga.id).await.unwrap().unwrap().fence, store.fence());
    }

    a_claim_names_the_open_sagas_that_the_lost_host_was_calling(store) {
        let (called, ended_since, idle) = (store.start(1).await, store.start(2).await, store.start(3).await);
        store.store.heartbeat(store.host, &[idle.id], LEASE_MS).await.unwrap();
        store.store.heartbeat(store.host, &[ended_since.id, called.id], LEASE_MS).await.unwrap();
        let mut saga = ended_since.clone();
        for step in 0..3 {
            saga = store.go(&saga, done(step)).await;
        }
        let takeover = store.hand_over(B).await;
        assert_eq!(takeover, Takeover { taken: vec![called.id, idle.id], called: vec![called.id] });
        store.store.leave(B).await.unwrap();
        store.store.open_host(C, LEASE_MS).await.unwrap();
        let takeover = store.store.claim(C, 10).await.unwrap();
        assert_eq!(takeover, Takeover { taken: vec![called.id, idle.id], called: Vec::new() });
    }

    claims_are_taken_in_portions_and_each_saga_once(store) {
        let sagas = [store.start(1).await, store.start(2).await, store.start(3).await];
        store.store.leave(store.host).await.unwrap();
        for host in [B, C] {
            store.store.open_host(host, LEASE_MS).await.unwrap();
        }
        assert_eq!(store.store.claim(B, 2).await.unwrap().taken, [sagas[0].id, sagas[1].id]);
        assert_eq!(store.store.claim(C, 2).await.unwrap().taken, [sagas[2].id]);
        assert_eq!(store.store.claim(B, 2).await.unwrap().taken, []);
    }

    a_heartbeat_names_the_sagas_that_others_own_by_now(store) {
        let (kept, taken) = (store.start(1).await, store.start(2).await);
        store.store.open_host(B, LEASE_MS).await.unwrap();
        store.store.take(taken.id, B).await.unwrap();
        let beat = store.store.heartbeat(store.host, &[taken.id, kept.id], LEASE_MS).await.unwrap();
        assert_eq!(beat, Beat::Alive { strangers: vec![taken.id], hosts: 2, eldest: true });
        let beat = store.store.heartbeat(B, &[taken.id], LEASE_MS).await.unwrap();
        assert_eq!(beat, Beat::Alive { strangers: Vec::new(), hosts: 2, eldest: false });
    }

    the_exchanges_of_a_lost_host_end_with_it_and_those_of_others_go_on(store) {
        let (own, other) = (store.start(1).await, store.start(2).await);
        store.store.open_host(B, LEASE_MS).await.unwrap();
        store.store.take(other.id, B).await.unwrap();
        let fence = Fence { owner: B, number: 2 };
        assert_eq!(store.one(record(70, own.id, Phase::Run, store.fence())).await, Applied::Done);
        assert_eq!(store.one(record(71, other.id, Phase::Run, fence)).await, Applied::Done);
        let ended = |number| {
            let store = store.store.clone();
            async move {
                let record = store.journal_record(Uuid::from_u128(number)).await.unwrap().unwrap();
                match record.state {
                    RecordState::Open { ended_at_ms } => ended_at_ms.is_some(),
                    state => panic!("{state:?}"),
                }
            }
        };
        // Its exchange is its own, also when the saga is another's.
        store.store.take(own.id, B).await.unwrap();
        assert!(!ended(70).await);
        store.store.leave(store.host).await.unwrap();
        assert!(ended(70).await);
        assert!(!ended(71).await);
    }

    what_a_lost_host_sends_before_its_saga_is_claimed_ends_with_the_claim(store) {
        let saga = store.start(1).await;
        store.store.leave(store.host).await.unwrap();
        assert_eq!(store.one(record(70, saga.id, Phase::Run, store.fence())).await, Applied::Done);
        store.store.open_host(B, LEASE_MS).await.unwrap();
        store.store.claim(B, 10).await.unwrap();
        let record = store.store.journal_record(Uuid::from_u128(70)).await.unwrap().unwrap();
        let RecordState::Open { ended_at_ms: Some(_) } = record.state else {
            panic!("{record:?}");
        };
    }

    what_a_lost_host_sends_before_its_saga_is_taken_ends_with_the_taking(store) {
        let (saga, other) = (store.start(1).await, store.start(2).await);
        store.store.open_host(B, LEASE_MS).await.unwrap();
        store.store.leave(store.host).await.unwrap();
        assert_eq!(store.one(record(70, saga.id, Phase::Run, store.fence())).await, Applied::Done);
        assert_eq!(store.one(record(71, other.id, Phase::Run, store.fence())).await, Applied::Done);
        store.store.take(saga.id, B).await.unwrap();
        let mut ended = Vec::new();
        for number in [70, 71] {
            let record = store.store.journal_record(Uuid::from_u128(number)).await.unwrap().unwrap();
            ended.push(record.state != RecordState::Open { ended_at_ms: None });
        }
        assert_eq!(ended, [true, false], "the other saga is to be claimed yet");
    }

    hosts_are_listed_the_living_ones_first(store) {
        let saga = store.start(1).await;
        store.store.heartbeat(store.host, &[saga.id, saga.id], LEASE_MS).await.unwrap();
        store.store.open_host(B, LEASE_MS).await.unwrap();
        store.store.leave(B).await.unwrap();
        let hosts = store.store.hosts(10).await.unwrap();
        assert_eq!(hosts.iter().map(|row| row.id).collect::<Vec<_>>(), [store.host, B]);
        assert_eq!(hosts[0].calling, [saga.id]);
        assert_eq!(hosts[0].lost_ms, None);
        assert!(hosts[0].lease_until_ms >= hosts[0].seen_ms + LEASE_MS);
        assert!(hosts[1].lost_ms >= Some(hosts[1].started_ms));
        assert_eq!(store.store.hosts(1).await.unwrap().len(), 1);
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
        store.hand_over(B).await;
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
