//! Destroying: a delete that is refused, ignored, lost, or not needed any more.

use arcadia::{
    saga::Status,
    simulator::{BodyForm, FaultKind, Point},
};
use serde_json::json;

use super::{Case, Ground, Seen, accepted, all_of, answered, deletes, limited, reset};

/// F16, each for a droplet that an earlier saga provisioned.
fn cases() -> Vec<Case> {
    let (before, after) = (Point::BeforeEffect, Point::AfterEffect);
    let gone = || Seen {
        droplets: 0,
        ..Seen::completed()
    };
    let table = [
        ("busy", answered(deletes(), 3, before, 422, BodyForm::Proper)),
        ("effect-500", answered(deletes(), 1, after, 500, BodyForm::Proper)),
        (
            "effect-502-html",
            answered(deletes(), 1, after, 502, BodyForm::Html),
        ),
        ("effect-reset", reset(deletes(), 1, after)),
        (
            "in-vain-500",
            answered(deletes(), 2, before, 500, BodyForm::Proper),
        ),
        (
            "in-vain-503",
            answered(deletes(), 1, before, 503, BodyForm::Proper),
        ),
        ("in-vain-reset", reset(deletes(), 2, before)),
        ("ignored", limited(deletes(), 1, FaultKind::DeleteIgnored)),
    ];
    table
        .into_iter()
        .map(|(name, fault)| Case::new(name, vec![fault], gone()))
        .collect()
}

fn target(droplet: i64) -> serde_json::Value {
    json!({ "droplet_provider_id": droplet.to_string() })
}

async fn destroy(ground: &Ground, case: Case) -> Result<(), String> {
    let droplet = ground.droplet(case.name).await;
    ground.set_faults(case.name, &case.faults).await;
    let saga = ground
        .define("destroy_droplet", target(droplet), ("", &json!({})))
        .await;
    case.check(&ground.seen(case.name, saga).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_droplet_is_destroyed_however_often_its_delete_fails() {
    let ground = Ground::new().await;
    all_of(cases().into_iter().map(|case| destroy(&ground, case))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_droplet_that_is_gone_already_or_never_was_counts_as_destroyed() {
    let ground = Ground::new().await;
    let droplet = ground.droplet("deleted-elsewhere").await;
    ground
        .stand
        .control
        .out_of_band(droplet, json!({ "change": "delete" }))
        .await;
    let gone = || Seen {
        droplets: 0,
        ..Seen::completed()
    };
    let of = async |case: Case, droplet: i64| {
        let saga = ground
            .define("destroy_droplet", target(droplet), ("", &json!({})))
            .await;
        case.check(&ground.seen(case.name, saga).await)
    };
    let never = Case::new("never-was", vec![], gone().creates(0, 0));
    all_of([
        of(Case::new("deleted-elsewhere", vec![], gone()), droplet),
        of(never, 1),
    ])
    .await;
}

/// The provider says 204 and does nothing: the step is patient, the saga can't be cancelled over its pivot, and nothing claims
/// that the droplet is gone before it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_is_never_carried_out_is_asked_for_again_and_never_taken_for_done() {
    let ground = Ground::new().await;
    let name = "ignored-for-long";
    let droplet = ground.droplet(name).await;
    ground
        .set_faults(name, &[limited(deletes(), 1_000, FaultKind::DeleteIgnored)])
        .await;
    let params = json!({ "poll_interval_ms": 100 });
    let saga = ground
        .define("destroy_droplet", target(droplet), ("destroy", &params))
        .await;
    ground
        .until("three deletes", || async {
            let deletes = ground.journal(name, "DELETE").await;
            (deletes.iter().filter(|entry| accepted(entry)).count() >= 3).then_some(())
        })
        .await;
    let row = ground.stand.engine().store().saga(saga).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Running);
    assert_eq!(ground.recorded(name).await, [droplet.to_string()].into());
    let cancelled = ground
        .stand
        .engine()
        .verb(
            saga,
            arcadia::engine::Verb::Cancel,
            arcadia::engine::Asked {
                actor: "tester".to_owned(),
                reason: None,
            },
        )
        .await;
    assert!(cancelled.is_err(), "cancelled past the pivot: {cancelled:?}");
    ground.stand.control.clear_faults().await;
    let case = Case::new(
        name,
        vec![],
        Seen {
            droplets: 0,
            ..Seen::completed()
        },
    );
    all_of([async { case.check(&ground.seen(name, saga).await) }]).await;
}
