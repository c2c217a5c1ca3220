//! Sagas to be in flight, and what each comes to.

use serde_json::{Value, json};

/// Intervals that make a test quick.
fn quick() -> Value {
    let params = json!({ "poll_interval_ms": 100, "settle_ms": 1_500, "absence_recheck_ms": 100 });
    json!({ "create": params, "wait": { "poll_interval_ms": 100 }, "register": {} })
}

fn wish(name: String) -> Value {
    json!({
        "droplet_name": name, "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    })
}

pub fn provision(number: usize) -> (Value, &'static str) {
    let request = json!({
        "definition": "provision_droplet", "inputs": wish(format!("kept-{number}")), "params": quick(),
    });
    (request, "completed")
}

pub fn failing_provision(number: usize) -> (Value, &'static str) {
    let request = json!({
        "kind": "test", "inputs": wish(format!("undone-{number}")), "params": quick(),
        "steps": [
            { "name": "create", "component": "create-droplet" },
            { "name": "wait", "component": "wait-droplet-active" },
            { "name": "register", "component": "register-droplet" },
            {
                "name": "fail", "component": "scripted",
                "params": { "run": [{ "permanent": { "code": "on-purpose", "message": "the last step fails" } }] },
            },
        ],
    });
    (request, "compensated")
}

/// Says "again" so often, ten times a second, then it is done.
pub fn napper(times: u64) -> (Value, &'static str) {
    let run = json!([{ "again": { "after_ms": 100, "times": times } }, { "done": {} }]);
    let request = json!({
        "kind": "test", "steps": [{ "name": "nap", "component": "scripted", "params": { "run": run } }],
    });
    (request, "completed")
}

/// Keeps something, sleeps, and keeps more. Its plan is its own: no other has this number.
pub fn sleeper(after_ms: u64) -> (Value, &'static str) {
    let run = json!([
        { "set": { "a": [1] } }, { "checkpoint": {} }, { "again": { "after_ms": after_ms, "times": 3, "state": { "x": 1 } } },
        { "done": { "y": 2 } },
    ]);
    let request = json!({
        "kind": "test",
        "steps": [
            { "name": "first", "component": "scripted", "params": { "run": [{ "done": { "first": true } }] } },
            { "name": "second", "component": "scripted", "params": { "run": run } },
        ],
    });
    (request, "completed")
}
