//! The door: everything below `/v1` needs a token that is valid and whose scope is enough, as
//! `Authorization: Bearer <token>`.
//!
//! An unknown token is told nothing more. That a token has expired or was revoked is said to who holds it, and only to them.
//! A stream ends with the token that opened it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{
        HeaderMap,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    middleware::Next,
    response::Response,
};
use futures_util::StreamExt as _;

use super::{
    ApiState,
    access::Needs,
    dto::Time,
    problem::{Code, Problem},
};
use crate::engine::{Scope, TokenRow, tokens::TokenRefused};

/// Who is behind a token, as it stands in events: the token's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(pub String);

#[derive(Clone)]
pub(super) struct Door {
    pub state: ApiState,
    pub needs: Arc<Needs>,
}

pub(super) async fn require_token(
    State(door): State<Door>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let token = holder(&door.state, request.headers())?;
    let path = request.extensions().get::<MatchedPath>();
    let needed = path.and_then(|path| door.needs.scope(request.method(), path.as_str()));
    if let Some(needed) = needed.filter(|needed| token.scope < *needed) {
        return Err(too_little(&request, &token, needed));
    }
    request.extensions_mut().insert(Actor(token.name.clone()));
    request.extensions_mut().insert(token.scope);
    let response = next.run(request).await;
    Ok(while_valid(&door.state, token, response))
}

fn holder(state: &ApiState, headers: &HeaderMap) -> Result<Arc<TokenRow>, Problem> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (given.next(), given.next());
    let token = match (first.map(|value| value.to_str()), second) {
        (Some(Ok(value)), None) => bearer(value),
        _ => None,
    };
    let Some(token) = token else {
        return Err(Problem::new(
            Code::Unauthorized,
            "send the token as `Authorization: Bearer <token>`",
        ));
    };
    state.tokens().check(token).map_err(|refused| match refused {
        TokenRefused::Unknown => Problem::new(Code::Unauthorized, "the token is not valid here"),
        TokenRefused::Expired { at_ms } => Problem::new(
            Code::TokenExpired,
            format!(
                "the token expired at {}; ask an administrator for another",
                Time::from_ms(at_ms)
            ),
        ),
        TokenRefused::Revoked { at_ms } => Problem::new(
            Code::TokenRevoked,
            format!(
                "the token was revoked at {}; ask an administrator for another",
                Time::from_ms(at_ms)
            ),
        ),
    })
}

/// The token of a `Bearer` credential; the scheme's case doesn't matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn too_little(request: &Request, token: &TokenRow, needed: Scope) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    let (name, has, needed) = (&token.name, token.scope.as_str(), needed.as_str());
    Problem::new(
        Code::ScopeMissing,
        format!("{method} {path} needs a token with the scope {needed}; {name:?} has {has}"),
    )
}

/// A stream may go on for days: it ends when its token does.
fn while_valid(state: &ApiState, token: Arc<TokenRow>, response: Response) -> Response {
    let streams = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes() == b"text/event-stream");
    if !streams {
        return response;
    }
    let ended = state.tokens().clone().ended(token);
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(ended)))
}
