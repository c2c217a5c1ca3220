//! What the HTTP API refuses: each answer says what and where, as the document promises, and nothing is changed.

use std::collections::BTreeSet;

use arcadia::api::{Code, MAX_REQUESTS};
use axum::{body::Body, http::Request};
use reqwest::Method;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{
    api_document::Document,
    api_server::{Api, TOKEN, answer, example, sleeper},
};

/// A request, and what its refusal has to be.
struct Refusal {
    method: &'static str,
    path: String,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    /// The pointer or the parameter of the first error; empty: there needs to be none.
    place: &'static str,
}

fn no_body(
    method: &'static str,
    path: &str,
    status: u16,
    code: &'static str,
    place: &'static str,
) -> Refusal {
    Refusal {
        method,
        path: path.to_owned(),
        content_type: None,
        body: Vec::new(),
        status,
        code,
        place,
    }
}

fn sent(
    method: &'static str,
    path: &str,
    body: &Value,
    (status, code): (u16, &'static str),
    place: &'static str,
) -> Refusal {
    let content_type = Some("application/json");
    Refusal {
        method,
        path: path.to_owned(),
        content_type,
        body: body.to_string().into(),
        status,
        code,
        place,
    }
}

const INVALID: (u16, &str) = (422, "invalid-request");

/// Everything that the API holds, to see that nothing changed.
async fn everything(api: &Api) -> Vec<Value> {
    let mut all = Vec::new();
    for list in [
        "components",
        "steps",
        "definitions",
        "sagas",
        "droplets",
        "inventory/resources",
        "findings",
    ] {
        all.push(api.get(&format!("/v1/{list}?limit=200")).await.body);
    }
    all
}

/// What is wrong with the answer to a refused request.
async fn wrong(api: &Api, document: &Document, refusal: &Refusal) -> Option<String> {
    let Refusal { method, path, .. } = refusal;
    let mut request = api.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
    if let Some(content_type) = refusal.content_type {
        request = request.header("content-type", content_type);
    }
    let got = answer(request.body(refusal.body.clone())).await;
    let body = &got.body;
    let told = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
    let places = || {
        let errors = body["errors"].as_array().into_iter().flatten();
        errors.map(|error| error["pointer"].as_str().or(error["parameter"].as_str()).unwrap())
    };
    let fine = [
        (got.status, body["code"].as_str()) == (refusal.status, Some(refusal.code)),
        got.header("content-type") == Some("application/problem+json"),
        body["status"] == refusal.status,
        body["type"] == format!("urn:arcadia:problem:{}", refusal.code),
        told("title") && told("detail"),
        refusal.place.is_empty() || places().any(|place| place == refusal.place),
        document.promises(method, path, &got),
    ];
    let shown = String::from_utf8_lossy(&refusal.body[..refusal.body.len().min(200)]);
    let Refusal {
        status, code, place, ..
    } = refusal;
    let all = fine == [true; 7];
    (!all)
        .then(|| format!("{method} {path} {shown}: expected {status} {code} at {place:?}, {fine:?}: {got:?}"))
}

fn starts() -> Vec<Refusal> {
    let step = |name: &str, component: &str| json!({ "name": name, "component": component });
    let inline = |steps: Value| json!({ "kind": "test", "steps": steps });
    let start = |body: &Value, place| sent("POST", "/v1/sagas", body, INVALID, place);
    let with = |mut step: Value, field: &str, value: Value| {
        step[field] = value;
        inline(json!([step]))
    };
    let start_with = |field: &str, value: Value| {
        let mut body = inline(json!([step("one", "scripted")]));
        body[field] = value;
        body
    };
    vec![
        start(&json!({}), "/definition"),
        start(&json!({ "definition": "nope" }), "/definition"),
        start(&json!({ "definition": "strict", "kind": "test" }), "/kind"),
        start(&json!({ "definition": "strict", "steps": [] }), "/steps"),
        start(&json!({ "definition": "strict" }), "/inputs/a"),
        start(
            &json!({ "definition": "strict", "inputs": { "a": "1" } }),
            "/inputs/a",
        ),
        start(
            &json!({ "definition": "strict", "inputs": { "a": 1, "b": 2 } }),
            "/inputs/b",
        ),
        start(&json!({ "definition": "strict", "inputs": [] }), "/inputs"),
        start(&json!({ "kind": "test" }), "/steps"),
        start(&json!({ "steps": [step("one", "noop")] }), "/kind"),
        start(
            &json!({ "kind": "holiday", "steps": [step("one", "noop")] }),
            "/kind",
        ),
        start(&inline(json!([])), "/steps"),
        start(&inline(json!({})), "/steps"),
        start(&inline(json!([7])), "/steps/0"),
        start(&inline(json!([step("one", "nope")])), "/steps/0/component"),
        start(&inline(json!([step("one", "noop@9.9.9")])), "/steps/0/component"),
        start(&inline(json!([step("one", "noop#nope")])), "/steps/0/component"),
        start(
            &inline(json!([step("one", "noop"), step("ONE", "noop")])),
            "/steps/1/name",
        ),
        start(&inline(json!([step("", "noop")])), "/steps/0/name"),
        start(&inline(json!([{ "name": "one" }])), "/steps/0/component"),
        start(&with(step("one", "noop"), "after", json!([])), "/steps/0/after"),
        start(&with(step("one", "noop"), "scope", json!("x")), "/steps/0/scope"),
        start(
            &with(step("one", "noop"), "nonsense", json!(1)),
            "/steps/0/nonsense",
        ),
        start(
            &with(step("one", "noop"), "run", json!({ "max_attempts": 0 })),
            "/steps/0/run/max_attempts",
        ),
        start(
            &with(step("one", "scripted"), "params", json!({ "run": 7 })),
            "/steps/0/params/run",
        ),
        start(
            &with(step("one", "noop"), "params", json!({ "tags": ["arcadia-r-x"] })),
            "/steps/0/params/tags/0",
        ),
        start(&start_with("params", json!({ "nope": {} })), "/params/nope"),
        start(&start_with("params", json!({ "one": 7 })), "/params/one"),
        start(
            &start_with("params", json!({ "one": { "run": 7 } })),
            "/params/one/run",
        ),
        start(
            &start_with("params", json!({ "one": { "tags": ["arcadia-x"] } })),
            "/params/one/tags/0",
        ),
        start(
            &start_with("inputs", json!({ "my_tags": ["ok", "Arcadia-Saga-1"] })),
            "/inputs/my_tags/1",
        ),
        start(&start_with("inputs", json!("text")), "/inputs"),
        start(&start_with("deployment_id", json!("")), "/deployment_id"),
        start(
            &start_with("deployment_id", json!("x".repeat(256))),
            "/deployment_id",
        ),
        start(&start_with("deployment_id", json!(7)), "/deployment_id"),
        start(&start_with("triggered_by", json!("")), "/triggered_by"),
        start(&start_with("triggerd_by", json!("me")), "/triggerd_by"),
    ]
}

fn bodies() -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let long = format!("{{\"definition\": \"{}\"}}", "x".repeat(256 << 10));
    let broken: [(&[u8], u16, &str); 7] = [
        (b"", 400, "invalid-json"),
        (b"{\"definition\"", 400, "invalid-json"),
        (b"{\"kind\": \"test\", \"kind\": \"test\"}", 400, "invalid-json"),
        (b"{\"inputs\": {\"a\": \"\\u0000\"}}", 400, "invalid-json"),
        (b"{\"definition\": \"\xff\"}", 400, "invalid-json"),
        (deep.as_bytes(), 400, "invalid-json"),
        (long.as_bytes(), 413, "body-too-large"),
    ];
    for (method, path) in [
        ("POST", "/v1/sagas"),
        ("POST", "/v1/droplets"),
        ("PUT", "/v1/definitions/strict"),
        ("PUT", "/v1/steps/noop/channels/stable"),
    ] {
        for (body, status, code) in broken {
            refusals.push(Refusal {
                method,
                path: path.to_owned(),
                content_type: Some("application/json"),
                body: body.to_vec(),
                status,
                code,
                place: "",
            });
        }
        for content_type in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
        ] {
            let body = b"{}".to_vec();
            let (status, code) = (415, "unsupported-media-type");
            refusals.push(Refusal {
                method,
                path: path.to_owned(),
                content_type,
                body,
                status,
                code,
                place: "",
            });
        }
        refusals.push(sent(method, path, &json!([]), INVALID, ""));
        let path = format!("{path}?nonsense=1");
        refusals.push(sent(
            method,
            &path,
            &json!({}),
            (400, "invalid-query"),
            "nonsense",
        ));
    }
    refusals
}

fn looks() -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let query = |path: &str, place| no_body("GET", path, 400, "invalid-query", place);
    let lists = [
        "components",
        "steps",
        "definitions",
        "sagas",
        "droplets",
        "inventory/resources",
        "findings",
    ];
    for list in lists {
        for (parameters, place) in [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=x", "limit"),
            ("limit=1&limit=2", "limit"),
            ("nonsense=1", "nonsense"),
        ] {
            refusals.push(query(&format!("/v1/{list}?{parameters}"), place));
        }
        for cursor in ["x", "e30", "%00", "eyJhdF9tcyI6MX0"] {
            let path = format!("/v1/{list}?cursor={cursor}");
            refusals.push(no_body("GET", &path, 400, "invalid-cursor", "cursor"));
        }
    }
    for (path, place) in [
        ("/v1/sagas?status=happy", "status"),
        ("/v1/sagas?kind=holiday", "kind"),
        ("/v1/sagas?definition=", "definition"),
        ("/v1/findings?saga=7", "saga"),
        ("/v1/findings?all=yes", "all"),
        ("/v1/inventory/resources?saga=7", "saga"),
        ("/v1/inventory/resources?deleted=1", "deleted"),
    ] {
        refusals.push(query(path, place));
    }
    for below in ["", "/steps", "/events", "/context"] {
        let nobody = format!("/v1/sagas/01939f3e-0000-7aaa-8bbb-ccccdddddddd{below}");
        refusals.push(no_body("GET", &nobody, 404, "unknown-saga", ""));
        for id in ["7", "01939f3e00007aaa8bbbccccdddddddd", "%ff"] {
            let path = format!("/v1/sagas/{id}{below}");
            let place = if id == "%ff" { "" } else { "id" };
            refusals.push(no_body("GET", &path, 400, "invalid-path", place));
        }
    }
    for (path, code) in [
        ("/v1/components/x", "unknown-component"),
        ("/v1/components/x/wasm", "unknown-component"),
        ("/v1/components/x/wit", "unknown-component"),
        ("/v1/definitions/nope", "unknown-definition"),
        ("/v1/inventory/resources/res-0", "unknown-resource"),
        ("/v1/inventory/resources/res-0/provisioned", "unknown-resource"),
        ("/v1/nope", "unknown-route"),
        ("/nope", "unknown-route"),
    ] {
        refusals.push(no_body("GET", path, 404, code, ""));
    }
    refusals.push(no_body("PATCH", "/v1/sagas", 405, "method-not-allowed", ""));
    refusals.push(no_body("POST", "/healthz", 405, "method-not-allowed", ""));
    refusals.push(no_body("DELETE", "/v1/droplets/7", 404, "unknown-droplet", ""));
    refusals.push(sent(
        "POST",
        "/v1/droplets/7/snapshots",
        &json!({}),
        (404, "unknown-droplet"),
        "",
    ));
    refusals
}

fn changes() -> Vec<Refusal> {
    let channel = |path: &str, body: Value, refusal, place| {
        sent("PUT", &format!("/v1/steps/{path}"), &body, refusal, place)
    };
    let definition = |name: &str, body: Value, refusal, place| {
        sent("PUT", &format!("/v1/definitions/{name}"), &body, refusal, place)
    };
    let steps = json!([{ "name": "one", "component": "noop" }]);
    let version = json!({ "version": "0.1.0" });
    vec![
        channel("nope/channels/stable", version.clone(), (404, "unknown-step"), ""),
        channel("noop/channels/NO", version, (400, "invalid-path"), "channel"),
        channel(
            "noop/channels/next",
            json!({ "version": "9.9.9" }),
            INVALID,
            "/version",
        ),
        channel(
            "noop/channels/next",
            json!({ "version": "latest" }),
            INVALID,
            "/version",
        ),
        channel(
            "noop/channels/next",
            json!({ "digest": "12" }),
            INVALID,
            "/digest",
        ),
        channel("noop/channels/next", json!({}), INVALID, ""),
        channel(
            "noop/channels/next",
            json!({ "version": "0.1.0", "digest": "12" }),
            INVALID,
            "",
        ),
        channel("noop/channels/next", json!({ "version": 1 }), INVALID, "/version"),
        definition(
            "NO",
            json!({ "kind": "test", "steps": steps }),
            (400, "invalid-path"),
            "name",
        ),
        definition("new", json!({ "steps": steps }), INVALID, "/kind"),
        definition("new", json!({ "kind": "test" }), INVALID, "/steps"),
        definition(
            "new",
            json!({ "kind": "test", "steps": steps, "nonsense": 1 }),
            INVALID,
            "/nonsense",
        ),
        definition(
            "new",
            json!({ "kind": "test", "steps": [{ "name": "one", "component": "nope" }] }),
            INVALID,
            "/steps/0/component",
        ),
        definition(
            "new",
            json!({ "kind": "test", "steps": steps, "inputs_schema": { "type": "objekt" } }),
            INVALID,
            "/inputs_schema/type",
        ),
    ]
}

fn uploads() -> Vec<Refusal> {
    let text = |component: &str| wat::parse_str(component).unwrap();
    let upload = |bytes: Vec<u8>, code| Refusal {
        method: "POST",
        path: "/v1/components".to_owned(),
        content_type: Some("application/wasm"),
        body: bytes,
        status: 422,
        code,
        place: "",
    };
    let mut cut = example("greet-c");
    cut.truncate(cut.len() / 2);
    let mut other_type = upload(example("greet-c"), "unsupported-media-type");
    other_type.content_type = Some("application/json");
    other_type.status = 415;
    let mut bad_channel = upload(example("greet-c"), "invalid-query");
    bad_channel.path = "/v1/components?channel=NO".to_owned();
    (bad_channel.status, bad_channel.place) = (400, "channel");
    vec![
        upload(Vec::new(), "not-a-component"),
        upload(b"hello, world".to_vec(), "not-a-component"),
        upload(text("(module)"), "core-module"),
        upload(text("(component)"), "wrong-world"),
        upload(
            text(r#"(component (import "wasi:http/types@0.2.0" (instance)))"#),
            "foreign-import",
        ),
        upload(cut, "invalid-component"),
        other_type,
        bad_channel,
    ]
}

async fn verbs(api: &Api) -> Vec<Refusal> {
    let ended = api.saga(json!([{ "name": "one", "component": "noop" }])).await;
    api.rest(&ended).await;
    let asleep = api.saga(json!([sleeper("one")])).await;
    api.asleep(&asleep).await;
    let nobody = "01939f3e-0000-7aaa-8bbb-ccccdddddddd";
    let because = json!({ "reason": "because" });
    let verb = |saga: &str, verb: &str, body: &Value, refusal, place| {
        sent("POST", &format!("/v1/sagas/{saga}/{verb}"), body, refusal, place)
    };
    let mut refusals = vec![
        verb(&ended, "cancel", &json!({}), (409, "already-ended"), ""),
        verb(
            &asleep,
            "cancel",
            &json!({ "reason": "x".repeat(1_001) }),
            INVALID,
            "/reason",
        ),
        verb(&asleep, "cancel", &json!({ "reson": "x" }), INVALID, "/reson"),
    ];
    for name in ["retry", "abandon"] {
        refusals.push(verb(&asleep, name, &because, (409, "not-stuck"), ""));
        refusals.push(verb(&asleep, name, &json!({}), INVALID, "/reason"));
        refusals.push(verb(
            &asleep,
            name,
            &json!({ "reason": "  " }),
            INVALID,
            "/reason",
        ));
        refusals.push(no_body(
            "POST",
            &format!("/v1/sagas/{asleep}/{name}"),
            422,
            "invalid-request",
            "/reason",
        ));
    }
    for name in ["cancel", "retry", "abandon"] {
        refusals.push(verb(nobody, name, &because, (404, "unknown-saga"), ""));
        refusals.push(verb("7", name, &because, (400, "invalid-path"), "id"));
    }
    refusals
}

/// Codes that only a host in trouble answers with, or that other tests provoke.
const ELSEWHERE: [&str; 12] = [
    "body-interrupted",
    "body-timeout",
    "idempotency-key-reused",
    "internal",
    "invalid-header",
    "invalid-manifest",
    "not-now",
    "not-owner",
    "not-ready",
    "overloaded",
    "pivot-passed",
    "store-unavailable",
];

#[tokio::test]
async fn what_is_refused_is_told_what_and_where_and_changes_nothing() {
    let api = Api::start().await;
    let schema = json!({
        "type": "object", "required": ["a"], "properties": { "a": { "type": "integer" } }, "additionalProperties": false,
    });
    let strict =
        json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }], "inputs_schema": schema });
    assert_eq!(api.put("/v1/definitions/strict", strict).await.status, 201);
    let document = Document::of(&api).await;
    let mut refusals = verbs(&api).await;
    for group in [starts(), bodies(), looks(), changes(), uploads()] {
        refusals.extend(group);
    }
    let before = everything(&api).await;
    let mut codes: BTreeSet<&str> = ["unauthorized", "version-exists"].into();
    let mut unexpected = Vec::new();
    for refusal in &refusals {
        unexpected.extend(wrong(&api, &document, refusal).await);
        codes.insert(refusal.code);
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    assert_eq!(everything(&api).await, before);
    codes.extend(ELSEWHERE);
    let all: BTreeSet<&str> = Code::ALL.iter().map(|code| code.row().1).collect();
    assert_eq!(codes, all, "each code is provoked by a test");
}

#[tokio::test]
async fn a_missing_import_and_a_broken_manifest_are_named() {
    let api = Api::start().await;
    let foreign = r#"(component (import "acme:rocket/launch@1.0.0" (instance)))"#;
    let got = api.upload("", wat::parse_str(foreign).unwrap()).await;
    assert!(
        got.body["detail"]
            .as_str()
            .unwrap()
            .contains("acme:rocket/launch@1.0.0"),
        "{got:?}"
    );
    let guest = crate::step_guest::Guest {
        manifest: r#"{"name":"Bad Name","version":"1"}"#.into(),
        ..Default::default()
    };
    let got = api.upload("", guest.wasm()).await;
    assert_eq!(
        (got.status, got.body["code"].as_str()),
        (422, Some("invalid-manifest")),
        "{got:?}"
    );
    let places: Vec<&str> = got.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(places, ["/name", "/version"]);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let api = Api::start().await;
    let got = answer(api.request(Method::PATCH, "/v1/sagas")).await;
    let allowed: BTreeSet<&str> = got.header("allow").unwrap().split(',').map(str::trim).collect();
    assert_eq!(allowed, BTreeSet::from(["GET", "HEAD", "POST"]));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let api = Api::start().await;
    let body = json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }] });
    for key in ["".to_owned(), "x".repeat(256), "schlüssel".to_owned()] {
        let got = answer(
            api.request(Method::POST, "/v1/sagas")
                .header("idempotency-key", &key)
                .json(&body),
        )
        .await;
        assert_eq!(
            (got.status, got.body["code"].as_str()),
            (400, Some("invalid-header")),
            "{key}: {got:?}"
        );
        assert_eq!(got.body["errors"][0]["parameter"], "idempotency-key");
    }
    assert!(api.get("/v1/sagas").await.items().is_empty());
}

#[tokio::test]
async fn over_the_limit_of_requests_at_once_comes_a_503_and_health_still_answers() {
    let api = Api::start().await;
    let router = arcadia::api::router(api.state.clone());
    let ask = |request: axum::http::request::Builder, body: Body| {
        let request = request
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(body)
            .unwrap();
        router.clone().oneshot(request)
    };
    let never = || Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let slow = (0..MAX_REQUESTS).map(|_| ask(Request::post("/v1/sagas"), never()));
    let mut slow = Box::pin(futures_util::future::join_all(slow));
    assert!(futures_util::poll!(&mut slow).is_pending());
    let shed = ask(Request::get("/v1/sagas"), Body::empty()).await.unwrap();
    assert_eq!(
        (shed.status().as_u16(), &shed.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    let open = ask(Request::get("/healthz"), Body::empty()).await.unwrap();
    assert_eq!(open.status(), 200);
    drop(slow);
    let served = ask(Request::get("/v1/sagas"), Body::empty()).await.unwrap();
    assert_eq!(served.status(), 200);
}

#[tokio::test]
async fn a_host_that_ends_is_alive_and_not_ready() {
    let api = Api::start().await;
    assert_eq!(api.get("/readyz").await.status, 200);
    api.engine.shutdown(std::time::Duration::ZERO).await;
    let got = api.get("/readyz").await;
    assert_eq!(
        (got.status, got.body["code"].as_str()),
        (503, Some("not-ready")),
        "{got:?}"
    );
    assert_eq!(got.header("retry-after"), Some("1"));
    assert_eq!(api.get("/healthz").await.status, 200);
}
