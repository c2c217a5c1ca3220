//! Rows of the database as the values that the rest of the program reads. Columns are read by name.

use std::{fmt::Display, str::FromStr};

use serde::de::{DeserializeOwned, IgnoredAny};

use super::value::Row;
use crate::{
    saga::{
        CloudResource, DefinitionRef, Intent, JournalRecord, Json, Phase, RecordState, RecordedResponse,
        ResourceKey,
    },
    store::{
        ChannelRow, ComponentRow, ComponentStatus, DefinitionRow, EventRow, FindingRow, LogRow,
        ProvisionedRow, ResourceRow, SagaRow, StepRow,
    },
};

/// A value that the column's type allows and its meaning doesn't.
#[derive(Debug, thiserror::Error)]
#[error("column {column}: {reason}")]
struct Nonsense {
    column: &'static str,
    reason: String,
}

fn nonsense(column: &'static str, reason: impl Display) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(Nonsense {
        column,
        reason: reason.to_string(),
    }))
}

fn parsed<T>(row: &Row, column: &'static str) -> Result<T, sqlx::Error>
where
    T: FromStr<Err: Display>,
{
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error: T::Err| nonsense(column, error))
}

fn named<T>(
    row: &Row,
    column: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    parse(text).ok_or_else(|| nonsense(column, format!("unknown value {text:?}")))
}

pub(super) fn number<T: TryFrom<i64>>(row: &Row, column: &'static str) -> Result<T, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    T::try_from(number).map_err(|_| nonsense(column, format!("{number} is out of range")))
}

fn optional_number<T: TryFrom<i64>>(row: &Row, column: &'static str) -> Result<Option<T>, sqlx::Error> {
    let Some(number) = row.try_get::<Option<i64>>(column)? else {
        return Ok(None);
    };
    let converted = T::try_from(number).map_err(|_| nonsense(column, format!("{number} is out of range")))?;
    Ok(Some(converted))
}

fn json(row: &Row, column: &'static str) -> Result<Json, sqlx::Error> {
    well_formed(column, row.try_get(column)?)
}

fn optional_json(row: &Row, column: &'static str) -> Result<Option<Json>, sqlx::Error> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| well_formed(column, text)).transpose()
}

/// It was checked more strictly when it was stored; what a disk or a person made of it since is not given to anybody.
pub(super) fn well_formed(column: &'static str, text: String) -> Result<Json, sqlx::Error> {
    match serde_json::from_str::<IgnoredAny>(&text) {
        Ok(IgnoredAny) => Ok(Json::trusted(text)),
        Err(error) => Err(nonsense(column, format!("not a JSON text: {error}"))),
    }
}

fn structured<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|error| nonsense(column, error))
}

pub(super) fn phase(row: &Row) -> Result<Phase, sqlx::Error> {
    named(row, "phase", Phase::parse)
}

pub(super) fn saga(row: &Row) -> Result<SagaRow, sqlx::Error> {
    let definition = match row.try_get::<Option<String>>("definition_name")? {
        Some(name) => Some(DefinitionRef {
            name,
            version: number(row, "definition_version")?,
        }),
        None => None,
    };
    Ok(SagaRow {
        id: parsed(row, "id")?,
        kind: named(row, "kind", crate::saga::Kind::parse)?,
        definition,
        plan_digest: row.try_get("plan_digest")?,
        status: named(row, "status", crate::saga::Status::parse)?,
        cancel_requested: row.try_get("cancel_requested")?,
        pivot_passed: row.try_get("pivot_passed")?,
        turning: optional_json(row, "turning")?,
        paused: optional_json(row, "paused")?,
        deployment_id: row.try_get("deployment_id")?,
        triggered_by: row.try_get("triggered_by")?,
        inputs: json(row, "inputs")?,
        revision: number(row, "revision")?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
        ended_ms: row.try_get("ended_ms")?,
        steps_done: number(row, "steps_done")?,
        steps_total: number(row, "steps_total")?,
    })
}

/// Without the step's name, which only the plan knows.
pub(super) fn step(row: &Row) -> Result<StepRow, sqlx::Error> {
    Ok(StepRow {
        step: number(row, "step")?,
        name: String::new(),
        phase: phase(row)?,
        state: row.try_get("state")?,
        attempt: number(row, "attempt")?,
        polls: number(row, "polls")?,
        began_ms: row.try_get("began_ms")?,
        wake_ms: row.try_get("wake_ms")?,
        ended_ms: row.try_get("ended_ms")?,
        saved: optional_json(row, "saved")?,
        progress: row.try_get("progress")?,
        output: optional_json(row, "output")?,
        failure: optional_json(row, "failure")?,
    })
}

pub(super) fn event(row: &Row) -> Result<EventRow, sqlx::Error> {
    let phase = match row.try_get::<Option<&str>>("phase")? {
        Some(_) => Some(phase(row)?),
        None => None,
    };
    Ok(EventRow {
        id: row.try_get("id")?,
        saga: parsed(row, "saga_id")?,
        at_ms: row.try_get("at_ms")?,
        kind: row.try_get("kind")?,
        actor: row.try_get("actor")?,
        step: optional_number(row, "step")?,
        phase,
        detail: json(row, "detail")?,
    })
}

pub(super) fn log(row: &Row) -> Result<LogRow, sqlx::Error> {
    Ok(LogRow {
        id: row.try_get("id")?,
        at_ms: row.try_get("at_ms")?,
        step: number(row, "step")?,
        phase: phase(row)?,
        level: row.try_get("level")?,
        message: row.try_get("message")?,
        fields: structured(row, "fields")?,
    })
}

pub(super) fn journal(row: &Row) -> Result<JournalRecord, sqlx::Error> {
    let intent = Intent {
        id: parsed(row, "id")?,
        saga: parsed(row, "saga_id")?,
        step: number(row, "step")?,
        phase: phase(row)?,
        once_key: row.try_get("once_key")?,
        service: row.try_get("service")?,
        identity: row.try_get("identity")?,
        method: row.try_get("method")?,
        path: row.try_get("path")?,
        request_hash: row.try_get("request_hash")?,
        redacted_body: row.try_get("redacted_body")?,
        at_ms: row.try_get("at_ms")?,
    };
    let at_ms = || row.try_get("ended_ms");
    let state = match row.try_get::<&str>("state")? {
        "open" => RecordState::Open {
            ended_at_ms: row.try_get("ended_ms")?,
        },
        "answered" => RecordState::Answered {
            response: response(row)?,
            conclusive: row.try_get("conclusive")?,
            at_ms: at_ms()?,
        },
        "refused" => RecordState::Refused {
            response: response(row)?,
            at_ms: at_ms()?,
        },
        "unsent" => RecordState::Unsent { at_ms: at_ms()? },
        other => return Err(nonsense("state", format!("unknown value {other:?}"))),
    };
    Ok(JournalRecord { intent, state })
}

fn response(row: &Row) -> Result<RecordedResponse, sqlx::Error> {
    Ok(RecordedResponse {
        status: number(row, "status")?,
        headers: structured(row, "headers")?,
        body: row.try_get("body")?,
    })
}

pub(super) fn resource(row: &Row) -> Result<ResourceRow, sqlx::Error> {
    Ok(ResourceRow {
        resource_id: row.try_get("resource_id")?,
        resource: CloudResource {
            key: ResourceKey {
                provider: row.try_get("provider")?,
                account: row.try_get("account")?,
                kind: row.try_get("kind")?,
                provider_id: row.try_get("provider_id")?,
            },
            name: row.try_get("name")?,
            region: row.try_get("region")?,
            status: row.try_get("status")?,
            public_ip: row.try_get("public_ip")?,
            tags: structured(row, "tags")?,
            raw: json(row, "raw")?,
        },
        saga: parsed(row, "saga_id")?,
        step: row.try_get("step")?,
        first_seen_ms: row.try_get("first_seen_ms")?,
        last_seen_ms: row.try_get("last_seen_ms")?,
        deleted_ms: row.try_get("deleted_ms")?,
    })
}

pub(super) fn provisioned(row: &Row) -> Result<ProvisionedRow, sqlx::Error> {
    Ok(ProvisionedRow {
        resource_id: row.try_get("resource_id")?,
        spec_version: number(row, "spec_version")?,
        spec: json(row, "spec")?,
        saga: parsed(row, "saga_id")?,
        step: row.try_get("step")?,
        recorded_ms: row.try_get("recorded_ms")?,
        withdrawn_ms: row.try_get("withdrawn_ms")?,
    })
}

pub(super) fn finding(row: &Row) -> Result<FindingRow, sqlx::Error> {
    let saga = match row.try_get::<Option<&str>>("saga_id")? {
        Some(_) => Some(parsed(row, "saga_id")?),
        None => None,
    };
    let resource = match row.try_get::<Option<String>>("provider")? {
        Some(provider) => Some(ResourceKey {
            provider,
            account: row.try_get("account")?,
            kind: row.try_get("kind")?,
            provider_id: row.try_get("provider_id")?,
        }),
        None => None,
    };
    Ok(FindingRow {
        id: row.try_get("id")?,
        code: row.try_get("code")?,
        saga,
        step: row.try_get("step")?,
        resource,
        message: row.try_get("message")?,
        advice: row.try_get("advice")?,
        created_ms: row.try_get("created_ms")?,
        resolved_ms: row.try_get("resolved_ms")?,
    })
}

pub(super) fn component(row: &Row) -> Result<ComponentRow, sqlx::Error> {
    let uploaded_by: String = row.try_get("uploaded_by")?;
    let uploaded_ms = row.try_get("uploaded_ms")?;
    let status_by: Option<String> = row.try_get("status_by")?;
    let status_ms: Option<i64> = row.try_get("status_ms")?;
    Ok(ComponentRow {
        status: named(row, "status", ComponentStatus::parse)?,
        status_by: status_by.unwrap_or_else(|| uploaded_by.clone()),
        status_ms: status_ms.unwrap_or(uploaded_ms),
        granted: optional_json(row, "granted")?,
        digest: row.try_get("digest")?,
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        manifest: json(row, "manifest")?,
        size_bytes: number(row, "size_bytes")?,
        built_in: row.try_get("built_in")?,
        uploaded_by,
        uploaded_ms,
    })
}

pub(super) fn channel(row: &Row) -> Result<ChannelRow, sqlx::Error> {
    Ok(ChannelRow {
        step: row.try_get("step")?,
        channel: row.try_get("channel")?,
        digest: row.try_get("digest")?,
        built_in: row.try_get("built_in")?,
        moved_by: row.try_get("moved_by")?,
        moved_ms: row.try_get("moved_ms")?,
    })
}

pub(super) fn definition(row: &Row) -> Result<DefinitionRow, sqlx::Error> {
    Ok(DefinitionRow {
        name: row.try_get("name")?,
        version: number(row, "version")?,
        body: json(row, "body")?,
        built_in: row.try_get("built_in")?,
        created_by: row.try_get("created_by")?,
        created_ms: row.try_get("created_ms")?,
    })
}
