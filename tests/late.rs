//! What shows up after a saga has ended, through the whole engine on SQLite, against the simulator.

use std::{sync::Arc, time::Duration};

use arcadia::{
    engine::{Asked, Verb, WatchOptions},
    saga::{SagaId, Status},
    simulator::{AnswerFault, BodyForm, FaultKind, Lag, Point, Rules},
    store::{FindingRow, Page, ResourceFilter, Watch},
};
use serde_json::{Value, json};

use crate::support::{http, simulator::requests, stand::Stand};

const HOUR_MS: u64 = 3_600_000;
const PATIENCE: Duration = Duration::from_secs(30);
const CREATE: (&str, &str) = ("POST", "/v2/droplets");
const SNAPSHOT: (&str, &str) = ("POST", "/v2/droplets/*/actions");

/// Far away.
const NEVER_MS: i64 = 1_000_000_000_000;

async fn stand(horizon_ms: i64) -> Stand {
    stand_auditing(horizon_ms, NEVER_MS).await
}

async fn stand_auditing(horizon_ms: i64, audit_ms: i64) -> Stand {
    let rules = Rules {
        activation_ms: 200,
        delete_ms: 100,
        snapshot_ms: 100,
        ..Rules::default()
    };
    let watching = WatchOptions {
        horizon_ms,
        first_look_ms: 100,
        audit_ms,
        grace_ms: 100,
    };
    Stand::watching(rules, watching, |store| Arc::new(store)).await
}

fn create() -> Value {
    let params = json!({ "poll_interval_ms": 50, "settle_ms": 300, "absence_recheck_ms": 50 });
    json!({ "name": "create", "component": "create-droplet", "params": params })
}

fn wish() -> Value {
    json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    })
}

fn reset() -> FaultKind {
    FaultKind::Reset {
        point: Point::AfterEffect,
    }
}

async fn fault(stand: &Stand, (method, path): (&str, &str), kind: FaultKind) {
    stand.control.fault_once(requests(method, path), kind).await;
}

fn page() -> Page {
    Page {
        limit: 1_000,
        after: None,
    }
}

async fn watch(stand: &Stand, saga: SagaId) -> Option<Watch> {
    stand.engine().store().watch(saga).await.unwrap()
}

async fn open_findings(stand: &Stand, saga: SagaId) -> Vec<FindingRow> {
    let store = stand.engine().store();
    store.findings(Some(saga), true, page()).await.unwrap()
}

/// `(code, provider id)` of the open ones, sorted.
async fn codes(stand: &Stand, saga: SagaId) -> Vec<(String, Option<String>)> {
    let mut codes: Vec<_> = open_findings(stand, saga)
        .await
        .into_iter()
        .map(|finding| (finding.code, finding.resource.map(|key| key.provider_id)))
        .collect();
    codes.sort();
    codes
}

async fn events(stand: &Stand, saga: SagaId, kind: &str) -> Vec<Value> {
    let events = stand.engine().store().events(saga, 0, 10_000).await.unwrap();
    let events = events.into_iter().filter(|event| event.kind == kind);
    events.map(|event| event.detail.to_value()).collect()
}

/// Asks until it is so.
macro_rules! until {
    ($what:expr) => {
        let asking = async {
            while !$what {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        assert!(asked.is_ok(), "never so: {}", stringify!($what));
    };
}

/// The saga was undone once more, and nothing is left of it anywhere.
async fn assert_undone(stand: &Stand, saga: SagaId, status: Status, kind: &str) {
    until!(!events(stand, saga, "late-effect").await.is_empty());
    assert_eq!(stand.rest(saga).await.status, status);
    until!(
        watch(stand, saga)
            .await
            .is_some_and(|watch| watch.next_look_ms > watch.began_ms)
    );
    let late = events(stand, saga, "late-effect").await;
    assert_eq!(late.len(), 1, "{late:?}");
    let reason = late[0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(kind) && reason.contains("arcadia-r-"),
        "{reason}"
    );
    assert_eq!(codes(stand, saga).await, []);
    let live = ResourceFilter {
        saga: Some(saga),
        ..ResourceFilter::default()
    };
    assert_eq!(stand.engine().store().resources(&live, page()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_droplet_that_shows_up_an_hour_after_the_saga_was_undone_is_undone_too() {
    let stand = stand(60_000).await;
    fault(&stand, CREATE, FaultKind::Late { after_ms: HOUR_MS }).await;
    let saga = stand.start(json!([create()]), wish()).await;
    assert_eq!(stand.rest(saga).await.status, Status::Compensated);
    let findings = open_findings(&stand, saga).await;
    assert_eq!(findings[0].code, "open-intent");
    assert!(findings[0].advice.contains("watched until"), "{findings:?}");
    stand.control.advance(HOUR_MS).await;
    assert_undone(&stand, saga, Status::Compensated, "droplet").await;
    assert!(stand.control.live_droplet_ids().await.is_empty());
    assert_eq!(stand.control.droplet_count().await.ever, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_host_goes_on_watching_a_saga_that_was_cancelled_in_doubt() {
    let mut stand = stand(60_000).await;
    fault(&stand, CREATE, FaultKind::Late { after_ms: HOUR_MS }).await;
    let mut step = create();
    step["params"]["settle_ms"] = json!(1_500);
    let saga = stand.start(json!([step]), wish()).await;
    until!(
        stand
            .control
            .journal()
            .await
            .iter()
            .any(|entry| entry.method == "POST")
    );
    let asked = Asked {
        actor: "ann".to_owned(),
        reason: None,
    };
    stand.engine().verb(saga, Verb::Cancel, asked).await.unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Cancelled);
    stand.restart().await;
    stand.control.advance(HOUR_MS).await;
    assert_undone(&stand, saga, Status::Cancelled, "droplet").await;
    assert!(stand.control.live_droplet_ids().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_shows_up_late_is_undone_too() {
    let stand = stand(60_000).await;
    let made = stand.start(json!([create()]), wish()).await;
    assert_eq!(stand.rest(made).await.status, Status::Completed);
    let droplet = *stand.control.live_droplet_ids().await.first().unwrap();
    stand.control.advance(1_000).await;
    fault(&stand, SNAPSHOT, FaultKind::SnapshotLag { lag_ms: HOUR_MS }).await;
    fault(&stand, SNAPSHOT, reset()).await;
    let params = json!({ "poll_interval_ms": 50, "settle_ms": 300, "absence_recheck_ms": 50 });
    let step = json!({ "name": "snapshot", "component": "create-droplet-snapshot", "params": params });
    let target = json!({ "droplet_provider_id": droplet.to_string(), "snapshot_label": "nightly" });
    let saga = stand.start(json!([step]), target).await;
    assert_eq!(stand.rest(saga).await.status, Status::Compensated);
    stand.control.advance(HOUR_MS).await;
    assert_undone(&stand, saga, Status::Compensated, "snapshot").await;
    assert!(
        stand
            .control
            .state()
            .await
            .snapshots
            .iter()
            .all(|snapshot| snapshot.deleted)
    );
    assert_eq!(
        stand.control.live_droplet_ids().await.len(),
        1,
        "the droplet itself stays"
    );
}

/// Somebody makes a droplet with these tags; its id.
async fn droplet(stand: &Stand, name: &str, tags: &[String]) -> String {
    let body = json!({
        "name": name, "region": "fra1", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "tags": tags
    });
    let request = http::client().post(format!("{}/v2/droplets", stand.simulator.api_url()));
    let answer = request.bearer_auth("sim-token").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.unwrap();
    answer["droplet"]["id"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_droplet_of_a_step_that_is_done_is_told_and_lives_and_foreign_ones_are_left_alone() {
    let stand = stand(60_000).await;
    fault(&stand, CREATE, reset()).await;
    let saga = stand.start(json!([create()]), wish()).await;
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    let kept = stand
        .control
        .live_droplet_ids()
        .await
        .first()
        .unwrap()
        .to_string();
    let tag = watch(&stand, saga)
        .await
        .expect("it is watched all the same")
        .intents[0]
        .tag
        .clone();
    let ours = ["managed-by-arcadia-cloud".to_owned(), tag];
    let second = droplet(&stand, "web-1", &ours).await;
    let namesake = droplet(&stand, "web-1", &["terraform".to_owned()]).await;
    let another = droplet(&stand, "web-1", &["arcadia-r-another".to_owned()]).await;
    let stranger = droplet(&stand, "db-1", &[]).await;
    let expected = vec![
        ("duplicate-resource".to_owned(), Some(second.clone())),
        ("unclaimed-resource".to_owned(), Some(namesake.clone())),
    ];
    until!(codes(&stand, saga).await == expected);
    let findings = open_findings(&stand, saga).await;
    let duplicate = findings
        .iter()
        .find(|finding| finding.code == "duplicate-resource")
        .unwrap();
    assert!(
        duplicate
            .message
            .contains(&format!("the inventory has droplet {kept}")),
        "{duplicate:?}"
    );
    assert!(duplicate.advice.contains(&second), "{duplicate:?}");
    let looks = watch(&stand, saga).await.unwrap().looks;
    until!(watch(&stand, saga).await.is_some_and(|watch| watch.looks > looks));
    assert_eq!(
        codes(&stand, saga).await,
        expected,
        "the same again is the same finding"
    );
    assert_eq!(events(&stand, saga, "late-effect").await, [] as [Value; 0]);
    let live = stand.control.live_droplet_ids().await;
    for id in [kept, second, namesake, another, stranger] {
        assert!(live.contains(&id.parse().unwrap()), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_a_look_that_could_be_made_and_takes_its_finding_along() {
    let stand = stand(600).await;
    let fail = FaultKind::Reset {
        point: Point::BeforeEffect,
    };
    fault(&stand, CREATE, fail).await;
    let saga = stand.start(json!([create()]), wish()).await;
    assert_eq!(stand.rest(saga).await.status, Status::Compensated);
    assert_eq!(codes(&stand, saga).await, [("open-intent".to_owned(), None)]);
    let blind = AnswerFault {
        point: Point::AfterEffect,
        status: Some(500),
        body: BodyForm::Html,
        message: None,
        retry_after: None,
    };
    let everything = arcadia::simulator::Fault::on(requests("GET", "/v2/droplets"), FaultKind::Answer(blind));
    stand.control.add_fault(everything).await;
    let until_ms = watch(&stand, saga).await.unwrap().until_ms;
    until!(watch(&stand, saga).await.unwrap().next_look_ms > until_ms + 300);
    assert_eq!(
        codes(&stand, saga).await,
        [("open-intent".to_owned(), None)],
        "nobody could look"
    );
    stand.control.clear_faults().await;
    until!(watch(&stand, saga).await.is_none());
    assert_eq!(codes(&stand, saga).await, []);
    assert_eq!(events(&stand, saga, "watch-ended").await.len(), 1);
    assert_eq!(stand.rest(saga).await.status, Status::Compensated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_lags_behind_a_delete_undoes_nothing_twice() {
    let stand = stand(60_000).await;
    let lag = Lag {
        list_ms: 2 * HOUR_MS,
        tag_ms: 2 * HOUR_MS,
        ..Lag::everywhere(0)
    };
    fault(&stand, CREATE, FaultKind::Lag(lag)).await;
    fault(&stand, CREATE, FaultKind::Late { after_ms: HOUR_MS }).await;
    let saga = stand.start(json!([create()]), wish()).await;
    assert_eq!(stand.rest(saga).await.status, Status::Compensated);
    stand.control.advance(4 * HOUR_MS).await;
    assert_undone(&stand, saga, Status::Compensated, "droplet").await;
    let looks = watch(&stand, saga).await.unwrap().looks;
    until!(watch(&stand, saga).await.is_some_and(|watch| watch.looks > looks));
    assert_eq!(events(&stand, saga, "late-effect").await.len(), 1);
}

/// Answered clearly, and nothing ever shows it while it is looked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_droplet_that_was_promised_and_shows_up_only_after_its_step_was_undone_is_undone_too() {
    let stand = stand(60_000).await;
    fault(&stand, CREATE, FaultKind::Lag(Lag::everywhere(HOUR_MS))).await;
    let fail = json!([{ "permanent": { "code": "on-purpose", "message": "the last step fails" } }]);
    let fail = json!({ "name": "fail", "component": "scripted", "params": { "run": fail } });
    let saga = stand.start(json!([create(), fail]), wish()).await;
    assert_eq!(stand.rest(saga).await.status, Status::Compensated);
    assert_eq!(codes(&stand, saga).await, [], "nothing is in doubt");
    let watched = watch(&stand, saga).await.expect("and it is watched");
    assert!(watched.intents[0].answered, "{watched:?}");
    until!(watch(&stand, saga).await.is_some_and(|watch| watch.looks > 0));
    assert_eq!(events(&stand, saga, "late-effect").await, [] as [Value; 0]);
    stand.control.advance(HOUR_MS).await;
    assert_undone(&stand, saga, Status::Compensated, "droplet").await;
    assert!(stand.control.live_droplet_ids().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_droplet_behind_a_clear_answer_is_found_by_the_audit_and_told_once() {
    let stand = stand_auditing(600, 300).await;
    fault(&stand, CREATE, FaultKind::Twice).await;
    let saga = stand.start(json!([create()]), wish()).await;
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    let kept = ResourceFilter {
        saga: Some(saga),
        ..ResourceFilter::default()
    };
    let kept = stand.engine().store().resources(&kept, page()).await.unwrap();
    let kept = kept[0].resource.key.provider_id.clone();
    let live = stand.control.live_droplet_ids().await;
    let second = live.iter().map(i64::to_string).find(|id| *id != kept).unwrap();
    let hash = "b".repeat(32);
    let stranger = ["managed-by-arcadia-cloud".to_owned(), format!("arcadia-r-{hash}")];
    droplet(&stand, "stranger", &stranger).await;
    let expected = vec![("duplicate-resource".to_owned(), Some(second.clone()))];
    until!(codes(&stand, saga).await == expected);
    let seen = events(&stand, saga, "stray-seen").await;
    assert_eq!(seen, [json!({ "kind": "droplet", "id": second })]);
    // The watch is over; what is told already is not watched again.
    until!(watch(&stand, saga).await.is_none());
    let listings = || async {
        let journal = stand.control.journal().await;
        journal
            .iter()
            .filter(|entry| entry.method == "GET" && entry.path == "/v2/droplets")
            .count()
    };
    let before = listings().await;
    until!(listings().await > before + 2);
    assert_eq!(events(&stand, saga, "stray-seen").await.len(), 1);
    assert_eq!(codes(&stand, saga).await, expected);
    assert_eq!(stand.control.live_droplet_ids().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_droplet_that_is_there_although_it_was_deleted_is_found_by_the_audit() {
    let stand = stand_auditing(60_000, 300).await;
    let saga = stand.start(json!([create()]), wish()).await;
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    let id = stand
        .control
        .live_droplet_ids()
        .await
        .first()
        .unwrap()
        .to_string();
    let path = format!("/v2/droplets/{id}");
    fault(&stand, ("DELETE", &path), FaultKind::DeleteIgnored).await;
    let gone = AnswerFault {
        point: Point::BeforeEffect,
        status: Some(404),
        body: BodyForm::Proper,
        message: None,
        retry_after: None,
    };
    fault(&stand, ("GET", &path), FaultKind::Answer(gone)).await;
    let params = json!({ "poll_interval_ms": 50, "settle_ms": 100, "absence_recheck_ms": 50 });
    let step = json!({ "name": "destroy", "component": "destroy-droplet", "params": params });
    let destroy = stand
        .start(json!([step]), json!({ "droplet_provider_id": id }))
        .await;
    assert_eq!(stand.rest(destroy).await.status, Status::Completed);
    let expected = vec![("late-resource".to_owned(), Some(id))];
    until!(codes(&stand, saga).await == expected);
    let message = &open_findings(&stand, saga).await[0].message;
    assert!(message.contains("holds it to be deleted"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_leaves_alone_what_the_inventory_has_and_what_is_still_being_made() {
    let stand = stand_auditing(60_000, 100).await;
    let saga = stand.start(json!([create()]), wish()).await;
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    fault(&stand, CREATE, reset()).await;
    fault(
        &stand,
        CREATE,
        FaultKind::Lag(Lag {
            list_ms: 0,
            ..Lag::everywhere(HOUR_MS)
        }),
    )
    .await;
    let mut step = create();
    step["params"]["settle_ms"] = json!(2_000);
    let slow = stand.start(json!([step]), wish()).await;
    until!(stand.control.live_droplet_ids().await.len() == 2);
    stand.control.advance(HOUR_MS).await;
    assert_eq!(stand.rest(slow).await.status, Status::Completed);
    for saga in [saga, slow] {
        assert_eq!(events(&stand, saga, "stray-seen").await, [] as [Value; 0]);
        assert_eq!(codes(&stand, saga).await, []);
    }
}
