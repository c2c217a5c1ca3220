//! `arcadia saga logs | requests`

use clap::Args;

use crate::{
    api::dto::{LogLine, Page, SagaRequest},
    cli::{
        client::Client,
        exit::Exit,
        failure::CliError,
        output::{self, or_dash},
    },
    saga::{Phase, SagaId},
};

/// A page of what one saga did.
#[derive(Debug, Args)]
pub struct Doings {
    /// Id of the saga
    id: SagaId,
    /// At most this many
    #[arg(long, default_value_t = 200, value_name = "N")]
    limit: u32,
    /// Go on after an earlier page: its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl Doings {
    pub async fn logs(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let path = format!("/v1/sagas/{}/logs", self.id);
        let page: Page<LogLine> = client.get(&path, &self.query()).await?;
        if json {
            output::json(&page)?;
            return Ok(Exit::Success);
        }
        for line in &page.items {
            let fields: String = line
                .fields
                .iter()
                .map(|field| format!("  {}={}", field.name, field.value))
                .collect();
            output::line(&format!(
                "{}  {:5}  {} {}  {}{fields}",
                line.at,
                line.level,
                direction(line.phase),
                line.step,
                line.message.trim_end(),
            ))?;
        }
        if page.items.is_empty() {
            output::line("no step has said anything")?;
        }
        more(page.next_cursor)
    }

    pub async fn requests(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let path = format!("/v1/sagas/{}/requests", self.id);
        let page: Page<SagaRequest> = client.get(&path, &self.query()).await?;
        if json {
            output::json(&page)?;
            return Ok(Exit::Success);
        }
        let rows = page
            .items
            .iter()
            .map(|request| {
                vec![
                    request.at.to_string(),
                    format!("{} {}", direction(request.phase), request.step),
                    format!("{} {}{}", request.method, request.service, request.path),
                    request.state.as_str().to_owned(),
                    or_dash(request.status),
                ]
            })
            .collect();
        output::table(
            &["at", "step", "request", "state", "status"],
            rows,
            "no request that changes anything was sent",
        )?;
        more(page.next_cursor)
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let cursor = self.cursor.clone().map(|cursor| ("cursor", cursor));
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(cursor);
        query
    }
}

fn direction(phase: Phase) -> &'static str {
    match phase {
        Phase::Run => "run",
        Phase::Compensate => "undo",
    }
}

fn more(cursor: Option<String>) -> Result<Exit, CliError> {
    if let Some(cursor) = cursor {
        output::line(&format!("more: --cursor {cursor}"))?;
    }
    Ok(Exit::Success)
}
