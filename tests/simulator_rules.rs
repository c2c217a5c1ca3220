//! The simulator's rules that are options, each seen both ways, and what clients in common use ask for.

use std::collections::BTreeSet;

use arcadia::simulator::{LinkOrigin, Order, Rules};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    http,
    provider::{Bench, wish},
    simulator::requests,
};

async fn ids(bench: &Bench, path: &str) -> Vec<i64> {
    let body = bench.cloud.get(path).await;
    let droplets = body["droplets"].as_array().expect("a list").iter();
    droplets.filter_map(|droplet| droplet["id"].as_i64()).collect()
}

#[tokio::test]
async fn only_a_bearer_token_is_a_credential() {
    let bench = Bench::new().await;
    let url = format!("{}/v2/account", bench.simulator.api_url());
    for credential in [
        None,
        Some("Basic sim-token"),
        Some("sim-token"),
        Some("Bearer other"),
    ] {
        let request = http::client().get(&url);
        let request = match credential {
            Some(credential) => request.header("authorization", credential),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{credential:?}");
    }
    let request = http::client()
        .get(&url)
        .header("authorization", "bearer sim-token");
    assert_eq!(request.send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn an_error_body_repeats_the_request_id_or_leaves_it_out() {
    let bench = Bench::new().await;
    let mut repeated = BTreeSet::new();
    for _ in 0..32 {
        let answer = bench.cloud.send(Method::GET, "/v2/droplets/1", None).await;
        let answer = answer.expect("an answer");
        let header = answer.headers()["x-request-id"]
            .to_str()
            .expect("text")
            .to_owned();
        let body: Value = answer.json().await.expect("JSON");
        if let Some(id) = body.get("request_id") {
            assert_eq!(id, &json!(header));
        }
        repeated.insert(body.get("request_id").is_some());
    }
    assert_eq!(repeated, BTreeSet::from([false, true]));
}

#[tokio::test]
async fn the_order_of_a_droplets_networks_is_no_rule() {
    let bench = Bench::new().await;
    for number in 0..16 {
        bench.cloud.create(&format!("web-{number}"), "a").await;
    }
    bench.control.advance(20_000).await;
    let droplets = bench.cloud.get("/v2/droplets").await["droplets"].clone();
    let droplets = droplets.as_array().expect("a list").iter();
    let first =
        droplets.filter_map(|droplet| droplet["networks"]["v4"][0]["type"].as_str().map(String::from));
    let first: BTreeSet<String> = first.collect();
    assert_eq!(first, BTreeSet::from(["private".into(), "public".into()]));
}

#[tokio::test]
async fn a_busy_droplet_is_locked_only_when_the_rules_say_so() {
    let bench = Bench::new().await;
    let id = bench.cloud.create("web-1", "a").await;
    let path = format!("/v2/droplets/{id}");
    assert_eq!(bench.cloud.get(&path).await["droplet"]["locked"], false);
    bench.control.patch(json!({"locked_while_busy": true})).await;
    assert_eq!(bench.cloud.get(&path).await["droplet"]["locked"], true);
    bench.control.advance(20_000).await;
    assert_eq!(bench.cloud.get(&path).await["droplet"]["locked"], false);
}

#[tokio::test]
async fn every_snapshot_is_listed_as_late_as_the_rules_say() {
    let bench = Bench::with(Rules {
        snapshot_lag_ms: 10_000,
        ..Rules::default()
    })
    .await;
    let id = bench.active_droplet("a").await;
    let actions = format!("/v2/droplets/{id}/actions");
    let body = json!({"type": "snapshot", "name": "late"});
    let (_, started) = bench.cloud.json(Method::POST, &actions, Some(&body)).await;
    let action = format!("/v2/actions/{}", started["action"]["id"]);
    bench.control.advance(39_999).await;
    assert_eq!(bench.cloud.get(&action).await["action"]["status"], "completed");
    assert_eq!(bench.cloud.get("/v2/snapshots").await["meta"]["total"], 0);
    bench.control.advance(1).await;
    assert_eq!(bench.cloud.get("/v2/snapshots").await["meta"]["total"], 1);
}

#[tokio::test]
async fn a_delete_is_accepted_once_and_by_tag_for_all_carriers() {
    let bench = Bench::new().await;
    let first = bench.active_droplet("a").await;
    let path = format!("/v2/droplets/{first}");
    let delete = async |path: &str| bench.cloud.status(Method::DELETE, path, None).await;
    assert_eq!(delete(&path).await, 204);
    assert_eq!(bench.cloud.status(Method::GET, &path, None).await, 200);
    assert_eq!(delete(&path).await, 404, "a second one while the droplet leaves");

    bench.cloud.create("web-2", "fleet").await;
    bench.cloud.create("web-3", "fleet").await;
    let other = bench.cloud.create("web-4", "else").await;
    assert_eq!(delete("/v2/droplets?tag_name=FLEET").await, 204);
    bench.control.advance(3_000).await;
    assert_eq!(bench.control.live_droplet_ids().await, [other].into());
    assert_eq!(delete("/v2/droplets?tag_name=never-used").await, 204);
    bench.control.patch(json!({"unknown_tag": "not-found"})).await;
    assert_eq!(delete("/v2/droplets?tag_name=never-used").await, 404);
    assert_eq!(
        delete("/v2/droplets").await,
        400,
        "without a tag, nothing is deleted"
    );
    assert_eq!(bench.control.live_droplet_ids().await, [other].into());
}

#[tokio::test]
async fn listings_hide_gpus_refuse_a_tag_with_a_type_and_have_an_order() {
    let bench = Bench::new().await;
    let first = bench.cloud.create("web-1", "a").await;
    let gpu = json!({"name": "gpu", "region": "tor1", "size": "gpu-h100x1-80gb", "image": "gpu-h100x1-base"});
    let (_, gpu) = bench.cloud.json(Method::POST, "/v2/droplets", Some(&gpu)).await;
    let second = bench.cloud.create("web-2", "a").await;
    assert_eq!(ids(&bench, "/v2/droplets").await, [second, first]);
    assert_eq!(ids(&bench, "/v2/droplets?type=droplets").await, [second, first]);
    assert_eq!(
        json!(ids(&bench, "/v2/droplets?type=gpus").await),
        json!([gpu["droplet"]["id"]])
    );
    let both = "/v2/droplets?tag_name=a&type=droplets";
    assert_eq!(bench.cloud.status(Method::GET, both, None).await, 422);
    bench.control.patch(json!({"order": Order::OldestFirst})).await;
    assert_eq!(ids(&bench, "/v2/droplets").await, [first, second]);
    assert_eq!(ids(&bench, "/v2/droplets?per_page=1&page=2").await, [second]);
}

#[tokio::test]
async fn a_page_has_20_items_unless_asked_otherwise() {
    let bench = Bench::new().await;
    for number in 0..21 {
        bench.cloud.create(&format!("web-{number}"), "a").await;
    }
    assert_eq!(ids(&bench, "/v2/droplets").await.len(), 20);
    assert_eq!(ids(&bench, "/v2/droplets?page=2").await.len(), 1);
    assert_eq!(ids(&bench, "/v2/droplets?per_page=200").await.len(), 21);
}

#[tokio::test]
async fn links_can_be_followed_when_they_name_the_simulator_itself() {
    let bench = Bench::with(Rules {
        link_origin: LinkOrigin::Own,
        ..Rules::default()
    })
    .await;
    for number in 0..5 {
        bench.cloud.create(&format!("web-{number}"), "a").await;
    }
    let mut path = "/v2/droplets/?tag_name=a&per_page=2".to_owned();
    let mut seen = BTreeSet::new();
    for page in 1..=3 {
        let body = bench.cloud.get(&path).await;
        let droplets = body["droplets"].as_array().expect("a list");
        seen.extend(droplets.iter().filter_map(|droplet| droplet["id"].as_i64()));
        let next = body["links"]["pages"]["next"].as_str();
        assert_eq!(next.is_some(), page < 3, "page {page}");
        if let Some(next) = next {
            let own = next.strip_prefix(&bench.simulator.api_url());
            own.expect("the simulator's own address").clone_into(&mut path);
        }
    }
    assert_eq!(seen, bench.control.live_droplet_ids().await);
    assert_eq!(bench.control.patch(json!({})).await.link_origin, LinkOrigin::Own);
}

#[tokio::test]
async fn actions_outlive_their_droplet_and_may_hide_when_they_completed() {
    let bench = Bench::new().await;
    let (_, created) = bench
        .cloud
        .json(Method::POST, "/v2/droplets", Some(&wish("web-1", "a")))
        .await;
    let (droplet, action) = (&created["droplet"]["id"], &created["links"]["actions"][0]["id"]);
    bench.control.advance(20_000).await;
    let scoped = format!("/v2/droplets/{droplet}/actions/{action}");
    assert_eq!(
        bench.cloud.get(&scoped).await["action"]["completed_at"],
        "2026-01-01T00:00:20Z"
    );
    bench.control.patch(json!({"hide_completed_at": true})).await;
    let hidden = bench.cloud.get(&scoped).await["action"].clone();
    assert_eq!(
        (&hidden["status"], &hidden["completed_at"]),
        (&json!("completed"), &Value::Null)
    );
    let path = format!("/v2/actions/{action}");
    assert!(bench.cloud.get(&path).await["action"]["completed_at"].is_string());

    bench
        .cloud
        .status(Method::DELETE, &format!("/v2/droplets/{droplet}"), None)
        .await;
    bench.control.advance(86_400_000).await;
    assert_eq!(bench.cloud.get(&path).await["action"]["status"], "completed");
    assert_eq!(bench.cloud.get("/v2/actions").await["meta"]["total"], 1);
    assert_eq!(bench.cloud.status(Method::GET, &scoped, None).await, 404);
}

#[tokio::test]
async fn the_account_has_a_limit_and_a_status_and_regions_can_close() {
    let bench = Bench::new().await;
    for (status, message) in [("active", false), ("warning", true), ("locked", true)] {
        bench
            .control
            .patch(json!({"account_status": status, "droplet_limit": 1}))
            .await;
        let account = bench.cloud.get("/v2/account").await["account"].clone();
        assert_eq!(
            (&account["status"], &account["droplet_limit"]),
            (&json!(status), &json!(1))
        );
        assert_eq!(account["status_message"] != "", message);
    }
    bench.cloud.create("web-1", "a").await;
    let (status, refused) = bench
        .cloud
        .json(Method::POST, "/v2/droplets", Some(&wish("web-2", "a")))
        .await;
    let words = "creating this/these droplet(s) will exceed your droplet limit";
    assert_eq!((status, &refused["message"]), (422, &json!(words)));
    bench
        .control
        .patch(json!({"unavailable_regions": ["fra1"]}))
        .await;
    let regions = bench.cloud.get("/v2/regions").await["regions"].clone();
    let closed = regions
        .as_array()
        .expect("a list")
        .iter()
        .filter(|region| region["available"] == false);
    assert_eq!(
        closed.map(|region| &region["slug"]).collect::<Vec<_>>(),
        [&json!("fra1")]
    );
}

#[tokio::test]
async fn a_key_is_known_by_its_own_fingerprint_and_only_once() {
    let bench = Bench::new().await;
    let key = json!({"name": "laptop", "public_key": "ssh-ed25519 AAAA laptop"});
    let (status, made) = bench
        .cloud
        .json(Method::POST, "/v2/account/keys", Some(&key))
        .await;
    // The MD5 of three zero bytes.
    let fingerprint = "69:3e:9a:f8:4d:3d:fc:c7:1e:64:0e:00:5b:dc:5e:2e";
    assert_eq!(
        (status, &made["ssh_key"]["fingerprint"]),
        (201, &json!(fingerprint))
    );
    let again = json!({"name": "desk", "public_key": "ssh-ed25519 AAAA desk"});
    let (status, refused) = bench
        .cloud
        .json(Method::POST, "/v2/account/keys", Some(&again))
        .await;
    let words = "SSH Key is already in use on your account";
    assert_eq!((status, &refused["message"]), (422, &json!(words)));
    let (status, _) = bench
        .cloud
        .json(
            Method::POST,
            "/v2/account/keys",
            Some(&json!({"name": "x", "public_key": "x"})),
        )
        .await;
    assert_eq!(status, 422);
    let found = bench.cloud.get(&format!("/v2/account/keys/{fingerprint}")).await;
    assert_eq!(found["ssh_key"]["id"], made["ssh_key"]["id"]);
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_changes_nothing() {
    let bench = Bench::new().await;
    let (status, created) = bench
        .cloud
        .json(Method::POST, "/v2/droplets/", Some(&wish("web-1", "a")))
        .await;
    assert_eq!(status, 202, "{created}");
    let hold = bench
        .control
        .hold(
            requests("GET", "/v2/droplets"),
            arcadia::simulator::Point::AfterEffect,
        )
        .await;
    let cloud = bench.cloud.clone();
    let list = tokio::spawn(async move { cloud.get("/v2/droplets/").await });
    assert_eq!(bench.control.wait_held(hold).await.path, "/v2/droplets");
    bench.control.release(hold).await;
    assert_eq!(list.await.expect("an answer")["meta"]["total"], 1);
}

#[tokio::test]
async fn a_snapshot_carries_tags_as_an_image() {
    let bench = Bench::new().await;
    let id = bench.active_droplet("a").await;
    let body = json!({"type": "snapshot", "name": "kept"});
    bench
        .cloud
        .status(Method::POST, &format!("/v2/droplets/{id}/actions"), Some(&body))
        .await;
    bench.control.advance(30_000).await;
    let snapshot = bench.cloud.get("/v2/snapshots").await["snapshots"][0]["id"].clone();
    let of = |kind: &str| json!({"resources": [{"resource_id": snapshot, "resource_type": kind}]});
    bench
        .cloud
        .status(Method::POST, "/v2/tags", Some(&json!({"name": "Kept"})))
        .await;
    let tag = "/v2/tags/kept/resources";
    assert_eq!(
        bench.cloud.status(Method::POST, tag, Some(&of("image"))).await,
        204
    );
    assert_eq!(
        bench.cloud.status(Method::POST, tag, Some(&of("volume"))).await,
        404
    );
    let images = bench.cloud.get("/v2/images?tag_name=KEPT").await;
    assert_eq!(
        (&images["meta"]["total"], &images["images"][0]["tags"]),
        (&json!(1), &json!(["Kept"]))
    );
    let resources = bench.cloud.get("/v2/tags/kept").await["tag"]["resources"].clone();
    assert_eq!(
        (&resources["count"], &resources["images"]["count"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(resources["droplets"], json!({"count": 0}));
    assert_eq!(
        bench.cloud.status(Method::DELETE, tag, Some(&of("image"))).await,
        204
    );
    assert_eq!(
        bench.cloud.get("/v2/images?tag_name=kept").await["meta"]["total"],
        0
    );
    assert_eq!(bench.cloud.get("/v2/images").await["meta"]["total"], 7);
    bench.cloud.status(Method::POST, tag, Some(&of("image"))).await;
    bench.cloud.status(Method::DELETE, "/v2/tags/kept", None).await;
    assert_eq!(
        bench.cloud.get("/v2/snapshots").await["snapshots"][0]["tags"],
        json!([])
    );
}

#[tokio::test]
async fn digits_in_a_text_name_an_image_only_when_the_rules_allow_it() {
    let bench = Bench::new().await;
    let mut body = wish("web-1", "a");
    body["image"] = json!("203555501");
    assert_eq!(
        bench
            .cloud
            .status(Method::POST, "/v2/droplets", Some(&body))
            .await,
        422
    );
    bench.control.patch(json!({"text_image_ids": true})).await;
    let (status, created) = bench.cloud.json(Method::POST, "/v2/droplets", Some(&body)).await;
    assert_eq!(
        (status, &created["droplet"]["image"]["slug"]),
        (202, &json!("debian-13-x64"))
    );
}

/// As clients in common use write them: nulls for what isn't wanted, and a boolean in quotes.
#[tokio::test]
async fn nulls_and_a_quoted_boolean_are_read_as_clients_mean_them() {
    let bench = Bench::new().await;
    let mut body = wish("web-1", "a");
    for field in [
        "ssh_keys",
        "backups",
        "ipv6",
        "monitoring",
        "user_data",
        "private_networking",
        "volumes",
    ] {
        body[field] = Value::Null;
    }
    let (status, created) = bench.cloud.json(Method::POST, "/v2/droplets", Some(&body)).await;
    assert_eq!(status, 202, "{created}");
    let id = created["droplet"]["id"].as_i64().expect("an id");
    bench.control.advance(20_000).await;
    bench
        .control
        .out_of_band(id, json!({"change": "power-off"}))
        .await;
    let path = format!("/v2/droplets/{id}");
    for (disk, size, expected_gb) in [("false", "s-1vcpu-2gb", 25), ("true", "s-2vcpu-4gb", 80)] {
        let resize = json!({"type": "resize", "size": size, "disk": disk});
        assert_eq!(
            bench
                .cloud
                .status(Method::POST, &format!("{path}/actions"), Some(&resize))
                .await,
            201
        );
        bench.control.advance(5_000).await;
        let droplet = bench.cloud.get(&path).await["droplet"].clone();
        assert_eq!(
            (&droplet["size_slug"], &droplet["disk"]),
            (&json!(size), &json!(expected_gb))
        );
    }
    let neither = json!({"type": "resize", "size": "s-2vcpu-4gb", "disk": "yes"});
    assert_eq!(
        bench
            .cloud
            .status(Method::POST, &format!("{path}/actions"), Some(&neither))
            .await,
        422
    );
}
