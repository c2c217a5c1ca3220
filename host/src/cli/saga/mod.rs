//! `arcadia saga …`

mod doings;
mod list;
mod pause;
mod repin;
mod retry;
mod show;
mod start;
mod verb;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    client::Client,
    connection::Connection,
    exit::{EXIT_CODES, Exit},
    failure::CliError,
    output,
    watch::{Show, follow},
};
use crate::{api::dto::Started, saga::SagaId};

#[derive(Debug, Subcommand)]
pub enum SagaCommand {
    /// Start a saga, by definition or with its steps in the request
    #[command(after_help = concat!(
        "Examples:\n",
        "  arcadia saga start destroy_droplet --inputs '{\"droplet_provider_id\":\"5720\"}' --watch\n",
        "  arcadia saga start --kind test --steps '[{\"name\":\"greet\",\"component\":\"greet\"}]' --inputs '{\"name\":\"you\"}'\n",
        "  arcadia saga start provision_droplet --inputs @web.json --param wait.poll_interval_ms=1000"
    ))]
    Start(start::Start),
    /// List sagas, newest first
    #[command(
        after_help = "Examples:\n  arcadia saga list\n  arcadia saga list --status needs-attention --json"
    )]
    List(list::List),
    /// Show one saga: its steps, what they did, why it went back
    #[command(after_help = "Example:\n  arcadia saga show 0193a2b4-7c1d-7e55-9c0f-3a5b6c7d8e9f")]
    Show(One),
    /// Show what the steps of a saga said: its newest 1,000 lines
    #[command(after_help = "Example:\n  arcadia saga logs 0193a2b4-7c1d-7e55-9c0f-3a5b6c7d8e9f")]
    Logs(doings::Doings),
    /// Show the requests with which a saga may have changed the world
    #[command(after_help = "Example:\n  arcadia saga requests 0193a2b4-7c1d-7e55-9c0f-3a5b6c7d8e9f")]
    Requests(doings::Doings),
    /// Follow a saga to its end; the exit code tells how it ended
    #[command(after_help = format!("Example:\n  arcadia saga watch ID && echo completed\n\n{EXIT_CODES}"))]
    Watch(Watch),
    /// Ask a saga to go back: what it made so far is undone
    #[command(after_help = "Example:\n  arcadia saga cancel ID --reason 'wrong region' --watch")]
    Cancel(verb::Cancel),
    /// Take back a saga that has completed: every step is undone
    #[command(after_help = "Example:\n  arcadia saga rollback ID --reason 'ordered twice' --watch")]
    Rollback(verb::Operate),
    /// Hold one saga, all of a definition, or everything: nothing begins, and no deadline comes nearer
    #[command(
        after_help = "Examples:\n  arcadia saga pause ID --reason 'waiting for a quota'\n  arcadia saga pause --definition provision_droplet\n  arcadia saga pause --all"
    )]
    Pause(pause::Pause),
    /// Let go on what was paused
    #[command(after_help = "Examples:\n  arcadia saga resume ID\n  arcadia saga resume --all")]
    Resume(pause::Pause),
    /// List what is paused as a whole
    #[command(after_help = "Example:\n  arcadia saga pauses")]
    Pauses,
    /// Try again what a saga that needs attention is stuck at
    #[command(
        after_help = "Examples:\n  arcadia saga retry ID --reason 'the token is valid again' --watch\n  arcadia saga retry --all --code connect --reason 'the provider is back'"
    )]
    Retry(retry::Retry),
    /// Give steps of a saga, or of all on some bytes, another version of their component, for the calls to come
    #[command(
        after_help = "Examples:\n  arcadia saga repin ID --to create-droplet@0.2.0\n  arcadia saga repin --from DIGEST --to create-droplet@0.2.0 --apply --reason 'the old one leaks'"
    )]
    Repin(repin::Repin),
    /// Let a saga go on without a step that is stuck; it then ends abandoned, and `arcadia findings` keeps what the step left
    #[command(after_help = "Example:\n  arcadia saga skip ID register --reason 'registered by hand' --watch")]
    Skip(verb::Skip),
    /// Give up a saga that needs attention; `arcadia findings` names what it leaves behind
    #[command(after_help = "Example:\n  arcadia saga abandon ID --reason 'droplet 5720 deleted by hand'")]
    Abandon(verb::Operate),
}

#[derive(Debug, Args)]
pub struct One {
    /// Id of the saga
    id: SagaId,
}

#[derive(Debug, Args)]
pub struct Watch {
    /// Id of the saga
    id: SagaId,
    #[command(flatten)]
    following: Following,
}

/// For commands that start something.
#[derive(Debug, Args)]
pub struct MaybeWatch {
    /// Follow the saga to its end; the exit code tells how it ended (see `arcadia saga watch --help`)
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    following: Following,
}

#[derive(Debug, Args)]
pub struct Following {
    /// Stop watching after this many seconds, with exit code 7; the saga goes on
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// For commands that start a saga.
#[derive(Debug, Args)]
pub struct Starting {
    /// The same key twice starts one saga: a script can try again safely
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub maybe_watch: MaybeWatch,
}

/// What a saga is started with beside its inputs.
#[derive(Debug, Args)]
pub struct Terms {
    /// Your own id for what the saga belongs to
    #[arg(long, value_name = "ID")]
    pub deployment_id: Option<String>,
    /// A parameter of a step, laid over the definition's; may be repeated
    #[arg(long = "param", value_name = "STEP.KEY=VALUE")]
    pub params: Vec<String>,
}

impl SagaCommand {
    pub async fn run(self, connection: &Connection) -> Result<Exit, CliError> {
        let client = connection.client()?;
        let json = connection.json;
        match self {
            SagaCommand::Start(start) => start.run(&client, json).await,
            SagaCommand::List(list) => list.run(&client, json).await,
            SagaCommand::Show(one) => show::run(&client, one.id, json).await,
            SagaCommand::Logs(doings) => doings.logs(&client, json).await,
            SagaCommand::Requests(doings) => doings.requests(&client, json).await,
            SagaCommand::Watch(watch) => watch_to_the_end(&client, watch.id, &watch.following, json).await,
            SagaCommand::Cancel(cancel) => cancel.run(&client, json).await,
            SagaCommand::Rollback(ask) => ask.run(&client, "rollback", json).await,
            SagaCommand::Skip(skip) => skip.run(&client, json).await,
            SagaCommand::Retry(retry) => retry.run(&client, json).await,
            SagaCommand::Repin(repin) => repin.run(&client, json).await,
            SagaCommand::Pause(pause) => pause.run(&client, "pause", json).await,
            SagaCommand::Resume(pause) => pause.run(&client, "resume", json).await,
            SagaCommand::Pauses => pause::list(&client, json).await,
            SagaCommand::Abandon(ask) => ask.run(&client, "abandon", json).await,
        }
    }
}

/// Tells that a saga was accepted, and follows it when that was asked for.
pub async fn started(
    client: &Client,
    started: &Started,
    maybe_watch: &MaybeWatch,
    json: bool,
) -> Result<Exit, CliError> {
    tell_accepted(started, started.id, maybe_watch, json)?;
    if maybe_watch.watch {
        watch_to_the_end(client, started.id, &maybe_watch.following, json).await
    } else {
        Ok(Exit::Success)
    }
}

fn tell_accepted<T: Serialize>(
    answer: &T,
    saga: SagaId,
    maybe_watch: &MaybeWatch,
    json: bool,
) -> Result<(), CliError> {
    match (json, maybe_watch.watch) {
        (true, true) => output::json_line(answer),
        (true, false) => output::json(answer),
        (false, true) => output::line(&format!("saga {saga} is accepted")),
        (false, false) => output::line(&format!(
            "saga {saga} is accepted\n  next: arcadia saga watch {saga}"
        )),
    }
}

async fn watch_to_the_end(
    client: &Client,
    saga: SagaId,
    following: &Following,
    json: bool,
) -> Result<Exit, CliError> {
    let timeout = following.timeout.map(Duration::from_secs);
    let picture = follow(client, saga, Show::fitting(json), timeout).await?;
    if !json {
        output::line(&picture.ending())?;
    }
    Ok(Exit::of(picture.saga.status))
}
