//! Components that were not written in Rust, on the runtime: one in C against `wit/` alone, and one that uses all of the WASI
//! interfaces that larger languages bring along.

use std::{collections::BTreeMap, fs, sync::Arc};

use arcadia::{
    saga::{Effect, Json, Outcome, Phase, Verdict, Writes},
    step::{Call, Compiled, Ended, Prior},
};
use serde_json::{Value, json};

use crate::step_guest::{FakeHost, RUNTIME, call};

fn compiled(name: &str) -> Compiled {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../steps-wasm/examples/components");
    let wasm = fs::read(format!("{folder}/{name}.wasm")).expect("the component is committed");
    RUNTIME.compile(wasm.into()).expect("it compiles")
}

fn compensation(output: &Value) -> Call {
    Call {
        phase: Phase::Compensate,
        prior: Some(Prior {
            verdict: Verdict::Succeeded(Json::of(output)),
            effect: Effect::None,
            state: None,
        }),
        ..call()
    }
}

fn output(ended: &Ended) -> Value {
    match &ended.end.outcome {
        Outcome::Done(output) => output.to_value(),
        other => panic!("not done: {other:?}"),
    }
}

#[tokio::test]
async fn a_step_in_c_runs_and_is_compensated() {
    let greet = compiled("greet-c");
    let manifest = RUNTIME.describe(&greet).await.expect("it describes itself");
    assert_eq!(
        (manifest.name.as_str(), manifest.writes.as_slice()),
        ("greet-c", &["greeting".to_owned()][..])
    );
    let asked = || Call {
        writable: manifest.writes.clone(),
        step: "say \"hi\"".to_owned(),
        ..call()
    };
    let host = Arc::new(FakeHost::default());
    let ended = RUNTIME.call(&greet, asked(), host.clone()).await;
    let greeting = json!("hello from C in step say \"hi\"");
    assert_eq!(output(&ended), json!({ "greeting": greeting }));
    assert_eq!(
        ended.writes.context,
        BTreeMap::from([("greeting".to_owned(), Some(Json::of(&greeting)))])
    );

    let mut undo = compensation(&output(&ended));
    undo.writable = manifest.writes.clone();
    undo.context = BTreeMap::from([("greeting".to_owned(), Json::of(&greeting))]);
    let ended = RUNTIME.call(&greet, undo, host.clone()).await;
    assert_eq!(output(&ended), json!({}));
    assert_eq!(
        ended.writes.context,
        BTreeMap::from([("greeting".to_owned(), None)])
    );
    let lines = host.lines.lock().expect("never poisoned");
    let lines: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(lines, ["greeted", "took the greeting back"]);
}

#[tokio::test]
async fn a_step_in_c_that_may_not_write_its_key_says_so() {
    let ended = RUNTIME
        .call(&compiled("greet-c"), call(), Arc::new(FakeHost::default()))
        .await;
    let Outcome::Permanent(failure) = &ended.end.outcome else {
        panic!("{:?}", ended.end.outcome)
    };
    assert_eq!(failure.code, "context-refused");
    assert_eq!(ended.writes, Writes::default());
}

#[tokio::test]
async fn wasi_answers_empty_handed_and_its_output_goes_to_the_log() {
    let probe = compiled("wasi-probe");
    assert_eq!(
        RUNTIME.describe(&probe).await.expect("it describes itself").name,
        "wasi-probe"
    );
    let host = Arc::new(FakeHost::default());
    let ended = RUNTIME.call(&probe, call(), host.clone()).await;
    let got = output(&ended);
    for (name, expected) in [
        ("stdout_bytes", json!(17)),
        ("stdin", json!("empty")),
        ("wall_clock", json!(true)),
        ("monotonic_clock", json!(true)),
        ("random", json!(true)),
        ("file", json!("denied")),
        ("environment", json!("empty")),
    ] {
        assert_eq!(got[name], expected, "{name} of {got}");
    }
    let lines = host
        .lines
        .lock()
        .expect("never poisoned")
        .iter()
        .map(|line| line.message.clone())
        .collect::<Vec<_>>();
    for expected in ["a line on stdout", "a line on stderr"] {
        assert!(
            lines.iter().any(|line| line.contains(expected)),
            "{expected} in {lines:?}"
        );
    }
    let ended = RUNTIME.call(&probe, compensation(&got), host.clone()).await;
    assert_eq!(output(&ended), json!({}));
}
