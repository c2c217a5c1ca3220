//! Watches over sagas of which something may yet show up.

use arcadia::{
    saga::Saga,
    store::{Applied, Change, Fence, HostId, Looked, NewFinding, Watch, WatchedIntent},
};
use uuid::Uuid;

use super::fixture::{Fixture, T0, advance, done, event, on_every_store, page};

pub fn watch(next_look_ms: i64, looks: u32) -> Watch {
    Watch {
        began_ms: T0,
        until_ms: T0 + 86_400_000,
        next_look_ms,
        looks,
        intents: vec![WatchedIntent {
            step: 0,
            service: "digitalocean".to_owned(),
            identity: None,
            path: "/v2/droplets".to_owned(),
            tag: "arcadia-r-x".to_owned(),
            name: Some("web-1".to_owned()),
            sent_ms: T0,
            found: false,
            answered: false,
        }],
    }
}

/// A saga whose next state comes with a watch.
async fn watched(store: &Fixture, number: u128, watch: Watch) -> Saga {
    let start = store.start(number).await;
    let mut change = advance(&start, done(0), store.fence());
    change.watch = Some(watch);
    let next = (*change.saga).clone();
    assert_eq!(store.one(Change::Advance(Box::new(change))).await, Applied::Done);
    next
}

fn looked(saga: &Saga, from_looks: impl Into<Option<u32>>, watch: Option<Watch>) -> Looked {
    Looked {
        saga: saga.id,
        plan: saga.plan.clone(),
        from_looks: from_looks.into(),
        watch,
        resolved_codes: vec!["open-intent"],
        findings: vec![NewFinding {
            code: "late-resource".to_owned(),
            step: Some(0),
            resource: None,
            message: "there it is".to_owned(),
            advice: "delete it".to_owned(),
        }],
        events: vec![event("watch-ended", None)],
        at_ms: 5_000,
    }
}

on_every_store! {
    a_watch_is_written_with_the_state_or_not_at_all(store) {
        let saga = watched(store, 1, watch(2_000, 0)).await;
        assert_eq!(store.store.watch(saga.id).await.unwrap(), Some(watch(2_000, 0)));
        let mut fenced = advance(&saga, done(1), Fence { owner: HostId(Uuid::from_u128(9)), number: 9 });
        fenced.watch = Some(watch(9_000, 0));
        assert_eq!(store.one(Change::Advance(Box::new(fenced))).await, Applied::Fenced);
        store.go(&saga, done(1)).await;
        assert_eq!(store.store.watch(saga.id).await.unwrap(), Some(watch(2_000, 0)), "kept");
    }

    due_watches_come_soonest_first_up_to_the_time_and_the_limit(store) {
        let later = watched(store, 1, watch(3_000, 0)).await;
        let soon = watched(store, 2, watch(2_000, 0)).await;
        let due = |until_ms, limit| store.store.due_watches(until_ms, limit);
        let (later, soon) = ((later.id, watch(3_000, 0)), (soon.id, watch(2_000, 0)));
        assert_eq!(due(1_999, 9).await.unwrap(), []);
        assert_eq!(due(2_999, 9).await.unwrap(), vec![soon.clone()]);
        assert_eq!(due(3_000, 9).await.unwrap(), [soon.clone(), later]);
        assert_eq!(due(3_000, 1).await.unwrap(), [soon]);
    }

    of_two_looks_at_the_same_time_one_counts(store) {
        let saga = watched(store, 1, watch(2_000, 0)).await;
        let first = looked(&saga, 0, Some(watch(4_000, 1)));
        assert_eq!(store.one(Change::Looked(Box::new(first))).await, Applied::Done);
        let before = store.snapshot(&[saga.id]).await;
        let second = looked(&saga, 0, None);
        assert_eq!(store.one(Change::Looked(Box::new(second))).await, Applied::Fenced);
        assert_eq!(store.snapshot(&[saga.id]).await, before);
        let findings = store.store.findings(Some(saga.id), true, page(9)).await.unwrap();
        assert_eq!((findings.len(), findings[0].step.as_deref()), (1, Some("create")));
        let third = looked(&saga, 1, None);
        assert_eq!(store.one(Change::Looked(Box::new(third))).await, Applied::Done);
        assert_eq!(store.store.watch(saga.id).await.unwrap(), None);
        let unwatched = looked(&saga, 0, None);
        assert_eq!(store.one(Change::Looked(Box::new(unwatched))).await, Applied::Fenced);
    }

    a_watch_is_begun_only_over_a_saga_that_is_not_watched(store) {
        let saga = store.start(1).await;
        let begun = |looks| Change::Looked(Box::new(looked(&saga, None, Some(watch(4_000, looks)))));
        assert_eq!(store.one(begun(3)).await, Applied::Done);
        assert_eq!(store.store.watch(saga.id).await.unwrap(), Some(watch(4_000, 3)));
        let before = store.snapshot(&[saga.id]).await;
        assert_eq!(store.one(begun(5)).await, Applied::Fenced);
        assert_eq!(store.snapshot(&[saga.id]).await, before);
    }

    a_look_at_a_step_that_is_not_in_the_plan_is_refused(store) {
        let saga = watched(store, 1, watch(2_000, 0)).await;
        let mut bad = looked(&saga, 0, None);
        bad.findings[0].step = Some(7);
        let applied = store.one(Change::Looked(Box::new(bad))).await;
        assert!(matches!(applied, Applied::Failed(_)), "{applied:?}");
    }
}
