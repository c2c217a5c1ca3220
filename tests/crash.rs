//! kill -9 and cancel at every mutating request, and at random moments: the real binary, a real SQLite file, a real HTTP
//! server on the other end. Afterwards the promise is checked against the simulator's own account of what it did.

use std::{collections::BTreeMap, time::Duration};

use arcadia::simulator::{Matcher, Options, Point, Rules, Simulator};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    host::Host,
    simulator::{Control, requests},
};

/// Hosts that run at the same time in one test.
const AT_ONCE: usize = 3;

const SCRIPTED: &[u8] = include_bytes!("../steps-wasm/examples/components/scripted.wasm");

/// What runs when it is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Provision,
    /// Its last step fails: the droplet is undone.
    FailingProvision,
    Snapshot,
    /// Its last step fails: the snapshot is undone.
    FailingSnapshot,
    Destroy,
}

impl Scenario {
    const ALL: [Scenario; 5] = [
        Scenario::Provision,
        Scenario::FailingProvision,
        Scenario::Snapshot,
        Scenario::FailingSnapshot,
        Scenario::Destroy,
    ];

    /// Every mutating request of the scenario.
    fn requests(self) -> Vec<Matcher> {
        let create = || requests("POST", "/v2/droplets");
        let delete = || requests("DELETE", "/v2/droplets/*");
        let snapshot = || requests("POST", "/v2/droplets/*/actions");
        match self {
            Scenario::Provision => vec![create()],
            Scenario::FailingProvision => vec![create(), delete()],
            Scenario::Snapshot => vec![snapshot()],
            Scenario::FailingSnapshot => vec![snapshot(), requests("DELETE", "/v2/snapshots/*")],
            Scenario::Destroy => vec![delete()],
        }
    }

    /// The status it comes to when nobody interferes but the killer.
    fn end(self) -> &'static str {
        match self {
            Scenario::Provision | Scenario::Snapshot | Scenario::Destroy => "completed",
            Scenario::FailingProvision | Scenario::FailingSnapshot => "compensated",
        }
    }

    /// It works on a droplet that is there already.
    fn needs_droplet(self) -> bool {
        matches!(
            self,
            Scenario::Snapshot | Scenario::FailingSnapshot | Scenario::Destroy
        )
    }

    fn request(self, droplet: Option<i64>) -> Value {
        let failing = json!({
            "name": "fail", "component": "scripted",
            "params": { "run": [{ "permanent": { "code": "on-purpose", "message": "the last step fails" } }] },
        });
        let target = droplet.map(|id| json!({ "droplet_provider_id": id.to_string() }));
        match self {
            Scenario::Provision => json!({
                "definition": "provision_droplet", "inputs": wish("kept"), "params": quick(&["create", "wait", "register"]),
            }),
            Scenario::FailingProvision => json!({
                "kind": "test", "inputs": wish("undone"), "params": quick(&["create", "wait", "register"]),
                "steps": [
                    { "name": "create", "component": "create-droplet" },
                    { "name": "wait", "component": "wait-droplet-active" },
                    { "name": "register", "component": "register-droplet" },
                    failing,
                ],
            }),
            Scenario::Snapshot => json!({
                "definition": "snapshot_droplet", "inputs": merged(target, json!({ "snapshot_label": "nightly" })),
                "params": quick(&["snapshot"]),
            }),
            Scenario::FailingSnapshot => json!({
                "kind": "test", "inputs": merged(target, json!({ "snapshot_label": "nightly" })),
                "params": quick(&["snapshot"]),
                "steps": [{ "name": "snapshot", "component": "create-droplet-snapshot" }, failing],
            }),
            Scenario::Destroy => {
                json!({ "definition": "destroy_droplet", "inputs": target, "params": quick(&["destroy"]) })
            }
        }
    }
}

/// Intervals that make a test quick.
fn quick(steps: &[&str]) -> Value {
    let params = |step: &str| match step {
        "wait" => json!({ "poll_interval_ms": 100 }),
        _ => json!({ "poll_interval_ms": 100, "settle_ms": 1_500, "absence_recheck_ms": 100 }),
    };
    steps
        .iter()
        .map(|step| ((*step).to_owned(), params(step)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn merged(target: Option<Value>, more: Value) -> Value {
    let mut inputs = target.unwrap_or_else(|| json!({}));
    if let (Some(inputs), Some(more)) = (inputs.as_object_mut(), more.as_object()) {
        inputs.extend(more.clone());
    }
    inputs
}

fn wish(name: &str) -> Value {
    json!({
        "droplet_name": name, "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    })
}

struct Stage {
    simulator: Simulator,
    control: Control,
    host: Host,
}

impl Stage {
    async fn set() -> Stage {
        let rules = Rules {
            activation_ms: 300,
            delete_ms: 200,
            snapshot_ms: 300,
            rate_per_minute: 100_000,
            rate_per_hour: 1_000_000,
            ..Rules::default()
        };
        let simulator = Simulator::start(Options {
            rules,
            ..Options::default()
        })
        .await
        .unwrap();
        let host = Host::start(&simulator).await;
        host.upload(SCRIPTED).await;
        Stage {
            control: Control::of(&simulator),
            simulator,
            host,
        }
    }

    /// A droplet that an earlier saga provisioned.
    async fn droplet(&self) -> i64 {
        let saga = self.host.saga(Scenario::Provision.request(None)).await;
        assert_eq!(self.host.rest_of(&saga).await, "completed");
        *self.control.live_droplet_ids().await.first().unwrap()
    }

    /// The promise: what is in the cloud is in the inventory and the other way round, and no create took effect twice.
    async fn check(&self, case: &str) {
        // A delete is accepted before it is done.
        for _ in 0..100 {
            let state = self.control.state().await;
            if state
                .droplets
                .iter()
                .all(|droplet| !droplet.live || !droplet.leaving)
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let cloud = self.control.live_droplet_ids().await;
        let inventory = self.host.inventory().await;
        assert_eq!(
            cloud,
            inventory,
            "{case}: cloud (left) and inventory (right) differ\n{}",
            self.host.log()
        );
        let mut effects: BTreeMap<String, u32> = BTreeMap::new();
        for entry in self.control.journal().await {
            if entry.method == "POST" && entry.path == "/v2/droplets" && !entry.effects.is_empty() {
                let tag = entry
                    .tags
                    .iter()
                    .find(|tag| tag.starts_with("arcadia-r-"))
                    .unwrap_or_else(|| panic!("{case}: no tag"));
                *effects.entry(tag.clone()).or_default() += 1;
            }
        }
        assert!(
            effects.values().all(|&count| count == 1),
            "{case}: a create took effect twice: {effects:?}"
        );
    }

    /// Names of the droplets that are there.
    async fn names(&self) -> Vec<String> {
        let state = self.control.state().await;
        state
            .droplets
            .into_iter()
            .filter(|droplet| droplet.live)
            .map(|droplet| droplet.name)
            .collect()
    }
}

/// What does the interfering once the request stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    Cancel,
}

async fn strike(scenario: Scenario, matcher: Matcher, point: Point, blow: Blow) {
    let case = format!(
        "{scenario:?} {:?} {:?} {point:?} {blow:?}",
        matcher.method, matcher.path
    );
    let mut stage = Stage::set().await;
    let droplet = if scenario.needs_droplet() {
        Some(stage.droplet().await)
    } else {
        None
    };
    let hold = stage.control.hold(matcher.clone(), point).await;
    let saga = stage.host.saga(scenario.request(droplet)).await;
    stage.control.wait_held(hold).await;
    let mut refused = None;
    match blow {
        Blow::Kill => {
            stage.host.kill();
            stage.control.release(hold).await;
            stage.host.restart().await;
        }
        Blow::Cancel => {
            let path = format!("/v1/sagas/{saga}/cancel");
            let answer = stage
                .host
                .send(Method::POST, &path, Some(json!({ "reason": case })))
                .await;
            let (status, body) = answer.unwrap();
            stage.control.release(hold).await;
            match status {
                202 | 200 => {}
                409 => refused = body["code"].as_str().map(str::to_owned),
                _ => panic!("{case}: {status} {body}"),
            }
        }
    }
    let end = stage.host.rest_of(&saga).await;
    stage.check(&case).await;
    // Killed with the create on the wire and no effect: nobody can know that, and a second POST could make a second droplet.
    let in_doubt =
        blow == Blow::Kill && point == Point::BeforeEffect && matcher.method.as_deref() == Some("POST");
    let undoing = matcher.method.as_deref() == Some("DELETE") && scenario != Scenario::Destroy;
    let expected = match (blow, &refused) {
        (Blow::Cancel, None) if !undoing => "cancelled",
        (Blow::Kill, None) if in_doubt => "compensated",
        (Blow::Kill, None) | (Blow::Cancel, None) => scenario.end(),
        (_, Some(code)) => {
            assert_eq!(
                (code.as_str(), scenario),
                ("pivot-passed", Scenario::Destroy),
                "{case}"
            );
            scenario.end()
        }
    };
    assert_eq!(end, expected, "{case}\n{}", stage.host.log());
    let findings = stage.host.get(&format!("/v1/findings?saga={saga}")).await;
    let codes: Vec<&str> = findings["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["code"].as_str())
        .collect();
    assert_eq!(
        codes,
        if in_doubt { vec!["open-intent"] } else { vec![] },
        "{case}: {findings}"
    );
    let left = match (scenario, expected) {
        (Scenario::Provision, "completed") | (Scenario::Snapshot | Scenario::FailingSnapshot, _) => {
            vec!["kept".to_owned()]
        }
        _ => vec![],
    };
    assert_eq!(stage.names().await, left, "{case}");
    let snapshots = stage
        .control
        .state()
        .await
        .snapshots
        .into_iter()
        .filter(|snapshot| !snapshot.deleted)
        .count();
    assert_eq!(
        snapshots,
        usize::from(scenario == Scenario::Snapshot && expected == "completed"),
        "{case}: snapshots"
    );
    drop(stage.simulator);
}

/// A few at a time: each spends most of its time waiting.
async fn strike_everywhere(blow: Blow) {
    let mut cases = Vec::new();
    for scenario in Scenario::ALL {
        for matcher in scenario.requests() {
            for point in [Point::BeforeEffect, Point::AfterEffect] {
                cases.push((scenario, matcher.clone(), point));
            }
        }
    }
    futures_util::stream::iter(cases)
        .for_each_concurrent(AT_ONCE, |(scenario, matcher, point)| {
            strike(scenario, matcher, point, blow)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_mutating_request_loses_nothing_and_doubles_nothing() {
    strike_everywhere(Blow::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_at_any_mutating_request_ends_cancelled_or_is_refused_past_the_pivot() {
    strike_everywhere(Blow::Cancel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_amid_a_rollback_is_gone_on_with_by_the_next_host() {
    for point in [Point::BeforeEffect, Point::AfterEffect] {
        let case = format!("rollback {point:?}");
        let mut stage = Stage::set().await;
        let saga = stage.host.saga(Scenario::Provision.request(None)).await;
        assert_eq!(stage.host.rest_of(&saga).await, "completed");
        // The host that ended the saga is not the one that takes it back.
        stage.host.restart().await;
        let hold = stage
            .control
            .hold(requests("DELETE", "/v2/droplets/*"), point)
            .await;
        let (path, because) = (format!("/v1/sagas/{saga}/rollback"), json!({ "reason": case }));
        let answer = stage.host.send(Method::POST, &path, Some(because)).await;
        assert!(matches!(answer, Some((200, _))), "{case}: {answer:?}");
        stage.control.wait_held(hold).await;
        stage.host.kill();
        stage.control.release(hold).await;
        stage.host.restart().await;
        assert_eq!(stage.host.rest_of(&saga).await, "compensated", "{case}");
        stage.check(&case).await;
        assert_eq!(stage.names().await, Vec::<String>::new(), "{case}");
        let findings = stage.host.get(&format!("/v1/findings?saga={saga}")).await;
        assert_eq!(findings["items"], json!([]), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_moments_with_twenty_sagas_in_flight_lose_nothing() {
    let seed = std::env::var("ARCADIA_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    println!("ARCADIA_SEED={seed}");
    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
    let mut stage = Stage::set().await;
    let mut sagas = Vec::new();
    for number in 0..20 {
        let scenario = if number % 3 == 0 {
            Scenario::FailingProvision
        } else {
            Scenario::Provision
        };
        sagas.push((scenario, stage.host.saga(scenario.request(None)).await));
    }
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(rand::RngExt::random_range(
            &mut rng,
            50..1_500,
        )))
        .await;
        stage.host.kill();
        stage.host.restart().await;
    }
    for (scenario, saga) in &sagas {
        assert_eq!(
            stage.host.rest_of(saga).await,
            scenario.end(),
            "seed {seed}, saga {saga}"
        );
    }
    stage.check(&format!("seed {seed}")).await;
    let kept = sagas
        .iter()
        .filter(|(scenario, _)| *scenario == Scenario::Provision)
        .count();
    assert_eq!(stage.names().await.len(), kept, "seed {seed}");
}
