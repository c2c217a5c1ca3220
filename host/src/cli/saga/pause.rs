//! `arcadia saga pause | resume | pauses`

use clap::Args;
use jiff::Timestamp;

use crate::{
    api::dto::{HoldInForce, HoldKind, PauseMany, PausedMany, Pauses, Reason, Saga},
    cli::{
        client::Client,
        exit::Exit,
        failure::CliError,
        output::{self, age, or_dash},
    },
    saga::SagaId,
};

#[derive(Debug, Args)]
pub struct Pause {
    #[command(flatten)]
    which: Which,
    /// Why: it goes into the sagas' events
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Id of one saga
    id: Option<SagaId>,
    /// Every saga of this definition, those to come as well
    #[arg(long, value_name = "NAME")]
    definition: Option<String>,
    /// Every saga, those to come as well
    #[arg(long)]
    all: bool,
}

impl Pause {
    /// `verb`: `pause` or `resume`.
    pub async fn run(self, client: &Client, verb: &str, json: bool) -> Result<Exit, CliError> {
        match self.which.id {
            Some(id) => one(client, id, verb, self.reason, json).await,
            None => many(client, self.which.definition, verb, self.reason, json).await,
        }
    }
}

async fn one(
    client: &Client,
    id: SagaId,
    verb: &str,
    reason: Option<String>,
    json: bool,
) -> Result<Exit, CliError> {
    let saga: Saga = client
        .post(&format!("/v1/sagas/{id}/{verb}"), &Reason { reason })
        .await?;
    if json {
        output::json(&saga)?;
        return Ok(Exit::Success);
    }
    let line = match &saga.paused {
        Some(paused) if paused.by.iter().any(|by| by == "saga") => {
            format!("saga {id} is paused\n  next: arcadia saga resume {id}")
        }
        Some(paused) => format!(
            "saga {id} is still held by {}\n  next: see `arcadia saga pauses`",
            paused.by.join(", ")
        ),
        None => format!("saga {id} is {}", saga.status.as_str()),
    };
    output::line(&line)?;
    Ok(Exit::Success)
}

async fn many(
    client: &Client,
    definition: Option<String>,
    verb: &str,
    reason: Option<String>,
    json: bool,
) -> Result<Exit, CliError> {
    let what = match &definition {
        Some(name) => format!("definition {name}"),
        None => "everything".to_owned(),
    };
    let flag = match &definition {
        Some(name) => format!("--definition {name}"),
        None => "--all".to_owned(),
    };
    let body = PauseMany { definition, reason };
    let done: PausedMany = client.post(&format!("/v1/sagas/{verb}"), &body).await?;
    if json {
        output::json(&done)?;
        return Ok(Exit::Success);
    }
    let line = match (verb, &done.pause) {
        ("pause", _) => format!(
            "{what} is paused; {} more sagas are held\n  next: arcadia saga resume {flag}",
            done.sagas
        ),
        (_, Some(_)) => format!("{what} is no longer paused; {} sagas go on", done.sagas),
        (_, None) => format!("{what} was not paused"),
    };
    output::line(&line)?;
    Ok(Exit::Success)
}

pub async fn list(client: &Client, json: bool) -> Result<Exit, CliError> {
    let pauses: Pauses = client.get("/v1/pauses", &[]).await?;
    if json {
        output::json(&pauses)?;
        return Ok(Exit::Success);
    }
    let now_ms = Timestamp::now().as_millisecond();
    let rows = pauses.items.iter().map(|hold| row(hold, now_ms)).collect();
    output::table(
        &["what", "by", "since", "reason"],
        rows,
        "nothing is paused as a whole; a saga that is paused for itself shows it in `arcadia saga show ID`",
    )?;
    Ok(Exit::Success)
}

fn row(hold: &HoldInForce, now_ms: i64) -> Vec<String> {
    let name = hold.name.as_deref().unwrap_or_default();
    let what = match hold.target {
        HoldKind::All => "everything".to_owned(),
        HoldKind::Definition => format!("definition {name}"),
        HoldKind::Service => format!("service {name}"),
    };
    vec![
        what,
        hold.by.clone(),
        age(now_ms, hold.since.as_ms()),
        or_dash(hold.reason.as_ref()),
    ]
}
