//! `compensate`: nothing of the step's own is left, and nothing else is touched.

use create_droplet::{compensate, run};
use fake::{End, FakeHost, TAG, What, on};
use serde_json::json;

const DROPLETS: &str = "/v2/droplets";

fn host() -> FakeHost {
    FakeHost::new(json!({
        "droplet_name": "web-1",
        "droplet_region": "fra1",
        "droplet_size": "s-1vcpu-1gb",
        "droplet_image": "debian-12-x64",
    }))
}

fn unfinished() -> End {
    End::Cancelled
}

fn assert_nothing_left(host: &FakeHost, end: &End) {
    assert!(matches!(end, End::Done(_)), "{end:?}");
    assert_eq!(host.cloud.borrow().ids(), [0_i64; 0]);
    assert_eq!(host.context("droplet_id"), None);
    let durable = host.durable.borrow();
    for (_, id) in durable.inventory.keys() {
        assert!(durable.deleted.contains(id), "the row of {id} is still alive");
    }
}

#[test]
fn a_step_that_sent_nothing_has_nothing_to_undo_and_asks_nobody() {
    let host = host();
    let end = fake::compensate(&host, &unfinished(), compensate);
    assert_eq!(end, End::Done(json!({ "deleted": [] })));
    assert_eq!(host.sent.borrow().len(), 0);
}

#[test]
fn a_refused_create_has_nothing_to_undo() {
    let host = host().with_faults([on("POST", DROPLETS, What::refusal(422, "no"))]);
    let failed = fake::run(&host, run);
    let requests = host.sent.borrow().len();
    let end = fake::compensate(&host, &failed, compensate);
    assert_eq!(end, End::Done(json!({ "deleted": [] })));
    assert_eq!(host.sent.borrow().len(), requests);
}

#[test]
fn a_created_droplet_is_deleted_and_confirmed_gone() {
    let host = host();
    let done = fake::run(&host, run);
    let end = fake::compensate(&host, &done, compensate);
    assert_nothing_left(&host, &end);
    assert_eq!(end.output()["deleted"], json!([done.output()["droplet_id"]]));
    assert_eq!(host.count("DELETE", DROPLETS), 1);
    let again = fake::compensate(&host, &done, compensate);
    assert_nothing_left(&host, &again);
}

#[test]
fn a_create_cut_off_at_any_point_is_undone() {
    for what in [
        What::LostAfter,
        What::LostBefore,
        What::Slow(45_000),
        What::DieAfter,
        What::DieAnswered,
        What::DieBefore,
    ] {
        for lag_ms in [0, 55_000] {
            let host = host().with_cloud(|cloud| cloud.list_lag_ms = lag_ms);
            let host = host.with_faults([
                on("POST", DROPLETS, what.clone()),
                on("GET", DROPLETS, What::Cancelled).after(1),
            ]);
            fake::run(&host, run);
            host.faults.borrow_mut().clear();
            let end = fake::compensate(&host, &unfinished(), compensate);
            assert_nothing_left(&host, &end);
        }
    }
}

#[test]
fn a_404_on_an_id_that_nobody_has_seen_is_lag_and_not_gone() {
    let host = host().with_cloud(|cloud| {
        cloud.read_lag_ms = 30_000;
        cloud.list_lag_ms = 30_000;
    });
    let done = fake::run(&host, run);
    let end = fake::compensate(&host, &done, compensate);
    assert_nothing_left(&host, &end);
    let accepted = host
        .sent
        .borrow()
        .iter()
        .filter(|sent| sent.method == "DELETE" && sent.status == Some(204))
        .count();
    assert_eq!(accepted, 1);
}

#[test]
fn a_failed_placement_needs_no_settle_window() {
    let host = host().with_cloud(|cloud| cloud.placement_fails_ms = Some(1));
    let done = fake::run(&host, run);
    host.cloud.borrow_mut().now_ms += 2_000;
    let began_ms = host.cloud.borrow().now_ms;
    let end = fake::compensate(&host, &done, compensate);
    assert_nothing_left(&host, &end);
    assert!(host.cloud.borrow().now_ms - began_ms < 1_000);
}

#[test]
fn deletes_converge_whatever_the_provider_answers() {
    let pending = What::refusal(422, "Droplet already has a pending event.");
    let with_effect = What::Answer {
        status: 500,
        body: String::new(),
        effect: true,
    };
    for what in [
        pending,
        with_effect,
        What::LostBefore,
        What::LostAfter,
        What::Slow(40_000),
        What::Unavailable,
        What::BudgetExhausted,
        What::DieAfter,
    ] {
        let host = host();
        let done = fake::run(&host, run);
        host.faults
            .borrow_mut()
            .push(on("DELETE", DROPLETS, what).times(4));
        let end = fake::compensate(&host, &done, compensate);
        assert_nothing_left(&host, &end);
    }
}

#[test]
fn a_delete_that_was_accepted_and_forgotten_is_sent_again() {
    let host = host().with_cloud(|cloud| cloud.delete_ms = None);
    let done = fake::run(&host, run);
    let end = fake::compensate(&host, &done, compensate);
    assert_nothing_left(&host, &end);
    assert_eq!(host.count("DELETE", DROPLETS), 2);
}

#[test]
fn everything_under_the_tag_goes_and_nothing_else() {
    let host = host();
    let done = fake::run(&host, run);
    host.cloud.borrow_mut().add("web-1", &[TAG]);
    let stranger = host
        .cloud
        .borrow_mut()
        .add("web-1", &["managed-by-arcadia-cloud", "arcadia-r-other"]);
    let end = fake::compensate(&host, &done, compensate);
    assert!(matches!(end, End::Done(_)));
    assert_eq!(host.cloud.borrow().ids(), [stranger]);
}

#[test]
fn another_steps_droplet_in_the_context_stays() {
    let host = host();
    let other = host.cloud.borrow_mut().add("web-0", &["arcadia-r-other"]);
    let host = host.with_context("droplet_id", json!(other.to_string()));
    let end = fake::compensate(&host, &unfinished(), compensate);
    assert_eq!(end, End::Done(json!({ "deleted": [] })));
    assert_eq!(host.cloud.borrow().ids(), [other]);
    assert_eq!(host.context("droplet_id"), Some(json!(other.to_string())));
}

#[test]
fn a_checkpointed_droplet_that_no_listing_shows_is_deleted_by_its_tag() {
    let host = host();
    let own = host.cloud.borrow_mut().add("web-1", &[TAG]);
    host.cloud.borrow_mut().droplets[0].listed_ms = u64::MAX;
    let host = host.with_context("droplet_id", json!(own.to_string()));
    let end = fake::compensate(&host, &unfinished(), compensate);
    assert_nothing_left(&host, &end);
}

/// Adopted, written down, and its host died; then it was never placed.
#[test]
fn the_row_of_an_adopted_droplet_that_is_gone_since_is_closed() {
    let host = host().with_faults([on("POST", DROPLETS, What::LostAfter)]);
    let done = fake::run(&host, run);
    assert!(matches!(done, End::Done(_)), "{done:?}");
    host.cloud.borrow_mut().droplets.clear();
    let end = fake::compensate(&host, &unfinished(), compensate);
    assert_nothing_left(&host, &end);
}

#[test]
fn a_candidate_that_never_shows_its_tag_is_reported_not_deleted() {
    let host = host().with_cloud(|cloud| cloud.tag_lag_ms = u64::MAX / 2);
    let host = host.with_faults([
        on("POST", DROPLETS, What::LostAfter),
        on("GET", DROPLETS, What::Cancelled).after(1),
    ]);
    fake::run(&host, run);
    host.faults.borrow_mut().clear();
    let end = fake::compensate(&host, &unfinished(), compensate);
    assert!(matches!(end, End::Done(_)));
    let id = host.cloud.borrow().ids()[0].to_string();
    assert_eq!(
        host.durable.borrow().findings,
        [("untagged-candidate".to_owned(), id)]
    );
    assert_eq!(host.count("DELETE", DROPLETS), 0);
}
