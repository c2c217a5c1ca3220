//! `arcadia inventory …`

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    client::Client,
    connection::Connection,
    droplet::{RESOURCE_HEADER, resource_rows},
    exit::Exit,
    failure::CliError,
    output::{self, or_dash},
};
use crate::api::dto::{Page, Provisioned, Resource, ResourceSummary};

#[derive(Debug, Subcommand)]
pub enum InventoryCommand {
    /// List what is in the cloud because of a saga, newest first
    #[command(after_help = "Examples:
  arcadia inventory list
  arcadia inventory list --kind snapshot --json
  arcadia inventory list --all")]
    List(List),
    /// Show one resource, and every version of what it should be
    #[command(after_help = "Example:\n  arcadia inventory show res-0123456789abcdef0123456789abcdef")]
    Show(Show),
}

#[derive(Debug, Args)]
pub struct List {
    /// Only resources of this kind: droplet, snapshot
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Also resources that are confirmed gone
    #[arg(long)]
    all: bool,
    /// At most this many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
    /// Go on after an earlier page: its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub struct Show {
    /// Our id of the resource, as `inventory list` shows it
    id: String,
}

/// A resource with its desired states.
#[derive(Debug, Serialize)]
struct Shown {
    resource: Resource,
    provisioned: Vec<Provisioned>,
}

impl InventoryCommand {
    pub async fn run(self, connection: &Connection) -> Result<Exit, CliError> {
        let client = connection.client()?;
        match self {
            InventoryCommand::List(list) => list.run(&client, connection.json).await,
            InventoryCommand::Show(show) => show.run(&client, connection.json).await,
        }
    }
}

impl List {
    async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.kind.map(|kind| ("kind", kind)));
        query.extend(self.cursor.map(|cursor| ("cursor", cursor)));
        if self.all {
            query.push(("deleted", "true".to_owned()));
        }
        let page: Page<ResourceSummary> = client.get("/v1/inventory/resources", &query).await?;
        if json {
            output::json(&page)?;
            return Ok(Exit::Success);
        }
        let rows = resource_rows(&page.items);
        output::table(RESOURCE_HEADER, rows, "the inventory is empty")?;
        if let Some(cursor) = page.next_cursor {
            output::line(&format!("more: --cursor {cursor}"))?;
        }
        Ok(Exit::Success)
    }
}

impl Show {
    async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let path = format!("/v1/inventory/resources/{}", self.id);
        let shown = Shown {
            resource: client.get(&path, &[]).await?,
            provisioned: client
                .get::<Page<Provisioned>>(&format!("{path}/provisioned"), &[])
                .await?
                .items,
        };
        if json {
            output::json(&shown)?;
            return Ok(Exit::Success);
        }
        let resource = &shown.resource;
        output::facts(vec![
            ("id", resource.id.clone()),
            (
                "what",
                format!("{} {} {}", resource.provider, resource.kind, resource.provider_id),
            ),
            ("name", or_dash(resource.name.as_ref())),
            ("region", or_dash(resource.region.as_ref())),
            ("status", resource.status.clone()),
            ("public ip", or_dash(resource.public_ip.as_ref())),
            ("tags", resource.tags.join(" ")),
            (
                "made by",
                format!("saga {}, step {}", resource.saga_id, resource.step),
            ),
            ("first seen", resource.first_seen_at.to_string()),
            ("last seen", resource.last_seen_at.to_string()),
            ("gone", or_dash(resource.deleted_at)),
        ])?;
        output::line("")?;
        let rows = shown
            .provisioned
            .iter()
            .map(|provisioned| {
                vec![
                    provisioned.spec_version.to_string(),
                    provisioned.spec.as_str().to_owned(),
                    provisioned.recorded_at.to_string(),
                    or_dash(provisioned.withdrawn_at),
                ]
            })
            .collect();
        output::table(
            &["version", "should be", "recorded", "withdrawn"],
            rows,
            "nothing is recorded of what it should be",
        )?;
        Ok(Exit::Success)
    }
}
