//! Requests that the HTTP API has to refuse, and how.

mod starts;
mod verbs;

use serde_json::{Value, json};

use self::starts::{fields, plans, steps};
pub use self::verbs::verbs;
use crate::api_server::example;

/// A request, and what its refusal has to be.
pub struct Refusal {
    pub method: &'static str,
    pub path: String,
    pub content_type: Option<&'static str>,
    pub body: Vec<u8>,
    pub status: u16,
    pub code: &'static str,
    /// The pointer or the parameter of the first error; empty: there needs to be none.
    pub place: &'static str,
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

/// Everything that is refused whatever the host holds.
pub fn everywhere() -> Vec<Refusal> {
    let groups = [
        plans(),
        steps(),
        fields(),
        bodies(),
        looks(),
        changes(),
        uploads(),
        administration(),
    ];
    groups.into_iter().flatten().collect()
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
        ("POST", "/v1/tokens"),
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
        "tokens",
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
        ("/v1/stream?kind=holiday", "kind"),
        ("/v1/stream?status=running", "status"),
        ("/v1/findings?saga=7", "saga"),
        ("/v1/findings?all=yes", "all"),
        ("/v1/inventory/resources?saga=7", "saga"),
        ("/v1/inventory/resources?deleted=1", "deleted"),
    ] {
        refusals.push(query(path, place));
    }
    for below in [
        "",
        "/steps",
        "/events",
        "/context",
        "/logs",
        "/requests",
        "/stream",
    ] {
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

fn administration() -> Vec<Refusal> {
    let create = |body: Value, place| sent("POST", "/v1/tokens", &body, INVALID, place);
    let approve = |body: Value, place| sent("POST", "/v1/components/x/approve", &body, INVALID, place);
    let taken = json!({ "name": "admin", "scope": "read" });
    vec![
        create(json!({ "scope": "run" }), ""),
        create(json!({ "name": "Not A Name", "scope": "run" }), "/name"),
        create(json!({ "name": "host", "scope": "run" }), "/name"),
        create(json!({ "name": "ci", "scope": "root" }), "/scope"),
        create(
            json!({ "name": "ci", "scope": "run", "expires_in_s": 0 }),
            "/expires_in_s",
        ),
        create(
            json!({ "name": "ci", "scope": "run", "expires_in_s": -1 }),
            "/expires_in_s",
        ),
        create(
            json!({ "name": "ci", "scope": "run", "expires_in_s": u64::MAX }),
            "/expires_in_s",
        ),
        create(
            json!({ "name": "ci", "scope": "run", "expires_in_s": 315_360_001_u64 }),
            "/expires_in_s",
        ),
        create(
            json!({ "name": "ci", "scope": "run", "expires_at": 1 }),
            "/expires_at",
        ),
        sent("POST", "/v1/tokens", &taken, (409, "token-name-taken"), ""),
        no_body("POST", "/v1/components/x/approve", 404, "unknown-component", ""),
        no_body("POST", "/v1/components/x/retire", 404, "unknown-component", ""),
        no_body("POST", "/v1/components/x/revoke", 404, "unknown-component", ""),
        approve(json!({ "http": {} }), "/http"),
        approve(json!({ "grants": [] }), "/grants"),
        no_body("POST", "/v1/services/nobody/pause", 404, "unknown-service", ""),
        no_body("POST", "/v1/services/nobody/resume", 404, "unknown-service", ""),
        no_body("DELETE", "/v1/tokens/nobody", 404, "unknown-token", ""),
        no_body("DELETE", "/v1/tokens/admin", 409, "last-admin-token", ""),
    ]
}
