//! The OpenAPI document: what is in it is there, what is there is in it.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::Value;

use crate::api_server::{Answer, Api, answer};

/// Every operation of the API.
const OPERATIONS: &str = "
    DELETE /v1/droplets/{provider_id}
    DELETE /v1/tokens/{name}
    GET /healthz
    GET /readyz
    GET /v1/components
    GET /v1/components/{digest}
    GET /v1/components/{digest}/wasm
    GET /v1/components/{digest}/wit
    GET /v1/definitions
    GET /v1/definitions/{name}
    GET /v1/droplets
    GET /v1/findings
    GET /v1/hosts
    GET /v1/inventory/resources
    GET /v1/inventory/resources/{id}
    GET /v1/inventory/resources/{id}/provisioned
    GET /v1/pauses
    GET /v1/sagas
    GET /v1/sagas/{id}
    GET /v1/sagas/{id}/context
    GET /v1/sagas/{id}/events
    GET /v1/sagas/{id}/logs
    GET /v1/sagas/{id}/requests
    GET /v1/sagas/{id}/steps
    GET /v1/sagas/{id}/stream
    GET /v1/services
    GET /v1/steps
    GET /v1/stream
    GET /v1/tokens
    POST /v1/components
    POST /v1/components/{digest}/approve
    POST /v1/components/{digest}/retire
    POST /v1/components/{digest}/revoke
    POST /v1/droplets
    POST /v1/droplets/{provider_id}/snapshots
    POST /v1/sagas
    POST /v1/sagas/batch
    POST /v1/sagas/pause
    POST /v1/sagas/repin
    POST /v1/sagas/resume
    POST /v1/sagas/retry
    POST /v1/sagas/{id}/abandon
    POST /v1/sagas/{id}/cancel
    POST /v1/sagas/{id}/pause
    POST /v1/sagas/{id}/repin
    POST /v1/sagas/{id}/resume
    POST /v1/sagas/{id}/retry
    POST /v1/sagas/{id}/rollback
    POST /v1/sagas/{id}/skip
    POST /v1/services/{name}/pause
    POST /v1/services/{name}/resume
    POST /v1/tokens
    PUT /v1/definitions/{name}
    PUT /v1/steps/{name}/channels/{channel}
";

const SAGA: &str = "01939f3e-0000-7aaa-8bbb-ccccdddddddd";

/// What the document says, by method and path: the statuses that it promises.
pub struct Document {
    pub whole: Value,
    operations: BTreeMap<(String, String), BTreeSet<u16>>,
}

impl Document {
    pub async fn of(api: &Api) -> Document {
        let request = api.http.get(format!("{}/openapi.json", api.url));
        let whole = answer(request).await.body;
        let mut operations = BTreeMap::new();
        for (path, item) in whole["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let statuses = operation["responses"].as_object().unwrap().keys();
                let statuses = statuses.map(|status| status.parse().unwrap()).collect();
                operations.insert((method.to_uppercase(), path.clone()), statuses);
            }
        }
        Document { whole, operations }
    }

    /// The operation behind a request, and the statuses that it promises.
    fn promised(&self, method: &str, path: &str) -> Option<&BTreeSet<u16>> {
        let path = path.split('?').next().unwrap();
        let fits = |template: &str| {
            let (given, wanted): (Vec<&str>, Vec<&str>) =
                (path.split('/').collect(), template.split('/').collect());
            let same = |(given, wanted): (&&str, &&str)| given == wanted || wanted.starts_with('{');
            given.len() == wanted.len() && given.iter().zip(&wanted).all(same)
        };
        let mut operations = self.operations.iter();
        operations
            .find(|((verb, template), _)| verb == method && fits(template))
            .map(|(_, statuses)| statuses)
    }

    /// An answer has one of the documented statuses, or nothing is documented there.
    pub fn promises(&self, method: &str, path: &str, answer: &Answer) -> bool {
        self.promised(method, path)
            .is_none_or(|statuses| statuses.contains(&answer.status))
    }
}

fn request(api: &Api, method: &str, template: &str, token: bool) -> reqwest::RequestBuilder {
    let path = template
        .replace("{id}", SAGA)
        .replace("{name}", "x")
        .replace("{channel}", "x");
    let path = path.replace("{digest}", "x").replace("{provider_id}", "7");
    // Without a mistake in it, its answer would have no end.
    let path = path.replace("/v1/stream", "/v1/stream?nonsense=1");
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = api.http.request(method, format!("{}{path}", api.url));
    if token {
        request.bearer_auth(crate::api_server::TOKEN)
    } else {
        request
    }
}

#[tokio::test]
async fn the_document_holds_every_route_and_each_of_them_answers() {
    let api = Api::start().await;
    let document = Document::of(&api).await;
    assert!(
        document.whole["openapi"].as_str().unwrap().starts_with("3.1."),
        "{}",
        document.whole["openapi"]
    );
    let documented: Vec<String> = document
        .operations
        .keys()
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    let expected: Vec<&str> = OPERATIONS
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(documented, expected);
    for (method, path) in document.operations.keys() {
        let got = answer(request(&api, method, path, true)).await;
        assert!(
            !matches!(
                got.body["code"].as_str(),
                Some("unknown-route" | "method-not-allowed")
            ),
            "{method} {path}"
        );
        assert!(document.promises(method, path, &got), "{method} {path}: {got:?}");
    }
}

#[tokio::test]
async fn everything_below_v1_needs_the_token_and_nothing_else_does() {
    let api = Api::start().await;
    let document = Document::of(&api).await;
    for (method, path) in document.operations.keys() {
        let got = answer(request(&api, method, path, false)).await;
        if path.starts_with("/v1/") {
            assert_eq!(
                (got.status, got.body["code"].as_str()),
                (401, Some("unauthorized")),
                "{method} {path}"
            );
            assert_eq!(got.header("www-authenticate"), Some("Bearer realm=\"arcadia\""));
            assert!(document.promises(method, path, &got), "{method} {path}: {got:?}");
        } else {
            assert_eq!(got.status, 200, "{method} {path}");
        }
    }
    let sagas = format!("{}/v1/sagas", api.url);
    for credential in [
        "Bearer",
        "Bearer ",
        "Bearer the-admin-toke",
        "Bearer the-admin-token2",
        "Basic the-admin-token",
    ] {
        let got = answer(api.http.get(&sagas).header("authorization", credential)).await;
        assert_eq!(got.status, 401, "{credential}");
    }
    let twice = api
        .http
        .get(&sagas)
        .header("authorization", "Bearer the-admin-token");
    assert_eq!(
        answer(twice.header("authorization", "Bearer x")).await.status,
        401
    );
    let lower = answer(
        api.http
            .get(&sagas)
            .header("authorization", "bearer the-admin-token"),
    )
    .await;
    assert_eq!(lower.status, 200);
    for hidden in ["/v1", "/v1/", "/v1/nothing", "/v1/sagas/"] {
        let got = answer(api.http.get(format!("{}{hidden}", api.url))).await;
        assert!(matches!(got.status, 401 | 404), "{hidden}: {got:?}");
        assert!(got.body["items"].is_null());
    }
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let api = Api::start().await;
    let document = Document::of(&api).await.whole;
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 10, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(target) if key == "$ref" => {
                        references.insert(target.clone());
                    }
                    member => collect(member, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
