//! Components and their approval: an administrator's word on who may be run.

use axum::{Extension, Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    auth::Actor,
    body::OptionalBody,
    components::{answer, unknown},
    dto::{Approve, Component, Grant},
    path::Name,
    problem::{Code, Problem},
    query::NoQuery,
};
use crate::{
    cloud,
    engine::catalog::ApprovalError,
    engine::{ComponentRow, StoreError},
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(approve_component))
        .routes(routes!(retire_component))
        .routes(routes!(revoke_component))
}

/// Approve a component.
///
/// New sagas may use it from here on, with all that it `asks` for, or with the part of it that the body names: a call is
/// granted what was asked and what was approved, both, as far as the service's own allow-list goes. When the step has no
/// channel `stable` yet, that one points to it now. Also leads back from retired and revoked.
#[utoipa::path(
    post, path = "/components/{digest}/approve", tag = "components", operation_id = "approve_component",
    params(("digest" = String, Path, description = "sha256 of its bytes, 64 lower-case hex digits.")),
    request_body(content = Approve, description = "May be left out: then all that it asks for is approved."),
    responses(
        (status = 200, description = "The component as it is now.", body = Component),
        (status = 404, description = "`unknown-component`"),
        (status = 409, description = "`version-exists`: other bytes were approved under its name and version while it waited"),
        (status = 422, description = "`invalid-request`: it doesn't ask for this"),
    ),
)]
async fn approve_component(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    Name(digest): Name,
    _: NoQuery,
    OptionalBody(body): OptionalBody<Approve>,
) -> Result<Json<Component>, Problem> {
    let http = body
        .http
        .map(|http| http.into_iter().map(Grant::into_engine).collect());
    let engine = state.engine().clone();
    let (key, actor) = (digest.clone(), actor.0);
    let approved = async move { engine.catalog().approve(&key, http, &actor).await };
    carry_out(&state, &digest, approved).await
}

/// Retire a component: new sagas can't use it.
///
/// Sagas that were pinned to it finish, or go back, with it. A channel that points to it stays there, and new sagas that come
/// through it are refused. Again changes nothing; approving it undoes it.
#[utoipa::path(
    post, path = "/components/{digest}/retire", tag = "components", operation_id = "retire_component",
    params(("digest" = String, Path, description = "sha256 of its bytes, 64 lower-case hex digits.")),
    responses(
        (status = 200, description = "The component as it is now.", body = Component),
        (status = 404, description = "`unknown-component`"),
    ),
)]
async fn retire_component(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    Name(digest): Name,
    _: NoQuery,
) -> Result<Json<Component>, Problem> {
    let engine = state.engine().clone();
    let (key, actor) = (digest.clone(), actor.0);
    let retired = async move { engine.catalog().retire(&key, &actor).await };
    carry_out(&state, &digest, retired).await
}

/// Revoke a component: it is called no more, also not by sagas in flight.
///
/// Their calls of it fail with `component-unavailable` and are tried again like every call that breaks, those that undo for
/// a day, until the saga needs attention. A call in progress is not cut off. Again changes nothing; approving it undoes it.
#[utoipa::path(
    post, path = "/components/{digest}/revoke", tag = "components", operation_id = "revoke_component",
    params(("digest" = String, Path, description = "sha256 of its bytes, 64 lower-case hex digits.")),
    responses(
        (status = 200, description = "The component as it is now.", body = Component),
        (status = 404, description = "`unknown-component`"),
    ),
)]
async fn revoke_component(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    Name(digest): Name,
    _: NoQuery,
) -> Result<Json<Component>, Problem> {
    let engine = state.engine().clone();
    let (key, actor) = (digest.clone(), actor.0);
    let revoked = async move { engine.catalog().revoke(&key, &actor).await };
    carry_out(&state, &digest, revoked).await
}

/// In a task of its own: who goes away must not leave a row that the catalogue in memory doesn't show.
async fn carry_out(
    state: &ApiState,
    digest: &str,
    change: impl Future<Output = Result<ComponentRow, ApprovalError>> + Send + 'static,
) -> Result<Json<Component>, Problem> {
    let changed = tokio::spawn(change).await;
    let changed = changed.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    changed.map_err(|error| {
        let detail = error.to_string();
        match error {
            ApprovalError::Unknown(digest) => unknown(&digest),
            ApprovalError::Beyond(place) => Problem::at_pointer(
                Code::InvalidRequest,
                &format!("/http/{place}"),
                "not-asked",
                detail,
            ),
            ApprovalError::VersionExists { .. } => Problem::new(Code::VersionExists, detail),
            ApprovalError::Store(error) => error.into(),
        }
    })?;
    answer(state, digest)
}

impl Grant {
    fn into_engine(self) -> cloud::Grant {
        cloud::Grant {
            service: self.service,
            methods: self.methods,
            path_prefixes: self.path_prefixes,
        }
    }
}
