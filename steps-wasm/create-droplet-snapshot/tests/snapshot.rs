//! One snapshot or none, whatever happens to its request.

use create_droplet_snapshot::{compensate, run};
use fake::{End, FakeHost, TAG, What, on};
use serde_json::json;

const ACTIONS: &str = "/v2/droplets/";

fn host() -> FakeHost {
    let host = FakeHost::new(json!({"snapshot_label": "before-upgrade"}));
    let id = host.cloud.borrow_mut().add("web-1", &[]);
    host.cloud.borrow_mut().now_ms = 60_000;
    host.with_context("droplet_id", json!(id.to_string()))
}

fn name() -> String {
    format!("before-upgrade-{TAG}")
}

fn error(status: u16, effect: bool) -> What {
    What::Answer {
        status,
        body: "<html>".to_owned(),
        effect,
    }
}

fn assert_one(host: &FakeHost, end: &End) {
    let live = host.cloud.borrow().live_snapshots();
    assert_eq!(live.len(), 1, "{end:?}");
    assert_eq!(end.output()["snapshot_id"], json!(live[0]));
    assert_eq!(end.output()["snapshot_name"], json!(name()));
    assert_eq!(host.context("snapshot_id"), Some(json!(live[0])));
    let durable = host.durable.borrow();
    let row = &durable.inventory[&("snapshot".to_owned(), live[0].clone())];
    assert_eq!(row.name, Some(name()));
    assert_eq!(row.region.as_deref(), Some("fra1"));
}

fn assert_none_left(host: &FakeHost, end: &End) {
    assert!(matches!(end, End::Done(_)), "{end:?}");
    assert_eq!(host.cloud.borrow().live_snapshots(), [""; 0]);
    assert_eq!(host.context("snapshot_id"), None);
    let durable = host.durable.borrow();
    for (_, id) in durable.inventory.keys() {
        assert!(durable.deleted.contains(id), "the row of {id} is still alive");
    }
}

#[test]
fn a_snapshot_is_begun_once_followed_and_found_by_its_name() {
    let host = host();
    host.cloud.borrow_mut().add_snapshot("before-upgrade");
    host.cloud.borrow_mut().snapshots.clear();
    let end = fake::run(&host, run);
    assert_one(&host, &end);
    assert_eq!(host.count("POST", ACTIONS), 1);
    assert_eq!(host.count("GET", "/v2/snapshots"), 1);
}

#[test]
fn an_unclear_request_is_never_sent_again_and_its_snapshot_is_found() {
    for what in [
        What::LostAfter,
        What::DieAfter,
        What::DieAnswered,
        What::Slow(50_000),
        error(500, true),
        error(201, true),
        error(403, true),
    ] {
        for lag_ms in [0, 20_000] {
            let host = host().with_faults([on("POST", ACTIONS, what.clone())]);
            host.cloud.borrow_mut().snapshot_list_lag_ms = lag_ms;
            let end = fake::run(&host, run);
            assert_one(&host, &end);
            assert_eq!(host.count("POST", ACTIONS), 1, "{what:?}");
        }
    }
}

#[test]
fn a_snapshot_that_takes_longer_than_the_window_is_still_found_in_doubt() {
    let host = host().with_faults([on("POST", ACTIONS, What::LostAfter)]);
    host.cloud.borrow_mut().snapshot_ms = 600_000;
    host.cloud.borrow_mut().snapshot_list_lag_ms = 30_000;
    let end = fake::run(&host, run);
    assert_one(&host, &end);
}

#[test]
fn an_unclear_request_without_effect_fails_in_doubt_after_the_window() {
    for what in [What::LostBefore, What::DieBefore, error(500, false)] {
        let host = host().with_faults([on("POST", ACTIONS, what)]);
        assert_eq!(fake::run(&host, run), End::Failed("snapshot-in-doubt".to_owned()));
        assert_eq!(host.count("POST", ACTIONS), 1);
        let age_ms = host.cloud.borrow().now_ms - 60_000;
        assert!((60_000..95_000).contains(&age_ms), "{age_ms}");
    }
}

#[test]
fn a_pending_event_delays_the_snapshot_and_a_bad_request_ends_it() {
    let pending = What::refusal(422, "Droplet already has a pending event.");
    let host = host().with_faults([on("POST", ACTIONS, pending).times(7)]);
    let end = fake::run(&host, run);
    assert_one(&host, &end);
    let host = self::host().with_faults([on("POST", ACTIONS, What::refusal(400, "bad name"))]);
    assert_eq!(fake::run(&host, run), End::Failed("snapshot-refused".to_owned()));
    let host = self::host().with_faults([on("POST", ACTIONS, What::refusal(422, "never")).times(1_000)]);
    assert_eq!(fake::run(&host, run), End::Failed("snapshot-refused".to_owned()));
}

#[test]
fn what_was_not_sent_is_sent_later() {
    for what in [
        What::Connect,
        What::RateLimited(5_000),
        What::Unavailable,
        What::BudgetExhausted,
        What::refusal(429, ""),
    ] {
        let host = host().with_faults([on("POST", ACTIONS, what).times(3)]);
        let end = fake::run(&host, run);
        assert_one(&host, &end);
    }
}

#[test]
fn a_droplet_that_is_not_there_fails_the_step_only_after_the_window() {
    let host = host().with_cloud(|cloud| cloud.droplets[0].gone_ms = Some(1));
    assert_eq!(fake::run(&host, run), End::Failed("droplet-not-found".to_owned()));
    let host = self::host().with_cloud(|cloud| cloud.droplets[0].readable_ms = 90_000);
    let end = fake::run(&host, run);
    assert_one(&host, &end);
}

#[test]
fn an_action_that_errors_fails_the_step() {
    let host = host().with_cloud(|cloud| cloud.snapshot_errors = true);
    let failed = fake::run(&host, run);
    assert_eq!(failed, End::Failed("snapshot-errored".to_owned()));
    assert_none_left(&host, &fake::compensate(&host, &failed, compensate));
}

#[test]
fn a_completed_snapshot_that_is_listed_late_is_waited_for() {
    let host = host().with_cloud(|cloud| cloud.snapshot_list_lag_ms = 240_000);
    let end = fake::run(&host, run);
    assert_one(&host, &end);
}

#[test]
fn of_two_of_the_same_name_one_stays_and_is_recorded() {
    for what in [None, Some(error(500, false)), Some(What::LostAfter)] {
        let host = host().with_cloud(|cloud| cloud.snapshots_per_request = 2);
        host.faults
            .borrow_mut()
            .extend(what.map(|what| on("DELETE", "/v2/snapshots", what)));
        let end = fake::run(&host, run);
        assert_one(&host, &end);
    }
}

#[test]
fn a_step_that_sent_nothing_has_nothing_to_undo_and_asks_nobody() {
    let host = host();
    assert_eq!(
        fake::compensate(&host, &End::Cancelled, compensate),
        End::Done(json!({ "deleted": [] }))
    );
    assert_eq!(host.sent.borrow().len(), 0);
}

#[test]
fn a_snapshot_is_undone_after_its_making_has_ended_wherever_run_was_cut_off() {
    for what in [
        What::LostAfter,
        What::LostBefore,
        What::Slow(50_000),
        What::DieAnswered,
        error(500, true),
        error(503, false),
    ] {
        let faults = [on("POST", ACTIONS, what), on("GET", "/v2/", What::Cancelled)];
        let host = host().with_faults(faults);
        host.cloud.borrow_mut().snapshot_list_lag_ms = 15_000;
        fake::run(&host, run);
        host.faults.borrow_mut().clear();
        let end = fake::compensate(&host, &End::Cancelled, compensate);
        assert_none_left(&host, &end);
    }
}

#[test]
fn an_action_that_becomes_visible_late_is_waited_for() {
    let host = host().with_faults([
        on("POST", ACTIONS, What::LostAfter),
        on("GET", "/v2/", What::Cancelled),
    ]);
    host.cloud.borrow_mut().snapshot_ms = 300_000;
    fake::run(&host, run);
    let unseen = What::Answer {
        status: 200,
        body: "{\"actions\": []}".to_owned(),
        effect: false,
    };
    *host.faults.borrow_mut() = vec![on("GET", ACTIONS, unseen).times(2)];
    let end = fake::compensate(&host, &End::Cancelled, compensate);
    assert_none_left(&host, &end);
}

#[test]
fn a_finished_snapshot_is_deleted_with_everything_of_its_name_and_nothing_else() {
    let host = host();
    let done = fake::run(&host, run);
    host.cloud.borrow_mut().add_snapshot(&name());
    let other = host
        .cloud
        .borrow_mut()
        .add_snapshot("before-upgrade-arcadia-r-other")
        .to_string();
    for fault in [
        error(500, false),
        What::LostAfter,
        What::refusal(422, "busy"),
        What::Connect,
    ] {
        host.faults
            .borrow_mut()
            .push(on("DELETE", "/v2/snapshots", fault));
    }
    let end = fake::compensate(&host, &done, compensate);
    assert!(matches!(end, End::Done(_)));
    assert_eq!(host.cloud.borrow().live_snapshots(), [other]);
    assert_eq!(host.context("snapshot_id"), None);
}

#[test]
fn the_snapshot_outlives_its_droplet_and_can_still_be_undone() {
    let host = host().with_faults([on("POST", ACTIONS, What::LostAfter)]);
    let done = fake::run(&host, run);
    host.cloud.borrow_mut().droplets[0].gone_ms = Some(1);
    assert_none_left(&host, &fake::compensate(&host, &done, compensate));
}
