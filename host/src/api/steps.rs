//! Steps by name: their versions, and the channels that decide what new sagas run.

use axum::{Extension, Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    auth::Actor,
    body::Body,
    cursor::PageParams,
    dto::{Channel, MoveChannel, Page, Step, StepVersion, Time},
    path::Names,
    problem::{Code, Problem},
    query::{NoQuery, Query},
    view,
};
use crate::engine::catalog::StepView;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_steps))
        .routes(routes!(move_channel))
}

/// List steps by name, with their channels and versions.
#[utoipa::path(
    get, path = "/steps", tag = "steps", operation_id = "list_steps", params(PageParams),
    responses(
        (status = 200, description = "One page.", body = Page<Step>),
        (status = 400, description = "`invalid-query`, `invalid-cursor`"),
    ),
)]
async fn list_steps(State(state): State<ApiState>, mut query: Query) -> Result<Json<Page<Step>>, Problem> {
    let window = query.window()?;
    query.finish()?;
    let steps = state.engine().catalog().steps();
    Ok(Json(window.slice(steps, |step| step.name.clone(), shown)?))
}

fn shown(step: StepView) -> Step {
    let components = step.components;
    Step {
        name: step.name,
        channels: step
            .channels
            .into_iter()
            .map(|row| view::channel(row, &components))
            .collect(),
        versions: components
            .iter()
            .map(|row| StepVersion {
                version: row.version.clone(),
                digest: row.digest.clone(),
                uploaded_at: Time::from_ms(row.uploaded_ms),
                status: row.status.as_str().to_owned(),
            })
            .collect(),
    }
}

/// Point a channel to a version.
///
/// Only sagas that start afterwards see it; those in flight stay with what they were pinned to. The channel is made when
/// it is missing.
#[utoipa::path(
    put, path = "/steps/{name}/channels/{channel}", tag = "steps", operation_id = "move_channel",
    params(
        ("name" = String, Path, description = "The step."),
        ("channel" = String, Path, description = "1 to 32 of a-z, 0-9, _ and -; `stable` is what definitions mean when they name none."),
    ),
    request_body = MoveChannel,
    responses(
        (status = 200, description = "The channel as it is now.", body = Channel),
        (status = 400, description = "`invalid-json`, `invalid-path`"),
        (status = 404, description = "`unknown-step`"),
        (status = 409, description = "`component-pending`, `component-retired`, `component-revoked`: names the call that approves it"),
        (status = 422, description = "`invalid-request`: there is no such version"),
    ),
)]
async fn move_channel(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    Names(step, channel): Names,
    _: NoQuery,
    Body(body): Body<MoveChannel>,
) -> Result<Json<Channel>, Problem> {
    let (pointer, to) = match (body.version, body.digest) {
        (Some(version), None) => ("/version", version),
        (None, Some(digest)) => {
            let digest = digest
                .strip_prefix("sha256:")
                .map(str::to_owned)
                .unwrap_or(digest);
            ("/digest", format!("sha256:{digest}"))
        }
        (None, None) => return Err(choose("missing", "give a version or a digest")),
        (Some(_), Some(_)) => return Err(choose("ambiguous", "give either a version or a digest")),
    };
    let catalog = state.engine().catalog();
    let row = catalog
        .set_channel(&step, &channel, &to, &actor.0)
        .await
        .map_err(|error| super::mapped::channel_refused(error, pointer))?;
    let components = catalog.step(&step).map_or_else(Vec::new, |step| step.components);
    Ok(Json(view::channel(row, &components)))
}

fn choose(reason: &str, message: &str) -> Problem {
    Problem::at_pointer(Code::InvalidRequest, "", reason, message)
}
