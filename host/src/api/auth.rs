//! Who may ask: everything below `/v1` needs the admin token, as `Authorization: Bearer <token>`.
//!
//! Only the token's sha256 is stored; hashes are compared in constant time, so that neither time nor a stolen database
//! tells the token.

use axum::{
    extract::{Request, State},
    http::header::AUTHORIZATION,
    middleware::Next,
    response::Response,
};
use subtle::ConstantTimeEq as _;

use super::{
    ApiState,
    problem::{Code, Problem},
};
use crate::saga::id::sha256_hex;

/// Who is behind a token, as it stands in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(pub String);

const ADMIN: &str = "admin";

/// What is stored of a token: 64 hex digits.
pub fn token_hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

pub(super) async fn require_token(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let mut given = request.headers().get_all(AUTHORIZATION).iter();
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
    let known: bool = token_hash(token)
        .as_bytes()
        .ct_eq(state.admin_token_hash().as_bytes())
        .into();
    if !known {
        return Err(Problem::new(Code::Unauthorized, "the token is not valid here"));
    }
    request.extensions_mut().insert(Actor(ADMIN.to_owned()));
    Ok(next.run(request).await)
}

/// The token of a `Bearer` credential; the scheme's case doesn't matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
