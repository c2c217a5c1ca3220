//! The simulator's faults in what becomes of droplets, snapshots and listings, each seen by a client.

use arcadia::simulator::{
    Activation, AnswerFault, BodyForm, Fault, FaultKind, Listing, Matcher, Point, Rules, Strange, Token,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    provider::{Bench, Cloud, wish},
    simulator::requests,
};

fn creates() -> Matcher {
    requests("POST", "/v2/droplets")
}

fn answer(point: Point, status: u16) -> FaultKind {
    FaultKind::Answer(AnswerFault {
        point,
        status: Some(status),
        body: BodyForm::Proper,
        message: None,
        retry_after: None,
    })
}

/// The status and the number of public addresses after each advance.
async fn lives(activation: Activation, advances_ms: &[u64]) -> Vec<(String, usize)> {
    let bench = Bench::new().await;
    bench
        .control
        .fault_once(creates(), FaultKind::Activation(activation))
        .await;
    let id = bench.cloud.create("web-1", "a").await;
    let mut seen = Vec::new();
    for advance_ms in advances_ms {
        bench.control.advance(*advance_ms).await;
        let droplet = bench.cloud.get(&format!("/v2/droplets/{id}")).await["droplet"].clone();
        let networks = droplet["networks"]["v4"].as_array().expect("networks").iter();
        let public = networks.filter(|network| network["type"] == "public").count();
        seen.push((droplet["status"].as_str().expect("a status").to_owned(), public));
    }
    seen
}

#[tokio::test]
async fn f9_a_droplet_is_slow_never_active_without_address_or_flapping() {
    let told = |list: &[(&str, usize)]| -> Vec<(String, usize)> {
        list.iter()
            .map(|(status, public)| ((*status).to_owned(), *public))
            .collect()
    };
    let slow = Activation::Slow { after_ms: 300_000 };
    assert_eq!(
        lives(slow, &[299_999, 1]).await,
        told(&[("new", 0), ("active", 1)])
    );
    assert_eq!(lives(Activation::Never, &[86_400_000]).await, told(&[("new", 0)]));
    let bare = lives(Activation::WithoutPublicIp, &[20_000]).await;
    assert_eq!(bare, told(&[("active", 0)]));
    let flapping = Activation::Flapping { period_ms: 5_000 };
    let expected = told(&[("active", 1), ("off", 1), ("active", 1)]);
    assert_eq!(lives(flapping, &[20_000, 5_000, 5_000]).await, expected);
}

#[tokio::test]
async fn f10_f11_a_create_fails_after_its_202_with_or_without_a_droplet_left() {
    let fails = FaultKind::PlacementFails { after_ms: 1_000 };
    let errors = FaultKind::CreateErrors { after_ms: 1_000 };
    for (kind, status, live) in [(fails, 404, 0), (errors, 200, 1)] {
        let bench = Bench::new().await;
        bench.control.fault_once(creates(), kind).await;
        let id = bench.cloud.create("web-1", "a").await;
        bench.control.advance(60_000).await;
        assert_eq!(
            bench
                .cloud
                .status(Method::GET, &format!("/v2/droplets/{id}"), None)
                .await,
            status
        );
        let state = bench.control.state().await;
        assert_eq!(state.actions[0].status, "errored");
        assert_eq!(state.droplets.iter().filter(|droplet| droplet.live).count(), live);
        assert!(state.droplets.iter().all(|droplet| droplet.status == "new"));
    }
}

#[tokio::test]
async fn f12_f14_others_change_and_delete_droplets() {
    let bench = Bench::new().await;
    let id = bench.active_droplet("a").await;
    for change in [
        json!({"change": "rename", "name": "other"}),
        json!({"change": "resize", "size": "s-2vcpu-4gb"}),
        json!({"change": "retag", "tags": ["x"]}),
        json!({"change": "rebuild", "image": "debian-13-x64"}),
        json!({"change": "power-off"}),
    ] {
        bench.control.out_of_band(id, change).await;
    }
    let path = format!("/v2/droplets/{id}");
    let droplet = bench.cloud.get(&path).await["droplet"].clone();
    let seen = json!([
        droplet["name"],
        droplet["size_slug"],
        droplet["tags"],
        droplet["image"]["slug"],
        droplet["status"]
    ]);
    assert_eq!(
        seen,
        json!(["other", "s-2vcpu-4gb", ["x"], "debian-13-x64", "off"])
    );
    bench.control.out_of_band(id, json!({"change": "delete"})).await;
    assert_eq!(bench.cloud.status(Method::GET, &path, None).await, 404);
    let gone = bench.control.state().await.droplets[0].gone_cause.clone();
    assert_eq!(gone.as_deref(), Some("out-of-band"));

    let vanish = FaultKind::Vanish { after_ms: 500 };
    bench.control.fault_once(creates(), vanish).await;
    let id = bench.cloud.create("web-2", "a").await;
    bench.control.advance(500).await;
    assert_eq!(
        bench
            .cloud
            .status(Method::GET, &format!("/v2/droplets/{id}"), None)
            .await,
        404
    );
}

#[tokio::test]
async fn f12_a_droplet_goes_while_its_snapshot_is_taken() {
    let bench = Bench::new().await;
    let id = bench.active_droplet("a").await;
    let vanish = FaultKind::Vanish { after_ms: 500 };
    let starts = requests("POST", "/v2/droplets/*/actions");
    bench.control.fault_once(starts, vanish).await;
    let actions = format!("/v2/droplets/{id}/actions");
    let body = json!({"type": "snapshot", "name": "s"});
    let (status, started) = bench.cloud.json(Method::POST, &actions, Some(&body)).await;
    assert_eq!(status, 201);
    bench.control.advance(60_000).await;
    let action = format!("/v2/actions/{}", started["action"]["id"]);
    assert_eq!(bench.cloud.get(&action).await["action"]["status"], "errored");
    assert_eq!(bench.cloud.get("/v2/snapshots").await["meta"]["total"], 0);
    let path = format!("/v2/droplets/{id}");
    assert_eq!(bench.cloud.status(Method::GET, &path, None).await, 404);
}

#[tokio::test]
async fn f13_one_request_can_make_two_droplets() {
    let bench = Bench::new().await;
    bench.control.fault_once(creates(), FaultKind::Twice).await;
    let id = bench.cloud.create("web-1", "a").await;
    let ids = bench.cloud.ids_by_tag("a").await;
    assert!(ids.len() == 2 && ids.contains(&id), "{ids:?}");
    assert_eq!(bench.control.journal_of("POST", "a").await[0].effects.len(), 2);
}

#[tokio::test]
async fn f15_a_snapshot_errors_comes_twice_or_is_listed_late() {
    let bench = Bench::new().await;
    let id = bench.active_droplet("a").await;
    let actions = format!("/v2/droplets/{id}/actions");
    let starts = || requests("POST", "/v2/droplets/*/actions");
    let snapshot = json!({"type": "snapshot", "name": "s"});
    let listed = || async { bench.cloud.get("/v2/snapshots").await["meta"]["total"].clone() };

    bench.control.fault_once(starts(), FaultKind::ActionErrors).await;
    assert_eq!(
        bench.cloud.status(Method::POST, &actions, Some(&snapshot)).await,
        201
    );
    bench.control.advance(30_000).await;
    assert_eq!(bench.control.state().await.actions[1].status, "errored");
    assert_eq!(listed().await, 0);

    bench.control.fault_once(starts(), FaultKind::Twice).await;
    bench
        .control
        .fault_once(starts(), FaultKind::SnapshotLag { lag_ms: 10_000 })
        .await;
    assert_eq!(
        bench.cloud.status(Method::POST, &actions, Some(&snapshot)).await,
        201
    );
    bench.control.advance(30_000).await;
    assert_eq!(bench.control.state().await.actions[2].status, "completed");
    assert_eq!(listed().await, 0);
    bench.control.advance(10_000).await;
    assert_eq!(listed().await, 2);
}

#[tokio::test]
async fn f15_the_answer_to_a_snapshot_is_lost_and_a_second_one_has_the_same_name() {
    let bench = Bench::new().await;
    let id = bench.active_droplet("a").await;
    let actions = format!("/v2/droplets/{id}/actions");
    let body = json!({"type": "snapshot", "name": "s"});
    for (point, snapshots) in [
        (Point::BeforeEffect, 0),
        (Point::AfterEffect, 1),
        (Point::AfterEffect, 2),
    ] {
        let reset = FaultKind::Reset { point };
        let starts = requests("POST", "/v2/droplets/*/actions");
        bench.control.fault_once(starts, reset).await;
        let lost = bench.cloud.send(Method::POST, &actions, Some(&body)).await;
        lost.expect_err("no answer");
        bench.control.advance(30_000).await;
        let listed = bench.cloud.get("/v2/snapshots").await["snapshots"].clone();
        let listed = listed.as_array().expect("a list");
        assert_eq!(listed.len(), snapshots);
        assert!(listed.iter().all(|snapshot| snapshot["name"] == "s"));
    }
}

#[tokio::test]
async fn f16_a_delete_is_refused_ignored_or_done_in_spite_of_a_500() {
    let bench = Bench::new().await;
    let id = bench.active_droplet("a").await;
    let path = format!("/v2/droplets/{id}");
    let deletes = || requests("DELETE", "/v2/droplets/*");

    let pending = answer(Point::BeforeEffect, 422);
    bench.control.fault_once(deletes(), pending).await;
    let (status, body) = bench.cloud.json(Method::DELETE, &path, None).await;
    assert_eq!(
        (status, &body["message"]),
        (422, &json!("Droplet already has a pending event."))
    );

    bench
        .control
        .fault_once(deletes(), FaultKind::DeleteIgnored)
        .await;
    assert_eq!(bench.cloud.status(Method::DELETE, &path, None).await, 204);
    bench.control.advance(3_600_000).await;
    assert_eq!(bench.cloud.status(Method::GET, &path, None).await, 200);

    let missing = answer(Point::BeforeEffect, 404);
    bench.control.fault_once(deletes(), missing).await;
    assert_eq!(bench.cloud.status(Method::DELETE, &path, None).await, 404);
    assert_eq!(bench.control.droplet_count().await.live, 1);

    let failed = answer(Point::AfterEffect, 500);
    bench.control.fault_once(deletes(), failed).await;
    assert_eq!(bench.cloud.status(Method::DELETE, &path, None).await, 500);
    bench.control.advance(3_000).await;
    assert_eq!(bench.cloud.status(Method::GET, &path, None).await, 404);
    let effects: Vec<usize> = bench
        .control
        .journal_of("DELETE", "a")
        .await
        .iter()
        .map(|entry| entry.effects.len())
        .collect();
    assert_eq!(effects, [0, 0, 0, 1]);
}

#[tokio::test]
async fn f17_f19_a_listing_shifts_lies_fails_on_one_page_or_is_empty() {
    let bench = Bench::new().await;
    for number in 0..4 {
        bench.cloud.create(&format!("web-{number}"), "a").await;
    }
    let page = |number: u64| format!("/v2/droplets?per_page=2&page={number}");
    let second = Matcher {
        query: [("page".to_owned(), "2".to_owned())].into(),
        ..requests("GET", "/v2/droplets")
    };
    let listing = |listing| FaultKind::Listing(listing);
    let shifted = listing(Listing {
        shift: 1,
        total: Some(9),
        ..Listing::default()
    });
    bench.control.fault_once(second.clone(), shifted).await;
    let got = bench.cloud.get(&page(2)).await;
    assert_eq!(got["droplets"].as_array().map(Vec::len), Some(1));
    assert_eq!(got["meta"]["total"], 9);

    let fails = answer(Point::BeforeEffect, 500);
    bench.control.add_fault(Fault::on(second, fails)).await;
    assert_eq!(bench.cloud.status(Method::GET, &page(1), None).await, 200);
    assert_eq!(bench.cloud.status(Method::GET, &page(2), None).await, 500);
    bench.control.clear_faults().await;
    assert_eq!(bench.cloud.status(Method::GET, &page(2), None).await, 200);

    let more = listing(Listing {
        page_more: true,
        ..Listing::default()
    });
    let listings = requests("GET", "/v2/droplets");
    bench.control.add_fault(Fault::on(listings, more)).await;
    let last = bench.cloud.get(&page(2)).await;
    let next = last["links"]["pages"]["next"].as_str();
    assert!(next.is_some_and(|next| next.contains("page=3")), "{last}");
    let past = bench.cloud.get(&page(3)).await;
    assert_eq!(
        (&past["droplets"], &past["meta"]["total"]),
        (&json!([]), &json!(4))
    );
    assert!(past["links"]["pages"].get("next").is_none());
    bench.control.clear_faults().await;

    let empty = listing(Listing {
        empty: true,
        ..Listing::default()
    });
    bench
        .control
        .fault_once(requests("GET", "/v2/droplets"), empty)
        .await;
    assert_eq!(bench.cloud.get("/v2/droplets").await["droplets"], json!([]));
}

#[tokio::test]
async fn f18_a_token_is_revoked_in_the_middle() {
    let bench = Bench::new().await;
    bench.cloud.create("web-1", "a").await;
    bench.control.patch(json!({"tokens": []})).await;
    assert_eq!(bench.cloud.status(Method::GET, "/v2/droplets", None).await, 401);
    assert_eq!(bench.control.droplet_count().await.live, 1);

    let reader = Token::scoped("sim-token", &["droplet:read"]);
    bench.control.patch(json!({"tokens": [reader]})).await;
    let listed = bench.cloud.get("/v2/droplets").await["droplets"][0].clone();
    assert_eq!(
        listed["tags"],
        json!([]),
        "without tag:read there seem to be none"
    );
    let path = format!("/v2/droplets/{}", listed["id"]);
    assert_eq!(bench.cloud.status(Method::DELETE, &path, None).await, 403);
    assert_eq!(bench.control.droplet_count().await.live, 1);
}

/// They are made by plain calls, with another token of the same account.
#[tokio::test]
async fn f20_droplets_of_others_stand_in_the_same_listings() {
    let rules = Rules {
        tokens: vec![Token::full("sim-token"), Token::full("somebody-else")],
        ..Rules::default()
    };
    let bench = Bench::with(rules).await;
    let other = Cloud::of(&bench.simulator, "somebody-else");
    let ours = bench.cloud.create("web-1", "ours").await;
    let tagged = other.create("web-1", "theirs").await;
    let mut bare = wish("web-1", "");
    bare.as_object_mut().expect("an object").remove("tags");
    let (_, bare) = other.json(Method::POST, "/v2/droplets", Some(&bare)).await;
    let listed = bench.cloud.get("/v2/droplets?name=web-1").await["droplets"].clone();
    let ids: Vec<&Value> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|droplet| &droplet["id"])
        .collect();
    assert_eq!(json!(ids), json!([bare["droplet"]["id"], tagged, ours]));
    assert_eq!(bench.cloud.ids_by_tag("ours").await, [ours]);
    let journal = bench.control.journal().await;
    let tokens: Vec<Option<&str>> = journal.iter().map(|entry| entry.token.as_deref()).collect();
    let [ours, theirs] = [Some("sim-token"), Some("somebody-else")];
    assert_eq!(tokens, [ours, theirs, theirs, ours, ours]);
}

#[tokio::test]
async fn f21_an_answer_has_unknown_fields_and_statuses_and_null_tags() {
    let bench = Bench::new().await;
    let strange = Strange {
        extra_fields: true,
        null_tags: true,
        droplet_status: Some("hibernating".into()),
        action_status: Some("queued".into()),
    };
    bench
        .control
        .add_fault(Fault::on(Matcher::default(), FaultKind::Strange(strange)))
        .await;
    let id = bench.cloud.create("web-1", "a").await;
    let droplet = bench.cloud.get(&format!("/v2/droplets/{id}")).await["droplet"].clone();
    assert_eq!(
        (&droplet["status"], &droplet["tags"]),
        (&json!("hibernating"), &Value::Null)
    );
    assert!(droplet["region"]["x_unknown"].is_object());
    let actions = bench.cloud.get("/v2/actions").await;
    assert_eq!(actions["actions"][0]["status"], "queued");
}

#[tokio::test]
async fn f22_the_providers_clock_differs_by_a_skew() {
    let rules = Rules {
        timestamp_skew_ms: -3_600_000,
        ..Rules::default()
    };
    let bench = Bench::with(rules).await;
    let id = bench.cloud.create("web-1", "a").await;
    let droplet = bench.cloud.get(&format!("/v2/droplets/{id}")).await["droplet"].clone();
    assert_eq!(droplet["created_at"], "2025-12-31T23:00:00Z");
}
