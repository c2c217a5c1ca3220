//! The committed components on the runtime: what they say of themselves, and a scripted step through the whole contract.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use arcadia::{
    cloud::Grant,
    saga::{CallEnd, Effect, Failure, Json, Outcome, Phase, Verdict, Writes},
    step::{Call, Compiled, Ended, Manifest, Prior},
};
use serde_json::{Value, json};

use crate::step_guest::{FakeHost, RUNTIME, call};

const STEPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../steps-wasm");

static SCRIPTED: LazyLock<Compiled> = LazyLock::new(|| compiled("examples/components/scripted.wasm"));

fn compiled(file: &str) -> Compiled {
    let wasm = fs::read(Path::new(STEPS).join(file)).expect("the component is committed");
    RUNTIME.compile(wasm.into()).expect("it compiles")
}

fn scripted(phase: &str, operations: Value) -> Call {
    Call {
        params: Json::of(&json!({ phase: operations })),
        writable: vec!["a".to_owned(), "answer".to_owned()],
        grants: Arc::from([Grant {
            service: "test".to_owned(),
            methods: vec!["GET".to_owned()],
            path_prefixes: vec!["/".to_owned()],
        }]),
        ..call()
    }
}

async fn run(call: Call) -> Ended {
    let host = Arc::new(FakeHost::default());
    RUNTIME.call(&SCRIPTED, call, host).await
}

fn done(ended: &Ended) -> Value {
    match &ended.end.outcome {
        Outcome::Done(output) => output.to_value(),
        other => panic!("not done: {other:?}"),
    }
}

/// Every component beside its manifest's file.
#[tokio::test]
async fn each_component_describes_itself_as_its_manifest_says() {
    let mut seen = 0;
    for (components, sources) in [("components", ""), ("examples/components", "examples/")] {
        for entry in fs::read_dir(Path::new(STEPS).join(components)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let manifest = Path::new(STEPS).join(format!("{sources}{name}/manifest.json"));
            let (Some("wasm"), Ok(manifest)) = (
                path.extension().and_then(|extension| extension.to_str()),
                fs::read_to_string(manifest),
            ) else {
                continue;
            };
            let compiled = RUNTIME.compile(fs::read(&path).unwrap().into()).unwrap();
            let described: Manifest = RUNTIME.describe(&compiled).await.unwrap();
            assert_eq!(described.name, name);
            let committed: Value = serde_json::from_str(&manifest).unwrap();
            assert_eq!(described.json.to_value(), committed);
            seen += 1;
        }
    }
    assert!(seen >= 7, "only {seen} components");
}

#[tokio::test]
async fn a_guest_is_told_what_the_call_says() {
    let mut asked = scripted(
        "compensate",
        json!([{"facts": {"context": ["a", "b"], "output_of": ["First", "never"], "info": ["any"]}}]),
    );
    asked.phase = Phase::Compensate;
    asked.attempt = 3;
    asked.polls = 2;
    asked.deployment_id = Some("deployment".to_owned());
    asked.inputs = Json::trusted(r#"{"size":"small"}"#);
    asked.context = BTreeMap::from([("a".to_owned(), Json::trusted("1"))]);
    asked.outputs = Arc::new(BTreeMap::from([("first".to_owned(), Json::trusted("[2]"))]));
    asked.state = Some(Json::trusted(r#"{"seen":true}"#));
    asked.prior = Some(Prior {
        verdict: Verdict::Failed(Failure::new("broken", "it broke")),
        effect: Effect::Applied,
        state: None,
    });
    let facts = done(&run(asked).await);
    for (name, expected) in [
        ("phase", json!("compensate")),
        ("attempt", json!(3)),
        ("polls", json!(2)),
        ("deployment_id", json!("deployment")),
        ("triggered_by", json!("tests")),
        ("saga_tag", json!("arcadia-saga-00000007")),
        ("state", json!({"seen": true})),
        ("inputs", json!({"size": "small"})),
        ("context", json!({"a": 1, "b": null})),
        ("output_of", json!({"First": [2], "never": null})),
        ("info", json!({"any": null})),
        ("cancel_requested", json!(false)),
    ] {
        assert_eq!(facts[name], expected, "{name}");
    }
    assert_eq!(facts["prior"]["verdict"], json!({"failed": "broken"}));
    assert_eq!(facts["prior"]["effect"], json!("applied"));
}

#[tokio::test]
async fn every_attempt_of_a_phase_has_the_same_dice() {
    let throw = |attempt, seed| {
        let mut asked = scripted("run", json!([{"facts": {}}]));
        asked.attempt = attempt;
        asked.seed = seed;
        run(asked)
    };
    let first = done(&throw(1, [1; 32]).await)["random"].clone();
    assert_eq!(first, done(&throw(2, [1; 32]).await)["random"]);
    assert_ne!(first, done(&throw(1, [2; 32]).await)["random"]);
}

#[tokio::test]
async fn writes_come_with_the_outcome_and_are_lost_with_an_error() {
    let ended = run(scripted("run", json!([{"set": {"a": {"n": 1}}}, {"done": "ok"}]))).await;
    assert_eq!(
        ended,
        Ended {
            end: CallEnd {
                outcome: Outcome::Done(Json::trusted("\"ok\"")),
                starved: false,
            },
            writes: Writes {
                context: BTreeMap::from([("a".to_owned(), Some(Json::trusted(r#"{"n":1}"#)))]),
                inventory: Vec::new(),
            },
        }
    );
    for failing in [
        json!({"permanent": {}}),
        json!({"transient": {}}),
        json!({"trap": {}}),
    ] {
        let ended = run(scripted("run", json!([{"set": {"a": 1}}, failing]))).await;
        assert_eq!(ended.writes, Writes::default(), "{:?}", ended.end);
    }
}

#[tokio::test]
async fn a_call_that_was_told_to_wait_is_starved() {
    let path = |path| json!([{"http": {"service": "test", "path": path, "save": "answer"}}, {"again": {"after_ms": 5000}}]);
    let ended = run(scripted("run", path("/busy"))).await;
    assert!(ended.end.starved);
    assert!(matches!(
        ended.end.outcome,
        Outcome::Again { after_ms: 5_000, .. }
    ));
    let ended = run(scripted("run", path("/ok"))).await;
    assert!(!ended.end.starved);
    assert_eq!(
        ended.writes.context["answer"].as_ref().unwrap().to_value()["body"],
        json!("/ok")
    );
}

#[tokio::test]
async fn a_service_that_was_not_granted_is_denied_before_the_host_is_asked() {
    let ended = run(scripted(
        "run",
        json!([{"http": {"service": "elsewhere", "path": "/ok", "save": "answer"}}]),
    ))
    .await;
    assert_eq!(
        ended.writes.context["answer"].as_ref().unwrap().to_value(),
        json!({"error": "denied"})
    );
}

#[tokio::test]
async fn a_request_without_an_answer_ends_with_the_wall_time_and_the_host_is_let_go() {
    let mut short = scripted("run", json!([{"http": {"service": "test", "path": "/slow"}}]));
    short.call_timeout_ms = 100;
    let host = Arc::new(FakeHost::default());
    let ended = RUNTIME.call(&SCRIPTED, short, host.clone()).await;
    assert_eq!(ended.end.outcome, Outcome::Timeout);
    let released = async {
        while Arc::strong_count(&host) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), released)
        .await
        .expect("the request's future is dropped with the guest");
}

#[tokio::test]
async fn what_a_checkpoint_saved_does_not_come_again_with_the_outcome() {
    let host = Arc::new(FakeHost::default());
    let asked = scripted(
        "run",
        json!([{"set": {"a": 1}}, {"checkpoint": {}}, {"facts": {"context": ["a"]}}]),
    );
    let ended = RUNTIME.call(&SCRIPTED, asked, host.clone()).await;
    assert_eq!(done(&ended)["context"], json!({"a": 1}));
    assert_eq!(ended.writes, Writes::default());
    assert_eq!(
        *host.checkpoints.lock().unwrap(),
        [Writes {
            context: BTreeMap::from([("a".to_owned(), Some(Json::trusted("1")))]),
            inventory: Vec::new(),
        }]
    );
}
