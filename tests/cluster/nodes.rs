//! Hosts on a database of their own, and a simulator.

use std::time::{Duration, Instant};

use arcadia::simulator::{Options, Rules, Simulator};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    host::Host,
    postgres::{self, Server},
    simulator::Control,
};

const SCRIPTED: &[u8] = include_bytes!("../../steps-wasm/examples/components/scripted.wasm");

/// Short enough to wait for.
pub const LEASE: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_millis(400);
/// What is soon on a machine that is busy with other tests.
pub const SOON: Duration = Duration::from_secs(30);

pub struct Place {
    pub server: &'static Server,
    pub database: String,
    pub simulator: Simulator,
    pub control: Control,
    lease: Duration,
    token: Option<String>,
}

impl Place {
    /// `None`: there is no PostgreSQL here, and the test is skipped.
    pub async fn new() -> Option<Place> {
        Place::with_lease(LEASE).await
    }

    pub async fn with_lease(lease: Duration) -> Option<Place> {
        let server = postgres::shared()?;
        let simulator = Simulator::start(Options {
            rules: Rules {
                activation_ms: 300,
                delete_ms: 200,
                ..Rules::default()
            },
            ..Options::default()
        })
        .await
        .unwrap();
        Some(Place {
            database: server.database(),
            server,
            control: Control::of(&simulator),
            simulator,
            lease,
            token: None,
        })
    }

    pub async fn host(&mut self) -> Host {
        let (database, cloud) = (self.database.clone(), self.simulator.api_url());
        self.host_by(&database, &cloud).await
    }

    /// Its ways to the database and to the cloud lead through something.
    pub async fn host_by(&mut self, database: &str, cloud: &str) -> Host {
        let arguments = [
            "--database".to_owned(),
            database.to_owned(),
            "--lease-ms".to_owned(),
            self.lease.as_millis().to_string(),
            "--heartbeat-ms".to_owned(),
            HEARTBEAT.as_millis().to_string(),
        ];
        let host = Host::start_with(cloud, &arguments, self.token.clone()).await;
        if self.token.is_none() {
            self.token = Some(host.token());
            host.upload(SCRIPTED).await;
        }
        host
    }

    pub fn sql(&self, statement: &str) -> String {
        let name = self.database.rsplit('/').next().unwrap_or_default();
        self.server.sql(name, statement)
    }

    /// The host that owns the saga, and the saga's fence.
    pub fn owner(&self, saga: &str) -> String {
        self.sql(&format!("select owner, fence from saga_runs where id = '{saga}'"))
    }

    pub async fn posts(&self) -> usize {
        let journal = self.control.journal().await;
        journal.iter().filter(|entry| entry.method == "POST").count()
    }
}

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Says "again" a few times, then it is done.
pub fn naps(times: u64, ms: u64) -> Value {
    let nap = json!({
        "name": "nap", "component": "scripted",
        "params": { "run": [{ "again": { "after_ms": ms, "times": times } }], "compensate": [] }
    });
    json!({ "kind": "test", "steps": [nap] })
}

pub fn droplet(name: &str) -> Value {
    let quick = json!({ "poll_interval_ms": 100, "settle_ms": 8_000, "absence_recheck_ms": 100 });
    json!({
        "definition": "provision_droplet",
        "inputs": {
            "droplet_name": name, "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
            "droplet_image": "ubuntu-24-04-x64"
        },
        "params": { "create": quick, "wait": { "poll_interval_ms": 100 }, "register": quick }
    })
}

pub async fn all_rest(host: &Host, sagas: &[String], status: &str) {
    for saga in sagas {
        assert_eq!(host.rest_of(saga).await, status, "{saga}");
    }
}

pub async fn cancel(host: &Host, saga: &str) -> u16 {
    let path = format!("/v1/sagas/{saga}/cancel");
    let answer = host.send(Method::POST, &path, Some(json!({}))).await;
    answer.expect("the host answers").0
}
