//! One saga: as the engine needs it, and as its parts are looked at.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row as _, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{error::store_error, plans::Plans, record, views};
use crate::{
    saga::{IntentId, JournalRecord, Json, Phase, Plan, Saga, SagaId, StepIndex, StepState},
    store::{
        EventRow, Fence, Header, HostId, LoadedSaga, SagaRow, StepRow, StoreError,
        rows::{read, state_of},
    },
};

/// An error about values is the saga's own, any other is the database's.
fn error_of(saga: SagaId, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => corrupt(saga, error),
        other => store_error(other),
    }
}

fn corrupt(saga: SagaId, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        what: format!("saga {saga}"),
        reason: reason.to_string(),
    }
}

/// From one snapshot: row, steps and context are of the same revision.
pub(super) async fn load(
    readers: &SqlitePool,
    plans: &Plans,
    id: SagaId,
) -> Result<Option<LoadedSaga>, StoreError> {
    let mut snapshot = readers.begin().await.map_err(store_error)?;
    let run = sqlx::query("select * from saga_runs where id = ?")
        .bind(id.to_string())
        .fetch_optional(&mut *snapshot)
        .await
        .map_err(store_error)?;
    let Some(run) = run else {
        return Ok(None);
    };
    let row = record::saga(&run).map_err(|error| error_of(id, error))?;
    let plan = plans
        .read(&mut *snapshot, &row.plan_digest)
        .await?
        .ok_or_else(|| corrupt(id, format!("there is no plan {}", row.plan_digest)))?;
    let rows = step_rows(&mut snapshot, id).await?;
    let steps = states(id, &plan, &rows)?;
    let turning = row.turning.as_ref().map(read).transpose();
    let paused = row.paused.as_ref().map(read).transpose();
    let context = context(&mut snapshot, id).await?;
    let identities = identities(&mut snapshot, id).await?;
    let open_findings = open_findings(&mut snapshot, id).await?;
    let saga = Saga {
        id,
        plan,
        status: row.status,
        turning: turning.map_err(|reason| corrupt(id, reason))?,
        paused: paused.map_err(|reason| corrupt(id, reason))?,
        pivot_passed: row.pivot_passed,
        takeovers: takeovers(&run).map_err(|error| error_of(id, error))?,
        revision: row.revision,
        steps,
    };
    Ok(Some(LoadedSaga {
        saga,
        header: Header {
            deployment_id: row.deployment_id,
            triggered_by: row.triggered_by,
            inputs: row.inputs,
            created_ms: row.created_ms,
        },
        fence: fence(&run).map_err(|error| error_of(id, error))?,
        context: context
            .into_iter()
            .map(|(scope, key, value)| ((scope, key), value))
            .collect(),
        identities,
        open_findings,
    }))
}

async fn identities(
    connection: &mut SqliteConnection,
    saga: SagaId,
) -> Result<BTreeMap<String, BTreeSet<String>>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select distinct service, identity from http_journal
         where saga_id = ? and identity is not null and state in ('open', 'answered')",
    )
    .bind(saga.to_string())
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    let mut identities: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (service, identity) in rows {
        identities.entry(service).or_default().insert(identity);
    }
    Ok(identities)
}

async fn open_findings(
    connection: &mut SqliteConnection,
    saga: SagaId,
) -> Result<BTreeSet<String>, StoreError> {
    let codes: Vec<String> =
        sqlx::query_scalar("select distinct code from findings where saga_id = ? and resolved_ms is null")
            .bind(saga.to_string())
            .fetch_all(connection)
            .await
            .map_err(store_error)?;
    Ok(codes.into_iter().collect())
}

fn takeovers(run: &SqliteRow) -> Result<u32, sqlx::Error> {
    run.try_get("takeovers")
}

fn fence(run: &SqliteRow) -> Result<Fence, sqlx::Error> {
    let owner: &str = run.try_get("owner")?;
    Ok(Fence {
        owner: HostId(
            owner
                .parse()
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        ),
        number: run.try_get("fence")?,
    })
}

fn states(saga: SagaId, plan: &Plan, rows: &[StepRow]) -> Result<Vec<StepState>, StoreError> {
    let by_phase: BTreeMap<(StepIndex, Phase), &StepRow> =
        rows.iter().map(|row| ((row.step, row.phase), row)).collect();
    if let Some(row) = rows.iter().find(|row| row.step >= plan.steps.len()) {
        return Err(corrupt(saga, format!("step {} is not in its plan", row.step)));
    }
    (0..plan.steps.len())
        .map(|step| {
            let row = |phase| by_phase.get(&(step, phase)).copied();
            state_of(row(Phase::Run), row(Phase::Compensate))
                .map_err(|reason| corrupt(saga, format!("step {step}: {reason}")))
        })
        .collect()
}

async fn step_rows(connection: &mut SqliteConnection, saga: SagaId) -> Result<Vec<StepRow>, StoreError> {
    let rows =
        sqlx::query("select * from saga_step_results where saga_id = ? order by step, phase = 'compensate'")
            .bind(saga.to_string())
            .fetch_all(connection)
            .await
            .map_err(store_error)?;
    all(saga, &rows, record::step)
}

fn all<T>(
    saga: SagaId,
    rows: &[SqliteRow],
    read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, StoreError> {
    rows.iter()
        .map(|row| read(row).map_err(|error| error_of(saga, error)))
        .collect()
}

pub(super) async fn context(
    connection: &mut SqliteConnection,
    saga: SagaId,
) -> Result<Vec<(String, String, Json)>, StoreError> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("select scope, key, value from saga_context where saga_id = ? order by scope, key")
            .bind(saga.to_string())
            .fetch_all(connection)
            .await
            .map_err(store_error)?;
    Ok(rows
        .into_iter()
        .map(|(scope, key, value)| (scope, key, Json::trusted(value)))
        .collect())
}

pub(super) async fn saga(readers: &SqlitePool, id: SagaId) -> Result<Option<SagaRow>, StoreError> {
    let row = sqlx::query("select * from saga_runs where id = ?")
        .bind(id.to_string())
        .fetch_optional(readers)
        .await
        .map_err(store_error)?;
    row.map(|row| record::saga(&row).map_err(|error| error_of(id, error)))
        .transpose()
}

pub(super) async fn steps(
    readers: &SqlitePool,
    plans: &Plans,
    id: SagaId,
) -> Result<Vec<StepRow>, StoreError> {
    let mut snapshot = readers.begin().await.map_err(store_error)?;
    let digest: Option<String> = sqlx::query_scalar("select plan_digest from saga_runs where id = ?")
        .bind(id.to_string())
        .fetch_optional(&mut *snapshot)
        .await
        .map_err(store_error)?;
    let Some(digest) = digest else {
        return Ok(Vec::new());
    };
    let plan = plans
        .read(&mut *snapshot, &digest)
        .await?
        .ok_or_else(|| corrupt(id, format!("there is no plan {digest}")))?;
    let mut rows = step_rows(&mut snapshot, id).await?;
    for row in &mut rows {
        let step = plan
            .steps
            .get(row.step)
            .ok_or_else(|| corrupt(id, format!("step {} is not in its plan", row.step)))?;
        row.name.clone_from(&step.name);
    }
    Ok(rows)
}

pub(super) async fn events(
    readers: &SqlitePool,
    saga: SagaId,
    after: i64,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let rows = sqlx::query("select * from saga_events where saga_id = ? and id > ? order by id limit ?")
        .bind(saga.to_string())
        .bind(after)
        .bind(limit)
        .fetch_all(readers)
        .await
        .map_err(store_error)?;
    all(saga, &rows, record::event)
}

pub(super) async fn events_after(
    readers: &SqlitePool,
    after: i64,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let rows = sqlx::query("select * from saga_events where id > ? order by id limit ?")
        .bind(after)
        .bind(limit)
        .fetch_all(readers)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record::event(row).map_err(|error| views::corrupt("an event", &error)))
        .collect()
}

pub(super) async fn newest_event(readers: &SqlitePool) -> Result<i64, StoreError> {
    sqlx::query_scalar("select coalesce(max(id), 0) from saga_events")
        .fetch_one(readers)
        .await
        .map_err(store_error)
}

pub(super) async fn journal(readers: &SqlitePool, saga: SagaId) -> Result<Vec<JournalRecord>, StoreError> {
    let rows = sqlx::query("select * from http_journal where saga_id = ? order by id")
        .bind(saga.to_string())
        .fetch_all(readers)
        .await
        .map_err(store_error)?;
    all(saga, &rows, record::journal)
}

pub(super) async fn journal_latest(
    readers: &SqlitePool,
    saga: SagaId,
    step: StepIndex,
    phase: Phase,
    once_key: &str,
) -> Result<Option<JournalRecord>, StoreError> {
    let row = sqlx::query(
        "select * from http_journal
         where saga_id = ? and step = ? and phase = ? and once_key = ? and state <> 'unsent'
         order by id desc limit 1",
    )
    .bind(saga.to_string())
    .bind(i64::try_from(step).unwrap_or(i64::MAX))
    .bind(phase.as_str())
    .bind(once_key)
    .fetch_optional(readers)
    .await
    .map_err(store_error)?;
    row.map(|row| record::journal(&row).map_err(|error| error_of(saga, error)))
        .transpose()
}

pub(super) async fn journal_record(
    readers: &SqlitePool,
    intent: IntentId,
) -> Result<Option<JournalRecord>, StoreError> {
    let row = sqlx::query("select * from http_journal where id = ?")
        .bind(intent.to_string())
        .fetch_optional(readers)
        .await
        .map_err(store_error)?;
    let corrupt = |error: sqlx::Error| StoreError::Corrupt {
        what: format!("intent {intent}"),
        reason: error.to_string(),
    };
    row.map(|row| record::journal(&row).map_err(corrupt)).transpose()
}
