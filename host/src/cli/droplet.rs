//! `arcadia droplet …`: the three shipped definitions, by name.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;

use super::{
    client::Client,
    connection::Connection,
    exit::Exit,
    failure::CliError,
    json_argument,
    output::{self, age, or_dash},
    saga::{self, Starting, Terms},
};
use crate::api::dto::{CreateDroplet, CreateSnapshot, Page, ResourceSummary, Started};

#[derive(Debug, Subcommand)]
pub enum DropletCommand {
    /// Provision a droplet: create it, wait until it is active, register it in the inventory
    #[command(after_help = "Examples:
  arcadia droplet create --name web-1 --watch
  arcadia droplet create --name web-2 --region fra1 --size s-1vcpu-1gb --image ubuntu-24-04-x64 --tag web")]
    Create(Create),
    /// List the droplets in the inventory
    #[command(after_help = "Example:\n  arcadia droplet list --json")]
    List(List),
    /// Destroy a droplet by the provider's id; this can't be undone
    #[command(after_help = "Example:\n  arcadia droplet destroy 2147483801 --watch")]
    Destroy(Destroy),
    /// Make a snapshot of a droplet
    #[command(after_help = "Example:\n  arcadia droplet snapshot 2147483801 --label before-upgrade --watch")]
    Snapshot(Snapshot),
}

#[derive(Debug, Args)]
pub struct Create {
    /// Host name of the droplet: letters, digits, dots and dashes
    #[arg(long)]
    name: String,
    /// Region by its slug
    #[arg(long, default_value = "fra1")]
    region: String,
    /// Size by its slug
    #[arg(long, default_value = "s-1vcpu-1gb")]
    size: String,
    /// Image by its slug or number
    #[arg(long, default_value = "ubuntu-24-04-x64")]
    image: String,
    /// A tag of your own; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Id or fingerprint of an SSH key that the account knows; may be repeated
    #[arg(long = "ssh-key", value_name = "KEY")]
    ssh_keys: Vec<String>,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    starting: Starting,
}

#[derive(Debug, Args)]
pub struct List {
    /// Also droplets that are confirmed gone
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub struct Destroy {
    /// The provider's id of the droplet
    droplet: u64,
    #[command(flatten)]
    starting: Starting,
}

#[derive(Debug, Args)]
pub struct Snapshot {
    /// The provider's id of the droplet
    droplet: u64,
    /// Beginning of the snapshot's name; a tag that makes it unique follows
    #[arg(long)]
    label: String,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    starting: Starting,
}

impl DropletCommand {
    pub async fn run(self, connection: &Connection) -> Result<Exit, CliError> {
        let client = connection.client()?;
        let json = connection.json;
        match self {
            DropletCommand::Create(create) => create.run(&client, json).await,
            DropletCommand::List(list) => list.run(&client, json).await,
            DropletCommand::Destroy(destroy) => destroy.run(&client, json).await,
            DropletCommand::Snapshot(snapshot) => snapshot.run(&client, json).await,
        }
    }
}

impl Create {
    async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let texts = |texts: Vec<String>| Some(texts.into_iter().map(number_or_text).collect());
        let body = CreateDroplet {
            droplet_name: Some(self.name),
            droplet_region: Some(self.region),
            droplet_size: Some(self.size),
            droplet_image: Some(number_or_text(self.image)),
            droplet_tags: Some(self.tags.into_iter().map(Value::String).collect()),
            droplet_ssh_keys: texts(self.ssh_keys),
            params: json_argument::params(&self.terms.params)?,
            deployment_id: self.terms.deployment_id,
            triggered_by: None,
        };
        let key = self.starting.idempotency_key.as_deref();
        let started: Started = client
            .start(Method::POST, "/v1/droplets", Some(&body), key)
            .await?;
        saga::started(client, &started, &self.starting.maybe_watch, json).await
    }
}

/// Slugs and fingerprints are texts, ids are numbers.
fn number_or_text(text: String) -> Value {
    text.parse::<u64>()
        .map_or_else(|_| Value::String(text), Value::from)
}

impl List {
    async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let mut query = vec![("limit", "200".to_owned())];
        let path = if self.all {
            query.extend([("kind", "droplet".to_owned()), ("deleted", "true".to_owned())]);
            "/v1/inventory/resources"
        } else {
            "/v1/droplets"
        };
        let page: Page<ResourceSummary> = client.get(path, &query).await?;
        if json {
            output::json(&page)?;
            return Ok(Exit::Success);
        }
        let rows = resource_rows(&page.items);
        output::table(
            RESOURCE_HEADER,
            rows,
            "no droplets; `arcadia droplet create --name web-1 --watch` makes one",
        )?;
        Ok(Exit::Success)
    }
}

pub const RESOURCE_HEADER: &[&str] = &[
    "kind",
    "provider id",
    "name",
    "region",
    "status",
    "public ip",
    "age",
    "id",
];

/// Rows of the inventory, for people.
pub fn resource_rows(resources: &[ResourceSummary]) -> Vec<Vec<String>> {
    let now_ms = Timestamp::now().as_millisecond();
    let row = |resource: &ResourceSummary| {
        let status = match resource.deleted_at {
            Some(_) => "gone".to_owned(),
            None => resource.status.clone(),
        };
        vec![
            resource.kind.clone(),
            resource.provider_id.clone(),
            or_dash(resource.name.as_ref()),
            or_dash(resource.region.as_ref()),
            status,
            or_dash(resource.public_ip.as_ref()),
            age(now_ms, resource.first_seen_at.as_ms()),
            resource.id.clone(),
        ]
    };
    resources.iter().map(row).collect()
}

impl Destroy {
    async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let path = format!("/v1/droplets/{}", self.droplet);
        let key = self.starting.idempotency_key.as_deref();
        let started: Started = client.start(Method::DELETE, &path, None::<&()>, key).await?;
        saga::started(client, &started, &self.starting.maybe_watch, json).await
    }
}

impl Snapshot {
    async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let body = CreateSnapshot {
            snapshot_label: Some(self.label),
            params: json_argument::params(&self.terms.params)?,
            deployment_id: self.terms.deployment_id,
            triggered_by: None,
        };
        let path = format!("/v1/droplets/{}/snapshots", self.droplet);
        let key = self.starting.idempotency_key.as_deref();
        let started: Started = client.start(Method::POST, &path, Some(&body), key).await?;
        saga::started(client, &started, &self.starting.maybe_watch, json).await
    }
}
