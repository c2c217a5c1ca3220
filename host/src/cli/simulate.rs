//! `arcadia simulate …`: a simulated provider on its own, for tests and for clients in any language.

use std::{fs, net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{connection::Connection, exit::Exit, failure::CliError, output, stop::Stop};
use crate::simulator::{ClockMode, LinkOrigin, Options, Rules, Simulator, Token};

#[derive(Debug, Subcommand)]
pub enum SimulateCommand {
    /// A DigitalOcean of your own: its API on one port, what goes wrong on another
    #[command(
        name = "digitalocean",
        after_help = "\
Everything is in memory and gone when it ends. The control port takes faults and holds, and shows what there really is:
  curl CONTROL/droplets/count
  curl CONTROL/faults -d '{\"match\":{\"method\":\"POST\",\"path\":\"/v2/droplets\"},\"times\":1,
       \"fault\":{\"kind\":\"reset\",\"point\":\"after-effect\"}}'

Examples:
  arcadia simulate digitalocean
  arcadia simulate digitalocean --listen 127.0.0.1:9000 --control 127.0.0.1:9001 --activation-ms 2000
  arcadia serve --cloud http://127.0.0.1:9000"
    )]
    DigitalOcean(DigitalOcean),
}

#[derive(Debug, Args)]
pub struct DigitalOcean {
    /// Where the provider's API listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7280", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the control API listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7281", value_name = "ADDRESS")]
    control: SocketAddr,
    /// The bearer token that it accepts
    #[arg(long, default_value = SIMULATED_TOKEN, value_name = "TOKEN")]
    accept_token: String,
    #[command(flatten)]
    pace: Pace,
    /// Rules that replace the defaults: a JSON file with a part of what CONTROL/options answers
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Be as lenient as some clients need: links name the simulator itself, and a number in a text is an image's id
    #[arg(long)]
    lenient: bool,
    /// Time stands still until CONTROL/clock/advance moves it
    #[arg(long)]
    virtual_clock: bool,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

/// What the simulators that this binary starts accept.
pub const SIMULATED_TOKEN: &str = "simulated";

/// How long a simulated provider takes for things.
#[derive(Debug, Clone, Copy, Args)]
pub struct Pace {
    /// From a create to an active droplet, in milliseconds [default: 20000, with `dev` 4000]
    #[arg(long, value_name = "MS")]
    pub activation_ms: Option<u64>,
    /// From a snapshot's request to the snapshot, in milliseconds [default: 30000, with `dev` 4000]
    #[arg(long, value_name = "MS")]
    pub snapshot_ms: Option<u64>,
    /// From an accepted delete to the first 404, in milliseconds [default: 3000, with `dev` 1000]
    #[arg(long, value_name = "MS")]
    pub delete_ms: Option<u64>,
}

impl Pace {
    pub fn apply(self, rules: &mut Rules) {
        rules.activation_ms = self.activation_ms.unwrap_or(rules.activation_ms);
        rules.snapshot_ms = self.snapshot_ms.unwrap_or(rules.snapshot_ms);
        rules.delete_ms = self.delete_ms.unwrap_or(rules.delete_ms);
    }
}

impl SimulateCommand {
    pub async fn run(self, connection: &Connection) -> Result<Exit, CliError> {
        match self {
            SimulateCommand::DigitalOcean(digitalocean) => digitalocean.run(connection.json).await,
        }
    }
}

impl DigitalOcean {
    async fn run(self, json: bool) -> Result<Exit, CliError> {
        let options = self.options()?;
        let accept_token = self.accept_token;
        let stop = Stop::listen()?;
        let simulator = start(options).await?;
        let (api, control) = (simulator.api_url(), simulator.control_url());
        if json {
            output::json_line(&json!({ "api": api, "control": control, "token": accept_token }))?;
        } else {
            output::line(&format!(
                "simulated DigitalOcean\n  API      {api}  (token: {accept_token})\n  control  {control}\n  stop it with ctrl-c"
            ))?;
        }
        stop.asked().await;
        simulator.shutdown().await;
        Ok(Exit::Success)
    }

    fn options(&self) -> Result<Options, CliError> {
        let mut rules = match &self.rules {
            Some(file) => read_rules(file)?,
            None => Rules::default(),
        };
        rules.tokens = vec![Token::full(&self.accept_token)];
        if self.lenient {
            rules.link_origin = LinkOrigin::Own;
            rules.text_image_ids = true;
        }
        self.pace.apply(&mut rules);
        let clock = if self.virtual_clock {
            ClockMode::Virtual
        } else {
            ClockMode::Real
        };
        Ok(Options {
            api_addr: self.listen,
            control_addr: self.control,
            seed: self.seed,
            clock,
            rules,
        })
    }
}

fn read_rules(file: &PathBuf) -> Result<Rules, CliError> {
    let text = fs::read_to_string(file).map_err(CliError::reading(file))?;
    serde_json::from_str(&text).map_err(|error| {
        CliError::usage(
            format!("{} holds no rules: {error}", file.display()),
            "take a part of what the control API answers to GET /options",
        )
    })
}

pub async fn start(options: Options) -> Result<Simulator, CliError> {
    let (api, control) = (options.api_addr, options.control_addr);
    Simulator::start(options).await.map_err(CliError::io(format!(
        "the simulated provider can't listen at {api} and {control}"
    )))
}
