//! The engine with real components on a real SQLite file: what it promises of sagas that don't touch the world.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arcadia::{
    engine::{Asked, Verb, VerbError},
    saga::{IllegalEvent, Phase, Status},
    simulator::Rules,
    store::{Applied, Change, StoreError},
};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::support::{
    around::{Around, Wrapped},
    counting::Counting,
    stand::Stand,
};

fn noop(name: &str) -> Value {
    json!({ "name": name, "component": "noop" })
}

fn scripted(name: &str, run: Value, compensate: Value) -> Value {
    json!({ "name": name, "component": "scripted", "params": { "run": run, "compensate": compensate } })
}

fn asked(reason: &str) -> Asked {
    Asked {
        actor: "tester".to_owned(),
        reason: Some(reason.to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_of_three_no_op_steps_alone_makes_at_most_five_commits() {
    let commits = Arc::new(AtomicU64::new(0));
    let stand = Stand::with(Rules::default(), Counting::wrap(commits.clone(), Duration::ZERO)).await;
    let before = commits.load(Ordering::SeqCst);
    let saga = stand
        .start(json!([noop("a"), noop("b"), noop("c")]), json!({}))
        .await;
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    let made = commits.load(Ordering::SeqCst) - before;
    assert!((1..=5).contains(&made), "{made} commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sagas_share_their_commits() {
    let commits = Arc::new(AtomicU64::new(0));
    let stand = Stand::with(
        Rules::default(),
        Counting::wrap(commits.clone(), Duration::from_millis(10)),
    )
    .await;
    let before = commits.load(Ordering::SeqCst);
    let mut running = tokio::task::JoinSet::new();
    let stand = Arc::new(stand);
    for _ in 0..128 {
        let stand = stand.clone();
        running.spawn(async move {
            let saga = stand
                .start(json!([noop("a"), noop("b"), noop("c")]), json!({}))
                .await;
            assert_eq!(stand.rest(saga).await.status, Status::Completed);
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let made = commits.load(Ordering::SeqCst) - before;
    assert!((1..=64).contains(&made), "{made} commits for 128 sagas");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_undoes_what_was_done_in_reverse_order() {
    let stand = Stand::new().await;
    let steps = json!([
        scripted("a", json!([{ "done": { "a": 1 } }]), json!([])),
        scripted(
            "b",
            json!([{ "again": { "after_ms": 100, "times": 2, "progress": "waiting" } }]),
            json!([])
        ),
        scripted(
            "c",
            json!([{ "transient": { "times": 1, "code": "once", "message": "once" } }, { "permanent": { "code": "broken", "message": "for good" } }]),
            json!([])
        ),
        noop("d"),
    ]);
    let saga = stand.start(steps, json!({})).await;
    let row = stand.rest(saga).await;
    assert_eq!(row.status, Status::Compensated, "{:?}", row.turning);
    let events = stand.engine().store().events(saga, 0, 1_000).await.unwrap();
    let told: Vec<(String, Option<usize>)> =
        events.into_iter().map(|event| (event.kind, event.step)).collect();
    let of = |kind: &str, step: usize| {
        told.iter()
            .position(|(k, s)| k == kind && *s == Some(step))
            .unwrap_or_else(|| panic!("{kind} {step} in {told:?}"))
    };
    assert!(of("step-done", 0) < of("step-again", 1));
    assert!(of("step-done", 1) < of("step-retry", 2));
    assert!(of("step-failed", 2) < of("undo-done", 2));
    assert!(of("undo-done", 2) < of("undo-done", 1));
    assert!(of("undo-done", 1) < of("undo-done", 0));
    assert!(
        !told.iter().any(|(_, step)| *step == Some(3)),
        "a step that was certainly never called is not undone: {told:?}"
    );
    let steps = stand.engine().store().steps(saga).await.unwrap();
    assert!(
        steps
            .iter()
            .all(|step| step.step != 3 || step.phase != Phase::Compensate)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_compensation_needs_attention_and_goes_on_after_a_retry() {
    let stand = Stand::new().await;
    let steps = json!([
        noop("a"),
        scripted(
            "b",
            json!([]),
            json!([{ "permanent": { "times": 1, "code": "stuck", "message": "can't" } }])
        ),
        scripted(
            "c",
            json!([{ "permanent": { "code": "broken", "message": "for good" } }]),
            json!([])
        ),
    ]);
    let saga = stand.start(steps, json!({})).await;
    assert_eq!(stand.rest(saga).await.status, Status::NeedsAttention);
    let store = stand.engine().store();
    let page = || arcadia::engine::Page {
        limit: 100,
        after: None,
    };
    let findings = store.findings(Some(saga), true, page()).await.unwrap();
    assert_eq!(
        findings
            .iter()
            .map(|f| (f.code.as_str(), f.step.as_deref()))
            .collect::<Vec<_>>(),
        [("compensation-stuck", Some("b"))]
    );
    stand
        .engine()
        .verb(saga, Verb::Retry, asked("mended"))
        .await
        .unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Compensated);
    assert!(store.findings(Some(saga), true, page()).await.unwrap().is_empty());
    let refused = stand.engine().verb(saga, Verb::Retry, asked("again")).await;
    assert!(
        matches!(refused, Err(VerbError::Refused(IllegalEvent::NotStuck))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_a_sleeping_saga_at_once_and_a_stubborn_guest_in_time() {
    let stand = Stand::new().await;
    let sleeping = stand
        .start(
            json!([
                noop("a"),
                scripted("b", json!([{ "again": { "after_ms": 3_600_000 } }]), json!([]))
            ]),
            json!({}),
        )
        .await;
    let busy = stand
        .start(
            json!([scripted("a", json!([{ "until_cancelled": {} }]), json!([]))]),
            json!({}),
        )
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    for saga in [sleeping, busy] {
        stand
            .engine()
            .verb(saga, Verb::Cancel, asked("enough"))
            .await
            .unwrap();
        assert_eq!(stand.rest(saga).await.status, Status::Cancelled);
        let refused = stand.engine().verb(saga, Verb::Cancel, asked("twice")).await;
        assert!(
            matches!(refused, Err(VerbError::Refused(IllegalEvent::Ended))),
            "{refused:?}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_saga_survives_the_host_and_is_not_in_memory() {
    let mut stand = Stand::new().await;
    let steps = json!([scripted(
        "a",
        json!([{ "again": { "after_ms": 2_500, "state": { "n": 1 } } }, { "done": { "x": 2 } }]),
        json!([])
    )]);
    let saga = stand.start(steps, json!({})).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(stand.engine().in_memory(), 0);
    stand.restart().await;
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    let rows = stand.engine().store().steps(saga).await.unwrap();
    assert_eq!(rows[0].output.as_ref().unwrap().to_value(), json!({ "x": 2 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_c_is_run_and_compensated() {
    let stand = Stand::new().await;
    let alone = stand
        .start(json!([{ "name": "greet", "component": "greet-c" }]), json!({}))
        .await;
    assert_eq!(stand.rest(alone).await.status, Status::Completed);
    assert!(
        stand
            .engine()
            .store()
            .context(alone)
            .await
            .unwrap()
            .iter()
            .any(|(_, key, _)| key == "greeting")
    );
    let steps = json!([
        { "name": "greet", "component": "greet-c" },
        scripted("fail", json!([{ "permanent": { "code": "broken", "message": "for good" } }]), json!([])),
    ]);
    let undone = stand.start(steps, json!({})).await;
    assert_eq!(stand.rest(undone).await.status, Status::Compensated);
    assert!(
        stand
            .engine()
            .store()
            .context(undone)
            .await
            .unwrap()
            .iter()
            .all(|(_, key, _)| key != "greeting")
    );
}

/// Fences the first end of a step, and then can't be read twice.
struct Stumbling {
    fenced: AtomicU64,
    unreadable: AtomicU64,
}

#[async_trait]
impl Around for Stumbling {
    fn instead(&self, changes: &[Change]) -> Option<Result<Vec<Applied>, StoreError>> {
        let ends_a_step = changes.iter().any(|change| match change {
            Change::Advance(advance) => advance.events.iter().any(|event| event.kind == "step-done"),
            _ => false,
        });
        let fenced = ends_a_step && self.fenced.fetch_add(1, Ordering::SeqCst) == 0;
        fenced.then(|| Ok(vec![Applied::Fenced; changes.len()]))
    }

    fn is_unreadable(&self) -> bool {
        self.fenced.load(Ordering::SeqCst) > 0 && self.unreadable.fetch_add(1, Ordering::SeqCst) < 2
    }

    async fn before(&self, _: &'static str) {}

    async fn after(&self, _: &'static str) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_call_that_is_fenced_while_the_saga_can_t_be_read_is_stored_once_it_can() {
    let stand = Stand::with(Rules::default(), |store| {
        let stumbling = Stumbling {
            fenced: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        };
        Wrapped::of(Arc::new(store), stumbling)
    })
    .await;
    let nap = json!([{ "again": { "after_ms": 50, "times": 1 } }, { "done": {} }]);
    let saga = stand
        .start(json!([scripted("a", nap, json!([]))]), json!({}))
        .await;
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
}

/// Takes no checkpoint for so many times.
struct Unwilling {
    times: AtomicU64,
}

#[async_trait]
impl Around for Unwilling {
    fn instead(&self, changes: &[Change]) -> Option<Result<Vec<Applied>, StoreError>> {
        let is_checkpoint = changes
            .iter()
            .any(|change| matches!(change, Change::Checkpoint(_)));
        let refuses = is_checkpoint
            && self
                .times
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        refuses.then(|| Err(StoreError::Unavailable("not now".into())))
    }

    async fn before(&self, _: &'static str) {}

    async fn after(&self, _: &'static str) {}
}

/// More often than a step has attempts.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_can_t_keep_what_a_step_says_costs_the_step_no_attempt() {
    let stand = Stand::with(Rules::default(), |store| {
        Wrapped::of(
            Arc::new(store),
            Unwilling {
                times: AtomicU64::new(4),
            },
        )
    })
    .await;
    let keeps = json!([{ "set": { "a": [1] } }, { "checkpoint": {} }, { "done": {} }]);
    let saga = stand
        .start(json!([scripted("a", keeps, json!([]))]), json!({}))
        .await;
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    let steps = stand.engine().store().steps(saga).await.unwrap();
    assert_eq!(steps[0].attempt, 1);
}
