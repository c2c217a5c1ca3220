//! Hosts on a database of their own, and a simulator.

use std::{
    ffi::OsString,
    net::SocketAddr,
    time::{Duration, Instant},
};

use arcadia::simulator::{Options, Rules, Simulator};
use reqwest::Method;
use serde_json::{Value, json};

use super::line::Line;
use crate::support::{
    host::Host,
    postgres::{self, Server},
    simulator::Control,
};

pub const SCRIPTED: &[u8] = include_bytes!("../../steps-wasm/examples/components/scripted.wasm");

/// Short enough to wait for.
pub const LEASE: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_millis(400);
/// What a host exits with that has lost its lease.
pub const LEASE_LOST: Option<i32> = Some(8);
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
        let simulator = quick_simulator().await;
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
        self.host_in(database, cloud, Vec::new()).await
    }

    /// With these variables in its environment too.
    pub async fn host_in(
        &mut self,
        database: &str,
        cloud: &str,
        environment: Vec<(&'static str, OsString)>,
    ) -> Host {
        let arguments = [
            "--database".to_owned(),
            database.to_owned(),
            "--lease-ms".to_owned(),
            self.lease.as_millis().to_string(),
            "--heartbeat-ms".to_owned(),
            HEARTBEAT.as_millis().to_string(),
        ];
        let host = Host::start_in(cloud, &arguments, self.token.clone(), environment).await;
        if self.token.is_none() {
            self.token = Some(host.token());
            host.upload(SCRIPTED).await;
        }
        host
    }

    pub fn sql(&self, statement: &str) -> String {
        self.server.sql(self.name(), statement)
    }

    /// Of the database.
    pub fn name(&self) -> &str {
        self.database.rsplit('/').next().unwrap_or_default()
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

/// Things of it are done soon.
pub async fn quick_simulator() -> Simulator {
    let options = Options {
        rules: Rules {
            activation_ms: 300,
            delete_ms: 200,
            snapshot_ms: 300,
            rate_per_minute: 1_000_000,
            rate_per_hour: 10_000_000,
            ..Rules::default()
        },
        ..Options::default()
    };
    Simulator::start(options).await.unwrap()
}

pub fn address_of(url: &str) -> SocketAddr {
    let url = reqwest::Url::parse(url).unwrap();
    SocketAddr::new(url.host_str().unwrap().parse().unwrap(), url.port().unwrap())
}

/// The same address, over a line.
pub fn by(url: &str, line: &Line) -> String {
    let mut url = reqwest::Url::parse(url).unwrap();
    url.set_port(Some(line.address.port())).unwrap();
    url.to_string().trim_end_matches('/').to_owned()
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
        let rest = host.rest_of(saga).await;
        if rest != status {
            let events = host.get(&format!("/v1/sagas/{saga}/events?limit=200")).await;
            panic!("saga {saga} is {rest}, not {status}: {events}");
        }
    }
}

pub async fn cancel(host: &Host, saga: &str) -> u16 {
    let path = format!("/v1/sagas/{saga}/cancel");
    let answer = host.send(Method::POST, &path, Some(json!({}))).await;
    answer.expect("the host answers").0
}
