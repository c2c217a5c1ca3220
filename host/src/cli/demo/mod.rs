//! `arcadia demo`: one host and one simulated cloud in a fresh folder, and four sagas through the host's own HTTP API.
//!
//! It has no privileges: it talks to the host as `curl` would, reads what is left from the simulator's control API, and its
//! quick intervals are parameters of the sagas like any others. Nothing it starts can leave loopback: the only service is
//! the simulator, and neither a cloud token nor a proxy of the environment is read.

mod cloud;
mod story;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;

use super::{
    client::Client,
    data_folder::DataFolder,
    exit::Exit,
    failure::CliError,
    output,
    server::{Compiling, Database, Logging, Node, NodeOptions, Prepared, digitalocean_at},
    simulate::SIMULATED_TOKEN,
    stop::Stop,
};
use crate::engine::LeaseOptions;
use cloud::DemoCloud;
use story::Story;

/// From the start of the binary to its end.
const LIMIT: Duration = Duration::from_secs(20);
/// Kept for ending in order.
const RESERVE: Duration = Duration::from_millis(500);

/// See it work: a droplet is made and destroyed, another one fails and is undone
#[derive(Debug, Args)]
#[command(after_help = "\
Starts a host with a fresh data folder and a simulated DigitalOcean, both as real HTTP servers on free ports of this
machine; needs no account, reads no token, and ends by itself within 20 seconds. Exits with 0 only if everything ended as
it should: the first droplet destroyed, the second one undone, no droplet left.

With --fault something else goes wrong as well, which usually makes the demo end with 1 and keep its folder: the fault is
given to the simulated cloud before the second droplet is provisioned.

Examples:
  arcadia demo
  arcadia demo | cat
  arcadia demo --fault '{\"match\":{\"method\":\"DELETE\"},\"fault\":{\"kind\":\"delete-ignored\"}}'")]
pub struct Demo {
    /// A fault for the simulated cloud, as its control API takes it: JSON, @file, or -; may be repeated
    #[arg(long = "fault", value_name = "JSON")]
    faults: Vec<String>,
    /// Keep the data folder although everything went well
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    logging: Logging,
}

impl Demo {
    pub async fn run(self, json: bool, began: Instant) -> Result<Exit, CliError> {
        let folder = fresh_folder();
        DataFolder::open(&folder)?;
        let stop = Stop::listen()?;
        let told = tokio::select! {
            told = tokio::time::timeout_at((began + LIMIT - RESERVE).into(), self.tell(&folder, json, began)) => {
                told.unwrap_or_else(|_| Err(CliError::failed(format!(
                    "the demo did not end within {} s", LIMIT.as_secs()
                ))))
            }
            () = stop.asked() => Err(CliError::failed("the demo was interrupted")),
        };
        match told {
            Ok(()) if self.keep => output::line(&format!("kept: {}", folder.display()))?,
            Ok(()) => fs::remove_dir_all(&folder).map_err(CliError::writing(&folder))?,
            Err(error) => return Err(kept(&error, &folder)),
        }
        Ok(Exit::Success)
    }

    async fn tell(&self, folder: &Path, json: bool, began: Instant) -> Result<(), CliError> {
        self.logging.start_in(&folder.join("arcadia.log"), "info")?;
        let faults = self
            .faults
            .iter()
            .map(|fault| super::json_argument::read(fault))
            .collect::<Result<Vec<_>, _>>()?;
        let cloud = DemoCloud::start().await?;
        let node = start_host(folder, &cloud).await?;
        let url = reqwest::Url::parse(&node.url)
            .map_err(|error| CliError::failed(format!("{}: {error}", node.url)))?;
        let token = node.token.here().map(|token| token.text.reveal());
        let client = Client::new(url, token)?;
        let story = Story::new(client, cloud, json, faults);
        story.introduce(folder, &node.url)?;
        let summary = story.tell().await?;
        node.shutdown().await?;
        let took_s = began.elapsed().as_secs_f64();
        if json {
            output::json(&json!({ "outcome": "as expected", "took_s": took_s, "left": summary }))?;
        } else {
            output::line(&format!("\nThe demo took {took_s:.1} s."))?;
        }
        Ok(())
    }
}

async fn start_host(folder: &Path, cloud: &DemoCloud) -> Result<Node, CliError> {
    let prepared = Prepared::open(NodeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.join("host"),
        database: Database::File,
        lease: LeaseOptions::default(),
        services: vec![digitalocean_at(&cloud.api_url(), SIMULATED_TOKEN)],
        allow_replace: false,
        compiling: Compiling::default(),
    })
    .await?;
    prepared.start().await
}

/// A folder that no other demo uses, not even one that starts at the same moment.
fn fresh_folder() -> PathBuf {
    let random: u32 = rand::random();
    std::env::temp_dir().join(format!("arcadia-demo-{}-{random:08x}", std::process::id()))
}

fn kept(error: &CliError, folder: &Path) -> CliError {
    CliError::Failed {
        what: format!("the demo did not go as it should\n  {error}"),
        next: Some(format!(
            "look into the log, {}; database and log are kept in that folder",
            folder.join("arcadia.log").display()
        )),
    }
}
