//! What comes with the binary: registered at every start, and never against what somebody chose.

use std::sync::Arc;

use arcadia::{
    engine::{
        PlanSource, StartError,
        catalog::{ApprovalError, BuiltIn, Catalog},
    },
    saga::{Json, id::sha256_hex},
    store::{ChannelRow, ComponentStatus},
};
use serde_json::{Value, json};

use crate::catalog::{component_of, greet, greets_with, hello, open, push, store};

fn stable(catalog: &Catalog) -> ChannelRow {
    let step = catalog.step("greet").unwrap();
    step.channels
        .into_iter()
        .find(|row| row.channel == "stable")
        .unwrap()
}

fn built_in(component: &Arc<[u8]>, definition: &Value) -> BuiltIn {
    BuiltIn {
        components: vec![("greet.wasm".to_owned(), component.clone())],
        definitions: vec![("hello".to_owned(), Json::of(definition))],
    }
}

#[tokio::test]
async fn what_comes_with_a_newer_binary_follows_it_until_somebody_chose() {
    let store = store();
    let (old, new, newest) = (greet("0.1.0"), greet("0.2.0"), greet("0.3.0"));
    let catalog = open(&store, &built_in(&old, &hello("old"))).await;
    assert_eq!(stable(&catalog).digest, sha256_hex(&old));
    assert_eq!(catalog.definition("hello").unwrap().version, 1);

    let catalog = open(&store, &built_in(&new, &hello("new"))).await;
    assert_eq!(
        (stable(&catalog).digest, stable(&catalog).built_in),
        (sha256_hex(&new), true)
    );
    assert_eq!(catalog.definition("hello").unwrap().version, 2);

    // The same binary again: nothing changes.
    let catalog = open(&store, &built_in(&new, &hello("new"))).await;
    assert_eq!(catalog.definition("hello").unwrap().version, 2);
    assert_eq!(catalog.steps()[0].components.len(), 2);

    catalog
        .set_channel("greet", "stable", "0.1.0", "ada")
        .await
        .unwrap();
    catalog
        .put_definition("hello", &Json::of(&hello("mine")), "ada")
        .await
        .unwrap();
    let catalog = open(&store, &built_in(&newest, &hello("newest"))).await;
    assert_eq!(
        (stable(&catalog).digest, stable(&catalog).moved_by.as_str()),
        (sha256_hex(&old), "ada")
    );
    assert_eq!(
        catalog.definition("hello").unwrap().body.to_value(),
        hello("mine")
    );
    assert_eq!(greets_with(&catalog, "greet@0.3.0"), sha256_hex(&newest));
}

#[tokio::test]
async fn a_promoted_component_survives_a_restart_with_a_binary_whose_own_differs() {
    let store = store();
    let catalog = open(&store, &built_in(&greet("0.1.0"), &hello("x"))).await;
    let mine = greet("0.1.1");
    catalog
        .upload(mine.clone(), Some("stable"), "ada", false)
        .await
        .unwrap();
    // Other bytes under the version that the binary had before: only while that version is being developed.
    let other = component_of(&json!({"name": "greet", "version": "0.1.0"}), 3);
    let catalog = open(&store, &built_in(&other, &hello("x"))).await;
    assert_eq!(greets_with(&catalog, "greet"), sha256_hex(&mine));
    assert_eq!(greets_with(&catalog, "greet@0.1.0"), sha256_hex(&other));
}

#[tokio::test]
async fn a_version_that_a_user_took_is_not_replaced_by_the_binary() {
    let store = store();
    let mine = component_of(&json!({"name": "greet", "version": "0.1.0"}), 3);
    push(&open(&store, &BuiltIn::default()).await, &mine).await;
    let catalog = open(&store, &built_in(&greet("0.1.0"), &hello("x"))).await;
    assert_eq!(greets_with(&catalog, "greet@0.1.0"), sha256_hex(&mine));
    assert_eq!(catalog.steps()[0].components.len(), 1);
}

#[tokio::test]
async fn what_waits_for_approval_keeps_no_version_from_the_binary_and_is_approved_when_it_is_the_binarys_own()
{
    let store = store();
    let catalog = open(&store, &BuiltIn::default()).await;
    let propose = async |bytes: &Arc<[u8]>| catalog.propose(bytes.clone(), None, "eve", false).await.unwrap();
    let squatter = component_of(&json!({"name": "greet", "version": "0.1.0"}), 3);
    let waits = propose(&squatter).await.row;
    let own = greet("0.2.0");
    assert_eq!(propose(&own).await.row.status, ComponentStatus::Pending);
    store.advance_ms(1);

    let theirs = greet("0.1.0");
    let catalog = open(&store, &built_in(&theirs, &hello("x"))).await;
    assert_eq!(greets_with(&catalog, "greet"), sha256_hex(&theirs));
    assert_eq!(greets_with(&catalog, "greet@0.1.0"), sha256_hex(&theirs));
    let late = catalog.approve(&waits.digest, None, "ada").await;
    assert!(
        matches!(late, Err(ApprovalError::VersionExists { .. })),
        "{late:?}"
    );

    let catalog = open(&store, &built_in(&own, &hello("x"))).await;
    assert_eq!(greets_with(&catalog, "greet"), sha256_hex(&own));
    assert_eq!(catalog.component(&sha256_hex(&own)).unwrap().status_by, "host");
}

#[tokio::test]
async fn a_retired_component_of_the_binary_stays_retired_and_no_channel_is_moved_to_it() {
    let store = store();
    let (old, new) = (greet("0.1.0"), greet("0.2.0"));
    let catalog = open(&store, &built_in(&old, &hello("x"))).await;
    let catalog_of_new = open(&store, &built_in(&new, &hello("x"))).await;
    drop(catalog);
    catalog_of_new.retire(&sha256_hex(&old), "ada").await.unwrap();
    let catalog = open(&store, &built_in(&old, &hello("x"))).await;
    assert_eq!(greets_with(&catalog, "greet"), sha256_hex(&new));
    let row = catalog.component(&sha256_hex(&old)).unwrap();
    assert_eq!(
        (row.status, row.status_by.as_str()),
        (ComponentStatus::Retired, "ada")
    );
}

#[tokio::test]
async fn the_shipped_definitions_start_with_the_shipped_components() {
    let catalog = open(&store(), &BuiltIn::shipped()).await;
    assert_eq!(catalog.steps().len(), 5);
    let resolve = |name: &str, params: Value, inputs: Value| {
        let source = PlanSource::Definition {
            name: name.to_owned(),
        };
        catalog.resolve(
            &source,
            &serde_json::from_value(params).unwrap(),
            &Json::of(&inputs),
        )
    };
    let droplet = json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
        "droplet_image": "debian-12-x64", "droplet_tags": ["web"]
    });
    let fast = json!({"create": {"settle_ms": 1}, "wait": {"poll_interval_ms": 10, "max_polls": 3}});
    let plan = resolve("provision_droplet", fast, droplet.clone()).unwrap().plan;
    let shape: Vec<(bool, bool)> = plan
        .steps
        .iter()
        .map(|step| (step.compensated, step.pivot))
        .collect();
    assert_eq!(shape, [(true, false), (false, false), (true, false)]);
    let plan = resolve("destroy_droplet", json!({}), json!({"droplet_provider_id": "7"}))
        .unwrap()
        .plan;
    assert!(plan.steps[0].pivot);
    resolve(
        "snapshot_droplet",
        json!({}),
        json!({"droplet_provider_id": 7, "snapshot_label": "nightly"}),
    )
    .unwrap();

    let pointers =
        |answer: Result<_, StartError>| match answer.map(|_: arcadia::engine::catalog::ResolvedPlan| ()) {
            Err(StartError::Invalid(problems)) => problems
                .into_iter()
                .map(|problem| problem.pointer)
                .collect::<Vec<_>>(),
            answer => panic!("{answer:?}"),
        };
    let with = |key: &str, value: Value| {
        let mut inputs = droplet.clone();
        inputs[key] = value;
        pointers(resolve("provision_droplet", json!({}), inputs))
    };
    assert_eq!(with("droplet_name", json!("a_b")), ["/inputs/droplet_name"]);
    assert_eq!(
        with("droplet_tags", json!(["web", "arcadia-saga-1"])),
        ["/inputs/droplet_tags/1"]
    );
    let params = json!({"wait": {"max_polls": 0}});
    assert_eq!(
        pointers(resolve("provision_droplet", params, droplet.clone())),
        ["/params/wait/max_polls"]
    );
    assert_eq!(
        pointers(resolve("destroy_droplet", json!({}), json!({}))),
        ["/inputs/droplet_provider_id"]
    );
}
