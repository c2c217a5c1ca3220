//! What the HTTP API answers when all is well.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api_server::{Answer, Api, answer, example, sleeper};

/// The component with a section that nobody reads, so that it has this many bytes.
fn padded(mut component: Vec<u8>, size: usize) -> Vec<u8> {
    let content = size - component.len() - 6;
    component.push(0);
    let mut length = content;
    for last in [false, false, false, false, true] {
        let byte = (length & 0x7f) as u8;
        component.push(if last { byte } else { byte | 0x80 });
        length >>= 7;
    }
    component.extend_from_slice(b"\x03pad");
    component.resize(size, 0);
    component
}

#[tokio::test]
async fn a_component_is_taken_once_and_read_back() {
    let api = Api::start().await;
    let noop = padded(example("noop"), 40_000);
    let same_version = api.upload("", noop).await;
    assert_eq!(
        (same_version.status, same_version.body["code"].as_str()),
        (409, Some("version-exists"))
    );

    let greet = example("greet-c");
    let new = api.upload("?channel=next", greet.clone()).await;
    assert_eq!(new.status, 201, "{new:?}");
    let again = api.upload("", greet.clone()).await;
    assert_eq!(
        (again.status, &again.body["component"]),
        (200, &new.body["component"]),
        "{again:?}"
    );

    let component = &new.body["component"];
    let path = format!("/v1/components/{}", component["digest"].as_str().unwrap());
    assert_eq!(new.header("location"), Some(path.as_str()));
    let shown = api.get(&path).await;
    assert_eq!(shown.body["manifest"]["name"], component["name"]);
    assert_eq!(shown.body["size_bytes"], greet.len());
    let wasm = api
        .request(Method::GET, &format!("{path}/wasm"))
        .send()
        .await
        .unwrap();
    assert_eq!(wasm.headers()["content-type"], "application/wasm");
    assert_eq!(wasm.bytes().await.unwrap(), greet);
    let wit = api.get(&format!("{path}/wit")).await.body;
    assert!(
        wit.as_str().unwrap().contains("export arcadia:step/step@0.1.0;"),
        "{wit}"
    );

    let name = component["name"].as_str().unwrap();
    let steps = api.get("/v1/steps").await;
    let step = steps.items().iter().find(|step| step["name"] == name).unwrap();
    let channels: BTreeSet<&str> = step["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["channel"].as_str().unwrap())
        .collect();
    assert!(channels.contains("next"), "{step}");
    let one = api.get(&format!("/v1/components?name={name}")).await;
    assert_eq!(one.items(), &vec![component.clone()]);
}

#[tokio::test]
async fn a_component_of_20_mb_is_taken_and_one_over_the_limit_is_told_the_limit() {
    let api = Api::start().await;
    let large = api.upload("", padded(example("greet-c"), 20 << 20)).await;
    assert_eq!(
        (large.status, &large.body["component"]["size_bytes"]),
        (201, &json!(20 << 20)),
        "{large:?}"
    );
    let before = api.get("/v1/components").await.body;
    let too_large = api.upload("", vec![0; (64 << 20) + 1]).await;
    assert_eq!(
        (too_large.status, too_large.body["code"].as_str()),
        (413, Some("body-too-large"))
    );
    assert!(
        too_large.body["detail"].as_str().unwrap().contains("67108864"),
        "{too_large:?}"
    );
    let streamed = api
        .request(Method::POST, "/v1/components")
        .header("content-type", "application/wasm");
    let chunks = (0..65).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 1 << 20]));
    let unannounced =
        answer(streamed.body(reqwest::Body::wrap_stream(futures_util::stream::iter(chunks)))).await;
    assert_eq!(
        (unannounced.status, unannounced.body["code"].as_str()),
        (413, Some("body-too-large"))
    );
    assert_eq!(api.get("/v1/components").await.body, before);
}

#[tokio::test]
async fn a_channel_moves_by_version_and_by_digest() {
    let api = Api::start().await;
    let steps = api.get("/v1/steps").await;
    let noop = steps
        .items()
        .iter()
        .find(|step| step["name"] == "noop")
        .unwrap()
        .clone();
    let version = &noop["versions"][0];
    assert_eq!(noop["channels"][0]["built_in"], true);
    for body in [
        json!({ "version": version["version"] }),
        json!({ "digest": version["digest"] }),
    ] {
        let moved = api.put("/v1/steps/noop/channels/next", body).await;
        assert_eq!(moved.status, 200, "{moved:?}");
        assert_eq!(moved.body["digest"], version["digest"]);
        assert_eq!(
            (&moved.body["built_in"], &moved.body["moved_by"]),
            (&json!(false), &json!("admin"))
        );
    }
}

#[tokio::test]
async fn a_definition_gets_a_version_only_when_its_body_changes() {
    let api = Api::start().await;
    let body = json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }] });
    let first = api.put("/v1/definitions/greet", body.clone()).await;
    assert_eq!(
        (first.status, &first.body["version"]),
        (201, &json!(1)),
        "{first:?}"
    );
    let same = api.put("/v1/definitions/greet", body).await;
    assert_eq!((same.status, &same.body), (200, &first.body));
    let other = json!({ "kind": "test", "steps": [{ "name": "two", "component": "noop" }] });
    let second = api.put("/v1/definitions/greet", other.clone()).await;
    assert_eq!((second.status, &second.body["version"]), (200, &json!(2)));
    assert_eq!(api.get("/v1/definitions/greet").await.body["body"], other);
    let names: Vec<Value> = api
        .get("/v1/definitions")
        .await
        .items()
        .iter()
        .map(|row| row["name"].clone())
        .collect();
    assert_eq!(
        names,
        [
            "destroy_droplet",
            "greet",
            "provision_droplet",
            "snapshot_droplet"
        ]
    );
}

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
async fn the_inventory_shows_resources_and_what_they_should_be() {
    let api = Api::start().await;
    let row = |id: &str, spec: Value| {
        json!({ "upsert": {
            "provider": "digitalocean", "kind": "droplet", "provider_id": id, "status": "active", "name": "web", "spec": spec,
        } })
    };
    let gone =
        json!({ "mark_deleted": { "provider": "digitalocean", "kind": "droplet", "provider_id": "8" } });
    let report = json!({ "report": {
        "code": "left", "provider": "digitalocean", "kind": "droplet", "provider_id": "7", "message": "look at it",
    } });
    let run = json!([
        row("7", json!({ "size": "s" })),
        row("8", json!({ "size": "s" })),
        gone,
        report
    ]);
    let saga = api
        .saga(json!([{ "name": "one", "component": "scripted", "params": { "run": run } }]))
        .await;
    assert_eq!(api.rest(&saga).await["status"], "completed");
    let live = api.get("/v1/droplets").await;
    assert_eq!(live.items().len(), 1, "{live:?}");
    assert_eq!(
        (&live.items()[0]["provider_id"], &live.items()[0]["saga_id"]),
        (&json!("7"), &json!(saga))
    );
    assert_eq!(live.items()[0]["raw"], Value::Null);
    for (filter, expected) in [
        ("", 1),
        ("?deleted=true", 2),
        ("?kind=snapshot", 0),
        ("?provider=other", 0),
    ] {
        let found = api.get(&format!("/v1/inventory/resources{filter}")).await;
        assert_eq!(found.items().len(), expected, "{filter}: {found:?}");
    }
    assert_eq!(
        api.get(&format!("/v1/inventory/resources?saga={saga}&limit=1"))
            .await
            .items()
            .len(),
        1
    );
    let id = live.items()[0]["id"].as_str().unwrap();
    let one = api.get(&format!("/v1/inventory/resources/{id}")).await;
    assert!(one.body["raw"].is_object(), "{one:?}");
    let provisioned = api
        .get(&format!("/v1/inventory/resources/{id}/provisioned"))
        .await;
    let versions: Vec<[&Value; 2]> = provisioned
        .items()
        .iter()
        .map(|row| [&row["spec_version"], &row["spec"]])
        .collect();
    assert_eq!(json!(versions), json!([[1, { "size": "s" }]]));
    let findings = api.get("/v1/findings").await;
    assert_eq!(
        findings.items()[0]["resource"]["provider_id"],
        "7",
        "{findings:?}"
    );
}

#[tokio::test]
async fn droplets_are_sagas_of_the_shipped_definitions() {
    let api = Api::with_droplets().await;
    let wish = json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": 42,
        "params": { "create": { "poll_interval_ms": 100 } }, "deployment_id": "d1",
    });
    let created = api.post("/v1/droplets", wish.clone()).await;
    assert_eq!(created.status, 202, "{created:?}");
    let saga = api.get(created.header("location").unwrap()).await.body;
    assert_eq!(
        (&saga["definition"]["name"], &saga["kind"]),
        (&json!("provision_droplet"), &json!("provision"))
    );
    assert_eq!(saga["inputs"]["droplet_image"], 42);

    let broken = json!({ "droplet_name": "-", "droplet_region": "fra1", "droplet_image": "x", "droplet_tags": ["Arcadia-x"] });
    let refused = api.post("/v1/droplets", broken).await;
    assert_eq!(refused.status, 422);
    let errors = refused.body["errors"].as_array().unwrap();
    let places: BTreeSet<&str> = errors
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        places,
        BTreeSet::from(["/droplet_name", "/droplet_size", "/droplet_tags/0"]),
        "{refused:?}"
    );

    let row = json!({ "upsert": { "provider": "digitalocean", "kind": "droplet", "provider_id": "7", "status": "active" } });
    let made = api
        .saga(json!([{ "name": "one", "component": "scripted", "params": { "run": [row] } }]))
        .await;
    api.rest(&made).await;
    let snapshot = api
        .post("/v1/droplets/7/snapshots", json!({ "snapshot_label": "before" }))
        .await;
    assert_eq!(snapshot.status, 202, "{snapshot:?}");
    let saga = api.get(snapshot.header("location").unwrap()).await.body;
    assert_eq!(
        saga["inputs"],
        json!({ "droplet_provider_id": "7", "snapshot_label": "before" })
    );
    let destroyed = answer(api.request(Method::DELETE, "/v1/droplets/7")).await;
    assert_eq!(destroyed.status, 202, "{destroyed:?}");
    let saga = api.get(destroyed.header("location").unwrap()).await.body;
    assert_eq!(saga["definition"]["name"], "destroy_droplet");
}
