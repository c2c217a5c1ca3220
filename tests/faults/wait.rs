//! Waiting for a droplet: it becomes active late, or never, or is gone.

use arcadia::simulator::{Activation, BodyForm, FaultKind, Matcher, Point, Strange};
use serde_json::json;

use super::{Case, Ground, Seen, all_of, answered, limited, post, reset, wish};
use crate::support::simulator::requests;

async fn provision(ground: &Ground, case: Case) -> Result<(), String> {
    ground.set_faults(case.name, &case.faults).await;
    let saga = ground
        .define("provision_droplet", wish(case.name), ("wait", &case.params))
        .await;
    case.check(&ground.seen(case.name, saga).await)
}

fn activation(plan: Activation) -> Vec<arcadia::simulator::Fault> {
    vec![limited(post(), 1, FaultKind::Activation(plan))]
}

/// Words and fields that the provider's documentation doesn't know.
fn strange() -> FaultKind {
    FaultKind::Strange(Strange {
        extra_fields: true,
        null_tags: true,
        droplet_status: Some("hibernating".to_owned()),
        action_status: Some("dreaming".to_owned()),
    })
}

/// F9 to F12, F21, and answers that don't come.
fn cases() -> Vec<Case> {
    let few = json!({ "max_polls": 4 });
    let strange = strange();
    let reads = || requests("GET", "/v2/droplets/*");
    // Not in the shared listing, so that it is asked for by its own id.
    let by_id = || limited(post(), 1, FaultKind::Lag(super::unlisted()));
    vec![
        Case::new(
            "slow",
            activation(Activation::Slow { after_ms: 2_500 }),
            Seen::completed(),
        ),
        Case::new(
            "never",
            activation(Activation::Never),
            Seen::undone("activation-timeout"),
        )
        .params(few.clone()),
        Case::new(
            "without-address",
            activation(Activation::WithoutPublicIp),
            Seen::undone("activation-timeout"),
        )
        .params(few.clone()),
        Case::new(
            "flapping",
            activation(Activation::Flapping { period_ms: 400 }),
            Seen::completed(),
        ),
        Case::new(
            "not-placed-unseen",
            vec![limited(post(), 1, FaultKind::PlacementFails { after_ms: 0 })],
            Seen::undone("placement-failed"),
        ),
        Case::new(
            "not-placed-seen",
            vec![limited(post(), 1, FaultKind::PlacementFails { after_ms: 1_500 })],
            Seen::undone("placement-failed"),
        ),
        Case::new(
            "deleted-meanwhile",
            vec![limited(post(), 1, FaultKind::Vanish { after_ms: 150 })],
            Seen::undone("placement-failed"),
        ),
        Case::new(
            "create-errors",
            vec![limited(post(), 1, FaultKind::CreateErrors { after_ms: 200 })],
            Seen::undone("placement-failed"),
        )
        .params(few),
        Case::new(
            "strange",
            vec![
                by_id(),
                limited(post(), 1, strange.clone()),
                limited(reads(), 2, strange),
            ],
            Seen::completed(),
        ),
        Case::new(
            "unanswered",
            vec![
                by_id(),
                reset(reads(), 1, Point::BeforeEffect),
                answered(reads(), 1, Point::BeforeEffect, 500, BodyForm::Proper),
                answered(reads(), 1, Point::BeforeEffect, 502, BodyForm::Html),
                answered(reads(), 1, Point::AfterEffect, 200, BodyForm::Truncated),
                answered(reads(), 1, Point::AfterEffect, 200, BodyForm::CutOff),
            ],
            Seen::completed(),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_droplet_that_does_not_become_active_in_time_is_undone_and_never_ordered_again() {
    let ground = Ground::new().await;
    all_of(cases().into_iter().map(|case| provision(&ground, case))).await;
}

/// F21, in the listing that all waiting droplets share.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_listing_with_unknown_words_is_read_again_and_nothing_fails_for_it() {
    let ground = Ground::new().await;
    let name = "strange-listing";
    ground.set_faults(name, &[limited(post(), 1, strange())]).await;
    let shared = Matcher {
        query: [("tag_name".to_owned(), "managed-by-arcadia-cloud".to_owned())].into(),
        ..requests("GET", "/v2/droplets")
    };
    let listing = limited(shared, 2, strange());
    let listing = ground.stand.control.add_fault(listing).await;
    let saga = ground
        .define("provision_droplet", wish(name), ("", &json!({})))
        .await;
    let case = Case::new(name, vec![], Seen::completed());
    all_of([async { case.check(&ground.seen(name, saga).await) }]).await;
    let hits = ground.stand.control.journal().await;
    let hits = hits.iter().filter(|entry| entry.faults.contains(&listing));
    assert_eq!(hits.count(), 2, "the listing was not strange twice");
}
