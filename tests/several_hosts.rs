//! Several engines on one store, in one process: who owns what, and what each of them may still do. The store is the model, with a
//! clock that runs; what processes and PostgreSQL add is tested with both.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arcadia::{
    engine::{Asked, Engine, HoldTarget, LeaseOptions, PlanSource, Verb, WatchOptions},
    saga::{Kind, Phase, RecordState, SagaId, Status},
    simulator::{Fault, FaultKind, Lag, Options, Point, Rules, Simulator},
    step::RuntimeOptions,
    store::{MemoryStore, Store},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{
    counting::Counting,
    runtime,
    simulator::{Control, requests},
    stand::{peer_on, peer_with, rest, start},
};

const LEASE: LeaseOptions = LeaseOptions {
    lease: Duration::from_millis(1_500),
    heartbeat: Duration::from_millis(200),
};
/// Within which everything here happens, on a busy machine too.
const SOON: Duration = Duration::from_secs(20);

struct Place {
    store: Arc<MemoryStore>,
    simulator: Simulator,
    rules: Rules,
    control: Control,
}

/// A host of the place, and what cuts its way to the store.
struct Peer {
    engine: Arc<Engine>,
    cut: watch::Sender<bool>,
}

impl Place {
    async fn new() -> Place {
        let rules = Rules {
            activation_ms: 300,
            delete_ms: 200,
            ..Rules::default()
        };
        let simulator = Simulator::start(Options {
            rules: rules.clone(),
            ..Options::default()
        })
        .await
        .unwrap();
        let store = Arc::new(MemoryStore::new(1_000_000));
        let clock = Arc::downgrade(&store);
        tokio::spawn(async move {
            let began = Instant::now();
            while let Some(store) = clock.upgrade() {
                store.set_now_ms(1_000_000 + i64::try_from(began.elapsed().as_millis()).unwrap());
                drop(store);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Place {
            store,
            control: Control::of(&simulator),
            simulator,
            rules,
        }
    }

    async fn host(&self) -> Peer {
        self.host_watching(WatchOptions::default()).await
    }

    async fn host_watching(&self, watching: WatchOptions) -> Peer {
        let cut = watch::Sender::new(false);
        let store = Counting::behind(self.store.clone(), &cut);
        let engine = peer_on(store, &self.simulator, &self.rules, watching, LEASE).await;
        Peer { engine, cut }
    }

    async fn status(&self, saga: SagaId) -> Status {
        self.store.saga(saga).await.unwrap().unwrap().status
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn asked() -> Asked {
    Asked {
        actor: "ann".to_owned(),
        reason: Some("because".to_owned()),
    }
}

/// Says "again" once, then it is done.
fn naps(name: &str, ms: u64) -> Value {
    let run = json!([{ "again": { "after_ms": ms, "times": 1 } }]);
    json!({ "name": name, "component": "scripted", "params": { "run": run, "compensate": [] } })
}

async fn started(engine: &Arc<Engine>, steps: Value) -> SagaId {
    let plan = PlanSource::Inline {
        kind: Kind::Test,
        steps,
    };
    start(engine, plan, json!({})).await
}

async fn provision(engine: &Arc<Engine>) -> SagaId {
    let inputs = json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
        "droplet_image": "ubuntu-24-04-x64",
    });
    let plan = PlanSource::Definition {
        name: "provision_droplet".to_owned(),
    };
    start(engine, plan, inputs).await
}

async fn polled_once(place: &Place, saga: SagaId) {
    until("the step has been called", async || {
        let steps = place.store.steps(saga).await.unwrap();
        steps.first().is_some_and(|step| step.polls == 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_through_another_host_takes_the_saga_over() {
    let place = Place::new().await;
    let (one, other) = (place.host().await, place.host().await);
    let saga = started(&one.engine, json!([naps("nap", 600_000)])).await;
    polled_once(&place, saga).await;
    let owner = place.store.load(saga).await.unwrap().unwrap().fence.owner;
    other.engine.verb(saga, Verb::Cancel, asked()).await.unwrap();
    assert_eq!(rest(&other.engine, saga).await.status, Status::Cancelled);
    assert_eq!(rest(&one.engine, saga).await.status, Status::Cancelled);
    let loaded = place.store.load(saga).await.unwrap().unwrap();
    assert_ne!(loaded.fence.owner, owner);
    assert_eq!(loaded.fence.number, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_taken_with_its_request_on_the_wire_hears_of_the_answer_and_makes_no_second_droplet() {
    let place = Place::new().await;
    let (one, other) = (place.host().await, place.host().await);
    let held = place
        .control
        .hold(requests("POST", "/v2/droplets"), Point::BeforeEffect)
        .await;
    let saga = provision(&one.engine).await;
    place.control.wait_held(held).await;
    until("the call is told", async || {
        place
            .store
            .hosts(9)
            .await
            .unwrap()
            .iter()
            .any(|host| host.calling == [saga])
    })
    .await;
    other.engine.verb(saga, Verb::Pause, asked()).await.unwrap();
    other.engine.verb(saga, Verb::Resume, asked()).await.unwrap();
    until("its call on the first host has ended", async || {
        let hosts = place.store.hosts(9).await.unwrap();
        hosts
            .iter()
            .all(|host| !one.engine.is_this(host) || host.calling.is_empty())
    })
    .await;
    place.control.release(held).await;
    assert_eq!(rest(&other.engine, saga).await.status, Status::Completed);
    assert_eq!(place.control.live_droplet_ids().await.len(), 1);
    let journal = place.store.journal(saga).await.unwrap();
    let posts: Vec<_> = journal
        .iter()
        .filter(|record| record.intent.method == "POST")
        .collect();
    assert_eq!(posts.len(), 1);
    assert!(
        matches!(posts[0].state, RecordState::Answered { .. }),
        "{:?}",
        posts[0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_undone_while_another_host_has_its_request_on_the_wire() {
    let place = Place::new().await;
    let (one, other) = (place.host().await, place.host().await);
    let held = place
        .control
        .hold(requests("POST", "/v2/droplets"), Point::BeforeEffect)
        .await;
    let saga = provision(&one.engine).await;
    place.control.wait_held(held).await;
    other.engine.verb(saga, Verb::Cancel, asked()).await.unwrap();
    until("the undo waits", async || {
        let steps = place.store.steps(saga).await.unwrap();
        steps
            .iter()
            .any(|step| step.phase == Phase::Compensate && step.failure.is_some())
    })
    .await;
    place.control.release(held).await;
    assert_eq!(rest(&other.engine, saga).await.status, Status::Cancelled);
    assert_eq!(place.control.live_droplet_ids().await.len(), 0);
    let posts = place.control.journal().await;
    assert_eq!(posts.iter().filter(|entry| entry.method == "POST").count(), 1);
}

/// The droplet is there, and nothing but the answer to its request ever shows it in time.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_after_the_sagas_end_has_its_droplet_undone() {
    let place = Place::new().await;
    let often = WatchOptions {
        horizon_ms: 60_000,
        first_look_ms: 200,
        ..WatchOptions::default()
    };
    let (one, other) = (place.host().await, place.host_watching(often).await);
    let creation = || requests("POST", "/v2/droplets");
    let unseen = FaultKind::Lag(Lag {
        get_ms: 0,
        ..Lag::everywhere(3_600_000)
    });
    place.control.fault_once(creation(), unseen).await;
    let held = place.control.hold(creation(), Point::AfterEffect).await;
    let saga = provision(&one.engine).await;
    place.control.wait_held(held).await;
    one.cut.send_replace(true);
    one.engine.lost().await;
    other.engine.verb(saga, Verb::Cancel, asked()).await.unwrap();
    assert_eq!(rest(&other.engine, saga).await.status, Status::Cancelled);
    assert_eq!(
        place.control.live_droplet_ids().await.len(),
        1,
        "nobody knows of it"
    );
    assert!(place.store.watch(saga).await.unwrap().is_some());

    place.control.release(held).await;
    one.cut.send_replace(false);
    until("the droplet is undone", async || {
        place.control.live_droplet_ids().await.is_empty()
    })
    .await;
    assert_eq!(rest(&other.engine, saga).await.status, Status::Cancelled);
    let events = place.store.events(saga, 0, 200).await.unwrap();
    let late = events.iter().filter(|event| event.kind == "late-effect").count();
    assert_eq!(late, 1, "{events:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_in_order_hands_its_sagas_over_at_once() {
    let place = Place::new().await;
    let (one, other) = (place.host().await, place.host().await);
    let saga = started(&one.engine, json!([naps("nap", 2_500)])).await;
    polled_once(&place, saga).await;
    one.engine.shutdown(Duration::from_secs(5)).await;
    let began = Instant::now();
    assert_eq!(rest(&other.engine, saga).await.status, Status::Completed);
    assert!(began.elapsed() < SOON);
    let hosts = place.store.hosts(9).await.unwrap();
    assert_eq!(hosts.iter().filter(|host| host.lost_ms.is_some()).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_its_database_sends_nothing_more_and_another_makes_no_second_droplet() {
    let place = Place::new().await;
    let (one, other) = (place.host().await, place.host().await);
    let saga = provision(&one.engine).await;
    until("the droplet is there", async || {
        !place.control.live_droplet_ids().await.is_empty()
    })
    .await;
    one.cut.send_replace(true);
    let began = Instant::now();
    one.engine.lost().await;
    assert!(
        began.elapsed() < LEASE.lease,
        "before anybody else may own its sagas"
    );
    assert!(one.engine.ready().is_err());
    assert_eq!(rest(&other.engine, saga).await.status, Status::Completed);
    assert_eq!(place.control.live_droplet_ids().await.len(), 1);
    // What it was about to write arrives after all, and changes nothing.
    let before = format!("{:?}", place.store.load(saga).await.unwrap());
    one.cut.send_replace(false);
    tokio::time::timeout(SOON, one.engine.shutdown(Duration::from_secs(5)))
        .await
        .unwrap();
    assert_eq!(format!("{:?}", place.store.load(saga).await.unwrap()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_everything_through_one_host_holds_the_sagas_of_all() {
    let place = Place::new().await;
    let (one, other) = (place.host().await, place.host().await);
    let saga = started(&one.engine, json!([naps("nap", 1_500), naps("more", 0)])).await;
    polled_once(&place, saga).await;
    other.engine.pause(HoldTarget::All, asked()).await.unwrap();
    until("the other host's saga is held", async || {
        place.store.saga(saga).await.unwrap().unwrap().paused.is_some()
    })
    .await;
    let held = place.store.load(saga).await.unwrap().unwrap();
    assert_eq!(held.fence.number, 1, "held by its owner, not taken from it");
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    assert_eq!(place.status(saga).await, Status::Running);
    one.engine.resume(HoldTarget::All, asked()).await.unwrap();
    assert_eq!(rest(&other.engine, saga).await.status, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_at_one_host_hears_of_what_another_has_done() {
    let place = Place::new().await;
    let (one, other) = (place.host().await, place.host().await);
    let newest = place.store.newest_event().await.unwrap();
    let saga = started(&one.engine, json!([naps("nap", 300)])).await;
    let news = tokio::time::timeout(SOON, other.engine.news(newest))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(news[0].saga, saga);
    assert_eq!(rest(&other.engine, saga).await.status, Status::Completed);
}

/// How long so many droplets take on hosts that call two steps at a time, each create of which takes 400 ms.
async fn time_of(droplets: usize, hosts: usize) -> Duration {
    const CALLS: u32 = 2;
    let place = Place::new().await;
    let slow = FaultKind::Slow {
        point: Point::BeforeEffect,
        delay_ms: 400,
    };
    let always = Fault::on(requests("POST", "/v2/droplets"), slow);
    place.control.add_fault(always).await;
    let mut engines = Vec::new();
    for _ in 0..hosts {
        let options = RuntimeOptions {
            max_calls: CALLS,
            ..runtime::options()
        };
        let (watching, rules) = (WatchOptions::default(), &place.rules);
        let store = place.store.clone();
        engines.push(peer_with(options, store, &place.simulator, rules, watching, LEASE).await);
    }
    let step = json!({ "name": "create", "component": "create-droplet" });
    let inputs = json!({
        "droplet_name": "web", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    });
    let began = Instant::now();
    let mut sagas = Vec::new();
    for engine in engines.iter().cycle().take(droplets) {
        let plan = PlanSource::Inline {
            kind: Kind::Test,
            steps: json!([step]),
        };
        sagas.push((engine, start(engine, plan, inputs.clone()).await));
    }
    for (engine, saga) in sagas {
        assert_eq!(rest(engine, saga).await.status, Status::Completed);
    }
    assert_eq!(place.control.live_droplet_ids().await.len(), droplets);
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_adds_its_own_calls_to_those_of_the_first() {
    let (one, two) = (time_of(12, 1).await, time_of(12, 2).await);
    println!("one host: {one:?}, two: {two:?}");
    assert!(one >= Duration::from_millis(12 / 2 * 400), "{one:?}");
    assert!(two < one.mul_f64(0.75), "one host: {one:?}, two: {two:?}");
}

/// The end of a call waits for a commit that is never answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_host_ends_without_waiting_for_calls_whose_end_can_t_be_stored() {
    let place = Place::new().await;
    let one = place.host().await;
    let run = json!([{ "again": { "after_ms": 20, "times": 100_000 } }]);
    let nap = json!({ "name": "nap", "component": "scripted", "params": { "run": run } });
    let saga = started(&one.engine, json!([nap])).await;
    until("it is under way", async || {
        let steps = place.store.steps(saga).await.unwrap();
        steps.first().is_some_and(|step| step.polls > 1)
    })
    .await;
    one.cut.send_replace(true);
    one.engine.lost().await;
    let ended = one.engine.shutdown(Duration::from_secs(120));
    assert!(tokio::time::timeout(Duration::from_secs(40), ended).await.is_ok());
}
