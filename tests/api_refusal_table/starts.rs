//! Starts that make no sense.

use serde_json::{Value, json};

use super::{INVALID, Refusal, sent};

fn start(body: &Value, place: &'static str) -> Refusal {
    sent("POST", "/v1/sagas", body, INVALID, place)
}

fn step(name: &str, component: &str) -> Value {
    json!({ "name": name, "component": component })
}

fn inline(steps: Value) -> Value {
    json!({ "kind": "test", "steps": steps })
}

pub(super) fn plans() -> Vec<Refusal> {
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
    ]
}

pub(super) fn steps() -> Vec<Refusal> {
    let with = |mut step: Value, field: &str, value: Value| {
        step[field] = value;
        inline(json!([step]))
    };
    vec![
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
        start(
            &with(step("one", "noop"), "after", json!(["nobody"])),
            "/steps/0/after/0",
        ),
        start(
            &with(step("one", "noop"), "scope", json!("a b")),
            "/steps/0/scope",
        ),
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
    ]
}

pub(super) fn fields() -> Vec<Refusal> {
    let start_with = |field: &str, value: Value| {
        let mut body = inline(json!([step("one", "scripted")]));
        body[field] = value;
        body
    };
    vec![
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
