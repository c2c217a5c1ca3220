//! The command line. Commands talk to a server through its HTTP API; only `serve`, `dev`, `demo` and `simulate` start one, and
//! `token reset-admin` works on a data folder without one, and `doctor` on a database.
//!
//! Answers go to standard output, everything else to standard error. Exit codes: [`exit`].

mod client;
mod compile;
mod connection;
mod data_folder;
mod demo;
mod doctor;
mod droplet;
pub mod exit;
mod failure;
mod finding;
mod host;
mod inventory;
mod json_argument;
mod messages;
mod output;
mod picture;
mod saga;
mod server;
mod service;
mod simulate;
mod step;
mod stop;
mod token;
mod watch;

use std::{process::ExitCode, time::Instant};

use clap::{Parser, Subcommand};

use connection::Connection;
use exit::{EXIT_CODES, Exit};
use failure::CliError;

/// A durable saga engine whose steps are WebAssembly components
#[derive(Debug, Parser)]
#[command(
    name = "arcadia",
    version,
    max_term_width = 100,
    after_help = format!("\
Start here:
  arcadia demo                 see it work, in a few seconds and without a cloud
  arcadia dev                  a server with a simulated cloud, to try things on
  arcadia step new greet       write a step of your own

{EXIT_CODES}")
)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Started,
}

/// Who starts this program, and for what.
#[derive(Debug, Subcommand)]
enum Started {
    #[command(flatten)]
    ByPerson(Box<Command>),
    #[command(hide = true)]
    CompileComponent(compile::CompileComponent),
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Dev(server::Dev),
    Serve(server::Serve),
    /// Run a simulated provider on its own
    #[command(subcommand)]
    Simulate(simulate::SimulateCommand),
    /// Provision, list, snapshot and destroy droplets
    #[command(subcommand)]
    Droplet(droplet::DropletCommand),
    /// Start, follow and operate sagas
    #[command(subcommand)]
    Saga(saga::SagaCommand),
    /// Write, upload and promote steps
    #[command(subcommand)]
    Step(step::StepCommand),
    /// What is in the cloud because of sagas, and what it should be
    #[command(subcommand)]
    Inventory(inventory::InventoryCommand),
    /// What needs a person: stuck undos, things left behind
    #[command(after_help = "Examples:\n  arcadia findings\n  arcadia findings --saga ID --json")]
    Findings(finding::Findings),
    /// What steps may call: list, pause and resume services
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Who works on the database, and who did
    #[command(after_help = "Example:\n  arcadia hosts --json")]
    Hosts(host::Hosts),
    Doctor(doctor::Doctor),
    /// Who may ask for how much
    #[command(subcommand)]
    Token(token::TokenCommand),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let began = Instant::now();
    let cli = Cli::parse();
    let command = match cli.command {
        Started::ByPerson(command) => command,
        Started::CompileComponent(compile) => return compile.run(),
    };
    crate::cloud::install_crypto();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(CliError::io("can't start the async runtime")(error))),
    };
    let ended = runtime.block_on(command.run(&cli.connection, began));
    runtime.shutdown_background();
    end(ended)
}

fn end(ended: Result<Exit, CliError>) -> ExitCode {
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("{}", error.report());
            error.exit().into()
        }
    }
}

impl Command {
    async fn run(self, connection: &Connection, began: Instant) -> Result<Exit, CliError> {
        let json = connection.json;
        match self {
            Command::Demo(demo) => demo.run(json, began).await,
            Command::Dev(dev) => dev.run(json).await,
            Command::Serve(serve) => serve.run(json).await,
            Command::Simulate(command) => command.run(connection).await,
            Command::Droplet(command) => command.run(connection).await,
            Command::Saga(command) => command.run(connection).await,
            Command::Step(command) => command.run(connection).await,
            Command::Inventory(command) => command.run(connection).await,
            Command::Findings(findings) => findings.run(connection).await,
            Command::Service(command) => command.run(connection).await,
            Command::Hosts(hosts) => hosts.run(connection).await,
            Command::Doctor(doctor) => doctor.run(json).await,
            Command::Token(command) => command.run(connection).await,
        }
    }
}
