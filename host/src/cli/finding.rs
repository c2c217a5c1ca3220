//! `arcadia findings`

use clap::Args;
use jiff::Timestamp;

use super::{
    connection::Connection,
    exit::Exit,
    failure::CliError,
    output::{self, age, or_dash},
};
use crate::{
    api::dto::{Finding, Page},
    saga::SagaId,
};

#[derive(Debug, Args)]
pub struct Findings {
    /// Only findings of this saga
    #[arg(long, value_name = "ID")]
    saga: Option<SagaId>,
    /// Also findings that are settled
    #[arg(long)]
    all: bool,
    /// At most this many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
}

impl Findings {
    pub async fn run(self, connection: &Connection) -> Result<Exit, CliError> {
        let client = connection.client()?;
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.saga.map(|saga| ("saga", saga.to_string())));
        if self.all {
            query.push(("all", "true".to_owned()));
        }
        let page: Page<Finding> = client.get("/v1/findings", &query).await?;
        if connection.json {
            output::json(&page)?;
            return Ok(Exit::Success);
        }
        if page.items.is_empty() {
            output::line("nothing needs a person")?;
        }
        let now_ms = Timestamp::now().as_millisecond();
        for finding in &page.items {
            output::print(&told(finding, now_ms))?;
        }
        Ok(Exit::Success)
    }
}

/// What happened, with which thing, how long ago, and what to do: a paragraph each.
fn told(finding: &Finding, now_ms: i64) -> String {
    let resource = finding
        .resource
        .as_ref()
        .map(|resource| format!("{} {} {}", resource.provider, resource.kind, resource.provider_id));
    let settled = if finding.resolved_at.is_some() {
        ", settled"
    } else {
        ""
    };
    format!(
        "{} ({} ago{settled})\n  {}\n  resource  {}\n  saga      {}, step {}\n  next      {}\n\n",
        finding.code,
        age(now_ms, finding.created_at.as_ms()),
        finding.message,
        or_dash(resource),
        or_dash(finding.saga_id),
        or_dash(finding.step.as_ref()),
        finding.advice,
    )
}
