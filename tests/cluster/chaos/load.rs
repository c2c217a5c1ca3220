//! What is asked of the hosts, through any door, again and again until it is answered.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::super::nodes::naps;
use crate::support::simulator::Control;

const ANSWERED_IN: Duration = Duration::from_secs(3);
const ASKED_FOR: Duration = Duration::from_secs(120);

/// URLs of the hosts, living or not, and a token for all.
#[derive(Clone)]
pub struct Doors {
    pub urls: Arc<Mutex<Vec<String>>>,
    pub token: String,
}

impl Doors {
    /// Status and body of the first answer that says what became of it.
    pub async fn ask(&self, rng: &mut StdRng, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
        let http = crate::support::http::client();
        let began = Instant::now();
        loop {
            let url = {
                let urls = self.urls.lock().unwrap();
                urls[rng.random_range(0..urls.len())].clone()
            };
            let mut request = http.post(format!("{url}{path}")).bearer_auth(&self.token);
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let answered = async {
                let answer = request.json(body).send().await.ok()?;
                let status = answer.status().as_u16();
                Some((status, answer.json::<Value>().await.ok()?))
            };
            match tokio::time::timeout(ANSWERED_IN, answered).await {
                Ok(Some((status, body))) if status < 500 && status != 429 => return (status, body),
                other => assert!(began.elapsed() < ASKED_FOR, "nobody answers {path}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(rng.random_range(50..300))).await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Keep,
    /// Its last step fails.
    Fail,
    /// Cancelled so long after it was accepted.
    Cancel(Duration),
    /// Two droplets beside each other.
    Pair,
    Nap,
    Snapshot(i64),
    Destroy(i64),
}

#[derive(Debug, Clone)]
pub struct Order {
    pub number: u64,
    pub wish: Wish,
}

impl Order {
    pub fn key(&self) -> String {
        format!("order-{}", self.number)
    }

    pub fn name(&self) -> String {
        format!("made-{}", self.number)
    }

    fn body(&self) -> Value {
        let quick = json!({ "poll_interval_ms": 100, "settle_ms": 4_000, "absence_recheck_ms": 100 });
        let wait = json!({ "poll_interval_ms": 100 });
        let inputs = json!({
            "droplet_name": self.name(), "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
            "droplet_image": "ubuntu-24-04-x64",
        });
        let made = |scope: &str| {
            let named = |name: &str| format!("{name}{scope}");
            vec![
                json!({ "name": named("create"), "component": "create-droplet", "params": quick, "scope": scope, "after": [] }),
                json!({
                    "name": named("wait"), "component": "wait-droplet-active", "params": wait, "scope": scope,
                    "after": [named("create")],
                }),
                json!({
                    "name": named("register"), "component": "register-droplet", "params": quick, "scope": scope,
                    "after": [named("wait")],
                }),
            ]
        };
        let of = |steps: Vec<Value>| json!({ "kind": "test", "inputs": inputs, "steps": steps });
        match self.wish {
            Wish::Keep | Wish::Cancel(_) => of(made("a")),
            Wish::Fail => {
                let mut steps = made("a");
                let fail =
                    json!([{ "permanent": { "code": "on-purpose", "message": "the last step fails" } }]);
                steps.push(json!({ "name": "fail", "component": "scripted", "params": { "run": fail } }));
                of(steps)
            }
            Wish::Pair => of([made("a"), made("b")].concat()),
            Wish::Nap => naps(3, 400),
            Wish::Snapshot(droplet) => json!({
                "definition": "snapshot_droplet", "params": { "snapshot": quick },
                "inputs": { "droplet_provider_id": droplet.to_string(), "snapshot_label": "nightly" },
            }),
            Wish::Destroy(droplet) => json!({
                "definition": "destroy_droplet", "params": { "destroy": quick },
                "inputs": { "droplet_provider_id": droplet.to_string() },
            }),
        }
    }

    /// The saga that it became.
    async fn ask(self, doors: Doors, mut rng: StdRng) -> (Order, String) {
        let (status, body) = doors
            .ask(&mut rng, "/v1/sagas", Some(&self.key()), &self.body())
            .await;
        let saga = match (status, body["id"].as_str()) {
            (200..300, Some(saga)) => saga.to_owned(),
            _ => panic!("{self:?} was answered {status} {body}"),
        };
        if let Wish::Cancel(after) = self.wish {
            tokio::time::sleep(after).await;
            let (status, body) = doors
                .ask(&mut rng, &format!("/v1/sagas/{saga}/cancel"), None, &json!({}))
                .await;
            assert!(matches!(status, 200 | 202 | 409), "cancel: {status} {body}");
        }
        (self, saga)
    }
}

/// Asks for one thing after another, until `until`; what was accepted.
pub async fn load(doors: Doors, control: Control, seed: u64, until: Instant) -> Vec<(Order, String)> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut asking = JoinSet::new();
    let mut accepted: Vec<(Order, String)> = Vec::new();
    // Nobody asks anything else about these.
    let mut spare: Vec<String> = Vec::new();
    for number in 1.. {
        if Instant::now() >= until {
            break;
        }
        let wish = match rng.random_range(0..11) {
            0..3 => Wish::Keep,
            3 => Wish::Fail,
            4..6 => Wish::Cancel(Duration::from_millis(rng.random_range(0..2_500))),
            6..8 => Wish::Pair,
            8 => Wish::Nap,
            kind => match settled(&control, &mut spare).await {
                Some(droplet) if kind == 9 => Wish::Snapshot(droplet),
                Some(droplet) => Wish::Destroy(droplet),
                None => Wish::Keep,
            },
        };
        let order = Order { number, wish };
        asking.spawn(order.ask(doors.clone(), StdRng::seed_from_u64(seed ^ number)));
        while let Some(asked) = asking.try_join_next() {
            let (order, saga) = asked.unwrap();
            if order.wish == Wish::Keep {
                spare.push(order.name());
            }
            accepted.push((order, saga));
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(200..700))).await;
    }
    while let Some(asked) = asking.join_next().await {
        accepted.push(asked.unwrap());
    }
    accepted
}

/// A droplet that has been there for long enough for its saga to be done with it, or about to be.
async fn settled(control: &Control, spare: &mut Vec<String>) -> Option<i64> {
    let state = control.state().await;
    let old = |created_ms: u64| created_ms + 15_000 < state.now_ms;
    let found = state
        .droplets
        .iter()
        .find(|droplet| droplet.live && old(droplet.created_ms) && spare.contains(&droplet.name))?;
    spare.retain(|name| *name != found.name);
    Some(found.id)
}
