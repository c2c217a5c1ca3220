//! Pausing: one saga, all of a definition, everything. A pause is answered once it is durable and nothing that it concerns
//! begins any more.

use axum::{Extension, Json as JsonAnswer, extract::State, response::Response};

use super::verbs::ask;
use crate::{
    api::{
        ApiState,
        auth::Actor,
        body::OptionalBody,
        dto::{PauseMany, PausedMany, Pauses, Reason, Saga},
        mapped::unknown_definition,
        path::SagaInPath,
        problem::Problem,
        query::NoQuery,
        reason::{Why, asked_of},
        view,
    },
    engine::{HoldChange, HoldTarget, Verb},
};

/// Pause a saga.
///
/// Nothing of it begins until it is resumed, forward or back, and its deadlines stand still. Calls in progress come to their
/// end. Pausing twice changes nothing. It may be cancelled meanwhile: it goes back once it is resumed.
#[utoipa::path(
    post, path = "/sagas/{id}/pause", tag = "sagas", operation_id = "pause_saga",
    params(("id" = String, Path, description = "The saga's id, a UUID.")),
    request_body(content = Reason, description = "May be left out."),
    responses(
        (status = 200, description = "The saga is paused.", body = Saga),
        (status = 400, description = "`invalid-path`, `invalid-json`"),
        (status = 404, description = "`unknown-saga`"),
        (status = 409, description = "`already-ended`"),
        (status = 422, description = "`invalid-request`"),
    ),
)]
pub(super) async fn pause_saga(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    Why(asked): Why,
) -> Result<Response, Problem> {
    ask(&state, saga, Verb::Pause, asked).await
}

/// Resume a saga.
///
/// It goes on, unless something else holds it: the answer's `paused` says what.
#[utoipa::path(
    post, path = "/sagas/{id}/resume", tag = "sagas", operation_id = "resume_saga",
    params(("id" = String, Path, description = "The saga's id, a UUID.")),
    request_body(content = Reason, description = "May be left out."),
    responses(
        (status = 200, description = "The saga is no longer paused for itself.", body = Saga),
        (status = 400, description = "`invalid-path`, `invalid-json`"),
        (status = 404, description = "`unknown-saga`"),
        (status = 409, description = "`already-ended`"),
        (status = 422, description = "`invalid-request`"),
    ),
)]
pub(super) async fn resume_saga(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    Why(asked): Why,
) -> Result<Response, Problem> {
    ask(&state, saga, Verb::Resume, asked).await
}

/// Pause all sagas, or all of a definition.
///
/// Those to come as well: they are accepted, and wait. A pause that is in force stays as it is.
#[utoipa::path(
    post, path = "/sagas/pause", tag = "sagas", operation_id = "pause_sagas",
    request_body(content = PauseMany, description = "May be left out: every saga."),
    responses(
        (status = 200, description = "Nothing that this concerns begins any more.", body = PausedMany),
        (status = 400, description = "`invalid-json`"),
        (status = 404, description = "`unknown-definition`"),
        (status = 422, description = "`invalid-request`"),
    ),
)]
pub(super) async fn pause_sagas(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    OptionalBody(body): OptionalBody<PauseMany>,
) -> Result<JsonAnswer<PausedMany>, Problem> {
    if let Some(name) = &body.definition
        && state.engine().catalog().definition(name).is_none()
    {
        return Err(unknown_definition(name));
    }
    let asked = asked_of(actor, body.reason)?;
    let change = state.engine().pause(target_of(body.definition), asked).await?;
    Ok(JsonAnswer(shown(change)))
}

/// Lift the pause of all sagas, or of a definition.
///
/// Sagas that nothing else holds go on. Nothing happens when there was no such pause.
#[utoipa::path(
    post, path = "/sagas/resume", tag = "sagas", operation_id = "resume_sagas",
    request_body(content = PauseMany, description = "May be left out: the pause of every saga."),
    responses(
        (status = 200, description = "There is no such pause any more.", body = PausedMany),
        (status = 400, description = "`invalid-json`"),
        (status = 422, description = "`invalid-request`"),
    ),
)]
pub(super) async fn resume_sagas(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    OptionalBody(body): OptionalBody<PauseMany>,
) -> Result<JsonAnswer<PausedMany>, Problem> {
    let asked = asked_of(actor, body.reason)?;
    let change = state.engine().resume(target_of(body.definition), asked).await?;
    Ok(JsonAnswer(shown(change)))
}

/// List the pauses in force.
///
/// Those of everything, of definitions and of services. A saga that is paused for itself says so itself.
#[utoipa::path(
    get, path = "/pauses", tag = "sagas", operation_id = "list_pauses",
    responses((status = 200, description = "All of them.", body = Pauses)),
)]
pub(super) async fn list_pauses(State(state): State<ApiState>, _: NoQuery) -> JsonAnswer<Pauses> {
    let holds = state.engine().holds();
    let items = holds.iter().cloned().map(view::hold).collect();
    JsonAnswer(Pauses { items })
}

fn target_of(definition: Option<String>) -> HoldTarget {
    definition.map_or(HoldTarget::All, HoldTarget::Definition)
}

fn shown(change: HoldChange) -> PausedMany {
    PausedMany {
        pause: change.hold.map(view::hold),
        sagas: change.sagas,
    }
}
