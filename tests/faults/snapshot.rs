//! Snapshots: one of its name or none, and none after a rollback.

use arcadia::{
    saga::Status,
    simulator::{BodyForm, Fault, FaultKind, Matcher, Point},
};
use serde_json::{Value, json};

use super::{
    Case, FOR_EVER_MS, Ground, ONCE, ONCE_IN_VAIN, Posts, Seen, all_of, answered, failing, limited, reset,
    sleeping, step,
};
use crate::support::simulator::requests;

fn begins() -> Matcher {
    requests("POST", "/v2/droplets/*/actions")
}

fn inputs(case: &str, droplet: i64) -> Value {
    json!({ "droplet_provider_id": droplet.to_string(), "snapshot_label": case })
}

/// The droplet stays in every case.
fn taken() -> Seen {
    Seen {
        snapshots: 1,
        snapshot_requests: ONCE,
        ..Seen::completed()
    }
}

fn not_taken(code: &str) -> Seen {
    Seen {
        status: Status::Compensated,
        code: Some(code.to_owned()),
        snapshot_requests: ONCE,
        ..Seen::completed()
    }
}

fn with_effect() -> Vec<Case> {
    use BodyForm::{Empty, Html, Proper, Truncated};
    let after = Point::AfterEffect;
    let late = |lag_ms| limited(begins(), 1, FaultKind::SnapshotLag { lag_ms });
    let mut cases = vec![
        Case::new("made-reset", vec![reset(begins(), 1, after)], taken()),
        Case::new("listed-late", vec![late(700)], taken()),
        Case::new(
            "listed-late-reset",
            vec![late(700), reset(begins(), 1, after)],
            taken(),
        ),
        Case::new("twice", vec![limited(begins(), 1, FaultKind::Twice)], taken()),
        Case::new(
            "twice-reset",
            vec![limited(begins(), 1, FaultKind::Twice), reset(begins(), 1, after)],
            taken(),
        ),
    ];
    let answers = [
        ("made-500", 500, Proper),
        ("made-502-html", 502, Html),
        ("made-504-empty", 504, Empty),
        ("made-201-empty", 201, Empty),
        ("made-201-truncated", 201, Truncated),
        ("made-403", 403, Proper),
    ];
    cases.extend(answers.map(|(name, status, body)| {
        Case::new(name, vec![answered(begins(), 1, after, status, body)], taken())
    }));
    cases
}

fn without_effect() -> Vec<Case> {
    let before = Point::BeforeEffect;
    let doubt = || {
        Seen {
            snapshot_requests: ONCE_IN_VAIN,
            ..not_taken("snapshot-in-doubt")
        }
        .finding("open-intent")
    };
    let again = |sent| Seen {
        snapshot_requests: Posts { sent, effective: 1 },
        ..taken()
    };
    let refused = Seen {
        snapshot_requests: ONCE_IN_VAIN,
        ..not_taken("snapshot-refused")
    };
    let answer = |times, status| vec![answered(begins(), times, before, status, BodyForm::Proper)];
    vec![
        Case::new("lost-reset", vec![reset(begins(), 1, before)], doubt()),
        Case::new("lost-500", answer(1, 500), doubt()),
        Case::new("lost-503", answer(1, 503), doubt()),
        Case::new("busy", answer(2, 422), again(3)),
        Case::new("unseen", answer(2, 404), again(3)),
        Case::new("refused-400", answer(1, 400), refused),
        Case::new(
            "errored",
            vec![limited(begins(), 1, FaultKind::ActionErrors)],
            not_taken("snapshot-errored"),
        ),
        Case::new(
            "errored-reset",
            vec![
                limited(begins(), 1, FaultKind::ActionErrors),
                reset(begins(), 1, Point::AfterEffect),
            ],
            not_taken("snapshot-in-doubt").finding("open-intent"),
        ),
    ]
}

async fn snapshot(ground: &Ground, case: Case) -> Result<(), String> {
    let droplet = ground.droplet(case.name).await;
    ground.set_faults(case.name, &case.faults).await;
    let inputs = inputs(case.name, droplet);
    let saga = ground
        .define("snapshot_droplet", inputs, ("snapshot", &case.params))
        .await;
    case.check(&ground.seen(case.name, saga).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_made_once_or_not_at_all_whatever_becomes_of_its_request() {
    let ground = Ground::new().await;
    let cases = [with_effect(), without_effect()];
    all_of(cases.into_iter().flatten().map(|case| snapshot(&ground, case))).await;
}

/// Takes a snapshot, then goes back over it while its deletes meet these faults.
async fn take_and_undo(
    ground: &Ground,
    name: &'static str,
    twice: bool,
    on_delete: Vec<FaultKind>,
) -> Result<(), String> {
    let droplet = ground.droplet(name).await;
    let steps = vec![step("snapshot", "create-droplet-snapshot"), sleeping()];
    let saga = ground.plan(steps, inputs(name, droplet)).await;
    ground
        .until("the sleeping step", || async {
            let steps = ground.stand.engine().store().steps(saga).await.unwrap();
            steps
                .iter()
                .any(|step| step.step == 1 && step.polls > 0)
                .then_some(())
        })
        .await;
    let snapshot = *ground.live_snapshots(name).await.first().unwrap();
    if twice {
        second_snapshot(ground, name, droplet).await;
    }
    for kind in on_delete {
        let matcher = requests("DELETE", &format!("/v2/snapshots/{snapshot}"));
        ground.stand.control.add_fault(Fault::once(matcher, kind)).await;
    }
    ground.cancel(saga).await;
    let end = Seen {
        status: Status::Cancelled,
        snapshot_requests: Posts {
            sent: if twice { 2 } else { 1 },
            effective: if twice { 2 } else { 1 },
        },
        ..Seen::completed()
    };
    Case::new(name, vec![], end).check(&ground.seen(name, saga).await)
}

/// One more of the same name, by somebody's hand.
async fn second_snapshot(ground: &Ground, name: &str, droplet: i64) {
    let taken = ground.stand.control.state().await.snapshots;
    let taken = taken.into_iter().find(|snapshot| snapshot.droplet_id == droplet);
    let url = format!(
        "{}/v2/droplets/{droplet}/actions",
        ground.stand.simulator.api_url()
    );
    let answer = crate::support::http::client()
        .post(url)
        .bearer_auth("sim-token")
        .json(&json!({ "type": "snapshot", "name": taken.unwrap().name }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    ground
        .until("the second snapshot", || async {
            (ground.live_snapshots(name).await.len() == 2).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_snapshot_of_an_undone_step_is_deleted_however_its_deletes_fail() {
    let ground = Ground::new().await;
    let answer = |point, status| answered(Matcher::default(), 1, point, status, BodyForm::Proper).fault;
    let (before, after) = (Point::BeforeEffect, Point::AfterEffect);
    let table = [
        ("undo", false, vec![]),
        ("undo-both", true, vec![]),
        ("undo-effect-500", false, vec![answer(after, 500)]),
        (
            "undo-in-vain",
            false,
            vec![answer(before, 503), FaultKind::Reset { point: before }],
        ),
        ("undo-reset", false, vec![FaultKind::Reset { point: after }]),
        ("undo-busy", false, vec![answer(before, 422)]),
    ];
    all_of(
        table
            .into_iter()
            .map(|(name, twice, on_delete)| take_and_undo(&ground, name, twice, on_delete)),
    )
    .await;
}

/// Its request took effect and was not answered: it is found by its name, and that is what the rollback deletes.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_whose_request_was_lost_is_found_and_undone() {
    let ground = Ground::new().await;
    let name = "lost-and-undone";
    let droplet = ground.droplet(name).await;
    ground
        .set_faults(name, &[reset(begins(), 1, Point::AfterEffect)])
        .await;
    let steps = vec![step("snapshot", "create-droplet-snapshot"), failing()];
    let saga = ground.plan(steps, inputs(name, droplet)).await;
    let end = not_taken("on-purpose");
    all_of([async { Case::new(name, vec![], end).check(&ground.seen(name, saga).await) }]).await;
}

/// It never shows in any listing, so nothing can register or delete it: the rollback ends after the settle window.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_no_listing_ever_shows_ends_the_saga_after_its_polls_and_is_named() {
    let ground = Ground::new().await;
    let fault = limited(begins(), 1, FaultKind::SnapshotLag { lag_ms: FOR_EVER_MS });
    let end = Seen {
        snapshots: 1,
        disagreements: 1,
        findings: vec!["unlisted-snapshot".to_owned()],
        ..not_taken("snapshot-not-listed")
    };
    let case = Case::new("never-listed", vec![fault], end).params(json!({ "max_polls": 5 }));
    all_of([snapshot(&ground, case)]).await;
}
