//! Sagas over HTTP: started, listed, followed, and told what to do.

use reqwest::Method;
use serde_json::{Value, json};

use crate::api_server::{Answer, Api, answer, sleeper};

async fn with_key(api: &Api, key: &str, body: Value) -> Answer {
    answer(
        api.request(Method::POST, "/v1/sagas")
            .header("idempotency-key", key)
            .json(&body),
    )
    .await
}

#[tokio::test]
async fn the_same_key_starts_one_saga() {
    let api = Api::start().await;
    let steps = json!([{ "name": "one", "component": "noop" }]);
    let body = json!({ "kind": "test", "steps": steps, "inputs": { "a": 1, "b": 2 } });
    let first = with_key(&api, "k1", body.clone()).await;
    let id = first.body["id"].as_str().unwrap();
    assert_eq!(
        (first.status, first.header("location")),
        (202, Some(format!("/v1/sagas/{id}").as_str()))
    );
    assert_eq!(first.header("idempotency-replayed"), None);
    let reordered = json!({ "inputs": { "b": 2, "a": 1 }, "steps": steps, "kind": "test" });
    let again = with_key(&api, "k1", reordered).await;
    assert_eq!(
        (again.status, &again.body["id"]),
        (202, &first.body["id"]),
        "{again:?}"
    );
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = with_key(&api, "k1", json!({ "kind": "test", "steps": steps })).await;
    assert_eq!(
        (other.status, other.body["code"].as_str()),
        (422, Some("idempotency-key-reused"))
    );
    assert_eq!(other.body["saga_id"], first.body["id"]);
    assert_eq!(api.get("/v1/sagas").await.items().len(), 1);
}

#[tokio::test]
async fn a_start_that_waits_tells_how_the_saga_ended() {
    let api = Api::start().await;
    let body =
        json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }], "deployment_id": "d1" });
    let done = answer(
        api.request(Method::POST, "/v1/sagas")
            .header("prefer", "wait=30")
            .json(&body),
    )
    .await;
    assert_eq!(
        (done.status, done.body["status"].as_str()),
        (200, Some("completed")),
        "{done:?}"
    );
    assert_eq!(done.header("preference-applied"), Some("wait=30"));
    let asleep = json!({ "kind": "test", "steps": [sleeper("one")] });
    let asleep = answer(
        api.request(Method::POST, "/v1/sagas")
            .header("prefer", "wait=1")
            .json(&asleep),
    )
    .await;
    assert_eq!(
        (asleep.status, asleep.body["status"].as_str()),
        (202, Some("running")),
        "{asleep:?}"
    );
}

#[tokio::test]
async fn pages_of_sagas_join_to_the_filtered_list_newest_first() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let body = json!({
            "kind": if n % 2 == 0 { "test" } else { "update" },
            "steps": [{ "name": "one", "component": "noop" }],
            "deployment_id": format!("d{}", n % 2),
        });
        ids.push(api.post("/v1/sagas", body).await.body["id"].clone());
    }
    for id in &ids {
        api.rest(id.as_str().unwrap()).await;
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/v1/sagas?limit=3".to_owned();
    loop {
        let page = api.get(&path).await;
        assert!(page.items().len() <= 3, "{page:?}");
        seen.extend(page.items().iter().map(|saga| saga["id"].clone()));
        let Some(next) = page.body["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/sagas?limit=3&cursor={next}");
    }
    assert_eq!(seen, ids);
    for (filter, expected) in [
        ("kind=test", 4),
        ("deployment_id=d1", 3),
        ("status=completed", 7),
        ("status=running", 0),
        ("definition=greet", 0),
        ("kind=update&deployment_id=d0", 0),
    ] {
        let found = api.get(&format!("/v1/sagas?{filter}")).await;
        assert_eq!(found.items().len(), expected, "{filter}: {found:?}");
    }
}

#[tokio::test]
async fn whoever_knows_a_revision_waits_for_the_next_one() {
    let api = Api::start().await;
    let saga = api.saga(json!([sleeper("one")])).await;
    api.asleep(&saga).await;
    let path = format!("/v1/sagas/{saga}");
    let tag = api.get(&path).await.header("etag").unwrap().to_owned();
    let known = |wait: &str| {
        let request = api.request(Method::GET, &path).header("if-none-match", &tag);
        answer(if wait.is_empty() {
            request
        } else {
            request.header("prefer", wait)
        })
    };
    for wait in ["", "wait=1"] {
        let same = known(wait).await;
        assert_eq!(
            (same.status, same.header("etag")),
            (304, Some(tag.as_str())),
            "{wait}"
        );
    }
    let cancelling = async {
        tokio::task::yield_now().await;
        api.post(&format!("{path}/cancel"), json!({ "reason": "enough" }))
            .await
    };
    let (changed, cancelled) = tokio::join!(known("wait=30"), cancelling);
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    assert_eq!(api.rest(&saga).await["status"], "cancelled");
}

#[tokio::test]
async fn a_change_short_of_the_end_is_told_at_once_to_whoever_knows_the_revision() {
    let api = Api::start().await;
    let run = json!([{ "again": { "after_ms": 2_000 } }, { "again": { "after_ms": 3_600_000 } }]);
    let saga = api
        .saga(json!([{ "name": "one", "component": "scripted", "params": { "run": run } }]))
        .await;
    api.asleep(&saga).await;
    let path = format!("/v1/sagas/{saga}");
    let tag = api.get(&path).await.header("etag").unwrap().to_owned();
    let began = std::time::Instant::now();
    let request = api
        .request(Method::GET, &path)
        .header("if-none-match", &tag)
        .header("prefer", "wait=30");
    let changed = answer(request).await;
    assert_eq!(
        (changed.status, changed.body["status"].as_str()),
        (200, Some("running"))
    );
    assert!(began.elapsed().as_secs() < 25, "it waited for the saga's rest");
}

#[tokio::test]
async fn a_server_that_ends_lets_nobody_wait() {
    let mut api = Api::start().await;
    let saga = api.saga(json!([sleeper("one")])).await;
    let waiting = api
        .request(Method::GET, &format!("/v1/sagas/{saga}"))
        .header("prefer", "wait=60");
    let waiting = tokio::spawn(answer(waiting));
    api.asleep(&saga).await;
    let began = std::time::Instant::now();
    api.end().await;
    assert_eq!(waiting.await.unwrap().status, 200);
    assert!(
        began.elapsed().as_secs() < 9,
        "the server waited until it was cut off"
    );
}

#[tokio::test]
async fn a_saga_shows_its_steps_events_and_context() {
    let api = Api::start().await;
    let saga = api
        .saga(json!([
            { "name": "first", "component": "scripted", "params": { "run": [{ "set": { "a": [1], "b": 2 } }, { "done": { "x": 2 } }] } },
            { "name": "second", "component": "scripted", "params": { "run": [{ "permanent": { "code": "broken", "message": "it broke" } }] } },
            { "name": "third", "component": "noop" },
        ]))
        .await;
    let rested = api.rest(&saga).await;
    assert_eq!(rested["status"], "compensated");
    let turning = json!({ "cause": "failure", "step": "second", "code": "broken", "message": "it broke" });
    assert_eq!(rested["turning"], turning);
    let path = format!("/v1/sagas/{saga}");
    let steps = api.get(&format!("{path}/steps")).await;
    let states: Vec<[&Value; 3]> = steps
        .items()
        .iter()
        .map(|step| [&step["name"], &step["run"]["state"], &step["compensate"]["state"]])
        .collect();
    let expected = json!([
        ["first", "succeeded", "done"],
        ["second", "failed", "done"],
        ["third", null, null]
    ]);
    assert_eq!(json!(states), expected);
    assert_eq!(steps.items()[0]["run"]["output"], json!({ "x": 2 }));
    assert_eq!(steps.items()[1]["run"]["failure"]["code"], "broken");
    assert_eq!(steps.items()[2]["component"]["name"], "noop");

    let mut events = Vec::new();
    let mut next = format!("{path}/events?limit=2");
    loop {
        let page = api.get(&next).await;
        events.extend(page.items().clone());
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        next = format!("{path}/events?limit=2&cursor={cursor}");
    }
    assert_eq!(events[0]["kind"], "accepted");
    assert_eq!(events, *api.get(&format!("{path}/events")).await.items());
    let at = events[0]["at"].as_str().unwrap();
    assert_eq!((at.len(), &at[19..20], &at[23..]), (24, ".", "Z"), "{at}");

    let context = api.get(&format!("{path}/context?limit=1")).await;
    assert_eq!(
        context.items(),
        &vec![json!({ "scope": "", "key": "a", "value": [1] })]
    );
    let cursor = context.body["next_cursor"].as_str().unwrap();
    let rest = api.get(&format!("{path}/context?cursor={cursor}")).await;
    assert_eq!(
        rest.items(),
        &vec![json!({ "scope": "", "key": "b", "value": 2 })]
    );
}

#[tokio::test]
async fn a_stuck_saga_is_retried_and_another_is_abandoned() {
    let api = Api::start().await;
    let stuck = |times: Value| {
        json!([
            { "name": "one", "component": "scripted", "params": { "compensate": [{ "permanent": times }] } },
            { "name": "two", "component": "scripted", "params": { "run": [{ "permanent": { "code": "no" } }] } },
        ])
    };
    let saga = api.saga(stuck(json!({ "times": 1 }))).await;
    assert_eq!(api.rest(&saga).await["status"], "needs-attention");
    let findings = api.get(&format!("/v1/findings?saga={saga}")).await;
    assert_eq!(findings.items()[0]["step"], "one", "{findings:?}");
    let retried = api
        .post(
            &format!("/v1/sagas/{saga}/retry"),
            json!({ "reason": "fixed by hand" }),
        )
        .await;
    assert_eq!(retried.status, 200, "{retried:?}");
    assert_eq!(api.rest(&saga).await["status"], "compensated");
    let events = api.get(&format!("/v1/sagas/{saga}/events")).await;
    let asked: Vec<&Value> = events
        .items()
        .iter()
        .filter(|event| event["actor"] == "admin")
        .collect();
    assert!(
        asked
            .iter()
            .any(|event| event["detail"].to_string().contains("fixed by hand")),
        "{asked:?}"
    );

    let saga = api.saga(stuck(json!({}))).await;
    assert_eq!(api.rest(&saga).await["status"], "needs-attention");
    let abandoned = api
        .post(
            &format!("/v1/sagas/{saga}/abandon"),
            json!({ "reason": "gone anyway" }),
        )
        .await;
    assert_eq!(
        (abandoned.status, &abandoned.body["status"]),
        (200, &json!("abandoned")),
        "{abandoned:?}"
    );
}

#[tokio::test]
async fn a_saga_past_its_pivot_is_not_cancelled() {
    let api = Api::start().await;
    let run = json!([
        { "http": { "service": "test", "method": "POST", "path": "/", "save": "answer" } },
        { "again": { "after_ms": 3_600_000 } },
    ]);
    let saga = api
        .saga(json!([{ "name": "one", "component": "scripted-pivot", "params": { "run": run } }]))
        .await;
    api.asleep(&saga).await;
    let refused = api.post(&format!("/v1/sagas/{saga}/cancel"), json!({})).await;
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (409, Some("pivot-passed")),
        "{refused:?}"
    );
    assert_eq!(
        api.get(&format!("/v1/sagas/{saga}")).await.body["pivot_passed"],
        true
    );
}

#[tokio::test]
async fn a_pause_of_a_saga_is_shown_and_lifted() {
    let api = Api::start().await;
    let body = json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }], "paused": true });
    let started = api.post("/v1/sagas", body).await;
    assert_eq!(started.status, 202, "{started:?}");
    let path = started.header("location").unwrap();
    let saga = api.get(path).await.body;
    assert_eq!(
        (&saga["status"], &saga["paused"]["by"]),
        (&json!("running"), &json!(["saga"]))
    );
    let paused = api.post(&format!("{path}/pause"), json!({})).await;
    assert_eq!(paused.body["revision"], saga["revision"], "twice is once");
    let resumed = api
        .post(&format!("{path}/resume"), json!({ "reason": "now" }))
        .await;
    assert_eq!((resumed.status, &resumed.body["paused"]), (200, &Value::Null));
    let ended = answer(api.request(Method::GET, path).header("prefer", "wait=30")).await;
    let late = api.post(&format!("{path}/pause"), json!({})).await;
    assert_eq!(
        (late.status, late.body["code"].as_str()),
        (409, Some("already-ended")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_pause_of_a_definition_or_of_everything_is_listed_while_it_is_in_force() {
    let api = Api::start().await;
    let unknown = api.post("/v1/sagas/pause", json!({ "definition": "nope" })).await;
    assert_eq!(
        (unknown.status, unknown.body["code"].as_str()),
        (404, Some("unknown-definition"))
    );
    let reason = json!({ "definition": "provision_droplet", "reason": "quota" });
    let first = api.post("/v1/sagas/pause", reason).await;
    assert_eq!(first.body["pause"]["name"], "provision_droplet", "{first:?}");
    api.post("/v1/sagas/pause", json!({})).await;
    let listed = api.get("/v1/pauses").await;
    let told: Vec<(&str, Option<&str>)> = listed.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["target"].as_str().unwrap(), item["reason"].as_str()))
        .collect();
    assert_eq!(told, [("all", None), ("definition", Some("quota"))]);
    let lifted = api.post("/v1/sagas/resume", json!({})).await;
    assert_eq!(lifted.body["pause"]["target"], "all");
    let again = api.post("/v1/sagas/resume", json!({})).await;
    assert_eq!((again.status, &again.body["pause"]), (200, &Value::Null));
    assert_eq!(
        api.get("/v1/pauses").await.body["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
