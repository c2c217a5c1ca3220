//! `run`, fault by fault: at most one droplet, one create that took effect, and the id where it belongs.

use create_droplet::run;
use fake::{End, FakeHost, TAG, What, on};
use serde_json::{Value, json};

const POST: &str = "POST";
const DROPLETS: &str = "/v2/droplets";

fn inputs() -> Value {
    json!({
        "droplet_name": "web-1",
        "droplet_region": "fra1",
        "droplet_size": "s-1vcpu-1gb",
        "droplet_image": "debian-12-x64",
        "droplet_tags": ["web", "WEB"],
        "droplet_ssh_keys": [12, "ab:cd"],
    })
}

fn host() -> FakeHost {
    FakeHost::new(inputs())
}

/// What holds after every successful end: one droplet, known by the context, the inventory and the output alike.
fn assert_one(host: &FakeHost, end: &End) {
    let ids = host.cloud.borrow().ids();
    assert_eq!(ids.len(), 1, "{end:?}");
    let id = json!(ids[0].to_string());
    assert_eq!(end.output()["droplet_id"], id);
    assert_eq!(host.context("droplet_id"), Some(id));
    let durable = host.durable.borrow();
    let row = &durable.inventory[&("droplet".to_owned(), ids[0].to_string())];
    assert!(row.tags.contains(&TAG.to_owned()), "{row:?}");
    assert_eq!(row.name.as_deref(), Some("web-1"));
}

#[test]
fn a_create_that_goes_well_costs_one_look_and_one_request() {
    let host = host();
    let end = fake::run(&host, run);
    assert_one(&host, &end);
    assert_eq!(end.output()["adopted"], false);
    let sent: Vec<String> = host
        .sent
        .borrow()
        .iter()
        .map(|sent| format!("{} {}?{}", sent.method, sent.path, sent.query))
        .collect();
    assert_eq!(
        sent,
        [
            format!("GET /v2/droplets?tag_name={TAG}&per_page=200"),
            "POST /v2/droplets?".to_owned()
        ]
    );
    let tags = host.cloud.borrow().droplets[0].tags.clone();
    assert_eq!(
        tags,
        ["managed-by-arcadia-cloud", "arcadia-saga-1234abcd", TAG, "web"]
    );
    assert!(host.context("droplet_create_action_id").is_some());
    let durable = host.durable.borrow();
    assert_eq!(durable.inventory.values().next().expect("a row").status, "new");
}

#[test]
fn a_lost_answer_is_adopted_by_tag() {
    let host = host().with_faults([on(POST, DROPLETS, What::LostAfter)]);
    let end = fake::run(&host, run);
    assert_one(&host, &end);
    assert_eq!(end.output()["adopted"], true);
    assert_eq!(host.count(POST, DROPLETS), 1);
}

#[test]
fn a_slow_answer_is_waited_for_and_then_read() {
    let host = host()
        .with_faults([on(POST, DROPLETS, What::Slow(45_000))])
        .with_cloud(|cloud| cloud.list_lag_ms = 3_600_000);
    let end = fake::run(&host, run);
    assert_one(&host, &end);
    assert_eq!(end.output()["adopted"], false);
    assert_eq!(host.count(POST, DROPLETS), 1);
}

#[test]
fn an_effect_behind_an_unclear_answer_is_adopted() {
    let answers = [
        (500, ""),
        (502, "<html>bad gateway</html>"),
        (503, "{}"),
        (504, ""),
        (202, ""),
        (202, "{\"droplet\":{\"na"),
        (202, "{}"),
        (403, "{\"id\":\"forbidden\"}"),
        (404, ""),
    ];
    for (status, body) in answers {
        let what = What::Answer {
            status,
            body: body.to_owned(),
            effect: true,
        };
        let host = host().with_faults([on(POST, DROPLETS, what)]);
        let end = fake::run(&host, run);
        assert_one(&host, &end);
        assert_eq!(host.count(POST, DROPLETS), 1, "{status} {body}");
    }
}

#[test]
fn without_effect_the_step_looks_five_times_and_fails_in_doubt() {
    for what in [
        What::LostBefore,
        What::Answer {
            status: 500,
            body: String::new(),
            effect: false,
        },
    ] {
        let host = host().with_faults([on(POST, DROPLETS, what)]);
        assert_eq!(fake::run(&host, run), End::Failed("create-in-doubt".to_owned()));
        assert_eq!(host.count(POST, DROPLETS), 1);
        assert_eq!(host.cloud.borrow().ids(), [0_i64; 0]);
        let looks = host.times("GET", DROPLETS, "name=web-1");
        let ended_ms = host.times(POST, DROPLETS, "")[0] + 10;
        let passed: Vec<u64> = looks.iter().map(|at_ms| (at_ms - ended_ms) / 1_000).collect();
        assert_eq!(passed, [0, 5, 15, 30, 60]);
    }
}

#[test]
fn a_listing_that_lags_makes_no_second_droplet() {
    for lag_ms in [500, 5_000, 59_000] {
        let host = host()
            .with_faults([on(POST, DROPLETS, What::LostAfter)])
            .with_cloud(|cloud| {
                cloud.list_lag_ms = lag_ms;
                cloud.tag_lag_ms = lag_ms;
                cloud.read_lag_ms = lag_ms;
            });
        let end = fake::run(&host, run);
        assert_one(&host, &end);
        assert_eq!(host.count(POST, DROPLETS), 1);
    }
}

#[test]
fn a_droplet_found_by_name_is_adopted_only_once_its_tag_shows() {
    let host = host()
        .with_faults([on(POST, DROPLETS, What::LostAfter)])
        .with_cloud(|cloud| cloud.tag_lag_ms = 20_000);
    let end = fake::run(&host, run);
    assert_one(&host, &end);
    let adopted_ms = *host.times("GET", DROPLETS, "name=web-1").last().expect("a look");
    assert!(adopted_ms >= 20_000, "{adopted_ms}");
}

#[test]
fn a_candidate_that_never_shows_its_tag_is_reported_and_left_alone() {
    let host = host()
        .with_faults([on(POST, DROPLETS, What::LostAfter)])
        .with_cloud(|cloud| cloud.tag_lag_ms = 3_600_000);
    assert_eq!(fake::run(&host, run), End::Failed("create-in-doubt".to_owned()));
    let id = host.cloud.borrow().ids()[0].to_string();
    assert_eq!(
        host.durable.borrow().findings,
        [("untagged-candidate".to_owned(), id)]
    );
    assert_eq!(host.count("DELETE", DROPLETS), 0);
}

#[test]
fn strangers_of_the_same_name_are_neither_adopted_nor_reported() {
    let host = host()
        .with_faults([on(POST, DROPLETS, What::LostBefore)])
        .with_cloud(|cloud| {
            cloud.add("web-1", &["managed-by-arcadia-cloud", "arcadia-r-other"]);
        });
    let known = host.cloud.borrow_mut().add("web-1", &[]);
    let row = guest::CloudResource {
        provider: "digitalocean".to_owned(),
        kind: "droplet".to_owned(),
        provider_id: known.to_string(),
        name: None,
        region: None,
        status: "active".to_owned(),
        public_ip: None,
        tags: Vec::new(),
        raw: "{}".to_owned(),
    };
    host.durable
        .borrow_mut()
        .inventory
        .insert(("droplet".to_owned(), known.to_string()), row);
    assert_eq!(fake::run(&host, run), End::Failed("create-in-doubt".to_owned()));
    assert_eq!(host.durable.borrow().findings, []);
    assert_eq!(host.cloud.borrow().ids().len(), 2);
}

#[test]
fn of_two_under_one_tag_the_older_is_kept_and_the_other_deleted_until_it_is_gone() {
    let host = host().with_faults([on(POST, DROPLETS, What::LostAfter)]);
    let older = host.cloud.borrow_mut().add("web-1", &["arcadia-r-late"]);
    host.cloud.borrow_mut().droplets[0].tags_shown_ms = 1;
    host.cloud.borrow_mut().droplets[0].tags = vec![TAG.to_owned()];
    host.cloud.borrow_mut().droplets[0].listed_ms = 15;
    let end = fake::run(&host, run);
    assert_one(&host, &end);
    assert_eq!(host.cloud.borrow().ids(), [older]);
    assert_eq!(host.count("DELETE", DROPLETS), 1);
    assert_eq!(host.durable.borrow().deleted.len(), 1);
}

#[test]
fn the_checkpointed_one_of_several_is_kept_even_if_it_is_younger() {
    let host = host().with_faults([on(POST, DROPLETS, What::LostBefore)]);
    let older = host.cloud.borrow_mut().add("web-1", &[TAG]);
    let younger = host.cloud.borrow_mut().add("web-1", &[TAG]);
    let host = host.with_context("droplet_id", json!(younger.to_string()));
    let end = fake::run(&host, run);
    assert_one(&host, &end);
    assert_eq!(host.cloud.borrow().ids(), [younger]);
    assert!(!host.cloud.borrow().is_there(older));
    assert_eq!(host.count(POST, DROPLETS), 0);
}

#[test]
fn deleting_the_others_survives_pending_events_errors_and_lost_answers() {
    for what in [
        What::refusal(422, "Droplet already has a pending event."),
        What::Answer {
            status: 500,
            body: String::new(),
            effect: false,
        },
        What::LostBefore,
        What::LostAfter,
        What::RateLimited(3_000),
        What::Connect,
    ] {
        let host = host().with_faults([on("DELETE", DROPLETS, what.clone())]);
        let older = host.cloud.borrow_mut().add("web-1", &[TAG]);
        host.cloud.borrow_mut().add("web-1", &[TAG]);
        let end = fake::run(&host, run);
        assert_one(&host, &end);
        assert_eq!(host.cloud.borrow().ids(), [older], "{what:?}");
    }
}

#[test]
fn another_steps_droplet_in_the_context_is_not_taken_for_its_own() {
    let host = host();
    let other = host.cloud.borrow_mut().add("web-0", &["arcadia-r-other"]);
    let host = host
        .with_context("droplet_id", json!(other.to_string()))
        .with_faults([on(POST, DROPLETS, What::LostAfter)]);
    let end = fake::run(&host, run);
    assert_ne!(end.output()["droplet_id"], json!(other.to_string()));
    assert_eq!(host.cloud.borrow().ids().len(), 2);
}

#[test]
fn a_refusal_fails_the_step_at_once_and_makes_nothing() {
    for status in [400, 422] {
        let host = host().with_faults([on(
            POST,
            DROPLETS,
            What::refusal(status, "Region is not available"),
        )]);
        assert_eq!(fake::run(&host, run), End::Failed("create-refused".to_owned()));
        assert_eq!(host.sent.borrow().len(), 2);
    }
}

#[test]
fn what_was_not_sent_or_was_refused_for_the_rate_is_sent_again() {
    let soon = [
        What::Connect,
        What::RateLimited(7_000),
        What::Unavailable,
        What::BudgetExhausted,
        What::refusal(429, "Too many requests"),
    ];
    for what in soon {
        let host = host().with_faults([on(POST, DROPLETS, what.clone()).times(3)]);
        let end = fake::run(&host, run);
        assert_one(&host, &end);
        let effective = host
            .sent
            .borrow()
            .iter()
            .filter(|sent| sent.method == POST && !sent.is_refused)
            .count();
        assert_eq!(effective, 1, "{what:?}");
    }
}

#[test]
fn a_cancel_ends_the_call_at_once() {
    let host = host().with_faults([on(POST, DROPLETS, What::Cancelled)]);
    assert_eq!(fake::run(&host, run), End::Cancelled);
    assert_eq!(host.count(POST, DROPLETS), 0);
}

#[test]
fn the_death_of_the_host_at_any_request_leaves_one_droplet_or_doubt() {
    for die in [What::DieAfter, What::DieAnswered] {
        let host = host().with_faults([on(POST, DROPLETS, die)]);
        let end = fake::run(&host, run);
        assert_one(&host, &end);
        assert_eq!(host.count(POST, DROPLETS), 1);
    }
    let host = host().with_faults([on(POST, DROPLETS, What::DieBefore)]);
    assert_eq!(fake::run(&host, run), End::Failed("create-in-doubt".to_owned()));
    assert_eq!(host.count(POST, DROPLETS), 1);
    for skip in 0..3 {
        let faults = [
            on(POST, DROPLETS, What::LostAfter),
            on("GET", DROPLETS, What::DieAfter).after(skip),
        ];
        let host = self::host().with_faults(faults);
        let end = fake::run(&host, run);
        assert_one(&host, &end);
    }
}

#[test]
fn a_look_that_fails_is_no_look_at_an_empty_account() {
    let unreadable = What::Answer {
        status: 200,
        body: "{}".to_owned(),
        effect: false,
    };
    for what in [
        What::Answer {
            status: 500,
            body: String::new(),
            effect: false,
        },
        unreadable,
        What::LostBefore,
    ] {
        let faults = [
            on(POST, DROPLETS, What::LostAfter),
            on("GET", DROPLETS, what).after(1).times(40),
        ];
        let host = host().with_faults(faults);
        let end = fake::run(&host, run);
        assert_one(&host, &end);
    }
}

#[test]
fn params_win_over_inputs_and_reserved_tags_are_refused() {
    let host = host();
    *host.params.borrow_mut() = json!({"droplet_name": "web-2", "droplet_image": 77});
    fake::run(&host, run);
    assert_eq!(host.cloud.borrow().droplets[0].name, "web-2");
    let host = self::host();
    *host.params.borrow_mut() = json!({"droplet_tags": ["Arcadia-Saga-00000000"]});
    assert_eq!(fake::run(&host, run), End::Failed("reserved-tag".to_owned()));
    assert_eq!(host.sent.borrow().len(), 0);
}

#[test]
fn the_settle_window_is_a_parameter() {
    let host = host().with_faults([on(POST, DROPLETS, What::LostBefore)]);
    *host.params.borrow_mut() = json!({"settle_ms": 1_200});
    assert_eq!(fake::run(&host, run), End::Failed("create-in-doubt".to_owned()));
    assert!(host.cloud.borrow().now_ms < 3_000);
}
