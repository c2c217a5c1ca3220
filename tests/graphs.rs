//! Plans that are no sequences, through the whole engine: branches that don't depend on each other run, and are undone, at the
//! same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use arcadia::{
    engine::{Asked, PlanSource, StartSaga, Verb},
    saga::{Json, Phase, SagaId, Status},
    simulator::Rules,
    store::{Page, StepRow},
};
use serde_json::{Value, json};

use crate::support::stand::Stand;

const THREE_DROPLETS: &str = include_str!("../steps-wasm/examples/definitions/three_droplets.json");
const NAMES: [&str; 3] = ["web-1", "web-2", "web-3"];

pub async fn cloud(activation_ms: u64) -> Stand {
    let rules = Rules {
        activation_ms,
        delete_ms: 1_500,
        ..Rules::default()
    };
    Stand::with(rules, |store| Arc::new(store)).await
}

/// Starts the example as it is shipped, with intervals that make a test quick and `params` laid over them.
async fn three_droplets(stand: &Stand, params: &[(&str, Value)]) -> SagaId {
    three_droplets_as(stand, three_droplets_body(), params).await
}

pub fn three_droplets_body() -> Value {
    serde_json::from_str(THREE_DROPLETS).unwrap()
}

/// With another body.
pub async fn three_droplets_as(stand: &Stand, body: Value, params: &[(&str, Value)]) -> SagaId {
    let catalog = stand.engine().catalog();
    catalog
        .put_definition("three_droplets", &Json::of(&body), "tester")
        .await
        .unwrap();
    let mut laid: BTreeMap<String, Value> = BTreeMap::new();
    for name in NAMES {
        let quick = json!({ "poll_interval_ms": 100, "settle_ms": 1_500, "absence_recheck_ms": 100 });
        laid.insert(format!("create-{name}"), quick.clone());
        laid.insert(format!("register-{name}"), quick);
        laid.insert(
            format!("wait-{name}"),
            json!({ "poll_interval_ms": 200, "max_polls": 400 }),
        );
    }
    laid.extend(
        params
            .iter()
            .map(|(step, params)| ((*step).to_owned(), params.clone())),
    );
    let inputs = json!({
        "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    });
    let request = StartSaga {
        plan: PlanSource::Definition {
            name: "three_droplets".to_owned(),
        },
        inputs: Json::of(&inputs),
        params: serde_json::from_value(json!(laid)).unwrap(),
        paused: false,
        deployment_id: None,
        triggered_by: "tester".to_owned(),
        actor: "tester".to_owned(),
        idempotency: None,
    };
    stand.engine().start_saga(request).await.unwrap().saga
}

fn noop(name: &str, after: &[&str]) -> Value {
    json!({ "name": name, "component": "noop", "after": after })
}

fn scripted(name: &str, after: &[&str], run: Value, compensate: Value) -> Value {
    json!({
        "name": name, "component": "scripted", "after": after, "scope": name,
        "params": { "run": run, "compensate": compensate },
    })
}

fn broken() -> Value {
    json!([{ "permanent": { "code": "broken", "message": "for good" } }])
}

pub fn asked(reason: &str) -> Asked {
    Asked {
        actor: "tester".to_owned(),
        reason: Some(reason.to_owned()),
    }
}

/// What was told of a saga, oldest first: kinds, with the step by name.
pub struct Story(pub Vec<(String, Option<String>)>);

impl Story {
    pub async fn of(stand: &Stand, saga: SagaId) -> Story {
        let store = stand.engine().store();
        let row = store.saga(saga).await.unwrap().unwrap();
        let plan = store.plan(&row.plan_digest).await.unwrap().unwrap();
        let events = store.events(saga, 0, 1_000).await.unwrap();
        let name = |step: usize| plan.steps[step].name.clone();
        let told = events.into_iter().map(|event| (event.kind, event.step.map(name)));
        Story(told.collect())
    }

    /// When it was told.
    fn at(&self, kind: &str, step: &str) -> usize {
        let found = self
            .0
            .iter()
            .position(|(k, s)| k == kind && s.as_deref() == Some(step));
        found.unwrap_or_else(|| panic!("{kind} of {step} in {:#?}", self.0))
    }

    pub fn tells(&self, kind: &str, step: &str) -> bool {
        self.0
            .iter()
            .any(|(k, s)| k == kind && s.as_deref() == Some(step))
    }

    /// All of `steps` were begun to be undone before one of them was undone.
    fn together(&self, steps: &[&str]) {
        let begun = steps.iter().map(|step| self.at("undo-begun", step)).max();
        let done = steps.iter().map(|step| self.at("undo-done", step)).min();
        assert!(begun < done, "{:#?}", self.0);
    }
}

async fn step(stand: &Stand, saga: SagaId, name: &str, phase: Phase) -> Option<StepRow> {
    let rows = stand.engine().store().steps(saga).await.unwrap();
    rows.into_iter()
        .find(|row| row.name == name && row.phase == phase)
}

async fn output(stand: &Stand, saga: SagaId, name: &str) -> Value {
    let row = step(stand, saga, name, Phase::Run).await.expect("it ran");
    row.output.expect("it has an output").to_value()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_droplets_come_up_in_one_saga_and_its_last_step_reads_of_each() {
    let stand = cloud(2_000).await;
    let saga = three_droplets(&stand, &[]).await;
    let row = stand.rest(saga).await;
    assert_eq!(row.status, Status::Completed, "{:?}", row.turning);
    let droplets = stand.control.state().await.droplets;
    let names: BTreeSet<&str> = droplets.iter().map(|droplet| droplet.name.as_str()).collect();
    assert_eq!((names, droplets.len()), (BTreeSet::from(NAMES), 3));

    let story = Story::of(&stand, saga).await;
    let created = NAMES.map(|name| story.at("step-done", &format!("create-{name}")));
    let active = NAMES.map(|name| story.at("step-done", &format!("wait-{name}")));
    assert!(
        created.iter().max() < active.iter().min(),
        "at the same time: {:#?}",
        story.0
    );

    let told = output(&stand, saga, "tell").await;
    let context = stand.engine().store().context(saga).await.unwrap();
    for name in NAMES {
        let waited = format!("wait-{name}");
        assert_eq!(told["output_of"][&waited], output(&stand, saga, &waited).await);
        let of_scope = |key: &str| {
            let found = context.iter().find(|(scope, k, _)| scope == name && k == key);
            found.expect("each scope has its own").2.to_value()
        };
        assert_eq!(
            told["output_of"][&waited]["public_ip"],
            of_scope("droplet_public_ip")
        );
        let id = of_scope("droplet_id").to_string().trim_matches('"').to_owned();
        assert_eq!(told["output_of"][&waited]["droplet_id"], json!(id));
    }
    assert!(
        context.iter().all(|(scope, ..)| NAMES.contains(&scope.as_str())),
        "{context:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_droplet_that_fails_has_all_three_undone_at_the_same_time() {
    let stand = cloud(600_000).await;
    let gives_up = json!({ "poll_interval_ms": 500, "max_polls": 4 });
    let saga = three_droplets(&stand, &[("wait-web-3", gives_up)]).await;
    let row = stand.rest(saga).await;
    assert_eq!(row.status, Status::Compensated, "{:?}", row.turning);
    assert_eq!(stand.control.state().await.droplets.len(), 3, "all were made");
    assert!(stand.control.live_droplet_ids().await.is_empty());

    let story = Story::of(&stand, saga).await;
    story.together(&["create-web-1", "create-web-2", "create-web-3"]);
    for name in NAMES {
        let [created, waited, registered] =
            ["create", "wait", "register"].map(|step| format!("{step}-{name}"));
        assert!(story.at("undo-done", &waited) < story.at("undo-begun", &created));
        assert!(
            !story.tells("undo-done", &registered),
            "it was certainly never called"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_midway_undoes_every_branch_as_far_as_it_got() {
    let stand = cloud(600_000).await;
    let saga = three_droplets(&stand, &[]).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while stand.control.live_droplet_ids().await.len() < 3 {
        assert!(Instant::now() < deadline, "three droplets are made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stand
        .engine()
        .verb(saga, Verb::Cancel, asked("enough"))
        .await
        .unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Cancelled);
    assert!(stand.control.live_droplet_ids().await.is_empty());
    let findings = stand
        .engine()
        .store()
        .findings(Some(saga), true, page())
        .await
        .unwrap();
    assert!(findings.is_empty(), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_compensation_stops_only_what_it_depends_on() {
    let stand = Stand::new().await;
    let slow = || json!([{ "again": { "after_ms": 300 } }]);
    let stuck = json!([{ "permanent": { "times": 1, "code": "stuck", "message": "can't" } }]);
    // root ─┬─ left ──┐
    //       └─ right ─┼─ last (fails)
    // alone ── next ──┘
    let steps = json!([
        noop("root", &[]),
        scripted("left", &["root"], json!([]), stuck),
        scripted("right", &["root"], json!([]), slow()),
        scripted("alone", &[], json!([]), slow()),
        scripted("next", &["alone"], json!([]), slow()),
        scripted("last", &["left", "right", "next"], broken(), json!([])),
    ]);
    let saga = stand.start(steps, json!({})).await;
    let row = stand.rest(saga).await;
    assert_eq!(row.status, Status::NeedsAttention, "{:?}", row.turning);
    let mut undone = Vec::new();
    for name in ["root", "left", "right", "alone", "next", "last"] {
        let row = step(&stand, saga, name, Phase::Compensate).await;
        undone.push((name, row.map(|row| row.state)));
    }
    let state = |state: &str| Some(state.to_owned());
    assert_eq!(
        undone,
        [
            ("root", None),
            ("left", state("stuck")),
            ("right", state("done")),
            ("alone", state("done")),
            ("next", state("done")),
            ("last", state("done")),
        ]
    );
    let findings = stand
        .engine()
        .store()
        .findings(Some(saga), true, page())
        .await
        .unwrap();
    let found: Vec<(&str, Option<&str>)> = findings
        .iter()
        .map(|f| (f.code.as_str(), f.step.as_deref()))
        .collect();
    assert_eq!(found, [("compensation-stuck", Some("left"))]);

    stand
        .engine()
        .verb(saga, Verb::Retry, asked("mended"))
        .await
        .unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Compensated);
    let story = Story::of(&stand, saga).await;
    story.together(&["right", "next"]);
    assert!(story.at("undo-done", "next") < story.at("undo-begun", "alone"));
    assert!(story.at("undo-done", "left") < story.at("undo-begun", "root"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_shows_its_own_keys_and_the_inputs_and_outputs_are_read_across_scopes() {
    let stand = Stand::new().await;
    let look = json!({ "facts": { "context": ["k", "__inputs__"], "output_of": ["one", "TWO"] } });
    let in_scope = |name: &str, after: &[&str], scope: &str, run: Value| {
        let mut step = scripted(name, after, run, json!([]));
        step["scope"] = json!(scope);
        step
    };
    // Listed backwards: the order is the graph's.
    let steps = json!([
        in_scope("last", &["again-x", "two"], "z", json!([look.clone()])),
        in_scope("again-x", &["one"], "x", json!([look.clone()])),
        in_scope(
            "two",
            &[],
            "y",
            json!([{ "set": { "k": 2 } }, { "done": "of two" }])
        ),
        in_scope(
            "one",
            &[],
            "x",
            json!([{ "set": { "k": 1 } }, { "done": "of one" }])
        ),
    ]);
    let saga = stand.start(steps, json!({ "color": "red" })).await;
    let row = stand.rest(saga).await;
    assert_eq!(row.status, Status::Completed, "{:?}", row.turning);
    let (again, last) = (
        output(&stand, saga, "again-x").await,
        output(&stand, saga, "last").await,
    );
    let inputs = json!({ "color": "red" });
    assert_eq!(again["context"], json!({ "k": 1, "__inputs__": inputs }));
    assert_eq!(last["context"], json!({ "k": null, "__inputs__": inputs }));
    assert_eq!(last["output_of"], json!({ "one": "of one", "TWO": "of two" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_that_sleep_survive_the_host_and_meet_again() {
    let mut stand = Stand::new().await;
    let sleep = |ms: u64| json!([{ "again": { "after_ms": ms } }, { "done": ms }]);
    let steps = json!([
        scripted("short", &[], sleep(1_500), json!([])),
        scripted("long", &[], sleep(2_500), json!([])),
        scripted(
            "meet",
            &["short", "long"],
            json!([{ "facts": { "output_of": ["short", "long"] } }]),
            json!([])
        ),
    ]);
    let saga = stand.start(steps, json!({})).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stand.restart().await;
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    let met = output(&stand, saga, "meet").await;
    assert_eq!(met["output_of"], json!({ "short": 1_500, "long": 2_500 }));
}

fn page() -> Page {
    Page {
        limit: 100,
        after: None,
    }
}
