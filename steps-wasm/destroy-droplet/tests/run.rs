//! Gone means confirmed gone.

use destroy_droplet::{compensate, run};
use fake::{End, FakeHost, What, on};
use serde_json::json;

const DROPLETS: &str = "/v2/droplets";

/// A droplet that runs, and its row in the inventory when it has one.
fn host(row_status: Option<&str>) -> (FakeHost, String) {
    let host = FakeHost::new(json!({}));
    let id = host.cloud.borrow_mut().add("web-1", &[]).to_string();
    host.cloud.borrow_mut().now_ms = 60_000;
    *host.inputs.borrow_mut() = json!({"droplet_provider_id": id});
    if let Some(status) = row_status {
        let row = guest::CloudResource {
            provider: "digitalocean".to_owned(),
            kind: "droplet".to_owned(),
            provider_id: id.clone(),
            name: None,
            region: None,
            status: status.to_owned(),
            public_ip: None,
            tags: Vec::new(),
            raw: "{}".to_owned(),
        };
        host.durable
            .borrow_mut()
            .inventory
            .insert(("droplet".to_owned(), id.clone()), row);
    }
    (host, id)
}

fn assert_gone(host: &FakeHost, end: &End, id: &str) {
    assert_eq!(end, &End::Done(json!({"droplet_id": id, "deleted": true})));
    assert_eq!(host.cloud.borrow().ids(), [0_i64; 0]);
    assert_eq!(host.durable.borrow().deleted, [id]);
}

#[test]
fn it_deletes_once_and_looks_until_the_droplet_is_gone() {
    let (host, id) = host(Some("active"));
    host.cloud.borrow_mut().delete_ms = Some(12_000);
    let end = fake::run(&host, run);
    assert_gone(&host, &end, &id);
    let sent: Vec<String> = host
        .sent
        .borrow()
        .iter()
        .map(|sent| format!("{} {:?}", sent.method, sent.status.unwrap_or(0)))
        .collect();
    assert_eq!(sent, ["DELETE 204", "GET 200", "GET 200", "GET 404"]);
}

#[test]
fn the_id_may_be_a_number_a_text_or_in_the_context_and_the_named_one_wins() {
    let (host, id) = host(None);
    let other = host.cloud.borrow_mut().add("web-2", &[]);
    *host.inputs.borrow_mut() = json!({"droplet_provider_id": id.parse::<i64>().expect("digits")});
    let host = host.with_context("droplet_id", json!(other.to_string()));
    fake::run(&host, run).output();
    assert_eq!(host.cloud.borrow().ids(), [other]);
    *host.inputs.borrow_mut() = json!({});
    fake::run(&host, run).output();
    assert_eq!(host.cloud.borrow().ids(), [0_i64; 0]);
}

#[test]
fn a_404_is_believed_at_once_only_if_the_inventory_has_seen_the_droplet_alive() {
    for (row_status, waits) in [
        (Some("active"), false),
        (Some("off"), false),
        (Some("new"), true),
        (None, true),
    ] {
        let (host, id) = host(row_status);
        host.cloud.borrow_mut().droplets[0].gone_ms = Some(1);
        let end = fake::run(&host, run);
        assert_gone(&host, &end, &id);
        assert_eq!(
            host.cloud.borrow().now_ms - 60_000 >= 60_000,
            waits,
            "{row_status:?}"
        );
    }
}

#[test]
fn a_404_is_believed_at_once_if_the_create_of_the_same_saga_errored() {
    let host = FakeHost::new(json!({})).with_cloud(|cloud| {
        cloud.placement_fails_ms = Some(1_000);
        cloud.create(&json!({"name": "web-1"}));
        cloud.now_ms = 60_000;
    });
    let (id, action_id) = {
        let cloud = host.cloud.borrow();
        (
            cloud.droplets[0].id.to_string(),
            cloud.droplets[0].create_action_id.to_string(),
        )
    };
    let host = host
        .with_context("droplet_id", json!(id))
        .with_context("droplet_create_action_id", json!(action_id));
    let end = fake::run(&host, run);
    assert_gone(&host, &end, &id);
    assert!(host.cloud.borrow().now_ms < 61_000);
}

#[test]
fn one_that_becomes_visible_within_the_window_is_deleted() {
    let (host, id) = host(None);
    host.cloud.borrow_mut().droplets[0].readable_ms = 100_000;
    let end = fake::run(&host, run);
    assert_gone(&host, &end, &id);
    assert!(host.sent.borrow().iter().any(|sent| sent.status == Some(204)));
}

#[test]
fn it_converges_whatever_the_provider_answers() {
    let pending = What::refusal(422, "Droplet already has a pending event.");
    let error = |effect| What::Answer {
        status: 500,
        body: "<html>".to_owned(),
        effect,
    };
    for what in [
        pending,
        error(true),
        error(false),
        What::LostBefore,
        What::LostAfter,
        What::Slow(9_000),
        What::Connect,
        What::RateLimited(2_000),
        What::Unavailable,
        What::BudgetExhausted,
        What::refusal(429, ""),
        What::DieBefore,
        What::DieAfter,
        What::DieAnswered,
    ] {
        let (host, id) = host(Some("active"));
        let host = host.with_faults([on("DELETE", DROPLETS, what).times(3)]);
        let end = fake::run(&host, run);
        assert_gone(&host, &end, &id);
    }
}

#[test]
fn a_404_to_a_second_delete_is_not_taken_for_gone_while_the_droplet_can_be_read() {
    let (host, id) = host(Some("active"));
    host.cloud.borrow_mut().delete_ms = Some(30_000);
    let with_effect = What::Answer {
        status: 500,
        body: String::new(),
        effect: true,
    };
    let host = host.with_faults([on("DELETE", DROPLETS, with_effect)]);
    let end = fake::run(&host, run);
    assert_gone(&host, &end, &id);
    assert_eq!(host.count("DELETE", DROPLETS), 2);
}

#[test]
fn an_accepted_delete_that_never_happens_is_sent_again() {
    let (host, id) = host(Some("active"));
    host.cloud.borrow_mut().delete_ms = None;
    let end = fake::run(&host, run);
    assert_gone(&host, &end, &id);
    assert_eq!(host.count("DELETE", DROPLETS), 2);
}

#[test]
fn a_token_that_may_not_delete_fails_the_step() {
    let (host, _) = host(Some("active"));
    let host = host.with_faults([on(
        "DELETE",
        DROPLETS,
        What::refusal(403, "You are not authorized"),
    )]);
    assert_eq!(fake::run(&host, run), End::Failed("provider-refused".to_owned()));
}

#[test]
fn nothing_brings_it_back() {
    let (host, _) = host(None);
    assert_eq!(
        fake::compensate(&host, &End::Cancelled, compensate),
        End::Done(json!({}))
    );
    assert_eq!(host.sent.borrow().len(), 0);
}

#[test]
fn without_an_id_or_with_a_bad_one_nothing_is_sent() {
    for (inputs, code) in [
        (json!({}), "no-droplet"),
        (json!({"droplet_provider_id": "web-1"}), "invalid-droplet-id"),
        (json!({"droplet_provider_id": "-4"}), "invalid-droplet-id"),
    ] {
        let host = FakeHost::new(inputs);
        assert_eq!(fake::run(&host, run), End::Failed(code.to_owned()));
        assert_eq!(host.sent.borrow().len(), 0);
    }
}
