//! Who asks, and why: what every verb is told, and what stands in the events afterwards.

use axum::{
    Extension,
    extract::{FromRequest, FromRequestParts as _, Request},
};

use super::{
    auth::Actor,
    body::OptionalBody,
    dto::Reason,
    problem::{Code, Problem},
    query::NoQuery,
};
use crate::engine::Asked;

/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 1_000;

/// A request whose body is a reason, or nothing. No query.
pub(super) struct Why(pub Asked);

/// A request whose body is a reason. No query.
pub(super) struct Because(pub Asked);

impl<S: Send + Sync> FromRequest<S> for Why {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Why, Problem> {
        let (mut parts, body) = request.into_parts();
        let actor = Extension::<Actor>::from_request_parts(&mut parts, state).await;
        let Extension(actor) = actor.map_err(|error| {
            tracing::error!(%error, "a request came in without a token");
            Problem::internal()
        })?;
        NoQuery::from_request_parts(&mut parts, state).await?;
        let OptionalBody(body) =
            OptionalBody::<Reason>::from_request(Request::from_parts(parts, body), state).await?;
        asked_of(actor, body.reason).map(Why)
    }
}

impl<S: Send + Sync> FromRequest<S> for Because {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Because, Problem> {
        let Why(asked) = Why::from_request(request, state).await?;
        with_reason(asked).map(Because)
    }
}

/// A reason of nothing but white space is none.
pub(super) fn asked_of(Actor(actor): Actor, reason: Option<String>) -> Result<Asked, Problem> {
    match reason {
        Some(reason) if reason.chars().count() > MAX_REASON_CHARS => Err(Problem::at_pointer(
            Code::InvalidRequest,
            "/reason",
            "length",
            format!("it has at most {MAX_REASON_CHARS} characters"),
        )),
        reason => Ok(Asked {
            actor,
            reason: reason.filter(|reason| !reason.trim().is_empty()),
        }),
    }
}

pub(super) fn with_reason(asked: Asked) -> Result<Asked, Problem> {
    if asked.reason.is_some() {
        return Ok(asked);
    }
    Err(Problem::at_pointer(
        Code::InvalidRequest,
        "/reason",
        "missing",
        "say why: it stands in the saga's events",
    ))
}
