//! Verbs that make no sense.

use serde_json::{Value, json};

use super::{INVALID, Refusal, no_body, sent};
use crate::api_server::{Api, sleeper};

/// Verbs that don't fit the saga. Starts the sagas for that.
pub async fn verbs(api: &Api) -> Vec<Refusal> {
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
    let skip = |step: &str| json!({ "step": step, "reason": "because" });
    refusals.extend([
        verb(&asleep, "skip", &skip("ONE"), (409, "not-stuck"), ""),
        verb(&asleep, "skip", &skip("two"), INVALID, "/step"),
        verb(&asleep, "skip", &because, INVALID, ""),
        verb(&asleep, "skip", &json!({ "step": "one" }), INVALID, "/reason"),
        verb(nobody, "skip", &skip("one"), (404, "unknown-saga"), ""),
        verb(&asleep, "rollback", &because, (409, "not-completed"), ""),
        verb(&ended, "retry", &because, (409, "not-stuck"), ""),
    ]);
    let to = |to: &str| json!({ "to": to, "reason": "because" });
    let all = |verb: &str, body: Value, refusal, place| {
        sent("POST", &format!("/v1/sagas/{verb}"), &body, refusal, place)
    };
    let from = |digest: &str| json!({ "from": digest, "to": "noop", "reason": "because" });
    let scripted = api.engine.catalog().select("scripted").unwrap().digest;
    let mut other = to("noop");
    other["step"] = json!("one");
    let mut nobody_there = to("scripted");
    nobody_there["step"] = json!("two");
    refusals.extend([
        verb(&ended, "repin", &to("noop"), (409, "already-ended"), ""),
        verb(&asleep, "repin", &to("nope@0.1.0"), INVALID, "/to"),
        verb(&asleep, "repin", &to("scripted@9.9.9"), INVALID, "/to"),
        verb(&asleep, "repin", &other, INVALID, "/step"),
        verb(&asleep, "repin", &nobody_there, INVALID, "/step"),
        verb(&asleep, "repin", &json!({ "to": "noop" }), INVALID, "/reason"),
        verb(&asleep, "repin", &because, INVALID, ""),
        verb(nobody, "repin", &to("noop"), (404, "unknown-saga"), ""),
        all("repin", from("12"), INVALID, "/from"),
        all("repin", from(&scripted), INVALID, "/from"),
        all(
            "repin",
            json!({ "from": scripted, "to": "scripted" }),
            INVALID,
            "/reason",
        ),
        all(
            "repin",
            json!({ "from": scripted, "to": "nope", "dry_run": true }),
            INVALID,
            "/to",
        ),
        all(
            "repin",
            json!({ "from": scripted, "to": "scripted", "dry_run": true, "after": "7" }),
            INVALID,
            "/after",
        ),
        all("retry", json!({}), INVALID, "/reason"),
        all(
            "retry",
            json!({ "dry_run": true, "kind": "holiday" }),
            INVALID,
            "/kind",
        ),
        all(
            "retry",
            json!({ "dry_run": true, "cursor": "x" }),
            (400, "invalid-cursor"),
            "cursor",
        ),
        all(
            "retry",
            json!({ "dry_run": true, "nonsense": 1 }),
            INVALID,
            "/nonsense",
        ),
    ]);
    for name in ["retry", "abandon", "rollback"] {
        if name != "rollback" {
            refusals.push(verb(&asleep, name, &because, (409, "not-stuck"), ""));
        }
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
    for name in ["cancel", "rollback", "retry", "abandon"] {
        refusals.push(verb(nobody, name, &because, (404, "unknown-saga"), ""));
        refusals.push(verb("7", name, &because, (400, "invalid-path"), "id"));
    }
    refusals
}
