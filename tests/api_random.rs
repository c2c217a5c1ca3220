//! Whatever is sent: never a 5xx, always JSON that says what is wrong.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    api_document::Document,
    api_server::{Api, answer},
};

const CASES: u32 = 1_500;

const PATHS: [(&str, &str); 13] = [
    ("POST", "/v1/sagas"),
    ("POST", "/v1/sagas"),
    ("POST", "/v1/sagas/batch"),
    ("POST", "/v1/droplets"),
    ("POST", "/v1/droplets/7/snapshots"),
    ("POST", "/v1/sagas/01939f3e-0000-7aaa-8bbb-ccccdddddddd/cancel"),
    ("POST", "/v1/sagas/01939f3e-0000-7aaa-8bbb-ccccdddddddd/retry"),
    ("PUT", "/v1/definitions/strict"),
    ("PUT", "/v1/definitions/new"),
    ("PUT", "/v1/steps/noop/channels/next"),
    ("POST", "/v1/components"),
    ("GET", "/v1/sagas"),
    ("GET", "/v1/inventory/resources"),
];

const WORDS: [&str; 26] = [
    "definition",
    "kind",
    "steps",
    "inputs",
    "params",
    "deployment_id",
    "triggered_by",
    "name",
    "component",
    "run",
    "compensate",
    "after",
    "scope",
    "version",
    "digest",
    "reason",
    "test",
    "strict",
    "noop",
    "scripted",
    "one",
    "droplet_tags",
    "arcadia-r-x",
    "inputs_schema",
    "limit",
    "cursor",
];

fn word(rng: &mut StdRng) -> String {
    match rng.random_range(0..10) {
        0 => String::new(),
        1 => "ä\u{7f}/~\"\\".to_owned(),
        2 => "x".repeat(rng.random_range(0..400)),
        _ => (*WORDS.choose(rng).expect("there are words")).to_owned(),
    }
}

fn value(rng: &mut StdRng, depth: u32) -> Value {
    match rng.random_range(0..if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 => json!(rng.random::<i64>() >> rng.random_range(0..63)),
        3 => json!(rng.random::<f64>() * 1e300),
        4 => json!(word(rng)),
        5 => (0..rng.random_range(0..4))
            .map(|_| value(rng, depth - 1))
            .collect(),
        _ => {
            let members = (0..rng.random_range(0..5)).map(|_| (word(rng), value(rng, depth - 1)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

/// Something that would be taken, with one thing changed.
fn almost(rng: &mut StdRng) -> Vec<u8> {
    let mut body = json!({
        "kind": "test",
        "steps": [{ "name": "one", "component": "noop", "params": {}, "run": { "max_attempts": 3 } }],
        "inputs": { "a": 1 }, "params": { "one": { "b": [1] } }, "deployment_id": "d", "triggered_by": "me",
    });
    let pointers = [
        "",
        "/kind",
        "/steps",
        "/steps/0",
        "/steps/0/name",
        "/steps/0/component",
        "/steps/0/params",
        "/steps/0/run",
        "/steps/0/run/max_attempts",
        "/inputs",
        "/inputs/a",
        "/params",
        "/params/one",
        "/deployment_id",
        "/triggered_by",
    ];
    let at = *pointers.choose(rng).expect("there are pointers");
    *body.pointer_mut(at).expect("the pointer leads into the body") = value(rng, 3);
    body.to_string().into_bytes()
}

fn body(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = match rng.random_range(0..4) {
        0 => (0..rng.random_range(0..200)).map(|_| rng.random()).collect(),
        1 => value(rng, 4).to_string().into_bytes(),
        _ => almost(rng),
    };
    if rng.random_range(0..4) == 0 && !bytes.is_empty() {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..3) {
            0 => bytes[at] = rng.random(),
            1 => bytes.truncate(at),
            _ => bytes.insert(at, rng.random()),
        }
    }
    bytes
}

fn query(rng: &mut StdRng) -> String {
    let pair = |rng: &mut StdRng| {
        let bytes: Vec<u8> = word(rng)
            .into_bytes()
            .into_iter()
            .chain((0..rng.random_range(0..3)).map(|_| rng.random()))
            .collect();
        let value: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
        format!("{}={value}", WORDS.choose(rng).expect("there are words"))
    };
    let pairs: Vec<String> = (0..rng.random_range(1..3)).map(|_| pair(rng)).collect();
    format!("?{}", pairs.join("&"))
}

#[tokio::test]
async fn no_body_and_no_query_makes_the_host_fail() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let api = Api::start().await;
    let strict = json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }] });
    assert_eq!(api.put("/v1/definitions/strict", strict).await.status, 201);
    let document = Document::of(&api).await;
    for case in 0..CASES {
        let (method, path) = *PATHS.choose(&mut rng).expect("there are paths");
        let asks = method == "GET" || rng.random_range(0..10) == 0;
        let path = if asks {
            format!("{path}{}", query(&mut rng))
        } else {
            path.to_owned()
        };
        let content_type = if path.starts_with("/v1/components") {
            "application/wasm"
        } else {
            "application/json"
        };
        let sent = body(&mut rng);
        let verb = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = api.request(verb, &path).header("content-type", content_type);
        let got = answer(request.body(sent.clone())).await;
        let context = || {
            format!(
                "seed {seed}, case {case}: {method} {path} {:?}: {got:?}",
                String::from_utf8_lossy(&sent)
            )
        };
        assert!(got.status < 500, "{}", context());
        if got.status >= 400 {
            assert_eq!(
                got.header("content-type"),
                Some("application/problem+json"),
                "{}",
                context()
            );
        }
        assert!(document.promises(method, &path, &got), "{}", context());
    }
}
