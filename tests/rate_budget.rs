//! More droplets at once on one token than a minute of the provider's rate has room for: the budget spreads what the provider
//! would refuse.
//!
//! A droplet takes two requests of its own (the look for its tag, the create) and a share of a few listings, so a hundred of
//! them fit into one window; the rest have to wait for the next one. That is a minute of real time, and nothing makes it
//! shorter: the shipped budget's window is what the test is about, and a host's clock can't be advanced.

use std::{sync::Arc, time::Instant};

use arcadia::{
    engine::{PlanSource, StartSaga},
    saga::{Json, Status},
    simulator::{Outcome, Rules},
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{simulator::busiest_window, stand::Stand};

const DROPLETS: usize = 130;
const MINUTE_MS: u64 = 60_000;
/// What the provider allows in any minute.
const PER_MINUTE: usize = 250;

fn params(interval: Value) -> serde_json::Map<String, Value> {
    match interval {
        Value::Object(params) => params,
        other => panic!("{other} is no object"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_and_thirty_droplets_at_once_complete_within_the_providers_rate() {
    let rules = Rules {
        activation_ms: 2_000,
        ..Rules::default()
    };
    let stand = Stand::with(rules, |store| Arc::new(store)).await;
    let began = Instant::now();
    let one = async |number: usize| {
        let inputs = json!({
            "droplet_name": format!("web-{number}"), "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
            "droplet_image": "ubuntu-24-04-x64",
        });
        let request = StartSaga {
            plan: PlanSource::Definition {
                name: "provision_droplet".to_owned(),
            },
            inputs: Json::of(&inputs),
            params: [
                ("create".to_owned(), params(json!({}))),
                ("wait".to_owned(), params(json!({ "poll_interval_ms": 5_000 }))),
                (
                    "register".to_owned(),
                    params(json!({ "poll_interval_ms": 5_000 })),
                ),
            ]
            .into(),
            paused: false,
            deployment_id: None,
            triggered_by: "test".to_owned(),
            actor: "test".to_owned(),
            idempotency: None,
        };
        let engine = stand.engine();
        let saga = engine.start_saga(request).await.unwrap().saga;
        let patience = std::time::Duration::from_secs(240);
        engine.standing(saga, None, patience).await.unwrap();
        let row = engine.store().saga(saga).await.unwrap().unwrap();
        (row.status, row.turning)
    };
    let ends = join_all((0..DROPLETS).map(one)).await;
    let took = began.elapsed();
    let journal = stand.control.journal().await;
    let busiest = busiest_window(&journal, MINUTE_MS);
    let mut kinds: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for entry in &journal {
        let path = entry.path.trim_end_matches(|c: char| c.is_ascii_digit());
        let shared = entry
            .query
            .get("tag_name")
            .is_some_and(|tag| tag == "managed-by-arcadia-cloud");
        let kind = format!("{} {path}{}", entry.method, if shared { " (shared)" } else { "" });
        *kinds.entry(kind).or_default() += 1;
    }
    println!(
        "{DROPLETS} droplets in {:.0} s with {} requests, {busiest} in the busiest minute: {kinds:?}",
        took.as_secs_f64(),
        journal.len(),
    );
    let others: Vec<_> = ends
        .iter()
        .filter(|(status, _)| *status != Status::Completed)
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(stand.control.live_droplet_ids().await.len(), DROPLETS);
    assert!(
        journal.len() > PER_MINUTE,
        "{} requests are no test of the budget",
        journal.len()
    );
    assert!(busiest <= PER_MINUTE, "{busiest} requests within a minute");
    let limited = journal
        .iter()
        .filter(|entry| entry.outcome == Outcome::Answered { status: 429 });
    assert_eq!(limited.count(), 0, "the provider had to refuse");
}
