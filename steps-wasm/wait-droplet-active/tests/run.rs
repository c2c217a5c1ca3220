//! `run`: patient, cheap, and never mistaken about a droplet that isn't there.

use fake::{End, FakeHost, What, on};
use serde_json::json;
use wait_droplet_active::run;

const DROPLETS: &str = "/v2/droplets";
const SHARED: &str = "managed-by-arcadia-cloud";

/// A host whose provider has just accepted a create.
fn host(change: impl FnOnce(&mut fake::FakeCloud)) -> FakeHost {
    let host = FakeHost::new(json!({})).with_cloud(|cloud| cloud.now_ms = 1);
    change(&mut host.cloud.borrow_mut());
    let (id, action_id) = {
        let mut cloud = host.cloud.borrow_mut();
        cloud.create(&json!({"name": "web-1", "tags": [SHARED]}));
        let droplet = cloud.droplets.last().expect("just made");
        (droplet.id.to_string(), droplet.create_action_id.to_string())
    };
    host.with_context("droplet_id", json!(id))
        .with_context("droplet_create_action_id", json!(action_id))
}

#[test]
fn it_looks_only_at_the_shared_listing_and_records_the_addresses() {
    let host = host(|_| {});
    let end = fake::run(&host, run);
    assert_eq!(end.output()["public_ip"], "203.0.113.7");
    assert_eq!(host.context("droplet_public_ip"), Some(json!("203.0.113.7")));
    assert_eq!(host.context("droplet_private_ip"), Some(json!("10.0.0.2")));
    let sent = host.sent.borrow();
    assert!(
        sent.iter()
            .all(|sent| sent.query == format!("tag_name={SHARED}&per_page=200")),
        "{sent:?}"
    );
    let looks: Vec<u64> = sent.iter().map(|sent| sent.at_ms / 1_000).collect();
    assert_eq!(looks, [5, 10, 15, 20]);
    assert!(sent.iter().all(|sent| sent.max_age_ms == Some(5_000)));
}

#[test]
fn a_droplet_on_a_later_page_is_found_and_the_tag_goes_with_every_page() {
    let host = host(|cloud| {
        cloud.per_page = 2;
        for number in 0..5 {
            cloud.add(&format!("other-{number}"), &[SHARED]);
        }
    });
    fake::run(&host, run).output();
    let sent = host.sent.borrow();
    assert_eq!(
        sent.iter().filter(|sent| sent.query.ends_with("page=3")).count(),
        4
    );
    assert!(
        sent.iter()
            .all(|sent| sent.query.contains(SHARED) && sent.path == DROPLETS),
        "{sent:?}"
    );
}

#[test]
fn one_that_no_listing_shows_is_read_by_its_id() {
    let host = host(|cloud| cloud.list_lag_ms = 3_600_000);
    fake::run(&host, run).output();
    assert_eq!(host.count("GET", "/v2/droplets/"), 4);
}

#[test]
fn a_404_on_an_id_never_seen_is_lag() {
    let host = host(|cloud| {
        cloud.list_lag_ms = 60_000;
        cloud.read_lag_ms = 60_000;
    });
    fake::run(&host, run).output();
}

#[test]
fn a_failed_placement_fails_the_step_whether_the_droplet_was_seen_or_not() {
    for (fails_ms, lag_ms) in [(7_000, 0), (2_000, 0), (7_000, 3_600_000)] {
        let host = host(|cloud| {
            cloud.placement_fails_ms = Some(fails_ms);
            cloud.list_lag_ms = lag_ms;
            cloud.read_lag_ms = lag_ms;
        });
        assert_eq!(fake::run(&host, run), End::Failed("placement-failed".to_owned()));
        assert!(host.cloud.borrow().now_ms < 20_000, "{fails_ms} {lag_ms}");
    }
}

#[test]
fn without_the_actions_id_it_is_found_among_the_droplets_actions() {
    let host = host(|cloud| cloud.activation_ms = None);
    host.durable
        .borrow_mut()
        .context
        .remove("droplet_create_action_id");
    assert_eq!(
        fake::run(&host, run),
        End::Failed("activation-timeout".to_owned())
    );
    assert!(
        host.count(
            "GET",
            &format!("/v2/droplets/{}/actions", host.cloud.borrow().ids()[0])
        ) > 0
    );
}

#[test]
fn a_droplet_deleted_by_somebody_else_is_noticed() {
    let host = host(|cloud| cloud.activation_ms = None);
    host.cloud.borrow_mut().droplets[0].gone_ms = Some(42_000);
    assert_eq!(fake::run(&host, run), End::Failed("placement-failed".to_owned()));
    assert!(host.cloud.borrow().now_ms < 50_000);
}

#[test]
fn one_that_never_becomes_active_or_public_is_given_up_after_96_looks() {
    for never in [true, false] {
        let host = host(|cloud| {
            cloud.public_ip = never;
            cloud.activation_ms = if never { None } else { Some(1_000) };
        });
        assert_eq!(
            fake::run(&host, run),
            End::Failed("activation-timeout".to_owned())
        );
        assert_eq!(host.count("GET", DROPLETS), 96);
        assert_eq!(host.cloud.borrow().now_ms / 5_000, 96);
        assert_eq!(host.count("POST", DROPLETS), 0);
    }
}

#[test]
fn waiting_for_the_rate_or_a_paused_service_costs_no_poll() {
    for what in [What::RateLimited(9_000), What::Connect, What::Unavailable] {
        let host = host(|cloud| cloud.activation_ms = Some(20_000))
            .with_faults([on("GET", DROPLETS, what).times(500)]);
        *host.params.borrow_mut() = json!({"max_polls": 4});
        fake::run(&host, run).output();
    }
}

#[test]
fn looks_that_fail_count_as_looks() {
    for what in [
        What::LostBefore,
        What::Answer {
            status: 500,
            body: String::new(),
            effect: false,
        },
    ] {
        let host = host(|_| {}).with_faults([on("GET", DROPLETS, what).times(500)]);
        *host.params.borrow_mut() = json!({"max_polls": 4});
        assert_eq!(
            fake::run(&host, run),
            End::Failed("activation-timeout".to_owned())
        );
    }
}

#[test]
fn a_cancel_or_the_death_of_the_host_ends_the_call_at_once() {
    let host = host(|_| {}).with_faults([
        on("GET", DROPLETS, What::DieBefore),
        on("GET", DROPLETS, What::Cancelled),
    ]);
    assert_eq!(fake::run(&host, run), End::Cancelled);
    assert_eq!(host.count("GET", DROPLETS), 1);
}
