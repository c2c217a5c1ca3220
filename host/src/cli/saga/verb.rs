//! `arcadia saga cancel | rollback | skip | abandon`

use clap::Args;
use serde::Serialize;

use super::MaybeWatch;
use crate::{
    api::dto::{Reason, Saga, SkipStep},
    cli::{client::Client, exit::Exit, failure::CliError, output},
    saga::SagaId,
};

#[derive(Debug, Args)]
pub struct Cancel {
    /// Id of the saga
    id: SagaId,
    /// Why: it goes into the saga's events
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    maybe_watch: MaybeWatch,
}

/// For verbs that decide over the head of the engine.
#[derive(Debug, Args)]
pub struct Operate {
    /// Id of the saga
    id: SagaId,
    /// Why: it goes into the saga's events
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    maybe_watch: MaybeWatch,
}

#[derive(Debug, Args)]
pub struct Skip {
    /// Id of the saga
    id: SagaId,
    /// Name of the step that is stuck
    step: String,
    /// Why: it goes into the saga's events
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    maybe_watch: MaybeWatch,
}

impl Cancel {
    pub async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let body = Reason { reason: self.reason };
        ask(client, self.id, "cancel", &body, &self.maybe_watch, json).await
    }
}

impl Operate {
    pub async fn run(self, client: &Client, verb: &str, json: bool) -> Result<Exit, CliError> {
        let reason = Some(self.reason);
        ask(client, self.id, verb, &Reason { reason }, &self.maybe_watch, json).await
    }
}

impl Skip {
    pub async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let body = SkipStep {
            step: self.step,
            reason: Some(self.reason),
        };
        ask(client, self.id, "skip", &body, &self.maybe_watch, json).await
    }
}

pub(super) async fn ask(
    client: &Client,
    id: SagaId,
    verb: &str,
    body: &impl Serialize,
    maybe_watch: &MaybeWatch,
    json: bool,
) -> Result<Exit, CliError> {
    let saga: Saga = client.post(&format!("/v1/sagas/{id}/{verb}"), body).await?;
    if maybe_watch.watch {
        return super::watch_to_the_end(client, id, &maybe_watch.following, json).await;
    }
    if json {
        output::json(&saga)?;
    } else {
        let cancelling = saga.cancel_requested && !saga.status.is_final();
        let note = if cancelling { ", cancel requested" } else { "" };
        output::line(&format!("saga {id} is {}{note}", saga.status.as_str()))?;
    }
    Ok(Exit::Success)
}
