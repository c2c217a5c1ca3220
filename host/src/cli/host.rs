//! `arcadia hosts`: who works on the database.

use clap::Args;
use jiff::Timestamp;

use super::{
    connection::Connection,
    exit::Exit,
    failure::CliError,
    output::{self, age},
};
use crate::api::dto::{Host, HostList};

#[derive(Debug, Args)]
pub struct Hosts {}

impl Hosts {
    pub async fn run(self, connection: &Connection) -> Result<Exit, CliError> {
        let client = connection.client()?;
        let hosts: HostList = client.get("/v1/hosts", &[]).await?;
        if connection.json {
            output::json(&hosts)?;
            return Ok(Exit::Success);
        }
        let now_ms = Timestamp::now().as_millisecond();
        let rows = hosts.items.iter().map(|host| row(host, now_ms)).collect();
        output::table(
            &["host", "started", "seen", "calling", "state"],
            rows,
            "no host works on the database",
        )?;
        Ok(Exit::Success)
    }
}

fn row(host: &Host, now_ms: i64) -> Vec<String> {
    let state = match (&host.lost, host.this) {
        (Some(lost), _) => format!("gone {}", age(now_ms, lost.as_ms())),
        (None, true) => "works, answers here".to_owned(),
        (None, false) => "works".to_owned(),
    };
    vec![
        host.id.clone(),
        age(now_ms, host.started.as_ms()),
        age(now_ms, host.seen.as_ms()),
        host.calling.len().to_string(),
        state,
    ]
}
