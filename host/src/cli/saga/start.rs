//! `arcadia saga start`

use clap::Args;
use reqwest::Method;

use super::{Starting, Terms};
use crate::{
    api::dto::{StartSaga, Started},
    cli::{client::Client, exit::Exit, failure::CliError, json_argument},
    saga::Kind,
};

#[derive(Debug, Args)]
pub struct Start {
    /// Name of a definition: `arcadia saga start provision_droplet`
    #[arg(required_unless_present = "steps", conflicts_with = "steps")]
    definition: Option<String>,
    /// The saga's inputs: a JSON object, @file, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "{}")]
    inputs: String,
    /// Steps instead of a definition: a JSON array, @file, or -
    #[arg(long, value_name = "JSON", requires = "kind")]
    steps: Option<String>,
    /// Label of a saga with its own steps
    #[arg(long, value_parser = parse_kind, requires = "steps", value_name = "KIND")]
    kind: Option<Kind>,
    /// Accept it, and begin only after `arcadia saga resume`
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    starting: Starting,
}

pub(super) fn parse_kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| format!("one of {}", Kind::ALL.map(Kind::as_str).join(", ")))
}

impl Start {
    pub async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let body = StartSaga {
            definition: self.definition,
            kind: self.kind,
            steps: self.steps.as_deref().map(json_argument::read).transpose()?,
            inputs: Some(json_argument::read_object(&self.inputs)?),
            params: json_argument::params(&self.terms.params)?,
            paused: self.paused,
            deployment_id: self.terms.deployment_id,
            triggered_by: None,
        };
        let key = self.starting.idempotency_key.as_deref();
        let started: Started = client.start(Method::POST, "/v1/sagas", Some(&body), key).await?;
        super::started(client, &started, &self.starting.maybe_watch, json).await
    }
}
