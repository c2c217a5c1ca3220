//! Pausing one saga, a definition, everything: nothing begins, what is in progress comes to its end, and it survives the host.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arcadia::{
    engine::{Asked, Engine, HoldRow, HoldTarget, PlanSource, SagaRow, StartSaga, Verb, VerbError},
    saga::{Hold, IllegalEvent, Json, Kind, Pause, SagaId, Status},
    simulator::Rules,
};
use serde_json::{Value, json};

use crate::support::stand::Stand;

fn asked(reason: &str) -> Asked {
    Asked {
        actor: "ann".to_owned(),
        reason: Some(reason.to_owned()),
    }
}

fn noop(name: &str) -> Value {
    json!({ "name": name, "component": "noop" })
}

/// Asleep for ten minutes after its first call, as far as anybody here is concerned.
fn sleeper(name: &str) -> Value {
    let run = json!([{ "again": { "after_ms": 600_000, "times": 1 } }]);
    json!({ "name": name, "component": "scripted", "params": { "run": run, "compensate": [] } })
}

async fn started_paused(engine: &Arc<Engine>, steps: Value) -> SagaId {
    let request = StartSaga {
        plan: PlanSource::Inline {
            kind: Kind::Test,
            steps,
        },
        inputs: Json::of(&json!({})),
        params: Default::default(),
        paused: true,
        deployment_id: None,
        triggered_by: "test".to_owned(),
        actor: "ann".to_owned(),
        idempotency: None,
    };
    engine.start_saga(request).await.unwrap().saga
}

async fn row(engine: &Engine, saga: SagaId) -> SagaRow {
    engine.store().saga(saga).await.unwrap().unwrap()
}

async fn holds(engine: &Engine, saga: SagaId) -> Vec<Hold> {
    let pause = row(engine, saga).await.paused;
    let pause: Option<Pause> = pause.map(|json| serde_json::from_str(json.as_str()).unwrap());
    pause.map_or_else(Vec::new, |pause| pause.holds.into_iter().collect())
}

async fn kinds(engine: &Engine, saga: SagaId) -> Vec<(String, String)> {
    let events = engine.store().events(saga, 0, 1_000).await.unwrap();
    events
        .into_iter()
        .map(|event| (event.kind, event.actor))
        .collect()
}

/// Waits for what another task is about to do.
async fn until(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !there().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn is_asleep(engine: &Engine, saga: SagaId) -> bool {
    let steps = engine.store().steps(saga).await.unwrap();
    steps.iter().any(|step| step.state == "running" && step.polls > 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_is_started_paused_begins_once_it_is_resumed() {
    let stand = Stand::new().await;
    let engine = stand.engine();
    let saga = started_paused(engine, json!([noop("a"), noop("b")])).await;
    assert_eq!(holds(engine, saga).await, [Hold::Saga]);
    assert!(
        engine.store().steps(saga).await.unwrap().is_empty(),
        "nothing has begun"
    );
    engine.verb(saga, Verb::Resume, asked("now")).await.unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    let told = kinds(engine, saga).await;
    let paused = told
        .iter()
        .filter(|(kind, _)| kind == "paused" || kind == "resumed");
    assert!(
        paused.clone().count() == 2 && paused.clone().all(|(_, actor)| actor == "ann"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_never_began_is_cancelled_at_once_although_it_is_paused() {
    let stand = Stand::new().await;
    let engine = stand.engine();
    let saga = started_paused(engine, json!([noop("a")])).await;
    let row = engine
        .verb(saga, Verb::Cancel, asked("not wanted"))
        .await
        .unwrap();
    assert_eq!((row.status, row.paused), (Status::Cancelled, None));
    let refused = engine.verb(saga, Verb::Pause, asked("too late")).await;
    assert!(
        matches!(refused, Err(VerbError::Refused(IllegalEvent::Ended))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_saga_that_is_cancelled_goes_back_once_it_is_resumed() {
    let stand = Stand::new().await;
    let engine = stand.engine();
    let saga = stand.start(json!([noop("a"), sleeper("b")]), json!({})).await;
    until("asleep", async || is_asleep(engine, saga).await).await;
    engine.verb(saga, Verb::Pause, asked("look")).await.unwrap();
    engine.verb(saga, Verb::Cancel, asked("enough")).await.unwrap();
    until("settled", async || {
        let steps = engine.store().steps(saga).await.unwrap();
        steps.iter().all(|step| step.state != "running")
    })
    .await;
    let steps = engine.store().steps(saga).await.unwrap();
    assert_eq!(steps.len(), 2, "no undo has begun: {steps:?}");
    assert_eq!(row(engine, saga).await.status, Status::Compensating);
    engine.verb(saga, Verb::Resume, asked("go")).await.unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_everything_holds_what_runs_what_sleeps_and_what_comes() {
    let stand = Stand::new().await;
    let engine = stand.engine();
    let mut asleep = Vec::new();
    for _ in 0..20 {
        asleep.push(stand.start(json!([sleeper("a"), noop("b")]), json!({})).await);
    }
    for saga in &asleep {
        until("asleep", async || is_asleep(engine, *saga).await).await;
    }
    let change = engine.pause(HoldTarget::All, asked("maintenance")).await.unwrap();
    assert_eq!(change.sagas, 20);
    let come = stand.start(json!([noop("a")]), json!({})).await;
    assert!(engine.store().steps(come).await.unwrap().is_empty());
    for saga in asleep.iter().chain([&come]) {
        assert_eq!(holds(engine, *saga).await, [Hold::All]);
    }
    let again = engine.pause(HoldTarget::All, asked("again")).await.unwrap();
    assert_eq!(again.sagas, 0);
    assert_eq!(
        again.hold.unwrap().reason.as_deref(),
        Some("maintenance"),
        "the first one stays"
    );
    let change = engine.resume(HoldTarget::All, asked("done")).await.unwrap();
    assert_eq!(change.sagas, 21);
    assert_eq!(stand.rest(come).await.status, Status::Completed);
    assert_eq!(holds(engine, asleep[0]).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_goes_on_when_the_last_of_its_holds_is_lifted() {
    let stand = Stand::new().await;
    let engine = stand.engine();
    let body = Json::of(&json!({ "kind": "test", "steps": [noop("a")] }));
    for name in ["one", "two"] {
        engine.catalog().put_definition(name, &body, "ann").await.unwrap();
    }
    let target = HoldTarget::Definition("one".to_owned());
    engine
        .pause(target.clone(), asked("one is broken"))
        .await
        .unwrap();
    let other = stand.define("two", json!({})).await;
    assert_eq!(stand.rest(other).await.status, Status::Completed);
    let saga = stand.define("one", json!({})).await;
    engine.pause(HoldTarget::All, asked("and all")).await.unwrap();
    engine.verb(saga, Verb::Pause, asked("and this")).await.unwrap();
    assert_eq!(
        holds(engine, saga).await,
        [Hold::Saga, Hold::Definition, Hold::All]
    );
    engine.resume(HoldTarget::All, asked("go")).await.unwrap();
    engine.verb(saga, Verb::Resume, asked("go")).await.unwrap();
    assert_eq!(holds(engine, saga).await, [Hold::Definition]);
    assert!(engine.store().steps(saga).await.unwrap().is_empty());
    engine.resume(target, asked("mended")).await.unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_survives_the_host_and_so_does_its_end() {
    let mut stand = Stand::new().await;
    let paused = started_paused(stand.engine(), json!([noop("a")])).await;
    stand
        .engine()
        .pause(HoldTarget::All, asked("upgrade"))
        .await
        .unwrap();
    let held = stand.start(json!([noop("a")]), json!({})).await;
    stand.restart().await;
    let engine = stand.engine();
    assert_eq!(engine.holds().len(), 1);
    assert_eq!(holds(engine, held).await, [Hold::All]);
    assert!(engine.store().steps(held).await.unwrap().is_empty());
    // As if the host had died between lifting the row and going through the sagas.
    engine.store().remove_hold(&HoldTarget::All).await.unwrap();
    stand.restart().await;
    assert_eq!(stand.rest(held).await.status, Status::Completed);
    assert_eq!(
        holds(stand.engine(), paused).await,
        [Hold::Saga],
        "its own pause stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_whose_host_died_before_it_reached_the_sagas_reaches_them_at_the_next_start() {
    let mut stand = Stand::new().await;
    let saga = stand.start(json!([sleeper("a")]), json!({})).await;
    until("asleep", async || is_asleep(stand.engine(), saga).await).await;
    let hold = HoldRow {
        target: HoldTarget::All,
        by: "ann".to_owned(),
        reason: None,
        since_ms: stand.engine().store().now_ms(),
    };
    stand.engine().store().put_hold(hold).await.unwrap();
    assert_eq!(holds(stand.engine(), saga).await, []);
    stand.restart().await;
    let engine = stand.engine();
    until("held", async || holds(engine, saga).await == [Hold::All]).await;
    assert_eq!(row(engine, saga).await.status, Status::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_service_holds_the_sagas_whose_steps_may_call_it_and_no_others() {
    let rules = Rules {
        activation_ms: 300,
        ..Rules::default()
    };
    let stand = Stand::with(rules, |store| Arc::new(store)).await;
    let engine = stand.engine();
    let target = HoldTarget::Service("digitalocean".to_owned());
    engine
        .pause(target.clone(), asked("token revoked"))
        .await
        .unwrap();
    let other = stand.start(json!([noop("a")]), json!({})).await;
    assert_eq!(stand.rest(other).await.status, Status::Completed);
    let inputs = json!({ "droplet_name": "web-1", "droplet_region": "nyc3", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64" });
    let saga = stand.define("provision_droplet", inputs).await;
    assert_eq!(
        holds(engine, saga).await,
        [Hold::Service("digitalocean".to_owned())]
    );
    assert!(engine.store().steps(saga).await.unwrap().is_empty());
    engine.resume(target, asked("new token")).await.unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
}
