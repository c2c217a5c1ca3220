//! What the steps of a saga said, and the requests with which they may have changed the world.

use axum::{Json, extract::State};

use super::details::row_of;
use crate::{
    api::{
        ApiState,
        cursor::PageParams,
        dto::{LogLine, Page, SagaRequest},
        path::SagaInPath,
        problem::Problem,
        query::Query,
        view,
    },
    engine::{Cursor, LogRow},
    saga::JournalRecord,
};

/// List what a saga's steps said, oldest first.
///
/// The newest 1,000 lines of a saga are kept, its steps' standard output among them. They are written a moment after they
/// were said, apart from everything else: a crash loses those of its last moment, an overload may lose more, and the host's
/// own log says how many. What a saga did is in its events and requests, which lose nothing.
#[utoipa::path(
    get, path = "/sagas/{id}/logs", tag = "sagas", operation_id = "list_saga_logs",
    params(("id" = String, Path, description = "The saga's id, a UUID."), PageParams),
    responses(
        (status = 200, description = "One page; a line has at most 8 KiB, and 32 fields of at most 8 KiB.", body = Page<LogLine>),
        (status = 400, description = "`invalid-path`, `invalid-query`, `invalid-cursor`"),
        (status = 404, description = "`unknown-saga`"),
    ),
)]
pub(super) async fn list_logs(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    mut query: Query,
) -> Result<Json<Page<LogLine>>, Problem> {
    let window = query.window()?;
    query.finish()?;
    let after: Option<i64> = window.id()?;
    let row = row_of(&state, saga).await?;
    let plan = state.store().plan(&row.plan_digest).await?;
    let lines = state
        .store()
        .logs(saga, after.unwrap_or(0), window.limit + 1)
        .await?;
    let position = |line: &LogRow| Cursor {
        at_ms: line.at_ms,
        id: line.id.to_string(),
    };
    Ok(Json(window.close(lines, position, |line| {
        view::log_line(line, plan.as_deref())
    })))
}

/// List the requests with which a saga may have changed the world, oldest first.
///
/// Every request that is not a mere read is recorded before it leaves, and with its answer as soon as that is there: after a
/// crash, a request that may have left is listed, as `open` if its answer is not known. Credentials are never part of it.
#[utoipa::path(
    get, path = "/sagas/{id}/requests", tag = "sagas", operation_id = "list_saga_requests",
    params(("id" = String, Path, description = "The saga's id, a UUID."), PageParams),
    responses(
        (status = 200, description = "One page.", body = Page<SagaRequest>),
        (status = 400, description = "`invalid-path`, `invalid-query`, `invalid-cursor`"),
        (status = 404, description = "`unknown-saga`"),
    ),
)]
pub(super) async fn list_requests(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    mut query: Query,
) -> Result<Json<Page<SagaRequest>>, Problem> {
    let window = query.window()?;
    query.finish()?;
    let after = window.id()?;
    let row = row_of(&state, saga).await?;
    let plan = state.store().plan(&row.plan_digest).await?;
    let records = state.store().requests(saga, after, window.limit + 1).await?;
    let position = |record: &JournalRecord| Cursor {
        at_ms: record.intent.at_ms,
        id: record.intent.id.to_string(),
    };
    Ok(Json(window.close(records, position, |record| {
        view::request(record, plan.as_deref())
    })))
}
