//! What happens to a saga but deaths: its plan, faults, and what people ask.

use std::collections::BTreeMap;

use arcadia::{
    engine::{Idempotency, PlanSource, StartSaga, Verb, WatchOptions},
    saga::{Json, Kind, Status},
    simulator::{Fault, Rules},
};
use serde_json::{Map, Value, json};

#[derive(Clone)]
pub struct Scenario {
    pub name: String,
    /// What its faults are, for people.
    pub trouble: String,
    pub before: Before,
    pub plan: Plan,
    pub then: Then,
    pub sharing: Sharing,
    pub faults: Vec<Fault>,
    pub rules: Rules,
    pub watching: WatchOptions,
    /// How long the last host lives on once the saga rests, milliseconds.
    pub after_ms: u64,
    /// How the saga may end; first how it ends when nothing goes wrong. Where nothing but deaths does, it ends in another of these
    /// ways only with a request in doubt.
    pub ends: &'static [Status],
    /// Everything has had the time to be found that can be: nothing of an undone step may still be there.
    pub thorough: bool,
}

/// What there is when it begins; nothing of that dies or fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Before {
    Nothing,
    /// A droplet that an earlier saga provisioned.
    Droplet,
    /// The saga itself, completed.
    Itself,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    Provision,
    /// Its last step fails for good.
    FailingProvision,
    /// Three droplets at the same time.
    Three,
    /// The same, and a last step that fails for good.
    FailingThree,
    Snapshot,
    FailingSnapshot,
    Destroy,
}

/// Whether a host has the store to itself, as with SQLite, or a lease among others, as with PostgreSQL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    Alone,
    Leased,
}

/// What people ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Nothing,
    /// So long after the saga was accepted.
    Cancel {
        after_ms: i64,
    },
    /// At once; the saga has completed.
    Rollback,
}

impl Then {
    pub fn verb(self) -> Option<Verb> {
        match self {
            Then::Nothing => None,
            Then::Cancel { .. } => Some(Verb::Cancel),
            Then::Rollback => Some(Verb::Rollback),
        }
    }
}

impl Scenario {
    pub fn new(name: &str, plan: Plan, ends: &'static [Status]) -> Scenario {
        Scenario {
            name: name.to_owned(),
            trouble: String::new(),
            before: match plan {
                Plan::Provision | Plan::FailingProvision | Plan::Three | Plan::FailingThree => {
                    Before::Nothing
                }
                Plan::Snapshot | Plan::FailingSnapshot | Plan::Destroy => Before::Droplet,
            },
            plan,
            then: Then::Nothing,
            sharing: Sharing::Alone,
            faults: Vec::new(),
            rules: Rules {
                activation_ms: 7_000,
                snapshot_ms: 7_000,
                rate_per_minute: 100_000,
                rate_per_hour: 1_000_000,
                ..Rules::default()
            },
            watching: WatchOptions::default(),
            after_ms: 15_000,
            ends,
            thorough: false,
        }
    }

    /// The request that starts the saga. Asked again, it is the same one.
    pub fn request(&self, droplet: Option<i64>) -> StartSaga {
        let target = droplet.map_or_else(
            || json!({}),
            |id| json!({ "droplet_provider_id": id.to_string() }),
        );
        let (plan, inputs) = match self.plan {
            Plan::Provision => (named("provision_droplet"), wish()),
            Plan::FailingProvision => (steps(&["create", "wait", "register"], true), wish()),
            Plan::Three => (three(false), wish()),
            Plan::FailingThree => (three(true), wish()),
            Plan::Snapshot => (named("snapshot_droplet"), merged(target, label())),
            Plan::FailingSnapshot => (steps(&["snapshot"], true), merged(target, label())),
            Plan::Destroy => (named("destroy_droplet"), target),
        };
        StartSaga {
            plan,
            inputs: Json::of(&inputs),
            params: BTreeMap::new(),
            paused: false,
            deployment_id: None,
            triggered_by: "simulation".to_owned(),
            actor: "simulation".to_owned(),
            idempotency: Some(Idempotency {
                key: "the one under test".to_owned(),
                request_hash: "the same".to_owned(),
            }),
        }
    }
}

fn named(name: &str) -> PlanSource {
    PlanSource::Definition {
        name: name.to_owned(),
    }
}

fn component(step: &str) -> &'static str {
    match step {
        "create" => "create-droplet",
        "wait" => "wait-droplet-active",
        "register" => "register-droplet",
        _ => "create-droplet-snapshot",
    }
}

fn failing(after: Option<Vec<String>>) -> Value {
    let run = json!([{ "permanent": { "code": "on-purpose", "message": "the last step fails" } }]);
    let mut step = json!({ "name": "fail", "component": "scripted", "params": { "run": run } });
    if let Some(after) = after {
        step["after"] = json!(after);
    }
    step
}

fn steps(names: &[&str], fails: bool) -> PlanSource {
    let mut steps: Vec<Value> = names
        .iter()
        .map(|name| json!({ "name": name, "component": component(name) }))
        .collect();
    steps.extend(fails.then(|| failing(None)));
    inline(steps)
}

fn three(fails: bool) -> PlanSource {
    let branches = ["a", "b", "c"];
    let mut steps = Vec::new();
    for branch in branches {
        let mut before: Option<String> = None;
        for name in ["create", "wait", "register"] {
            let step = format!("{name}-{branch}");
            steps.push(json!({
                "name": step, "component": component(name), "scope": branch, "after": before.iter().collect::<Vec<_>>(),
            }));
            before = Some(step);
        }
    }
    if fails {
        let all = branches.map(|branch| format!("register-{branch}"));
        steps.push(failing(Some(all.to_vec())));
    }
    inline(steps)
}

fn inline(steps: Vec<Value>) -> PlanSource {
    PlanSource::Inline {
        kind: Kind::Test,
        steps: Value::Array(steps),
    }
}

fn wish() -> Value {
    json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    })
}

fn label() -> Value {
    json!({ "snapshot_label": "nightly" })
}

fn merged(one: Value, other: Value) -> Value {
    let both = [one, other].into_iter().filter_map(|value| match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(both.flatten().collect::<Map<_, _>>())
}
