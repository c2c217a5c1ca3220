//! `arcadia saga repin`

use clap::Args;

use crate::{
    api::dto::{RepinSaga, RepinSagas, Repinned, RepinnedSagas, RepinnedStep, SagaRepinned},
    cli::{client::Client, exit::Exit, failure::CliError, output},
    saga::SagaId,
};

#[derive(Debug, Args)]
pub struct Repin {
    /// Id of the saga; without it all sagas that are pinned to the component in --from
    #[arg(required_unless_present = "from")]
    id: Option<SagaId>,
    /// sha256 of the component that is left, in all sagas that haven't ended
    #[arg(long, value_name = "DIGEST", conflicts_with_all = ["id", "step"])]
    from: Option<String>,
    /// The component that takes over, as in definitions
    #[arg(long, value_name = "NAME@VERSION")]
    to: String,
    /// Only this step
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// Do it; without this, only say what would change
    #[arg(long, requires = "reason")]
    apply: bool,
    /// Why: it goes into the sagas' events
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Repin {
    pub async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        match (self.id, &self.from) {
            (Some(id), _) => self.one(id, client, json).await,
            (None, Some(from)) => self.all(from, client, json).await,
            (None, None) => Err(CliError::failed("name a saga, or give --from")),
        }
    }

    async fn one(&self, id: SagaId, client: &Client, json: bool) -> Result<Exit, CliError> {
        let body = RepinSaga {
            to: self.to.clone(),
            step: self.step.clone(),
            dry_run: !self.apply,
            reason: self.reason.clone(),
        };
        let repinned: Repinned = client.post(&format!("/v1/sagas/{id}/repin"), &body).await?;
        if json {
            output::json(&repinned)?;
        } else {
            let rows = repinned.steps.iter().map(|step| row(id, step)).collect();
            self.tell(rows)?;
        }
        Ok(Exit::Success)
    }

    async fn all(&self, from: &str, client: &Client, json: bool) -> Result<Exit, CliError> {
        let mut items: Vec<SagaRepinned> = Vec::new();
        let mut after = None;
        loop {
            let body = RepinSagas {
                from: from.to_owned(),
                to: self.to.clone(),
                dry_run: !self.apply,
                reason: self.reason.clone(),
                after,
            };
            let page: RepinnedSagas = client.post("/v1/sagas/repin", &body).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if json {
            output::json(&RepinnedSagas { items, next: None })?;
            return Ok(Exit::Success);
        }
        let mut rows = Vec::new();
        for item in &items {
            rows.extend(item.steps.iter().map(|step| row(item.id, step)));
            if let Some(problem) = &item.problem {
                let mut cells = vec![item.id.to_string()];
                cells.resize(4, "-".to_owned());
                cells.push(format!("{} ({})", problem.detail, problem.code));
                rows.push(cells);
            }
        }
        self.tell(rows)?;
        Ok(Exit::Success)
    }

    fn tell(&self, rows: Vec<Vec<String>>) -> Result<(), CliError> {
        let is_empty = rows.is_empty();
        output::table(
            &["saga", "step", "from", "to", "problem"],
            rows,
            "no step with a call to come has another version of this component",
        )?;
        if is_empty {
            return Ok(());
        }
        let next = if self.apply {
            "what is stuck goes on with `arcadia saga retry`"
        } else {
            "nothing was changed; sagas without a problem change with --apply --reason TEXT, and what is stuck then goes on with `arcadia saga retry`"
        };
        output::line(&format!("  next: {next}"))
    }
}

fn row(saga: SagaId, step: &RepinnedStep) -> Vec<String> {
    let problems: Vec<String> = step
        .problems
        .iter()
        .map(|problem| format!("{} ({})", problem.message, problem.code))
        .collect();
    let version = |component: &crate::saga::ComponentRef| {
        let digest = component.digest.get(..8).unwrap_or(&component.digest);
        format!("{} {digest}", component.version)
    };
    vec![
        saga.to_string(),
        step.step.clone(),
        version(&step.from),
        version(&step.to),
        if problems.is_empty() {
            "-".to_owned()
        } else {
            problems.join("; ")
        },
    ]
}
