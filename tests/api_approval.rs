//! Components and their approval over HTTP: what an operator uploads runs nowhere until an administrator says so.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api_server::{Answer, Api, answer, example, sleeper},
    api_tokens::{refused, token, with},
};

async fn upload(api: &Api, token: &str, query: &str, bytes: Vec<u8>) -> Answer {
    let request = with(api, token, Method::POST, &format!("/v1/components{query}"));
    answer(request.header("content-type", "application/wasm").body(bytes)).await
}

async fn change(api: &Api, digest: &str, verb: &str, body: Value) -> Answer {
    api.post(&format!("/v1/components/{digest}/{verb}"), body).await
}

/// The answer to starting a saga of this component.
async fn start(api: &Api, component: &str) -> Answer {
    let steps = json!([{ "name": "one", "component": component }]);
    api.post("/v1/sagas", json!({ "kind": "test", "steps": steps }))
        .await
}

fn scripted(api: &Api) -> String {
    let step = api.engine.catalog().step("scripted").unwrap();
    step.components[0].digest.clone()
}

#[tokio::test]
async fn what_an_operator_uploads_waits_and_once_approved_it_becomes_stable_and_runs() {
    let api = Api::start().await;
    let operator = token(&api, "ann", "operate").await;
    let before = api.get("/v1/components").await.body;
    let in_channel = upload(&api, &operator, "?channel=next", example("greet-c")).await;
    assert_eq!(refused(&in_channel), (409, Some("component-pending")));
    assert_eq!(
        api.get("/v1/components").await.body,
        before,
        "a refused upload leaves no trace"
    );

    let uploaded = upload(&api, &operator, "", example("greet-c")).await;
    assert_eq!(uploaded.status, 201, "{uploaded:?}");
    let component = &uploaded.body["component"];
    assert_eq!(
        (&component["status"], &component["status_by"]),
        (&json!("pending"), &json!("ann"))
    );
    assert!(uploaded.body["moved"].is_null(), "{uploaded:?}");
    let name = component["name"].as_str().unwrap();
    let version = component["version"].as_str().unwrap();
    let digest = component["digest"].as_str().unwrap();
    let call = format!("POST /v1/components/{digest}/approve");

    let pinned = format!("{name}@{version}");
    let by_digest = format!("{name}@sha256:{digest}");
    let steps = json!([{ "name": "one", "component": pinned }]);
    let definition = json!({ "kind": "test", "steps": steps });
    let channel = format!("/v1/steps/{name}/channels/stable");
    for answer in [
        start(&api, &pinned).await,
        start(&api, &by_digest).await,
        api.put("/v1/definitions/greets", definition.clone()).await,
        api.put(&channel, json!({ "digest": digest })).await,
        upload(&api, &operator, "?channel=stable", example("greet-c")).await,
    ] {
        assert_eq!(refused(&answer), (409, Some("component-pending")), "{answer:?}");
        let told = answer.body["detail"].as_str().unwrap();
        assert!(
            told.contains(&call) || told.contains("upload it without one"),
            "{told}"
        );
    }
    assert_eq!(start(&api, name).await.status, 422, "no channel leads to it");
    let batch = json!({ "sagas": [{ "start": { "kind": "test", "steps": steps } }] });
    let batch = api.post("/v1/sagas/batch", batch).await;
    assert_eq!(
        batch.body["items"][0]["problem"]["code"], "component-pending",
        "{batch:?}"
    );

    let approved = change(&api, digest, "approve", json!({})).await;
    assert_eq!(
        (&approved.body["status"], &approved.body["status_by"]),
        (&json!("approved"), &json!("admin"))
    );
    assert_eq!(
        approved.body["channels"],
        json!([{ "step": name, "channel": "stable" }])
    );
    assert_eq!(approved.body["uploaded_by"], "ann");
    assert_eq!(api.put("/v1/definitions/greets", definition).await.status, 201);
    let started = start(&api, name).await;
    assert_eq!(started.status, 202, "{started:?}");
    assert_eq!(
        api.rest(started.body["id"].as_str().unwrap()).await["status"],
        "completed"
    );
    let again = change(&api, digest, "approve", json!({})).await;
    assert_eq!((again.status, &again.body), (200, &approved.body));
}

#[tokio::test]
async fn an_administrator_who_uploads_the_same_bytes_approves_them_and_who_may_not_changes_nothing() {
    let api = Api::start().await;
    let operator = token(&api, "ann", "operate").await;
    upload(&api, &operator, "", example("greet-c")).await;
    let approved = api.upload("?channel=next", example("greet-c")).await;
    assert_eq!(
        (approved.status, &approved.body["component"]["status"]),
        (200, &json!("approved"))
    );
    assert_eq!(approved.body["moved"]["channel"], "next");
    let digest = approved.body["component"]["digest"].as_str().unwrap();
    let again = upload(&api, &operator, "?channel=later", example("greet-c")).await;
    assert_eq!(
        (again.status, &again.body["component"]["status"]),
        (200, &json!("approved"))
    );
    assert_eq!(change(&api, digest, "retire", json!({})).await.status, 200);
    for token in [operator.as_str(), crate::api_server::TOKEN] {
        let retired = upload(&api, token, "", example("greet-c")).await;
        assert_eq!(
            (retired.status, &retired.body["component"]["status"]),
            (200, &json!("retired"))
        );
    }
    let moved = api.upload("?channel=next", example("greet-c")).await;
    assert_eq!(refused(&moved), (409, Some("component-retired")));
}

#[tokio::test]
async fn a_retired_component_takes_no_new_sagas_and_those_in_flight_go_on_and_back_with_it() {
    let api = Api::start().await;
    let saga = api.saga(json!([sleeper("one")])).await;
    api.asleep(&saga).await;
    let digest = scripted(&api);
    let retired = change(&api, &digest, "retire", json!({})).await;
    assert_eq!(
        (retired.status, &retired.body["status"]),
        (200, &json!("retired")),
        "{retired:?}"
    );
    assert_eq!(
        refused(&start(&api, "scripted").await),
        (409, Some("component-retired"))
    );
    let cancel = api.post(&format!("/v1/sagas/{saga}/cancel"), json!({})).await;
    assert_eq!(cancel.status, 200, "{cancel:?}");
    assert_eq!(api.rest(&saga).await["status"], "cancelled");
    let steps = api.get(&format!("/v1/sagas/{saga}/steps")).await;
    let undo = &steps.items()[0]["compensate"];
    assert_eq!(undo["state"], "done", "it was undone by the retired component");
    change(&api, &digest, "approve", json!({})).await;
    assert_eq!(start(&api, "scripted").await.status, 202);
}

#[tokio::test]
async fn a_revoked_component_is_called_no_more_until_it_is_approved_again() {
    let api = Api::start().await;
    let saga = api.saga(json!([sleeper("one")])).await;
    api.asleep(&saga).await;
    let digest = scripted(&api);
    let revoked = change(&api, &digest, "revoke", json!({})).await;
    assert_eq!(
        (revoked.status, &revoked.body["status"]),
        (200, &json!("revoked")),
        "{revoked:?}"
    );
    assert_eq!(
        refused(&start(&api, "scripted").await),
        (409, Some("component-revoked"))
    );
    api.post(&format!("/v1/sagas/{saga}/cancel"), json!({})).await;
    let path = format!("/v1/sagas/{saga}");
    let mut told = Value::Null;
    for _ in 0..50 {
        let tag = api.get(&path).await.header("etag").unwrap().to_owned();
        told = api.get(&format!("{path}/steps")).await.items()[0]["compensate"]["failure"].clone();
        if !told.is_null() {
            break;
        }
        let request = api.request(Method::GET, &path).header("if-none-match", tag);
        answer(request.header("prefer", "wait=5")).await;
    }
    assert_eq!(told["code"], "component-unavailable", "{told}");
    assert!(told["message"].as_str().unwrap().contains("revoked"), "{told}");
    assert_eq!(api.get(&path).await.body["status"], "compensating");
    change(&api, &digest, "approve", json!({})).await;
    assert_eq!(api.rest(&saga).await["status"], "cancelled");
}

#[tokio::test]
async fn a_call_is_granted_what_was_asked_and_approved_both() {
    let api = Api::start().await;
    let digest = scripted(&api);
    let path = format!("/v1/components/{digest}");
    let shown = api.get(&path).await.body;
    let asked = shown["asks"]["http"].as_array().unwrap();
    assert!(asked.iter().any(|grant| grant["service"] == "test"), "{shown}");
    assert_eq!(shown["granted"], shown["asks"]["http"]);

    let part = json!({ "service": "test", "methods": ["GET"], "path_prefixes": ["/open"] });
    let beyond = json!({ "service": "mail", "methods": ["GET"], "path_prefixes": ["/"] });
    let too_much = change(&api, &digest, "approve", json!({ "http": [part, beyond] })).await;
    assert_eq!(refused(&too_much), (422, Some("invalid-request")));
    assert_eq!(too_much.body["errors"][0]["pointer"], "/http/1");
    assert_eq!(api.get(&path).await.body, shown, "nothing was changed");

    let narrowed = change(&api, &digest, "approve", json!({ "http": [part] })).await;
    assert_eq!(narrowed.body["granted"], json!([part]), "{narrowed:?}");
    let asks = |method: &str, path: &str, save: &str| json!({ "http": { "service": "test", "method": method, "path": path, "save": save } });
    let run = json!([
        asks("GET", "/open/1", "a"), asks("GET", "/closed", "b"), asks("GET", "/opened", "c"), { "done": {} },
    ]);
    let steps = json!([{ "name": "one", "component": "scripted", "params": { "run": run } }]);
    let saga = api.saga(steps).await;
    assert_eq!(api.rest(&saga).await["status"], "completed");
    let context = api.get(&format!("/v1/sagas/{saga}/context")).await;
    let saved = |key: &str| {
        let entry = context.items().iter().find(|entry| entry["key"] == key);
        entry.unwrap_or_else(|| panic!("no {key} in {context:?}"))["value"].to_string()
    };
    assert!(saved("a").contains("200"), "{}", saved("a"));
    for key in ["b", "c"] {
        assert!(saved(key).contains("denied"), "{}", saved(key));
    }
}
