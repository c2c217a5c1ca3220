//! The inventory and droplets over HTTP.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api_server::{Api, answer};

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
