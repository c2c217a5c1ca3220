//! One saga: as the engine needs it, and as its parts are looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    batch::Batch,
    connection::{Connection, Query, sql},
    error::store_error,
    plans::Plans,
    record,
    statement::Statement,
    value::Row,
    views,
};
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

static RUN: Statement = Statement::new("select * from saga_runs where id = ?");

static STEPS: Statement =
    Statement::new("select * from saga_step_results where saga_id = ? order by step, phase = 'compensate'");

static CONTEXT: Statement =
    Statement::new("select scope, key, value from saga_context where saga_id = ? order by scope, key");

static IDENTITIES: Statement = Statement::new(
    "select distinct service, identity from http_journal
     where saga_id = ? and identity is not null and state in ('open', 'answered')",
);

static OPEN_FINDINGS: Statement =
    Statement::new("select distinct code from findings where saga_id = ? and resolved_ms is null");

/// From one snapshot: row, steps and context are of the same revision.
pub(super) async fn load(
    connection: &mut Connection,
    plans: &Plans,
    id: SagaId,
) -> Result<Option<LoadedSaga>, StoreError> {
    let mut batch = Batch::begin_reading();
    let [run, steps, context, identities, open_findings] =
        [&RUN, &STEPS, &CONTEXT, &IDENTITIES, &OPEN_FINDINGS]
            .map(|statement| Some(batch.add_with(statement, vec![id.to_string().into()])));
    batch.add_rollback();
    let snapshot = batch
        .run(connection)
        .await
        .map_err(|stopped| store_error(stopped.error))?;
    let Some(run) = snapshot.of(run).first() else {
        return Ok(None);
    };
    let row = record::saga(run).map_err(|error| error_of(id, error))?;
    // Plans never change: this one is what it was in the snapshot.
    let plan = plan_of(connection, plans, id, &row.plan_digest).await?;
    let rows = all(id, snapshot.of(steps), record::step)?;
    let steps = states(id, &plan, &rows)?;
    let turning = row.turning.as_ref().map(read).transpose();
    let paused = row.paused.as_ref().map(read).transpose();
    let context = all(id, snapshot.of(context), context_row)?;
    let saga = Saga {
        id,
        plan,
        status: row.status,
        turning: turning.map_err(|reason| corrupt(id, reason))?,
        paused: paused.map_err(|reason| corrupt(id, reason))?,
        pivot_passed: row.pivot_passed,
        takeovers: takeovers(run).map_err(|error| error_of(id, error))?,
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
        fence: fence(run).map_err(|error| error_of(id, error))?,
        context: context
            .into_iter()
            .map(|(scope, key, value)| ((scope, key), value))
            .collect(),
        identities: identities_of(snapshot.of(identities)).map_err(|error| error_of(id, error))?,
        open_findings: all(id, snapshot.of(open_findings), |row| row.try_get(0))?
            .into_iter()
            .collect(),
    }))
}

async fn plan_of(
    connection: &mut Connection,
    plans: &Plans,
    saga: SagaId,
    digest: &str,
) -> Result<Arc<Plan>, StoreError> {
    match plans.read(connection, digest).await {
        Ok(Some(plan)) => Ok(plan),
        Ok(None) => Err(corrupt(saga, format!("there is no plan {digest}"))),
        // What is wrong with its plan is the saga's own trouble.
        Err(StoreError::Corrupt { what, reason }) => Err(corrupt(saga, format!("{what}: {reason}"))),
        Err(error) => Err(error),
    }
}

fn identities_of(rows: &[Row]) -> Result<BTreeMap<String, BTreeSet<String>>, sqlx::Error> {
    let mut identities: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let of_service = identities.entry(row.try_get(0)?).or_default();
        of_service.insert(row.try_get(1)?);
    }
    Ok(identities)
}

fn context_row(row: &Row) -> Result<(String, String, Json), sqlx::Error> {
    Ok((
        row.try_get(0)?,
        row.try_get(1)?,
        record::well_formed("value", row.try_get(2)?)?,
    ))
}

fn takeovers(run: &Row) -> Result<u32, sqlx::Error> {
    record::number(run, "takeovers")
}

fn fence(run: &Row) -> Result<Fence, sqlx::Error> {
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

fn all<T>(
    saga: SagaId,
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, StoreError> {
    rows.iter()
        .map(|row| read(row).map_err(|error| error_of(saga, error)))
        .collect()
}

pub(super) async fn context(
    connection: &mut Connection,
    saga: SagaId,
) -> Result<Vec<(String, String, Json)>, StoreError> {
    let rows = Query::of(&CONTEXT).bind(saga.to_string()).all(connection).await;
    all(saga, &rows.map_err(store_error)?, context_row)
}

pub(super) async fn saga(connection: &mut Connection, id: SagaId) -> Result<Option<SagaRow>, StoreError> {
    let row = sql!("select * from saga_runs where id = ?")
        .bind(id.to_string())
        .optional(connection)
        .await
        .map_err(store_error)?;
    row.map(|row| record::saga(&row).map_err(|error| error_of(id, error)))
        .transpose()
}

pub(super) async fn steps(
    connection: &mut Connection,
    plans: &Plans,
    id: SagaId,
) -> Result<Vec<StepRow>, StoreError> {
    let mut batch = Batch::begin_reading();
    let [run, steps] =
        [&RUN, &STEPS].map(|statement| Some(batch.add_with(statement, vec![id.to_string().into()])));
    batch.add_rollback();
    let snapshot = batch
        .run(connection)
        .await
        .map_err(|stopped| store_error(stopped.error))?;
    let Some(run) = snapshot.of(run).first() else {
        return Ok(Vec::new());
    };
    let digest: &str = run.try_get("plan_digest").map_err(store_error)?;
    let plan = plan_of(connection, plans, id, digest).await?;
    let mut rows = all(id, snapshot.of(steps), record::step)?;
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
    connection: &mut Connection,
    saga: SagaId,
    after: i64,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let rows = sql!("select * from saga_events where saga_id = ? and id > ? order by id limit ?")
        .bind(saga.to_string())
        .bind(after)
        .bind(limit)
        .all(connection)
        .await
        .map_err(store_error)?;
    all(saga, &rows, record::event)
}

pub(super) async fn events_after(
    connection: &mut Connection,
    after: i64,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let rows = sql!("select * from saga_events where id > ? order by id limit ?")
        .bind(after)
        .bind(limit)
        .all(connection)
        .await
        .map_err(store_error)?;
    Ok(views::readable("an event", &rows, record::event))
}

pub(super) async fn newest_event(connection: &mut Connection) -> Result<i64, StoreError> {
    let row = sql!("select coalesce(max(id), 0) from saga_events")
        .one(connection)
        .await;
    row.and_then(|row| row.try_get(0)).map_err(store_error)
}

pub(super) async fn journal(
    connection: &mut Connection,
    saga: SagaId,
) -> Result<Vec<JournalRecord>, StoreError> {
    let rows = sql!("select * from http_journal where saga_id = ? order by id")
        .bind(saga.to_string())
        .all(connection)
        .await
        .map_err(store_error)?;
    all(saga, &rows, record::journal)
}

pub(super) async fn journal_latest(
    connection: &mut Connection,
    saga: SagaId,
    step: StepIndex,
    phase: Phase,
    once_key: &str,
) -> Result<Option<JournalRecord>, StoreError> {
    let row = sql!(
        "select * from http_journal
         where saga_id = ? and step = ? and phase = ? and once_key = ? and state <> 'unsent'
         order by id desc limit 1",
    )
    .bind(saga.to_string())
    .bind(i64::try_from(step).unwrap_or(i64::MAX))
    .bind(phase.as_str())
    .bind(once_key)
    .optional(connection)
    .await
    .map_err(store_error)?;
    row.map(|row| record::journal(&row).map_err(|error| error_of(saga, error)))
        .transpose()
}

pub(super) async fn journal_record(
    connection: &mut Connection,
    intent: IntentId,
) -> Result<Option<JournalRecord>, StoreError> {
    let row = sql!("select * from http_journal where id = ?")
        .bind(intent.to_string())
        .optional(connection)
        .await
        .map_err(store_error)?;
    let corrupt = |error: sqlx::Error| StoreError::Corrupt {
        what: format!("intent {intent}"),
        reason: error.to_string(),
    };
    row.map(|row| record::journal(&row).map_err(corrupt)).transpose()
}
