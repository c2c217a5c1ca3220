//! `arcadia saga cancel | retry | abandon`

use clap::Args;

use super::MaybeWatch;
use crate::{
    api::dto::{Reason, Saga},
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

impl Cancel {
    pub async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        ask(client, self.id, "cancel", self.reason, &self.maybe_watch, json).await
    }
}

impl Operate {
    pub async fn run(self, client: &Client, verb: &str, json: bool) -> Result<Exit, CliError> {
        ask(client, self.id, verb, Some(self.reason), &self.maybe_watch, json).await
    }
}

async fn ask(
    client: &Client,
    id: SagaId,
    verb: &str,
    reason: Option<String>,
    maybe_watch: &MaybeWatch,
    json: bool,
) -> Result<Exit, CliError> {
    let saga: Saga = client
        .post(&format!("/v1/sagas/{id}/{verb}"), &Reason { reason })
        .await?;
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
