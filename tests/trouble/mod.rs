//! The database in trouble: the real binary on a real database whose disk is full, read-only or unreliable, or which has rows
//! that make no sense. After each, what was acknowledged is there, and cloud, inventory and sagas agree.

mod database;
mod disk;
mod postgres;
mod rows;
mod sagas;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use arcadia::simulator::{Options, Rules, Simulator};
use reqwest::Method;
use serde_json::Value;

use self::sagas::{failing_provision, provision, sleeper};
use crate::support::{disk::Disk, host::Host, simulator::Control};

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

/// Sagas that are started in one time of trouble: all fit on one page.
const MOST: usize = 100;

struct Stage<B> {
    _simulator: Simulator,
    control: Control,
    base: B,
    cloud: String,
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
            cloud,
            host,
            acknowledged: BTreeMap::new(),
        }
    }

    /// Another host on the same database, started whether it comes up or not.
    fn second(&self) -> Host {
        Host::spawned(&self.cloud, &self.base.arguments(), Some(self.host.token()))
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

    /// Goes on starting sagas until the trouble is over, each under a key of its own and again for as long as it is refused. Answers
    /// how often that was.
    async fn starting_during(&mut self, trouble: impl Future<Output = ()>) -> usize {
        let over = AtomicBool::new(false);
        let trouble = async {
            trouble.await;
            over.store(true, Ordering::Release);
        };
        let ((), (accepted, refused)) = tokio::join!(trouble, self.start_until(&over));
        self.acknowledged.extend(accepted);
        refused
    }

    async fn start_until(&self, over: &AtomicBool) -> (BTreeMap<String, &'static str>, usize) {
        let mut accepted = BTreeMap::new();
        let mut refused = 0;
        for number in 1_000.. {
            if over.load(Ordering::Acquire) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            if accepted.len() >= MOST {
                continue;
            }
            let (request, end) = match number % 4 {
                0 => provision(number),
                1 => failing_provision(number),
                _ => sleeper(200),
            };
            let saga = loop {
                match self.host.start_once(&format!("key-{number}"), &request).await {
                    Some((200 | 202, _, body)) => break body["id"].as_str().unwrap().to_owned(),
                    Some((503, Some(_), body)) if body["code"] == "store-unavailable" => refused += 1,
                    other => panic!("{other:?}\n{}", self.host.log()),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            accepted.insert(saga, end);
        }
        (accepted, refused)
    }

    /// Everything acknowledged comes to its end; nothing else is there; cloud and inventory are the same.
    async fn check(&self, case: &str) {
        for (saga, end) in &self.acknowledged {
            let status = self.host.rest_of(saga).await;
            if status != *end {
                let steps = self.host.get(&format!("/v1/sagas/{saga}/steps")).await;
                panic!(
                    "{case}: saga {saga} is {status}, not {end}: {steps}\n{}",
                    self.host.log()
                );
            }
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
