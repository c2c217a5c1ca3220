//! `arcadia dev`: a server and a simulated cloud in one process, for trying things on.

use std::{env, path::PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{
    Compiling, Database, Listening, Logging, NodeOptions,
    account::RealAccount,
    cloud, digitalocean_at,
    node::{Node, Prepared},
};
use crate::{
    cli::{
        connection::dev_folder,
        exit::Exit,
        failure::CliError,
        output,
        simulate::{self, Pace, SIMULATED_TOKEN},
        stop::Stop,
    },
    cloud::ServiceConfig,
    engine::LeaseOptions,
    simulator::{Options, Rules, Simulator, Token},
};

/// Run a host with a simulated cloud, to try things on
#[derive(Debug, Args)]
#[command(after_help = "\
Everything a host does, with a simulated DigitalOcean in the same process. The simulated cloud starts empty each time; the
data folder stays. A version of a step may be pushed again with other bytes, which only `dev` allows.

Examples:
  arcadia dev
  arcadia dev --activation-ms 500 --log info
  DIGITALOCEAN_TOKEN=… arcadia dev --cloud digitalocean     # real droplets, real money")]
pub struct Dev {
    #[command(flatten)]
    listening: Listening,
    /// Where everything is kept [default: ~/.local/share/arcadia/dev]
    #[arg(long, env = "ARCADIA_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Which cloud the steps reach
    #[arg(long, value_enum, default_value_t = Cloud::Simulator, value_name = "CLOUD")]
    cloud: Cloud,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    compiling: Compiling,
    #[command(flatten)]
    logging: Logging,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Cloud {
    /// Simulated, in this process
    Simulator,
    /// The real one, with the token in DIGITALOCEAN_TOKEN
    #[value(name = "digitalocean")]
    DigitalOcean,
}

impl Dev {
    pub async fn run(self, json: bool) -> Result<Exit, CliError> {
        self.logging.start("warn")?;
        let simulator = match self.cloud {
            Cloud::Simulator => Some(simulate::start(simulator_options(self.pace)).await?),
            Cloud::DigitalOcean => None,
        };
        let service = match &simulator {
            // Each start has a cloud of its own at another port. Sagas of the last one go on, and learn that their things are gone.
            Some(simulator) => ServiceConfig {
                origin: Some("simulator".to_owned()),
                ..digitalocean_at(&simulator.api_url(), SIMULATED_TOKEN)
            },
            None => cloud::real_digitalocean(|name| env::var(name).ok()).ok_or_else(|| {
                CliError::usage(
                    "there is no token for DigitalOcean",
                    format!("give it in {}, or leave --cloud out", cloud::TOKEN_VARIABLE),
                )
            })?,
        };
        let prepared = Prepared::open(NodeOptions {
            listen: self.listening.listen,
            data: self.data.unwrap_or_else(dev_folder),
            database: Database::File,
            lease: LeaseOptions::default(),
            services: vec![service.clone()],
            allow_replace: true,
            compiling: self.compiling,
        })
        .await?;
        let account = match simulator {
            Some(_) => None,
            None => Some(RealAccount::read(prepared.services(), &service).await),
        };
        let stop = Stop::listen()?;
        let node = prepared.start().await?;
        if json {
            tell_json(&node, simulator.as_ref())?;
        } else {
            tell(&node, simulator.as_ref(), account)?;
        }
        stop.asked().await;
        node.shutdown().await?;
        Ok(Exit::Success)
    }
}

/// Slow enough to watch, fast enough not to wait.
fn simulator_options(pace: Pace) -> Options {
    let mut rules = Rules {
        tokens: vec![Token::full(SIMULATED_TOKEN)],
        activation_ms: 4_000,
        snapshot_ms: 4_000,
        delete_ms: 1_000,
        ..Rules::default()
    };
    pace.apply(&mut rules);
    Options {
        rules,
        // The inventory outlives this cloud: the next one must not give its droplets the same numbers.
        seed: rand::random(),
        ..Options::default()
    }
}

fn tell_json(node: &Node, simulator: Option<&Simulator>) -> Result<(), CliError> {
    output::json_line(&json!({
        "url": node.url,
        "token_file": node.token.here().map(|token| &token.file),
        "simulator_api": simulator.map(Simulator::api_url),
        "simulator_control": simulator.map(Simulator::control_url),
    }))
}

fn tell(node: &Node, simulator: Option<&Simulator>, account: Option<RealAccount>) -> Result<(), CliError> {
    let url = &node.url;
    let token_file = node.folder().token_file();
    let token_file = token_file.display();
    let token = &node.token;
    let cloud = match (simulator, account) {
        (Some(simulator), _) => format!(
            "simulated DigitalOcean at {}, empty\n          what it holds: curl {}/state",
            simulator.api_url(),
            simulator.control_url()
        ),
        (None, Some(account)) => account.to_string(),
        (None, None) => "none".to_owned(),
    };
    output::line(&format!(
        "arcadia is ready

  URL     {url}
  token   {token}
  cloud   {cloud}

Provision a droplet:

  curl -X POST {url}/v1/droplets \\
    -H \"Authorization: Bearer $(cat '{token_file}')\" -H 'Content-Type: application/json' \\
    -d '{{\"droplet_name\":\"web-1\",\"droplet_region\":\"fra1\",\"droplet_size\":\"s-1vcpu-1gb\",\"droplet_image\":\"ubuntu-24-04-x64\"}}'

List the inventory:

  curl {url}/v1/inventory/resources -H \"Authorization: Bearer $(cat '{token_file}')\"

The same with this program, from another terminal: arcadia droplet create --name web-1 --watch
Write a step: arcadia step new greet
Stop with ctrl-c; sagas go on at the next start."
    ))
}
