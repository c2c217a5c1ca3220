//! What operators do to sagas, through the whole engine with real components: taking back what has completed, going on
//! without what is stuck.

use std::sync::Arc;

use arcadia::{
    engine::{Asked, FindingRow, Page, ResourceFilter, ResourceRow, SagaRow, Verb, VerbError},
    saga::{IllegalEvent, SagaId, Status},
    simulator::Rules,
};
use serde_json::{Value, json};

use crate::support::stand::Stand;

pub fn noop(name: &str) -> Value {
    json!({ "name": name, "component": "noop" })
}

pub fn scripted(name: &str, run: Value, compensate: Value) -> Value {
    json!({ "name": name, "component": "scripted", "params": { "run": run, "compensate": compensate } })
}

pub fn fails(code: &str) -> Value {
    json!([{ "permanent": { "code": code, "message": "for good" } }])
}

/// Another module's words: no way forward, and none back over the pivot.
fn pivot(name: &str, run: Value) -> Value {
    json!({ "name": name, "component": "scripted-pivot", "params": { "run": run } })
}

pub fn asked(reason: &str) -> Asked {
    Asked {
        actor: "tester".to_owned(),
        reason: Some(reason.to_owned()),
    }
}

pub async fn ask(stand: &Stand, saga: SagaId, verb: Verb) -> Result<SagaRow, VerbError> {
    stand.engine().verb(saga, verb, asked("because")).await
}

pub async fn open_findings(stand: &Stand, saga: SagaId) -> Vec<FindingRow> {
    let page = Page {
        limit: 100,
        after: None,
    };
    let mut findings = stand
        .engine()
        .store()
        .findings(Some(saga), true, page)
        .await
        .unwrap();
    findings.sort_by_key(|finding| (finding.code.clone(), finding.step.clone()));
    findings
}

async fn codes(stand: &Stand, saga: SagaId) -> Vec<(String, Option<String>)> {
    let findings = open_findings(stand, saga).await;
    findings
        .into_iter()
        .map(|finding| (finding.code, finding.step))
        .collect()
}

fn of(code: &str, step: &str) -> (String, Option<String>) {
    (code.to_owned(), Some(step.to_owned()))
}

async fn cloud() -> Stand {
    let rules = Rules {
        activation_ms: 300,
        delete_ms: 200,
        ..Rules::default()
    };
    Stand::with(rules, |store| Arc::new(store)).await
}

async fn provisioned(stand: &Stand) -> SagaId {
    let inputs = json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
        "droplet_image": "ubuntu-24-04-x64",
    });
    let saga = stand.define("provision_droplet", inputs).await;
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    assert_eq!(stand.control.live_droplet_ids().await.len(), 1);
    saga
}

async fn resources(stand: &Stand, saga: SagaId) -> Vec<ResourceRow> {
    let filter = ResourceFilter {
        saga: Some(saga),
        with_deleted: true,
        ..ResourceFilter::default()
    };
    let page = Page {
        limit: 10,
        after: None,
    };
    stand.engine().store().resources(&filter, page).await.unwrap()
}

async fn is_taken_back(stand: &Stand, saga: SagaId) {
    ask(stand, saga, Verb::Rollback).await.unwrap();
    ask(stand, saga, Verb::Rollback)
        .await
        .expect("asking again while it goes back changes nothing");
    let row = stand.rest(saga).await;
    assert_eq!(row.status, Status::Compensated);
    let turning = row.turning.unwrap().to_value();
    assert_eq!(
        turning,
        json!({ "cause": "rollback", "actor": "tester", "reason": "because" })
    );
    assert!(stand.control.live_droplet_ids().await.is_empty());
    let rows = resources(stand, saga).await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].deleted_ms.is_some(), "{rows:?}");
    assert!(open_findings(stand, saga).await.is_empty());
    let refused = ask(stand, saga, Verb::Rollback).await;
    assert!(
        matches!(refused, Err(VerbError::Refused(IllegalEvent::Ended))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provisioned_droplet_is_taken_back() {
    let stand = cloud().await;
    let saga = provisioned(&stand).await;
    is_taken_back(&stand, saga).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_a_host_before_this_one_ended_is_taken_back() {
    let mut stand = cloud().await;
    let saga = provisioned(&stand).await;
    stand.restart().await;
    is_taken_back(&stand, saga).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_for_what_has_completed_on_this_side_of_a_pivot() {
    let mut stand = cloud().await;
    let sleeping = stand
        .start(
            json!([scripted(
                "a",
                json!([{ "again": { "after_ms": 600_000 } }]),
                json!([])
            )]),
            json!({}),
        )
        .await;
    let refused = ask(&stand, sleeping, Verb::Rollback).await;
    assert!(
        matches!(refused, Err(VerbError::Refused(IllegalEvent::NotCompleted))),
        "{refused:?}"
    );
    let droplet = provisioned(&stand).await;
    let id = resources(&stand, droplet).await[0]
        .resource
        .key
        .provider_id
        .clone();
    let gone = stand
        .define("destroy_droplet", json!({ "droplet_provider_id": id }))
        .await;
    assert_eq!(stand.rest(gone).await.status, Status::Completed);
    let before = stand.engine().store().load(gone).await.unwrap().unwrap().fence;
    stand.restart().await;
    let refused = ask(&stand, gone, Verb::Rollback).await;
    assert!(
        matches!(refused, Err(VerbError::Refused(IllegalEvent::PivotPassed))),
        "{refused:?}"
    );
    let after = stand.engine().store().load(gone).await.unwrap().unwrap().fence;
    assert_eq!(after, before, "what is refused isn't claimed");
}

/// Both undos are stuck, and so is nothing else.
async fn two_stuck(stand: &Stand) -> SagaId {
    let once = |code: &str| json!([{ "permanent": { "times": 1, "code": code, "message": "can't" } }]);
    let branch = |name: &str| {
        let mut step = scripted(name, json!([]), once("stuck"));
        (step["after"], step["scope"]) = (json!(["root"]), json!(name));
        step
    };
    let mut last = scripted("last", fails("broken"), json!([]));
    last["after"] = json!(["left", "right"]);
    let steps = json!([noop("root"), branch("left"), branch("right"), last]);
    let saga = stand.start(steps, json!({})).await;
    assert_eq!(stand.rest(saga).await.status, Status::NeedsAttention);
    saga
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_undo_keeps_its_finding_while_another_one_is_retried() {
    let stand = Stand::new().await;
    let saga = two_stuck(&stand).await;
    let both = [
        of("compensation-stuck", "left"),
        of("compensation-stuck", "right"),
    ];
    assert_eq!(codes(&stand, saga).await, both);
    let told = open_findings(&stand, saga).await;
    assert!(
        told[0].advice.contains(&format!("arcadia saga skip {saga} left")),
        "{told:?}"
    );

    let skip = |step: &str| Verb::Skip {
        step: step.to_owned(),
    };
    let row = ask(&stand, saga, skip("LEFT")).await.unwrap();
    assert_eq!(row.status, Status::NeedsAttention, "the other one is stuck still");
    assert_eq!(codes(&stand, saga).await, both);
    let now = open_findings(&stand, saga).await;
    assert!(now[0].advice.contains("was skipped"), "{now:?}");
    assert_eq!(now[0].created_ms, told[0].created_ms);
    assert_eq!(now[1], told[1]);
    let again = ask(&stand, saga, skip("left")).await;
    assert!(
        matches!(again, Err(VerbError::Refused(IllegalEvent::NotStuck))),
        "{again:?}"
    );
    let nobody = ask(&stand, saga, skip("middle")).await.unwrap_err().to_string();
    assert!(nobody.contains("root, left, right, last"), "{nobody}");

    ask(&stand, saga, Verb::Retry).await.unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Abandoned);
    assert_eq!(codes(&stand, saga).await, both[..1]);
    let events = stand.engine().store().events(saga, 0, 1_000).await.unwrap();
    let skipped = events
        .iter()
        .find(|event| event.kind == "skip-requested")
        .unwrap();
    assert_eq!((skipped.actor.as_str(), skipped.step), ("tester", Some(1)));
    assert_eq!(skipped.detail.to_value(), json!({ "reason": "because" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_past_the_pivot_that_can_t_go_on_is_skipped_and_the_rest_is_done() {
    let stand = Stand::new().await;
    let request = json!({
        "http": { "service": "digitalocean", "method": "DELETE", "path": "/v2/droplets/1", "save": "answer" }
    });
    let steps = json!([
        pivot("over", json!([request])),
        scripted("mail", fails("no-mailbox"), json!([])),
        scripted("last", json!([{ "done": "there" }]), json!([])),
    ]);
    let saga = stand.start(steps, json!({})).await;
    let row = stand.rest(saga).await;
    assert_eq!(
        (row.status, row.pivot_passed),
        (Status::NeedsAttention, true),
        "{:?}",
        row.turning
    );
    assert_eq!(codes(&stand, saga).await, [of("step-stuck", "mail")]);
    let skip = Verb::Skip {
        step: "mail".to_owned(),
    };
    ask(&stand, saga, skip).await.unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Abandoned);
    let steps = stand.engine().store().steps(saga).await.unwrap();
    let states: Vec<&str> = steps.iter().map(|step| step.state.as_str()).collect();
    assert_eq!(states, ["succeeded", "skipped", "succeeded"]);
    assert_eq!(codes(&stand, saga).await, [of("step-stuck", "mail")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_saga_without_an_undo_leaves_is_named_once() {
    let stand = cloud().await;
    let create = json!({
        "name": "create", "component": "create-droplet",
        "params": { "poll_interval_ms": 100, "settle_ms": 1_500, "absence_recheck_ms": 100 },
    });
    let guard = scripted("guard", json!([]), fails("locked"));
    let steps = json!([create, guard, scripted("last", fails("broken"), json!([]))]);
    let inputs = json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
        "droplet_image": "ubuntu-24-04-x64",
    });
    let saga = stand.start(steps, inputs).await;
    assert_eq!(stand.rest(saga).await.status, Status::NeedsAttention);
    assert_eq!(codes(&stand, saga).await, [of("compensation-stuck", "guard")]);
    ask(&stand, saga, Verb::Abandon).await.unwrap();
    let left = [
        of("compensation-stuck", "guard"),
        ("left-behind".to_owned(), None),
    ];
    assert_eq!(codes(&stand, saga).await, left);
    let findings = open_findings(&stand, saga).await;
    assert!(findings[0].advice.contains("was abandoned"), "{findings:?}");
    let id = findings[1].resource.as_ref().unwrap().provider_id.clone();
    assert_eq!(
        findings[1].advice,
        format!("`arcadia droplet destroy {id}` deletes it; or keep it knowingly")
    );
}
