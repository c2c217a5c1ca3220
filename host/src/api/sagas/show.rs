//! One saga, now or as soon as it changes.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use crate::{
    api::{
        ApiState,
        dto::Saga,
        headers::{KnownRevision, Wait, revision_tag},
        mapped::unknown_saga,
        path::SagaInPath,
        problem::Problem,
        query::NoQuery,
        view,
    },
    engine::{SagaRow, StoreError},
};

/// Get a saga.
///
/// With `Prefer: wait=N` the answer waits: until the saga's revision is not the one in `If-None-Match`, or, without that
/// header, until the saga rests. Following a saga is asking again and again with the last `ETag`.
#[utoipa::path(
    get, path = "/sagas/{id}", tag = "sagas", operation_id = "get_saga",
    params(
        ("id" = String, Path, description = "The saga's id, a UUID."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait for at most N seconds, 60 at most."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that the caller knows."),
    ),
    responses(
        (status = 200, description = "The saga.", body = Saga, headers(("ETag" = String, description = "Its revision."))),
        (status = 304, description = "It is still at the revision in `If-None-Match`."),
        (status = 400, description = "`invalid-path`"),
        (status = 404, description = "`unknown-saga`"),
    ),
)]
pub(super) async fn get_saga(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    KnownRevision(known): KnownRevision,
    mut wait: Wait,
    _: NoQuery,
) -> Result<Response, Problem> {
    if wait.0.is_some() {
        state.wait(saga, known, &mut wait).await?;
    }
    let row = state.store().saga(saga).await?;
    let row = row.ok_or_else(|| unknown_saga(saga))?;
    let mut response = if known == Some(row.revision) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        revision_tag(response.headers_mut(), row.revision);
        response
    } else {
        answer(&state, row).await?
    };
    wait.applied(response.headers_mut());
    Ok(response)
}

/// Until when an ended saga is watched. Read after the row: what ended with a watch shows it.
pub(in crate::api) async fn watched_until_ms(
    state: &ApiState,
    row: &SagaRow,
) -> Result<Option<i64>, StoreError> {
    if !row.status.is_final() {
        return Ok(None);
    }
    let watch = state.store().watch(row.id).await?;
    Ok(watch.map(|watch| watch.until_ms))
}

/// The saga with its `ETag`.
pub(super) async fn answer(state: &ApiState, row: SagaRow) -> Result<Response, Problem> {
    // Only a saga that goes back because of a step shows more than its row.
    let plan = match row.turning {
        Some(_) => state.store().plan(&row.plan_digest).await?,
        None => None,
    };
    let watched_until_ms = watched_until_ms(state, &row).await?;
    let revision = row.revision;
    let mut response = Json(view::saga(row, plan.as_deref(), watched_until_ms)?).into_response();
    revision_tag(response.headers_mut(), revision);
    Ok(response)
}
