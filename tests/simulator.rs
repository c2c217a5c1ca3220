//! The simulator's rules, over real HTTP.

use std::collections::BTreeSet;

use arcadia::simulator::{Effect, Outcome, Rules, Token};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    http,
    provider::{Bench, Cloud, wish},
    simulator::busiest_window,
};

#[tokio::test]
async fn a_droplet_lives_from_new_to_gone() {
    let bench = Bench::new().await;
    let (status, created) = bench
        .cloud
        .json(Method::POST, "/v2/droplets", Some(&wish("web-1", "arcadia-a")))
        .await;
    assert_eq!(status, 202);
    let droplet = &created["droplet"];
    let id = droplet["id"].as_i64().expect("an id");
    assert!(id > i64::from(i32::MAX));
    assert_eq!(droplet["status"], "new");
    assert_eq!(droplet["networks"], json!({"v4": [], "v6": []}));
    let action = created["links"]["actions"][0]["id"].as_i64().expect("an action");
    let path = format!("/v2/droplets/{id}");

    bench.control.advance(19_999).await;
    assert_eq!(bench.cloud.get(&path).await["droplet"]["status"], "new");
    bench.control.advance(1).await;
    let droplet = bench.cloud.get(&path).await["droplet"].clone();
    assert_eq!(droplet["status"], "active");
    let networks = droplet["networks"]["v4"].as_array().expect("networks");
    let types: BTreeSet<&str> = networks
        .iter()
        .filter_map(|network| network["type"].as_str())
        .collect();
    assert_eq!(types, BTreeSet::from(["private", "public"]));
    let action = bench.cloud.get(&format!("/v2/actions/{action}")).await;
    assert_eq!(action["action"]["status"], "completed");

    assert_eq!(bench.cloud.status(Method::DELETE, &path, None).await, 204);
    assert_eq!(bench.cloud.get(&path).await["droplet"]["status"], "active");
    assert_eq!(bench.control.live_droplet_ids().await, BTreeSet::from([id]));
    bench.control.advance(3_000).await;
    assert_eq!(bench.cloud.status(Method::GET, &path, None).await, 404);
    assert_eq!(bench.cloud.status(Method::DELETE, &path, None).await, 404);
    let count = bench.control.droplet_count().await;
    assert_eq!((count.live, count.ever), (0, 1));
}

#[tokio::test]
async fn the_journal_tells_what_each_request_changed() {
    let bench = Bench::new().await;
    let id = bench.active_droplet("arcadia-a").await;
    let path = format!("/v2/droplets/{id}");
    bench.cloud.get(&path).await;
    bench.cloud.status(Method::DELETE, &path, None).await;
    bench.cloud.status(Method::DELETE, &path, None).await;

    let told: Vec<_> = bench
        .control
        .journal()
        .await
        .into_iter()
        .map(|entry| (entry.method, entry.effects, entry.outcome))
        .collect();
    let answered = |status| Outcome::Answered { status };
    let expected = vec![
        ("POST".to_owned(), vec![Effect::DropletCreated(id)], answered(202)),
        ("GET".to_owned(), vec![], answered(200)),
        (
            "DELETE".to_owned(),
            vec![Effect::DropletDeleted(id)],
            answered(204),
        ),
        ("DELETE".to_owned(), vec![], answered(404)),
    ];
    assert_eq!(told, expected);

    let entries = bench.control.journal_of("POST", "ARCADIA-A").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].body, wish("web-1", "arcadia-a"));
    assert_eq!(entries[0].token.as_deref(), Some("sim-token"));
    assert_eq!(format!("http://{}", entries[0].host), bench.simulator.api_url());
    assert_eq!(bench.control.journal_of("DELETE", "arcadia-a").await.len(), 2);
}

#[tokio::test]
async fn every_answer_tells_the_rate_limit_and_a_request_id() {
    let bench = Bench::new().await;
    for path in ["/v2/account", "/v2/droplets/77", "/v2/nowhere"] {
        let answer = bench
            .cloud
            .send(Method::GET, path, None)
            .await
            .expect("an answer");
        for header in [
            "x-request-id",
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
        ] {
            assert!(answer.headers().contains_key(header), "{header} for {path}");
        }
    }
    let stranger = Cloud::of(&bench.simulator, "other");
    let answer = stranger
        .send(Method::GET, "/v2/account", None)
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["ratelimit-limit"], "5000");
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["id"], "unauthorized");
}

#[tokio::test]
async fn a_minute_and_an_hour_of_requests_are_limited_in_their_own_ways() {
    let rules = Rules {
        rate_per_minute: 3,
        rate_per_hour: 5,
        ..Rules::default()
    };
    let bench = Bench::with(rules).await;
    let ask = || async {
        bench
            .cloud
            .send(Method::GET, "/v2/account", None)
            .await
            .expect("an answer")
    };
    for _ in 0..3 {
        assert_eq!(ask().await.status(), 200);
    }
    let burst = ask().await;
    assert_eq!(burst.status(), 429);
    assert_eq!(burst.headers()["retry-after"], "60");
    assert_eq!(burst.headers()["ratelimit-remaining"], "0");

    bench.control.advance(60_000).await;
    for _ in 0..2 {
        assert_eq!(ask().await.status(), 200);
    }
    let exhausted = ask().await;
    assert_eq!(exhausted.status(), 429);
    assert!(!exhausted.headers().contains_key("retry-after"));

    let entries = bench.control.journal().await;
    assert_eq!(busiest_window(&entries, 60_000), 4);
    assert_eq!(busiest_window(&entries, 60_001), 7);
}

#[tokio::test]
async fn a_snapshot_outlives_its_droplet_and_makes_another() {
    let bench = Bench::new().await;
    let id = bench.active_droplet("arcadia-a").await;
    let actions = format!("/v2/droplets/{id}/actions");
    let body = json!({"type": "snapshot", "name": "before-upgrade"});
    let (status, started) = bench.cloud.json(Method::POST, &actions, Some(&body)).await;
    assert_eq!(
        (status, &started["action"]["status"]),
        (201, &json!("in-progress"))
    );

    let (status, refused) = bench.cloud.json(Method::POST, &actions, Some(&body)).await;
    let pending = json!("Droplet already has a pending event.");
    assert_eq!((status, &refused["message"]), (422, &pending));
    let path = format!("/v2/droplets/{id}");
    assert_eq!(bench.cloud.status(Method::DELETE, &path, None).await, 422);

    bench.control.advance(30_000).await;
    let of_droplet = bench.cloud.get(&format!("{path}/snapshots")).await["snapshots"][0].clone();
    let number = of_droplet["id"].as_i64().expect("an integer id");
    bench.cloud.status(Method::DELETE, &path, None).await;
    bench.control.advance(3_000).await;
    let listed = bench.cloud.get("/v2/snapshots?resource_type=droplet").await["snapshots"][0].clone();
    assert_eq!(listed["id"], json!(number.to_string()));
    assert_eq!(listed["resource_id"], json!(id.to_string()));
    assert_eq!(
        bench.cloud.get("/v2/snapshots?resource_type=volume").await["meta"]["total"],
        0
    );

    let mut again = wish("web-2", "arcadia-b");
    for (image, expected) in [
        (json!("before-upgrade"), 422),
        (json!(number.to_string()), 422),
        (json!(number), 202),
    ] {
        again["image"] = image;
        assert_eq!(
            bench
                .cloud
                .status(Method::POST, "/v2/droplets", Some(&again))
                .await,
            expected
        );
    }
    let volume = "/v2/snapshots/9dd1a1b0-5d2e-4b8c-9a51-0c3d5c1f7e01";
    assert_eq!(bench.cloud.status(Method::DELETE, volume, None).await, 400);
    let snapshot = format!("/v2/snapshots/{number}");
    assert_eq!(bench.cloud.status(Method::DELETE, &snapshot, None).await, 204);
    assert_eq!(bench.cloud.status(Method::DELETE, &snapshot, None).await, 404);
}

#[tokio::test]
async fn listings_filter_by_tag_and_name_and_point_to_another_host() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(
            bench
                .cloud
                .create(&format!("Web-{number}"), "Arcadia:Fleet")
                .await,
        );
    }
    bench.cloud.create("other", "else").await;
    let page = bench
        .cloud
        .get("/v2/droplets?tag_name=arcadia%3Afleet&per_page=2&page=2")
        .await;
    let shown: Vec<i64> = page["droplets"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|droplet| droplet["id"].as_i64())
        .collect();
    assert_eq!(shown, [ids[2], ids[1]]);
    assert_eq!(page["meta"]["total"], 5);
    assert_eq!(page["droplets"][0]["tags"], json!(["Arcadia:Fleet"]));
    let next = page["links"]["pages"]["next"].as_str().expect("a next page");
    assert!(
        !next.starts_with(&bench.simulator.api_url()) && next.contains("page=3"),
        "{next}"
    );

    let named = bench.cloud.get("/v2/droplets?name=wEB-3").await;
    assert_eq!(named["droplets"][0]["id"], json!(ids[3]));
    assert_eq!(named["meta"]["total"], 1);
    let both = "/v2/droplets?tag_name=else&name=other";
    assert_eq!(bench.cloud.status(Method::GET, both, None).await, 422);
    assert_eq!(bench.cloud.ids_by_tag("never-used").await, Vec::<i64>::new());
    bench.control.patch(json!({"unknown_tag": "not-found"})).await;
    let unknown = "/v2/droplets?tag_name=never-used";
    assert_eq!(bench.cloud.status(Method::GET, unknown, None).await, 404);
}

#[tokio::test]
async fn a_token_without_the_scope_is_refused_before_the_effect_or_after() {
    let mut late = Token::scoped("late", &["droplet:read"]);
    late.forbidden_after_effect = true;
    let rules = Rules {
        tokens: vec![Token::scoped("reader", &["droplet:read"]), late],
        ..Rules::default()
    };
    let bench = Bench::with(rules).await;
    for (token, left) in [("reader", 0), ("late", 1)] {
        let cloud = Cloud::of(&bench.simulator, token);
        assert_eq!(
            cloud
                .status(Method::POST, "/v2/droplets", Some(&wish("a", "b")))
                .await,
            403
        );
        assert_eq!(bench.control.live_droplet_ids().await.len(), left);
        assert_eq!(cloud.status(Method::GET, "/v2/droplets", None).await, 200);
    }
}

#[tokio::test]
async fn two_simulators_share_nothing_and_close_their_ports() {
    let (first, second) = (Bench::new().await, Bench::new().await);
    first.cloud.create("web-1", "a").await;
    assert_eq!(second.control.droplet_count().await.ever, 0);

    let cloud = first.cloud.clone();
    first.simulator.shutdown().await;
    assert!(cloud.send(Method::GET, "/v2/account", None).await.is_err());
    assert_eq!(second.cloud.status(Method::GET, "/v2/account", None).await, 200);
}

#[tokio::test]
async fn the_control_api_refuses_what_it_does_not_know() {
    let bench = Bench::new().await;
    let http = http::client();
    let base = bench.simulator.control_url();
    let post = |path: &str, body: Value| http.post(format!("{base}{path}")).json(&body).send();
    let patch = http
        .patch(format!("{base}/options"))
        .json(&json!({"activation": 1}));
    let refused = [
        (
            post(
                "/faults",
                json!({"match": {"methd": "GET"}, "fault": {"kind": "twice"}}),
            )
            .await,
            400,
        ),
        (post("/faults", json!({"fault": {"kind": "bogus"}})).await, 400),
        (
            post("/holds", json!({"point": "before-effect", "nth": 0})).await,
            422,
        ),
        (post("/holds/7/release", Value::Null).await, 404),
        (
            post("/droplets/7/out-of-band", json!({"change": "delete"})).await,
            422,
        ),
        (patch.send().await, 400),
        (http.get(format!("{base}/journal?since=1")).send().await, 400),
        (http.get(format!("{base}/nowhere")).send().await, 404),
    ];
    for (answer, status) in refused {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), status, "{}", answer.url());
        let body: Value = answer.json().await.expect("JSON");
        assert!(body["error"].is_string(), "{body}");
    }
    assert_eq!(bench.control.patch(json!({})).await, Rules::default());
}
