//! `arcadia saga retry`

use clap::Args;

use super::{MaybeWatch, start::parse_kind, verb};
use crate::{
    api::dto::{Reason, RetriedSagas, RetrySagas, SagaRetried},
    cli::{client::Client, exit::Exit, failure::CliError, output},
    saga::{Kind, SagaId},
};

#[derive(Debug, Args)]
pub struct Retry {
    /// Id of the saga; without it all that match the filters, with --all
    #[arg(required_unless_present = "all")]
    id: Option<SagaId>,
    /// Every saga that needs attention, and matches the filters
    #[arg(long, conflicts_with_all = ["id", "watch"])]
    all: bool,
    /// With --all: only those of this definition
    #[arg(long, value_name = "NAME", requires = "all")]
    definition: Option<String>,
    /// With --all: only those of this kind
    #[arg(long, requires = "all", value_parser = parse_kind)]
    kind: Option<Kind>,
    /// With --all: only those of this deployment
    #[arg(long, value_name = "ID", requires = "all")]
    deployment_id: Option<String>,
    /// With --all: only those with a step that is stuck with this code
    #[arg(long, requires = "all")]
    code: Option<String>,
    /// With --all: only say which match
    #[arg(long, requires = "all")]
    dry_run: bool,
    /// Why: it goes into the sagas' events
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    #[command(flatten)]
    maybe_watch: MaybeWatch,
}

impl Retry {
    pub async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        if let Some(id) = self.id {
            let body = Reason { reason: self.reason };
            return verb::ask(client, id, "retry", &body, &self.maybe_watch, json).await;
        }
        let items = self.all(client).await?;
        if json {
            let next_cursor = None;
            output::json(&RetriedSagas { items, next_cursor })?;
            return Ok(Exit::Success);
        }
        let rows = items.iter().flat_map(rows).collect();
        let nothing = "no saga that needs attention matches";
        output::table(&["saga", "status", "stuck step", "at", "problem"], rows, nothing)?;
        if self.dry_run && !items.is_empty() {
            output::line("  next: nothing was changed; leave out --dry-run, and say why with --reason TEXT")?;
        }
        Ok(Exit::Success)
    }

    async fn all(&self, client: &Client) -> Result<Vec<SagaRetried>, CliError> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let body = RetrySagas {
                definition: self.definition.clone(),
                kind: self.kind,
                deployment_id: self.deployment_id.clone(),
                code: self.code.clone(),
                dry_run: self.dry_run,
                reason: self.reason.clone(),
                cursor,
            };
            let page: RetriedSagas = client.post("/v1/sagas/retry", &body).await?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }
}

fn rows(retried: &SagaRetried) -> Vec<Vec<String>> {
    let problem = retried.problem.as_ref();
    let problem = problem.map(|problem| format!("{} ({})", problem.detail, problem.code));
    let row = |step: String, at: String| {
        vec![
            retried.id.to_string(),
            retried.status.as_str().to_owned(),
            step,
            at,
            output::or_dash(problem.as_ref()),
        ]
    };
    if retried.stuck.is_empty() {
        return vec![row("-".to_owned(), "-".to_owned())];
    }
    let stuck = retried.stuck.iter();
    stuck
        .map(|stuck| row(stuck.step.clone(), format!("{} ({})", stuck.message, stuck.code)))
        .collect()
}
