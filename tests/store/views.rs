//! What people look at: rows, listings, pages.

use std::sync::Arc;

use arcadia::{
    saga::{DefinitionRef, Failure, Kind, Outcome, Phase, SagaId, Status},
    store::{Change, Cursor, Page, SagaFilter, SagaRow, StepRow},
};
use uuid::Uuid;

use super::fixture::{
    Fixture, T0, accept, advance, done, ended, event, json, on_every_store, page, plan, saga,
};

async fn accepted(
    store: &Fixture,
    number: u128,
    created_ms: i64,
    kind: Kind,
    deployment: Option<&str>,
) -> SagaId {
    let mut plan = (*plan()).clone();
    plan.kind = kind;
    let saga = saga(number, Arc::new(plan));
    let mut accept = accept(&saga, store.fence());
    accept.header.created_ms = created_ms;
    accept.header.deployment_id = deployment.map(str::to_owned);
    store.one(Change::Accept(Box::new(accept))).await;
    saga.id
}

async fn listed(store: &Fixture, filter: SagaFilter, page: Page) -> Vec<u128> {
    let rows = store.store.sagas(&filter, page).await.unwrap();
    rows.iter().map(|row| row.id.0.as_u128()).collect()
}

fn failure() -> Failure {
    Failure::new("quota", "no room")
}

on_every_store! {
    a_saga_row_tells_how_far_it_is(store) {
        let start = store.start(1).await;
        store.go(&start, done(0)).await;
        let row = store.store.saga(start.id).await.unwrap().unwrap();
        let expected = SagaRow {
            id: start.id,
            kind: Kind::Provision,
            definition: Some(DefinitionRef { name: "provision_droplet".to_owned(), version: 1 }),
            plan_digest: plan().digest(),
            status: Status::Running,
            cancel_requested: false,
            pivot_passed: false,
            turning: None,
            paused: None,
            deployment_id: None,
            triggered_by: "test".to_owned(),
            inputs: json(r#"{"droplet_name": "web-1"}"#),
            revision: 2,
            created_ms: T0,
            updated_ms: T0 + 1,
            ended_ms: None,
            steps_done: 1,
            steps_total: 3,
        };
        assert_eq!(format!("{row:?}"), format!("{expected:?}"));
        assert!(store.store.saga(SagaId(Uuid::from_u128(9))).await.unwrap().is_none());
    }

    an_ended_saga_says_when_and_why(store) {
        let start = store.start(1).await;
        let turned = store.go(&start, ended(0, Outcome::Permanent(failure()))).await;
        let undone = store
            .go(&turned, arcadia::saga::Event::UndoReturned {
                step: 0,
                end: arcadia::saga::CallEnd { outcome: Outcome::Done(json("null")), starved: false },
            })
            .await;
        assert_eq!(undone.status, Status::Compensated);
        let row = store.store.saga(start.id).await.unwrap().unwrap();
        assert_eq!((row.status, row.ended_ms, row.steps_done), (Status::Compensated, Some(T0 + 2), 1));
        let turning = json(r#"{"cause":"failure","step":0,"code":"quota","message":"no room"}"#);
        assert_eq!(row.turning, Some(turning));
        assert!(!row.cancel_requested);
    }

    step_rows_keep_attempts_and_times_after_the_phase_has_ended(store) {
        let start = store.start(1).await;
        let transient = Outcome::Transient { failure: failure(), retry_after_ms: None };
        let retried = store.go(&start, ended(0, transient)).await;
        let turned = store.go(&retried, ended(0, Outcome::Permanent(failure()))).await;
        let row = |phase, state: &str| StepRow {
            step: 0,
            name: "create".to_owned(),
            phase,
            state: state.to_owned(),
            attempt: 1,
            polls: 0,
            began_ms: Some(T0 + 2),
            wake_ms: None,
            ended_ms: None,
            saved: None,
            progress: None,
            output: None,
            failure: None,
        };
        let expected = [
            StepRow {
                attempt: 2,
                began_ms: Some(T0),
                ended_ms: Some(T0 + 2),
                failure: Some(json(r#"{"code":"quota","message":"no room"}"#)),
                ..row(Phase::Run, "failed")
            },
            StepRow { wake_ms: Some(T0 + 2), ..row(Phase::Compensate, "running") },
        ];
        assert_eq!(store.store.steps(turned.id).await.unwrap(), expected);
    }

    events_come_oldest_first_after_the_one_named(store) {
        let start = store.start(1).await;
        store.start(2).await;
        let mut change = advance(&start, done(0), store.fence());
        change.events = vec![event("step-done", Some(0)), event("step-started", Some(1))];
        store.one(Change::Advance(Box::new(change))).await;
        let events = store.store.events(start.id, 0, 10).await.unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["accepted", "step-done", "step-started"]);
        assert!(events.is_sorted_by(|a, b| a.id < b.id));
        let times: Vec<i64> = events.iter().map(|event| event.at_ms).collect();
        assert_eq!(times, [T0, T0 + 1, T0 + 1]);
        let rest = store.store.events(start.id, events[0].id, 1).await.unwrap();
        assert_eq!(rest, events[1..2]);
    }

    listings_are_newest_first_and_filtered(store) {
        accepted(store, 1, 10, Kind::Provision, Some("blue")).await;
        accepted(store, 2, 30, Kind::Test, Some("blue")).await;
        accepted(store, 3, 20, Kind::Provision, None).await;
        let any = SagaFilter::default;
        assert_eq!(listed(store, any(), page(10)).await, [2, 3, 1]);
        let provision = SagaFilter { kind: Some(Kind::Provision), ..any() };
        assert_eq!(listed(store, provision.clone(), page(10)).await, [3, 1]);
        let blue = SagaFilter { deployment_id: Some("blue".to_owned()), ..provision };
        assert_eq!(listed(store, blue, page(10)).await, [1]);
        let completed = SagaFilter { status: Some(Status::Completed), ..any() };
        assert_eq!(listed(store, completed, page(10)).await, []);
        let named = SagaFilter { definition: Some("provision_droplet".to_owned()), ..any() };
        assert_eq!(listed(store, named, page(2)).await, [2, 3]);
    }

    a_page_begins_after_the_cursor_even_among_equal_times(store) {
        for number in 1..=5 {
            accepted(store, number, 10, Kind::Test, None).await;
        }
        let after = |number: u128| Page {
            limit: 2,
            after: Some(Cursor { at_ms: 10, id: Uuid::from_u128(number).to_string() }),
        };
        assert_eq!(listed(store, SagaFilter::default(), page(2)).await, [5, 4]);
        assert_eq!(listed(store, SagaFilter::default(), after(4)).await, [3, 2]);
        assert_eq!(listed(store, SagaFilter::default(), after(2)).await, [1]);
        assert_eq!(listed(store, SagaFilter::default(), after(1)).await, []);
    }
}
