//! The database in trouble: the real binary on a real database whose disk is full, read-only or unreliable, or which has rows
//! that make no sense. After each, what was acknowledged is there, and cloud, inventory and sagas agree.

mod disk;
mod rows;

use std::{collections::BTreeMap, ffi::OsString, time::Duration};

use arcadia::simulator::{Options, Rules, Simulator};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    disk::Disk,
    host::Host,
    postgres::{self, Server},
    simulator::Control,
};

const SCRIPTED: &[u8] = include_bytes!("../../steps-wasm/examples/components/scripted.wasm");

/// What the host has its database on.
trait Base {
    /// More arguments of `serve`.
    fn arguments(&self) -> Vec<String>;

    fn environment(&self) -> Vec<(&'static str, OsString)>;
}

/// SQLite.
impl Base for Disk {
    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Disk::environment(self)
    }
}

/// PostgreSQL.
struct Database {
    server: &'static Server,
    url: String,
}

impl Base for Database {
    fn arguments(&self) -> Vec<String> {
        // A lease that can be waited for.
        [
            "--database",
            &self.url,
            "--lease-ms",
            "3000",
            "--heartbeat-ms",
            "400",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }
}

impl Database {
    /// `None`: there is no PostgreSQL here, and the test is skipped.
    fn new() -> Option<Database> {
        let server = postgres::shared()?;
        let url = server.database();
        Some(Database { server, url })
    }

    fn sql(&self, statement: &str) -> String {
        let name = self.url.rsplit('/').next().unwrap_or_default();
        self.server.sql(name, statement)
    }
}

struct Stage<B> {
    _simulator: Simulator,
    control: Control,
    base: B,
    host: Host,
    /// Sagas that were acknowledged, and what each comes to.
    acknowledged: BTreeMap<String, &'static str>,
}

impl Stage<Disk> {
    async fn set() -> Stage<Disk> {
        Stage::on(Disk::new()).await
    }
}

impl<B: Base> Stage<B> {
    async fn on(base: B) -> Stage<B> {
        let rules = Rules {
            activation_ms: 300,
            delete_ms: 200,
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
        let cloud = simulator.api_url();
        let host = Host::start_in(&cloud, &base.arguments(), None, base.environment()).await;
        host.upload(SCRIPTED).await;
        Stage {
            control: Control::of(&simulator),
            _simulator: simulator,
            base,
            host,
            acknowledged: BTreeMap::new(),
        }
    }

    async fn accept(&mut self, (request, end): (Value, &'static str)) -> String {
        let saga = self.host.saga(request).await;
        self.acknowledged.insert(saga.clone(), end);
        saga
    }

    /// Some of each kind, in flight.
    async fn load(&mut self) {
        for number in 0..4 {
            self.accept(provision(number)).await;
            self.accept(failing_provision(number)).await;
            self.accept(sleeper(300)).await;
        }
    }

    /// Everything acknowledged comes to its end; nothing else is there; cloud and inventory are the same.
    async fn check(&self, case: &str) {
        for (saga, end) in &self.acknowledged {
            let status = self.host.rest_of(saga).await;
            assert_eq!(status, *end, "{case}: saga {saga}\n{}", self.host.log());
        }
        let rows = self.host.get("/v1/sagas?limit=200").await;
        let there = rows["items"].as_array().unwrap().len();
        assert_eq!(there, self.acknowledged.len(), "{case}: sagas");
        self.check_cloud(case).await;
    }

    async fn check_cloud(&self, case: &str) {
        // A delete is accepted before it is done.
        for _ in 0..250 {
            let state = self.control.state().await;
            if state.droplets.iter().all(|one| !one.live || !one.leaving) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let cloud = self.control.live_droplet_ids().await;
        let log = self.host.log();
        assert_eq!(
            cloud,
            self.host.inventory().await,
            "{case}: cloud, inventory\n{log}"
        );
        let mut effects: BTreeMap<String, u32> = BTreeMap::new();
        for entry in self.control.journal().await {
            if entry.method == "POST" && entry.path == "/v2/droplets" && !entry.effects.is_empty() {
                let tag = entry
                    .tags
                    .iter()
                    .find(|tag| tag.starts_with("arcadia-r-"))
                    .unwrap();
                *effects.entry(tag.clone()).or_default() += 1;
            }
        }
        let doubled = effects.values().any(|count| *count > 1);
        assert!(!doubled, "{case}: a create took effect twice: {effects:?}");
    }

    /// Refused for the time being: a code of its own, and when to ask again.
    async fn refused(&self, method: Method, path: &str, body: Option<Value>, code: &str) {
        let case = format!("{method} {path}");
        let answer = self.host.ask(method, path, body).await;
        let Some((503, Some(again), body)) = &answer else {
            panic!("{case}: {answer:?}\n{}", self.host.log());
        };
        assert_eq!(body["code"], code, "{case}");
        assert!(
            again.parse::<u64>().is_ok_and(|seconds| seconds >= 1),
            "{case}: {again}"
        );
        let said = body["detail"].as_str().unwrap();
        let inside = [
            "arcadia.db",
            "sqlite",
            "postgres",
            "(code",
            "disk I/O",
            "os error",
        ];
        assert!(!inside.iter().any(|text| said.contains(text)), "{case}: {said}");
    }

    async fn wait_ready(&self) {
        for _ in 0..1_500 {
            if let Some((200, _)) = self.host.send(Method::GET, "/readyz", None).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the host is not ready: {}", self.host.log());
    }
}

/// Intervals that make a test quick.
fn quick() -> Value {
    let params = json!({ "poll_interval_ms": 100, "settle_ms": 1_500, "absence_recheck_ms": 100 });
    json!({ "create": params, "wait": { "poll_interval_ms": 100 }, "register": {} })
}

fn wish(name: String) -> Value {
    json!({
        "droplet_name": name, "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    })
}

fn provision(number: usize) -> (Value, &'static str) {
    let request = json!({
        "definition": "provision_droplet", "inputs": wish(format!("kept-{number}")), "params": quick(),
    });
    (request, "completed")
}

fn failing_provision(number: usize) -> (Value, &'static str) {
    let request = json!({
        "kind": "test", "inputs": wish(format!("undone-{number}")), "params": quick(),
        "steps": [
            { "name": "create", "component": "create-droplet" },
            { "name": "wait", "component": "wait-droplet-active" },
            { "name": "register", "component": "register-droplet" },
            {
                "name": "fail", "component": "scripted",
                "params": { "run": [{ "permanent": { "code": "on-purpose", "message": "the last step fails" } }] },
            },
        ],
    });
    (request, "compensated")
}

/// Keeps something, sleeps, and keeps more. Its plan is its own: no other has this number.
fn sleeper(after_ms: u64) -> (Value, &'static str) {
    let run = json!([
        { "set": { "a": [1] } }, { "checkpoint": {} }, { "again": { "after_ms": after_ms, "times": 3, "state": { "x": 1 } } },
        { "done": { "y": 2 } },
    ]);
    let request = json!({
        "kind": "test",
        "steps": [
            { "name": "first", "component": "scripted", "params": { "run": [{ "done": { "first": true } }] } },
            { "name": "second", "component": "scripted", "params": { "run": run } },
        ],
    });
    (request, "completed")
}
