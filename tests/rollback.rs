//! Rollback in the hands of people: a droplet that can't be deleted, and what its operator may do; a cancel at any moment.

use std::{sync::Arc, time::Duration};

use arcadia::{
    engine::{FindingRow, Verb, VerbError},
    saga::{IllegalEvent, SagaId, Status, id::resource_tag},
    simulator::{AnswerFault, BodyForm, Fault, FaultKind, Matcher, Point, Rules},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::{
    graphs::{Story, asked, three_droplets_as, three_droplets_body},
    support::stand::Stand,
    verbs::open_findings,
};

async fn cloud() -> Stand {
    let rules = Rules {
        activation_ms: 100,
        delete_ms: 200,
        rate_per_minute: 100_000,
        rate_per_hour: 1_000_000,
        droplet_limit: 1_000,
        ..Rules::default()
    };
    Stand::with(rules, |store| Arc::new(store)).await
}

/// Three droplets are up, the saga's last step fails, and the provider refuses to delete the second droplet.
async fn stuck(stand: &Stand) -> (SagaId, i64) {
    let fails = json!({ "run": [
        { "again": { "after_ms": 2_500 } },
        { "permanent": { "code": "broken", "message": "for good" } },
    ] });
    // Patience is for the provider's bad days: here it is over in seconds.
    let mut body = three_droplets_body();
    for step in body["steps"].as_array_mut().unwrap() {
        if step["name"] == "create-web-2" {
            step["compensate"] = json!({ "total_ms": 3_000, "backoff_base_ms": 200, "backoff_max_ms": 400 });
        }
    }
    let saga = three_droplets_as(stand, body, &[("tell", fails)]).await;
    let installation = stand.engine().store().installation();
    let tag = resource_tag(installation, saga, "create-web-2");
    let mut found = None;
    while found.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let droplets = stand.control.state().await.droplets;
        found = droplets
            .iter()
            .find(|droplet| droplet.tags.contains(&tag))
            .map(|droplet| droplet.id);
    }
    let deletion = Matcher {
        method: Some("DELETE".to_owned()),
        tag: Some(tag),
        ..Matcher::default()
    };
    let refused = FaultKind::Answer(AnswerFault {
        point: Point::BeforeEffect,
        status: Some(422),
        body: BodyForm::default(),
        message: Some("the droplet is locked".to_owned()),
        retry_after: None,
    });
    stand.control.add_fault(Fault::on(deletion, refused)).await;
    let row = stand.rest(saga).await;
    assert_eq!(row.status, Status::NeedsAttention, "{:?}", row.turning);
    (saga, found.unwrap())
}

async fn verb(stand: &Stand, saga: SagaId, verb: Verb) {
    stand.engine().verb(saga, verb, asked("because")).await.unwrap();
}

fn the_one(findings: &[FindingRow]) -> &FindingRow {
    let [finding] = findings else {
        panic!("not one finding: {findings:#?}")
    };
    finding
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_can_t_succeed_names_its_droplet_while_the_other_branches_are_undone() {
    let stand = cloud().await;
    let (saga, droplet) = stuck(&stand).await;
    assert_eq!(stand.control.live_droplet_ids().await, [droplet].into());
    let findings = open_findings(&stand, saga).await;
    let finding = the_one(&findings);
    assert_eq!(finding.code, "compensation-stuck");
    assert_eq!(finding.step.as_deref(), Some("create-web-2"));
    let named = finding.resource.as_ref().map(|key| key.provider_id.clone());
    assert!(
        named == Some(droplet.to_string()) || finding.message.contains(&droplet.to_string()),
        "{finding:#?}"
    );
    assert!(
        finding.advice.contains(&format!("arcadia saga retry {saga}")),
        "{finding:#?}"
    );

    stand.control.clear_faults().await;
    verb(&stand, saga, Verb::Retry).await;
    assert_eq!(stand.rest(saga).await.status, Status::Compensated);
    assert!(stand.control.live_droplet_ids().await.is_empty());
    assert!(open_findings(&stand, saga).await.is_empty());
    let story = Story::of(&stand, saga).await;
    for name in ["create-web-1", "create-web-2", "create-web-3"] {
        let done = story
            .0
            .iter()
            .filter(|(kind, step)| kind == "undo-done" && step.as_deref() == Some(name));
        assert_eq!(done.count(), 1, "{name} was undone once: {:#?}", story.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_or_abandoned_undo_leaves_its_droplet_and_says_so() {
    for give_up in [
        Verb::Skip {
            step: "create-web-2".to_owned(),
        },
        Verb::Abandon,
    ] {
        let stand = cloud().await;
        let (saga, droplet) = stuck(&stand).await;
        let requests = stand.control.journal().await.len();
        verb(&stand, saga, give_up).await;
        assert_eq!(stand.rest(saga).await.status, Status::Abandoned);
        assert_eq!(stand.control.live_droplet_ids().await, [droplet].into());
        let findings = open_findings(&stand, saga).await;
        let finding = findings
            .iter()
            .find(|finding| finding.step.as_deref() == Some("create-web-2"))
            .unwrap_or_else(|| panic!("{findings:#?}"));
        let text = format!("{finding:?}");
        assert!(text.contains(&droplet.to_string()), "{text}");
        assert_eq!(
            stand.control.journal().await.len(),
            requests,
            "nothing more is asked"
        );
    }
}

/// `ARCADIA_ROLLBACK_SEED` repeats a run.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_at_any_of_a_hundred_moments_ends_with_an_empty_cloud_or_is_refused_with_the_reason() {
    let seed = match std::env::var("ARCADIA_ROLLBACK_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random::<u64>(),
    };
    println!("ARCADIA_ROLLBACK_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let stand = cloud().await;
    let mut cancels = Vec::new();
    for number in 0..100 {
        let inputs = json!({
            "droplet_name": format!("web-{number}"), "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
            "droplet_image": "ubuntu-24-04-x64",
        });
        let saga = stand.define("provision_droplet", inputs).await;
        let after = Duration::from_millis(dice.random_range(0..1_000));
        let engine = stand.engine().clone();
        cancels.push(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            (saga, engine.verb(saga, Verb::Cancel, asked("enough")).await)
        }));
    }
    let (mut cancelled, mut kept) = (0, 0);
    for cancel in cancels {
        let (saga, answer) = cancel.await.unwrap();
        let status = stand.rest(saga).await.status;
        match answer {
            Ok(_) => {
                assert_eq!(status, Status::Cancelled, "{saga}");
                cancelled += 1;
            }
            Err(VerbError::Refused(IllegalEvent::Ended)) => {
                assert_eq!(status, Status::Completed, "{saga}");
                kept += 1;
            }
            Err(error) => panic!("{saga}: {error}"),
        }
        assert!(open_findings(&stand, saga).await.is_empty(), "{saga}");
    }
    println!("{cancelled} cancelled, {kept} completed");
    assert!(cancelled > 0);
    assert_eq!(stand.control.live_droplet_ids().await.len(), kept);
}
