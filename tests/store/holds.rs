//! Pauses of many sagas, and finding the sagas that they concern.

use arcadia::{
    saga::{Event, Hold, SagaId},
    store::{HOST, HoldRow, HoldTarget},
};
use uuid::Uuid;

use super::fixture::{T0, done, on_every_store};

fn hold(target: HoldTarget, reason: Option<&str>) -> HoldRow {
    HoldRow {
        target,
        by: "ann".to_owned(),
        reason: reason.map(str::to_owned),
        since_ms: T0,
    }
}

fn id(number: u128) -> SagaId {
    SagaId(Uuid::from_u128(number))
}

on_every_store! {
    a_hold_is_put_once_and_removed_once(store) {
        let targets = [
            HoldTarget::All,
            HoldTarget::Definition("one".to_owned()),
            HoldTarget::Service("one".to_owned()),
        ];
        for target in &targets {
            let row = hold(target.clone(), Some("first"));
            assert_eq!(store.store.put_hold(row.clone()).await.unwrap(), row);
            let again = hold(target.clone(), None);
            assert_eq!(store.store.put_hold(again).await.unwrap(), row, "the first one stays");
        }
        let there: Vec<HoldTarget> =
            store.store.holds().await.unwrap().into_iter().map(|row| row.target).collect();
        assert_eq!(there, targets);
        assert!(store.store.remove_hold(&targets[1]).await.unwrap());
        assert!(!store.store.remove_hold(&targets[1]).await.unwrap());
        assert_eq!(store.store.holds().await.unwrap().len(), 2);
    }

    a_persons_hold_takes_the_place_of_the_hosts_own_and_never_the_other_way_round(store) {
        let target = HoldTarget::Service("cloud".to_owned());
        let hosts = HoldRow { by: HOST.to_owned(), ..hold(target.clone(), Some("401")) };
        let persons = HoldRow { since_ms: T0 + 1, ..hold(target, None) };
        assert_eq!(store.store.put_hold(hosts.clone()).await.unwrap(), hosts);
        assert_eq!(store.store.put_hold(persons.clone()).await.unwrap(), persons);
        assert_eq!(store.store.put_hold(hosts).await.unwrap(), persons);
        assert_eq!(store.store.holds().await.unwrap(), [persons]);
    }

    sagas_that_have_not_ended_are_paged_by_id(store) {
        let mut ended = store.start(3).await;
        for number in [5, 1, 2] {
            store.start(number).await;
        }
        for step in 0..3 {
            ended = store.go(&ended, done(step)).await;
        }
        assert_eq!(store.store.open_sagas(None, None, 2).await.unwrap(), [id(1), id(2)]);
        assert_eq!(store.store.open_sagas(None, Some(id(2)), 2).await.unwrap(), [id(5)]);
        let named = store.store.open_sagas(Some("provision_droplet"), None, 9).await.unwrap();
        assert_eq!(named, [id(1), id(2), id(5)]);
        assert_eq!(store.store.open_sagas(Some("other"), None, 9).await.unwrap(), []);
    }

    only_what_something_holds_is_among_the_paused(store) {
        let mut held = Vec::new();
        for number in 1..=3 {
            let start = store.start(number).await;
            held.push(store.go(&start, Event::Held { hold: Hold::Saga }).await);
        }
        store.start(4).await;
        store.go(&held[1], Event::Released { hold: Hold::Saga }).await;
        assert_eq!(store.store.paused_sagas(None, 9).await.unwrap(), [id(1), id(3)]);
        assert_eq!(store.store.paused_sagas(Some(id(1)), 9).await.unwrap(), [id(3)]);
    }
}
