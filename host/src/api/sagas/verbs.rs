//! What an operator can do to a saga. Each verb is answered when it is durable, and stands in the saga's events with who
//! asked and why.

use axum::{Extension, extract::State, response::Response};

use super::show::answer;
use crate::{
    api::{
        ApiState,
        auth::Actor,
        body::Body,
        dto::{Reason, Saga, SkipStep},
        path::SagaInPath,
        problem::Problem,
        query::NoQuery,
        reason::{Because, Why, asked_of, with_reason},
    },
    engine::{Asked, Verb},
    saga::SagaId,
};

/// Ask a saga to go back.
///
/// Decided in the database: it comes either before the first request of an irreversible step, or too late
/// (`pivot-passed`). Asking twice, or while the saga goes back, changes nothing.
#[utoipa::path(
    post, path = "/sagas/{id}/cancel", tag = "sagas", operation_id = "cancel_saga",
    params(("id" = String, Path, description = "The saga's id, a UUID.")),
    request_body(content = Reason, description = "May be left out."),
    responses(
        (status = 200, description = "The saga goes back, or is on its way.", body = Saga),
        (status = 400, description = "`invalid-path`, `invalid-json`"),
        (status = 404, description = "`unknown-saga`"),
        (status = 409, description = "`pivot-passed`, `already-ended`"),
        (status = 422, description = "`invalid-request`"),
    ),
)]
pub(super) async fn cancel_saga(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    Why(asked): Why,
) -> Result<Response, Problem> {
    ask(&state, saga, Verb::Cancel, asked).await
}

/// Begin what is stuck anew.
///
/// For a saga that needs attention: the phase that is stuck begins again with its first attempt. Keys of requests that
/// were refused become free, open ones never do.
#[utoipa::path(
    post, path = "/sagas/{id}/retry", tag = "sagas", operation_id = "retry_saga",
    params(("id" = String, Path, description = "The saga's id, a UUID.")), request_body = Reason,
    responses(
        (status = 200, description = "The saga goes on.", body = Saga),
        (status = 400, description = "`invalid-path`, `invalid-json`"),
        (status = 404, description = "`unknown-saga`"),
        (status = 409, description = "`not-stuck`, `already-ended`"),
        (status = 422, description = "`invalid-request`: a reason is needed"),
    ),
)]
pub(super) async fn retry_saga(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    Because(asked): Because,
) -> Result<Response, Problem> {
    ask(&state, saga, Verb::Retry, asked).await
}

/// Take back a saga that has completed.
///
/// Every step is undone, as if the saga had failed in the end: it ends `compensated`, with the cause `rollback`. Asking again
/// while it goes back changes nothing. Things that other sagas did with what this one made are theirs to undo.
#[utoipa::path(
    post, path = "/sagas/{id}/rollback", tag = "sagas", operation_id = "rollback_saga",
    params(("id" = String, Path, description = "The saga's id, a UUID.")), request_body = Reason,
    responses(
        (status = 200, description = "The saga goes back, or is on its way.", body = Saga),
        (status = 400, description = "`invalid-path`, `invalid-json`"),
        (status = 404, description = "`unknown-saga`"),
        (status = 409, description = "`pivot-passed`, `not-completed` (cancel it instead), `already-ended`"),
        (status = 422, description = "`invalid-request`: a reason is needed"),
    ),
)]
pub(super) async fn rollback_saga(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    Because(asked): Because,
) -> Result<Response, Problem> {
    ask(&state, saga, Verb::Rollback, asked).await
}

/// Let a saga go on without a step that is stuck.
///
/// For a saga that needs attention. A step whose `run` is stuck counts as done for those behind it, one whose undo is stuck
/// as undone for those before it; the saga then ends `abandoned`. What the step left stays among the findings.
#[utoipa::path(
    post, path = "/sagas/{id}/skip", tag = "sagas", operation_id = "skip_step",
    params(("id" = String, Path, description = "The saga's id, a UUID.")), request_body = SkipStep,
    responses(
        (status = 200, description = "The saga goes on, or has ended.", body = Saga),
        (status = 400, description = "`invalid-path`, `invalid-json`"),
        (status = 404, description = "`unknown-saga`"),
        (status = 409, description = "`not-stuck`"),
        (status = 422, description = "`invalid-request`: a reason is needed, and the name of a step of this saga"),
    ),
)]
pub(super) async fn skip_step(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    SagaInPath(saga): SagaInPath,
    _: NoQuery,
    Body(body): Body<SkipStep>,
) -> Result<Response, Problem> {
    let asked = with_reason(asked_of(actor, body.reason)?)?;
    ask(&state, saga, Verb::Skip { step: body.step }, asked).await
}

/// Give up on what is stuck.
///
/// For a saga that needs attention: it ends `abandoned`, and what it leaves behind stays among the findings.
#[utoipa::path(
    post, path = "/sagas/{id}/abandon", tag = "sagas", operation_id = "abandon_saga",
    params(("id" = String, Path, description = "The saga's id, a UUID.")), request_body = Reason,
    responses(
        (status = 200, description = "The saga has ended.", body = Saga),
        (status = 400, description = "`invalid-path`, `invalid-json`"),
        (status = 404, description = "`unknown-saga`"),
        (status = 409, description = "`not-stuck`, `already-ended`"),
        (status = 422, description = "`invalid-request`: a reason is needed"),
    ),
)]
pub(super) async fn abandon_saga(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    Because(asked): Because,
) -> Result<Response, Problem> {
    ask(&state, saga, Verb::Abandon, asked).await
}

pub(super) async fn ask(
    state: &ApiState,
    saga: SagaId,
    verb: Verb,
    asked: Asked,
) -> Result<Response, Problem> {
    let row = state.engine().verb(saga, verb, asked).await?;
    answer(state, row).await
}
