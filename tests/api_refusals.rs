//! What the HTTP API refuses: each answer says what and where, as the document promises, and nothing is changed.

use std::collections::BTreeSet;

use arcadia::api::{Code, MAX_REQUESTS};
use axum::{body::Body, http::Request};
use reqwest::Method;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{
    api_document::Document,
    api_refusal_table::{Refusal, everywhere, verbs},
    api_server::{Api, TOKEN, answer},
};

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
        "tokens",
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

/// Codes that only a host in trouble answers with, or that other tests provoke.
const ELSEWHERE: [&str; 28] = [
    "body-interrupted",
    "body-timeout",
    "compile-failed",
    "compile-limit",
    "component-pending",
    "component-retired",
    "component-revoked",
    "idempotency-key-reused",
    "internal",
    "invalid-header",
    "invalid-manifest",
    "not-now",
    "not-owner",
    "not-ready",
    "overloaded",
    "pivot-passed",
    "scope-missing",
    "call-in-progress",
    "inputs-misfit",
    "open-intent",
    "other-contract",
    "params-misfit",
    "step-over",
    "store-unavailable",
    "token-expired",
    "token-revoked",
    "too-many-tokens",
    "unreadable",
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
    refusals.extend(everywhere());
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
