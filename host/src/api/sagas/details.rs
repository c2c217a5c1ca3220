//! What one saga did: its steps with their results, its events, its context.

use axum::{Json, extract::State};

use crate::{
    api::{
        ApiState,
        cursor::PageParams,
        dto::{ContextEntry, Event, Page, SagaStep},
        mapped::{unknown_saga, without_plan},
        path::SagaInPath,
        problem::Problem,
        query::Query,
        view,
    },
    engine::{Cursor, EventRow, SagaRow},
    saga::SagaId,
};

pub(super) async fn row_of(state: &ApiState, saga: SagaId) -> Result<SagaRow, Problem> {
    state.store().saga(saga).await?.ok_or_else(|| unknown_saga(saga))
}

/// List the steps of a saga with their results, in plan order.
#[utoipa::path(
    get, path = "/sagas/{id}/steps", tag = "sagas", operation_id = "list_saga_steps",
    params(("id" = String, Path, description = "The saga's id, a UUID."), PageParams),
    responses(
        (status = 200, description = "One page; a saga has at most 64 steps.", body = Page<SagaStep>),
        (status = 400, description = "`invalid-path`, `invalid-query`, `invalid-cursor`"),
        (status = 404, description = "`unknown-saga`"),
    ),
)]
pub(super) async fn list_steps(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    mut query: Query,
) -> Result<Json<Page<SagaStep>>, Problem> {
    let window = query.window()?;
    query.finish()?;
    let row = row_of(&state, saga).await?;
    let plan = state.store().plan(&row.plan_digest).await?;
    let plan = plan.ok_or_else(|| without_plan(&row))?;
    let steps = view::saga_steps(&plan, state.store().steps(saga).await?);
    let page = window.slice(steps, |step| step.name.clone(), |step| step)?;
    Ok(Json(page))
}

/// List what happened to a saga, oldest first.
#[utoipa::path(
    get, path = "/sagas/{id}/events", tag = "sagas", operation_id = "list_saga_events",
    params(("id" = String, Path, description = "The saga's id, a UUID."), PageParams),
    responses(
        (status = 200, description = "One page.", body = Page<Event>),
        (status = 400, description = "`invalid-path`, `invalid-query`, `invalid-cursor`"),
        (status = 404, description = "`unknown-saga`"),
    ),
)]
pub(super) async fn list_events(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    mut query: Query,
) -> Result<Json<Page<Event>>, Problem> {
    let window = query.window()?;
    query.finish()?;
    let after: Option<i64> = window.id()?;
    let row = row_of(&state, saga).await?;
    let plan = state.store().plan(&row.plan_digest).await?;
    let events = state
        .store()
        .events(saga, after.unwrap_or(0), window.limit + 1)
        .await?;
    let position = |event: &EventRow| Cursor {
        at_ms: event.at_ms,
        id: event.id.to_string(),
    };
    Ok(Json(window.close(events, position, |event| {
        view::event(event, plan.as_deref())
    })))
}

/// List a saga's context, by scope and key.
#[utoipa::path(
    get, path = "/sagas/{id}/context", tag = "sagas", operation_id = "list_saga_context",
    params(("id" = String, Path, description = "The saga's id, a UUID."), PageParams),
    responses(
        (status = 200, description = "One page; a value has at most 256 KiB.", body = Page<ContextEntry>),
        (status = 400, description = "`invalid-path`, `invalid-query`, `invalid-cursor`"),
        (status = 404, description = "`unknown-saga`"),
    ),
)]
pub(super) async fn list_context(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    mut query: Query,
) -> Result<Json<Page<ContextEntry>>, Problem> {
    let window = query.window()?;
    query.finish()?;
    row_of(&state, saga).await?;
    let entries = state.store().context(saga).await?;
    let page = window.slice(
        entries,
        |(scope, key, _)| format!("{scope}/{key}"),
        |(scope, key, value)| ContextEntry { scope, key, value },
    )?;
    Ok(Json(page))
}
