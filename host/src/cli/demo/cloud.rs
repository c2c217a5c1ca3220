//! The demo's cloud: a simulated DigitalOcean at a quick pace, and what its control API says.

use reqwest::Url;
use serde_json::{Value, json};

use crate::{
    cli::{
        client::Client,
        failure::CliError,
        simulate::{self, SIMULATED_TOKEN},
    },
    simulator::{DropletCount, Options, Rules, Simulator, SnapshotReport, StateReport, Token},
};

pub struct DemoCloud {
    simulator: Simulator,
    control: Client,
}

impl DemoCloud {
    pub async fn start() -> Result<DemoCloud, CliError> {
        let rules = Rules {
            tokens: vec![Token::full(SIMULATED_TOKEN)],
            activation_ms: 1_000,
            snapshot_ms: 600,
            delete_ms: 400,
            ..Rules::default()
        };
        let simulator = simulate::start(Options {
            rules,
            ..Options::default()
        })
        .await?;
        let control = Url::parse(&simulator.control_url())
            .map_err(|error| CliError::failed(format!("{}: {error}", simulator.control_url())))?;
        Ok(DemoCloud {
            simulator,
            control: Client::new(control, None)?,
        })
    }

    pub fn api_url(&self) -> String {
        self.simulator.api_url()
    }

    pub fn control_url(&self) -> String {
        self.simulator.control_url()
    }

    /// Makes something go wrong.
    pub async fn fault(&self, fault: &Value) -> Result<(), CliError> {
        let _: Value = self.control.post("/faults", fault).await?;
        Ok(())
    }

    /// The next snapshot is accepted, and fails afterwards.
    pub async fn let_the_next_snapshot_fail(&self) -> Result<(), CliError> {
        self.fault(&json!({
            "match": { "method": "POST", "path": "/v2/droplets/*/actions" },
            "times": 1,
            "fault": { "kind": "action-errors" },
        }))
        .await
    }

    pub async fn count(&self) -> Result<DropletCount, CliError> {
        self.control.get("/droplets/count", &[]).await
    }

    /// Snapshots that are there.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotReport>, CliError> {
        let state: StateReport = self.control.get("/state", &[]).await?;
        let there = state.snapshots.into_iter().filter(|snapshot| !snapshot.deleted);
        Ok(there.collect())
    }
}
