//! `arcadia service …`: what steps may call, and pausing it.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{
    client::Client,
    connection::Connection,
    exit::Exit,
    failure::CliError,
    output::{self, age, or_dash},
};
use crate::api::dto::{Reason, Service, ServiceList};

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// List the services: whose account, what is left of the rate budget, and whether it is paused
    #[command(after_help = "Example:\n  arcadia service list")]
    List,
    /// Send nothing more to a service; sagas that may use it wait, and their deadlines stand still
    #[command(
        after_help = "Example:\n  arcadia service pause digitalocean --reason 'the token is being replaced'"
    )]
    Pause(Which),
    /// Use a service again, with the credential and the account that it has now
    #[command(after_help = "\
A credential from a file is read again; for one from the environment restart the host. When the service still refuses it, the
host pauses the service anew.

Example:
  arcadia service resume digitalocean")]
    Resume(Which),
}

#[derive(Debug, Args)]
pub struct Which {
    /// The service's name
    name: String,
    /// Why: it goes into the events of the sagas that it concerns
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl ServiceCommand {
    pub async fn run(self, connection: &Connection) -> Result<Exit, CliError> {
        let json = connection.json;
        let client = connection.client()?;
        match self {
            ServiceCommand::List => list(&client, json).await,
            ServiceCommand::Pause(which) => which.ask(&client, "pause", json).await,
            ServiceCommand::Resume(which) => which.ask(&client, "resume", json).await,
        }
    }
}

impl Which {
    async fn ask(self, client: &Client, verb: &str, json: bool) -> Result<Exit, CliError> {
        let path = format!("/v1/services/{}/{verb}", self.name);
        let service: Service = client.post(&path, &Reason { reason: self.reason }).await?;
        if json {
            output::json(&service)?;
            return Ok(Exit::Success);
        }
        let name = &service.name;
        output::line(&match &service.paused {
            Some(_) => format!("service {name} is paused\n  next: arcadia service resume {name}"),
            None => format!("service {name} is used again"),
        })?;
        Ok(Exit::Success)
    }
}

async fn list(client: &Client, json: bool) -> Result<Exit, CliError> {
    let services: ServiceList = client.get("/v1/services", &[]).await?;
    if json {
        output::json(&services)?;
        return Ok(Exit::Success);
    }
    let now_ms = Timestamp::now().as_millisecond();
    let rows = services
        .items
        .iter()
        .map(|service| row(service, now_ms))
        .collect();
    output::table(
        &["name", "identity", "left/minute", "left/hour", "paused"],
        rows,
        "no service is configured: steps reach no cloud",
    )?;
    Ok(Exit::Success)
}

fn row(service: &Service, now_ms: i64) -> Vec<String> {
    let paused = service.paused.as_ref().map(|pause| {
        let why = pause
            .reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        format!("{} ago by {}{why}", age(now_ms, pause.since.as_ms()), pause.by)
    });
    vec![
        service.name.clone(),
        or_dash(service.identity.as_ref()),
        format!("{}/{}", service.left_in_minute, service.per_minute),
        format!("{}/{}", service.left_in_hour, service.per_hour),
        or_dash(paused),
    ]
}
