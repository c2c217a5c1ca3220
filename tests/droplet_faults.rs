//! The droplet steps, as committed, against the simulator and each of its faults, through the whole engine. After every case
//! the inventory's live rows are the provider's live things, and no resource tag had two creates with effect.

use std::collections::{BTreeMap, BTreeSet};

use arcadia::{
    saga::Status,
    simulator::{Activation, AnswerFault, BodyForm, FaultKind, Lag, Point, Rules, Strange},
    store::{Page, ResourceFilter},
};
use serde_json::{Value, json};

use crate::support::{simulator::requests, stand::Stand};

const CREATE: (&str, &str) = ("POST", "/v2/droplets");
const DELETE: (&str, &str) = ("DELETE", "/v2/droplets/*");
const SNAPSHOT: (&str, &str) = ("POST", "/v2/droplets/*/actions");
const READ: (&str, &str) = ("GET", "/v2/droplets");

async fn stand() -> Stand {
    let rules = Rules {
        activation_ms: 300,
        delete_ms: 200,
        snapshot_ms: 300,
        ..Rules::default()
    };
    Stand::with(rules, |store| std::sync::Arc::new(store)).await
}

fn params() -> Value {
    json!({ "poll_interval_ms": 100, "settle_ms": 1_500, "absence_recheck_ms": 100 })
}

fn step(component: &str, more: &[&str]) -> Value {
    let mut params = params();
    let own: &[&str] = match component {
        "wait-droplet-active" => &["poll_interval_ms"],
        _ => &["poll_interval_ms", "settle_ms", "absence_recheck_ms"],
    };
    params
        .as_object_mut()
        .unwrap()
        .retain(|name, _| own.contains(&name.as_str()));
    if more.contains(&component) {
        params["max_polls"] = json!(12);
    }
    json!({ "name": component, "component": component, "params": params })
}

fn provision() -> Vec<Value> {
    ["create-droplet", "wait-droplet-active", "register-droplet"]
        .map(|component| step(component, &["wait-droplet-active"]))
        .into()
}

fn failing() -> Value {
    json!({ "name": "fail", "component": "scripted", "params": { "run": [{ "permanent": {} }] } })
}

fn wish() -> Value {
    json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    })
}

fn answer(point: Point, status: u16, body: BodyForm) -> FaultKind {
    FaultKind::Answer(AnswerFault {
        point,
        status: Some(status),
        body,
        message: None,
        retry_after: None,
    })
}

fn reset(point: Point) -> FaultKind {
    FaultKind::Reset { point }
}

/// Runs the steps with the faults, each for the next request that it matches; says how many more things are live.
async fn tried(
    stand: &Stand,
    steps: &[Value],
    inputs: Value,
    faults: &[((&str, &str), FaultKind)],
) -> (Status, isize) {
    let before = live(stand).await.len();
    for ((method, path), fault) in faults {
        stand
            .control
            .fault_once(requests(method, path), fault.clone())
            .await;
    }
    let saga = stand.start(json!(steps), inputs).await;
    let row = stand.rest(saga).await;
    stand.control.clear_faults().await;
    let live = live(stand).await;
    assert_eq!(recorded(stand).await, live, "after {faults:?}: {:?}", row.turning);
    assert_one_create_per_tag(stand).await;
    (row.status, live.len().cast_signed() - before.cast_signed())
}

/// What the provider has: droplets and snapshots by kind and id.
async fn live(stand: &Stand) -> BTreeSet<(String, String)> {
    let state = stand.control.state().await;
    let droplets = state.droplets.iter().filter(|droplet| droplet.live);
    let droplets = droplets.map(|droplet| ("droplet".to_owned(), droplet.id.to_string()));
    let snapshots = state.snapshots.iter().filter(|snapshot| !snapshot.deleted);
    let snapshots = snapshots.map(|snapshot| ("snapshot".to_owned(), snapshot.id.to_string()));
    droplets.chain(snapshots).collect()
}

/// What the inventory says that the provider has.
async fn recorded(stand: &Stand) -> BTreeSet<(String, String)> {
    let page = Page {
        limit: 1_000,
        after: None,
    };
    let rows = stand
        .engine()
        .store()
        .resources(&ResourceFilter::default(), page)
        .await;
    let keys = rows
        .unwrap()
        .into_iter()
        .map(|row| (row.resource.key.kind, row.resource.key.provider_id));
    keys.collect()
}

async fn assert_one_create_per_tag(stand: &Stand) {
    let mut creates: BTreeMap<String, usize> = BTreeMap::new();
    for entry in stand.control.journal().await {
        if entry.method == "POST" && entry.path == CREATE.1 && !entry.effects.is_empty() {
            for tag in entry.tags.iter().filter(|tag| tag.starts_with("arcadia-r-")) {
                *creates.entry(tag.clone()).or_default() += 1;
            }
        }
    }
    assert!(creates.values().all(|count| *count == 1), "{creates:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_with_effect_and_without_a_clear_answer_is_adopted() {
    let stand = stand().await;
    for fault in [
        reset(Point::AfterEffect),
        FaultKind::Close {
            point: Point::AfterEffect,
        },
        FaultKind::Slow {
            point: Point::AfterEffect,
            delay_ms: 400,
        },
        answer(Point::AfterEffect, 500, BodyForm::Proper),
        answer(Point::AfterEffect, 502, BodyForm::Html),
        answer(Point::AfterEffect, 504, BodyForm::Empty),
        answer(Point::AfterEffect, 202, BodyForm::Empty),
        answer(Point::AfterEffect, 202, BodyForm::Truncated),
        answer(Point::AfterEffect, 202, BodyForm::CutOff),
        answer(Point::AfterEffect, 403, BodyForm::Proper),
    ] {
        let ended = tried(&stand, &provision(), wish(), &[(CREATE, fault.clone())]).await;
        assert_eq!(ended, (Status::Completed, 1), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_without_effect_leaves_nothing_and_one_that_shows_late_is_adopted() {
    let stand = stand().await;
    for fault in [
        reset(Point::BeforeEffect),
        answer(Point::BeforeEffect, 500, BodyForm::Proper),
        answer(Point::BeforeEffect, 503, BodyForm::Html),
        answer(Point::BeforeEffect, 422, BodyForm::Proper),
    ] {
        let ended = tried(&stand, &provision(), wish(), &[(CREATE, fault.clone())]).await;
        assert_eq!(ended, (Status::Compensated, 0), "{fault:?}");
    }
    let lag = FaultKind::Lag(Lag::everywhere(700));
    let both = [(CREATE, lag), (CREATE, reset(Point::AfterEffect))];
    let ended = tried(&stand, &provision(), wish(), &both).await;
    assert_eq!(ended, (Status::Completed, 1));
    let twice = [(CREATE, FaultKind::Twice), (CREATE, reset(Point::AfterEffect))];
    let ended = tried(&stand, &provision(), wish(), &twice).await;
    assert_eq!(ended, (Status::Completed, 1), "two under one tag");
}

#[tokio::test(flavor = "multi_thread")]
async fn activation_is_waited_for_and_a_droplet_that_fails_is_deleted() {
    let stand = stand().await;
    let ends = [
        (
            FaultKind::Activation(Activation::Slow { after_ms: 700 }),
            Status::Completed,
        ),
        (FaultKind::Activation(Activation::Never), Status::Compensated),
        (
            FaultKind::Activation(Activation::WithoutPublicIp),
            Status::Compensated,
        ),
        (FaultKind::PlacementFails { after_ms: 150 }, Status::Compensated),
        (FaultKind::CreateErrors { after_ms: 150 }, Status::Compensated),
        (FaultKind::Vanish { after_ms: 150 }, Status::Compensated),
    ];
    for (fault, status) in ends {
        let ended = tried(&stand, &provision(), wish(), &[(CREATE, fault.clone())]).await;
        assert_eq!(
            ended,
            (status, isize::from(status == Status::Completed)),
            "{fault:?}"
        );
    }
    let strange = FaultKind::Strange(Strange {
        extra_fields: true,
        null_tags: true,
        droplet_status: Some("hibernating".to_owned()),
        action_status: Some("dreaming".to_owned()),
    });
    let ended = tried(
        &stand,
        &provision(),
        wish(),
        &[(CREATE, strange.clone()), (READ, strange)],
    )
    .await;
    assert_eq!(ended, (Status::Completed, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_converge_in_compensation_and_in_the_step_of_their_own() {
    let stand = stand().await;
    for fault in [
        answer(Point::BeforeEffect, 422, BodyForm::Proper),
        answer(Point::BeforeEffect, 500, BodyForm::Proper),
        answer(Point::AfterEffect, 500, BodyForm::Html),
        reset(Point::AfterEffect),
        FaultKind::DeleteIgnored,
    ] {
        let undone = [provision(), vec![failing()]].concat();
        let ended = tried(&stand, &undone, wish(), &[(DELETE, fault.clone())]).await;
        assert_eq!(ended, (Status::Compensated, 0), "{fault:?}");

        assert_eq!(
            tried(&stand, &provision(), wish(), &[]).await,
            (Status::Completed, 1)
        );
        let droplet = *stand.control.live_droplet_ids().await.first().unwrap();
        let target = json!({ "droplet_provider_id": droplet });
        let ended = tried(
            &stand,
            &[step("destroy-droplet", &[])],
            target,
            &[(DELETE, fault.clone())],
        )
        .await;
        assert_eq!(ended, (Status::Completed, -1), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_snapshot_is_recorded_or_none_is_left() {
    let stand = stand().await;
    assert_eq!(
        tried(&stand, &provision(), wish(), &[]).await,
        (Status::Completed, 1)
    );
    let droplet = *stand.control.live_droplet_ids().await.first().unwrap();
    let target = || json!({ "droplet_provider_id": droplet.to_string(), "snapshot_label": "nightly" });
    let snapshot = || step("create-droplet-snapshot", &[]);
    let ends = [
        (reset(Point::AfterEffect), Status::Completed),
        (answer(Point::AfterEffect, 500, BodyForm::Html), Status::Completed),
        (
            answer(Point::BeforeEffect, 422, BodyForm::Proper),
            Status::Completed,
        ),
        (FaultKind::SnapshotLag { lag_ms: 600 }, Status::Completed),
        (FaultKind::Twice, Status::Completed),
        (FaultKind::ActionErrors, Status::Compensated),
        (reset(Point::BeforeEffect), Status::Compensated),
    ];
    for (fault, status) in ends {
        let ended = tried(&stand, &[snapshot()], target(), &[(SNAPSHOT, fault.clone())]).await;
        assert_eq!(
            ended,
            (status, isize::from(status == Status::Completed)),
            "{fault:?}"
        );
    }
    let undone = [snapshot(), failing()];
    let ended = tried(
        &stand,
        &undone,
        target(),
        &[(SNAPSHOT, reset(Point::AfterEffect))],
    )
    .await;
    assert_eq!(ended, (Status::Compensated, 0));
}
