//! `arcadia saga list`

use clap::Args;
use jiff::Timestamp;

use crate::{
    api::dto::{Page, SagaSummary},
    cli::{
        client::Client,
        exit::Exit,
        failure::CliError,
        output::{self, age, or_dash},
    },
    saga::{Kind, Status},
};

#[derive(Debug, Args)]
pub struct List {
    /// Only sagas in this status
    #[arg(long, value_parser = parse_status, value_name = "STATUS")]
    status: Option<Status>,
    /// Only sagas of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only sagas with this deployment id
    #[arg(long, value_name = "ID")]
    deployment_id: Option<String>,
    /// Only sagas of this definition
    #[arg(long, value_name = "NAME")]
    definition: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
    /// Go on after an earlier page: its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

fn parse_status(text: &str) -> Result<Status, String> {
    Status::parse(text).ok_or_else(|| format!("one of {}", Status::ALL.map(Status::as_str).join(", ")))
}

impl List {
    pub async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        if let Some(kind) = &self.kind
            && Kind::parse(kind).is_none()
        {
            let kinds = Kind::ALL.map(Kind::as_str).join(", ");
            return Err(CliError::usage(
                format!("{kind:?} is no kind"),
                format!("one of {kinds}"),
            ));
        }
        let mut query = vec![("limit", self.limit.to_string())];
        let filters = [
            ("status", self.status.map(|status| status.as_str().to_owned())),
            ("kind", self.kind),
            ("deployment_id", self.deployment_id),
            ("definition", self.definition),
            ("cursor", self.cursor),
        ];
        query.extend(
            filters
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let page: Page<SagaSummary> = client.get("/v1/sagas", &query).await?;
        if json {
            output::json(&page)?;
            return Ok(Exit::Success);
        }
        let now_ms = Timestamp::now().as_millisecond();
        let rows = page.items.iter().map(|saga| row(saga, now_ms)).collect();
        output::table(
            &["id", "kind", "definition", "status", "steps", "age", "deployment"],
            rows,
            "no sagas; `arcadia droplet create --help` starts one",
        )?;
        if let Some(cursor) = page.next_cursor {
            output::line(&format!("more: --cursor {cursor}"))?;
        }
        Ok(Exit::Success)
    }
}

fn row(saga: &SagaSummary, now_ms: i64) -> Vec<String> {
    let definition = saga
        .definition
        .as_ref()
        .map(|definition| format!("{} v{}", definition.name, definition.version));
    let status = match (saga.status.as_str(), saga.cancel_requested) {
        (status, _) if saga.paused => format!("{status} (paused)"),
        (status, true) if !saga.status.is_final() => format!("{status} (cancelling)"),
        (status, _) => status.to_owned(),
    };
    vec![
        saga.id.to_string(),
        saga.kind.as_str().to_owned(),
        or_dash(definition),
        status,
        format!("{}/{}", saga.steps_done, saga.steps_total),
        age(now_ms, saga.created_at.as_ms()),
        or_dash(saga.deployment_id.as_ref()),
    ]
}
