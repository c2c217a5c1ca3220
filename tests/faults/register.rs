//! Registering: the provider can't be read for a while, or for good; and the registration is taken back.

use arcadia::{
    saga::Status,
    simulator::{BodyForm, Point},
};
use serde_json::{Value, json};

use super::{
    Case, Ground, Posts, Seen, all_of, answered, create_steps, failing, limited, post, reset, step, tag_of,
    wish,
};
use crate::support::simulator::requests;

/// A droplet that only its id shows is registered once more, by a saga that did not make it.
async fn register(ground: &Ground, case: Case) -> Result<(), String> {
    let unlisted = limited(post(), 1, arcadia::simulator::FaultKind::Lag(super::unlisted()));
    ground.set_faults(case.name, &[unlisted]).await;
    let droplet = ground.droplet(case.name).await;
    ground.set_faults(case.name, &case.faults).await;
    let inputs = json!({ "droplet_provider_id": droplet.to_string() });
    let saga = ground
        .plan(vec![step("register", "register-droplet")], inputs)
        .await;
    case.check(&ground.seen(case.name, saga).await)
}

fn cases() -> Vec<Case> {
    let reads = || requests("GET", "/v2/droplets/*");
    let before = Point::BeforeEffect;
    let kept = Seen {
        status: Status::Compensated,
        code: Some("droplet-not-found".to_owned()),
        ..Seen::completed()
    };
    vec![
        Case::new(
            "registered-late",
            vec![
                reset(reads(), 2, before),
                answered(reads(), 1, before, 500, BodyForm::Proper),
                answered(reads(), 1, Point::AfterEffect, 200, BodyForm::Truncated),
                answered(reads(), 1, before, 504, BodyForm::Html),
            ],
            Seen::completed(),
        ),
        Case::new(
            "unseen-at-first",
            vec![answered(reads(), 3, before, 404, BodyForm::Proper)],
            Seen::completed(),
        ),
        // Another saga's droplet: not to be found here is no reason to touch it, or its row.
        Case::new(
            "unseen-for-ever",
            vec![answered(reads(), 1_000, before, 404, BodyForm::Proper)],
            kept,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_droplet_that_can_not_be_read_yet_is_registered_once_it_can() {
    let ground = Ground::new().await;
    all_of(cases().into_iter().map(|case| register(&ground, case))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_undone_leaves_no_desired_state_and_no_live_row() {
    let ground = Ground::new().await;
    let name = "registered-in-vain";
    let mut steps = create_steps();
    steps.push(failing());
    let saga = ground.plan(steps, wish(name)).await;
    let case = Case::new(name, vec![], Seen::undone("on-purpose"));
    all_of([async { case.check(&ground.seen(name, saga).await) }]).await;
    let store = ground.stand.engine().store();
    let filter = arcadia::store::ResourceFilter {
        with_deleted: true,
        ..Default::default()
    };
    let page = arcadia::store::Page {
        limit: 10,
        after: None,
    };
    let rows = store.resources(&filter, page).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].deleted_ms.is_some() && rows[0].resource.tags.contains(&tag_of(name)));
    let versions = store.provisioned(&rows[0].resource_id).await.unwrap();
    let spec: Value = versions[0].spec.to_value();
    assert_eq!(spec["size_slug"], "s-1vcpu-1gb");
    assert!(
        versions.len() == 1 && versions[0].withdrawn_ms.is_some(),
        "{versions:?}"
    );
    assert_eq!(
        ground.seen(name, saga).await.creates,
        Posts {
            sent: 1,
            effective: 1
        }
    );
}
