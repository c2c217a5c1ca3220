//! Whether the host lives, and whether it takes work. Open to everybody: they tell nothing else.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    dto::Health,
    problem::{Code, Problem},
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
}

/// Whether the process answers.
#[utoipa::path(
    get, path = "/healthz", tag = "health", operation_id = "healthz", security(()),
    responses((status = 200, description = "It does.", body = Health)),
)]
async fn healthz() -> Json<Health> {
    shown("ok")
}

/// Whether the host takes sagas.
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "readyz", security(()),
    responses(
        (status = 200, description = "It does.", body = Health),
        (status = 503, description = "`not-ready`: it starts, ends, or has lost its database; with `Retry-After`"),
    ),
)]
async fn readyz(State(state): State<ApiState>) -> Result<Json<Health>, Problem> {
    match state.engine().ready() {
        Ok(()) => Ok(shown("ready")),
        Err(reason) => Err(Problem::new(Code::NotReady, reason).retry_after(1)),
    }
}

fn shown(status: &str) -> Json<Health> {
    Json(Health {
        status: status.to_owned(),
    })
}
