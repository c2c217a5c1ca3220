//! Services: what steps may call, whose account it is, and whether it is paused.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    dto::{Reason, Service, ServiceList, ServicePause, Time},
    path::Name,
    problem::{Code, Problem},
    query::NoQuery,
    reason::Why,
};
use crate::engine::{ServiceError, ServiceStatus};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_services))
        .routes(routes!(pause_service))
        .routes(routes!(resume_service))
}

/// List the services by name.
#[utoipa::path(
    get, path = "/services", tag = "services", operation_id = "list_services",
    responses((status = 200, description = "All that are configured.", body = ServiceList)),
)]
async fn list_services(State(state): State<ApiState>, _: NoQuery) -> Json<ServiceList> {
    let items = state.engine().services().into_iter().map(shown).collect();
    Json(ServiceList { items })
}

/// Pause a service.
///
/// Nothing more is sent to it. Sagas that may use it are held, those to come as well, and their deadlines stand still. One that the
/// host had paused is resumed only by a person from then on.
#[utoipa::path(
    post, path = "/services/{name}/pause", tag = "services", operation_id = "pause_service",
    params(("name" = String, Path, description = "The service's name.")),
    request_body(content = Reason, description = "May be left out."),
    responses(
        (status = 200, description = "The service is paused.", body = Service),
        (status = 400, description = "`invalid-json`"),
        (status = 404, description = "`unknown-service`"),
        (status = 422, description = "`invalid-request`"),
    ),
)]
async fn pause_service(
    State(state): State<ApiState>,
    Name(name): Name,
    Why(asked): Why,
) -> Result<Json<Service>, Problem> {
    let status = state
        .engine()
        .pause_service(&name, asked)
        .await
        .map_err(refused)?;
    Ok(Json(shown(status)))
}

/// Resume a service.
///
/// It is used again, with the credential and the account that it has now; a credential from a file is read again. When it still
/// refuses the credential, the host pauses it anew. Nothing happens to a service that isn't paused but that its account is read again.
#[utoipa::path(
    post, path = "/services/{name}/resume", tag = "services", operation_id = "resume_service",
    params(("name" = String, Path, description = "The service's name.")),
    request_body(content = Reason, description = "May be left out."),
    responses(
        (status = 200, description = "The service is no longer paused.", body = Service),
        (status = 400, description = "`invalid-json`"),
        (status = 404, description = "`unknown-service`"),
        (status = 422, description = "`invalid-request`"),
    ),
)]
async fn resume_service(
    State(state): State<ApiState>,
    Name(name): Name,
    Why(asked): Why,
) -> Result<Json<Service>, Problem> {
    let status = state
        .engine()
        .resume_service(&name, asked)
        .await
        .map_err(refused)?;
    Ok(Json(shown(status)))
}

fn refused(error: ServiceError) -> Problem {
    match error {
        ServiceError::Unknown(name) => Problem::new(
            Code::UnknownService,
            format!("no service {name:?} is configured; GET /v1/services lists them"),
        ),
        ServiceError::Store(error) => error.into(),
    }
}

fn shown(status: ServiceStatus) -> Service {
    let service = status.service;
    let identity = service.identity.as_deref();
    Service {
        identity: identity.map(ToString::to_string),
        note: identity.and_then(|identity| identity.note()).map(str::to_owned),
        name: service.name,
        base_url: service.base_url,
        per_minute: service.per_minute,
        left_in_minute: service.left_in_minute,
        per_hour: service.per_hour,
        left_in_hour: service.left_in_hour,
        paused: status.paused.map(|row| ServicePause {
            by: row.by,
            reason: row.reason,
            since: Time::from_ms(row.since_ms),
        }),
    }
}
