//! Tokens: making them, looking, and taking them back.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse as _, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    auth::Actor,
    body::Body,
    cursor::PageParams,
    dto::{CreateToken, CreatedToken, Page, Time, Token, TokenStatus},
    path::Name,
    problem::{Code, Problem},
    query::{NoQuery, Query},
};
use crate::engine::{
    TokenRow,
    tokens::{CreateTokenError, MAX_LIFE_MS, RevokeTokenError},
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create_token, list_tokens))
        .routes(routes!(revoke_token))
}

/// Create a token.
///
/// The token itself is in this answer and nowhere else; only its hash is kept. It is valid from here on. When the answer
/// is lost, revoke the name and create another token.
#[utoipa::path(
    post, path = "/tokens", tag = "tokens", operation_id = "create_token", request_body = CreateToken,
    responses(
        (status = 201, description = "The token, shown this once.", body = CreatedToken),
        (status = 400, description = "`invalid-json`, `invalid-query`"),
        (status = 409, description = "`token-name-taken`, `too-many-tokens`: 1,000 are valid"),
        (status = 422, description = "`invalid-request`"),
    ),
)]
async fn create_token(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    Body(body): Body<CreateToken>,
) -> Result<Response, Problem> {
    let expires_ms = body.expires_in_s.map(|seconds| {
        let life_ms = i64::try_from(seconds).ok().and_then(|s| s.checked_mul(1_000));
        let now_ms = state.store().now_ms();
        now_ms.saturating_add(life_ms.unwrap_or(MAX_LIFE_MS + 1))
    });
    let made = state
        .tokens()
        .create(&body.name, body.scope, expires_ms, &actor.0, rand::random())
        .await;
    let (secret, row) = made.map_err(not_created)?;
    let answer = CreatedToken {
        secret: secret.reveal().to_owned(),
        token: shown(row, state.store().now_ms()),
    };
    let mut response = (StatusCode::CREATED, Json(answer)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// List tokens by name, also those that have expired or were revoked.
#[utoipa::path(
    get, path = "/tokens", tag = "tokens", operation_id = "list_tokens", params(PageParams),
    responses(
        (status = 200, description = "One page.", body = Page<Token>),
        (status = 400, description = "`invalid-query`, `invalid-cursor`"),
    ),
)]
async fn list_tokens(State(state): State<ApiState>, mut query: Query) -> Result<Json<Page<Token>>, Problem> {
    let window = query.window()?;
    query.finish()?;
    let now_ms = state.store().now_ms();
    let page = window.slice(
        state.tokens().list(),
        |row: &TokenRow| row.name.clone(),
        |row| shown(row, now_ms),
    )?;
    Ok(Json(page))
}

/// Take a token back.
///
/// It opens nothing once this is answered, and streams that it opened end; requests that had begun are answered. Again
/// changes nothing.
#[utoipa::path(
    delete, path = "/tokens/{name}", tag = "tokens", operation_id = "revoke_token",
    params(("name" = String, Path, description = "The token's name.")),
    responses(
        (status = 200, description = "The token as it is now.", body = Token),
        (status = 404, description = "`unknown-token`"),
        (status = 409, description = "`last-admin-token`: without it nobody could make tokens any more"),
    ),
)]
async fn revoke_token(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    Name(name): Name,
    _: NoQuery,
) -> Result<Json<Token>, Problem> {
    let revoked = state.tokens().revoke(&name, &actor.0).await;
    let row = revoked.map_err(|error| {
        let detail = error.to_string();
        match error {
            RevokeTokenError::Unknown(_) => {
                Problem::new(Code::UnknownToken, format!("{detail}; GET /v1/tokens lists them"))
            }
            RevokeTokenError::LastAdmin(_) => Problem::new(Code::LastAdminToken, detail),
            RevokeTokenError::Store(error) => error.into(),
        }
    })?;
    Ok(Json(shown(row, state.store().now_ms())))
}

fn not_created(error: CreateTokenError) -> Problem {
    let detail = error.to_string();
    let invalid =
        |pointer, reason| Problem::at_pointer(Code::InvalidRequest, pointer, reason, detail.clone());
    match error {
        CreateTokenError::Name(_) => invalid("/name", "name"),
        CreateTokenError::Expiry => invalid("/expires_in_s", "out-of-bounds"),
        CreateTokenError::NameTaken(_) => Problem::new(Code::TokenNameTaken, detail),
        CreateTokenError::TooMany => Problem::new(Code::TooManyTokens, detail),
        CreateTokenError::Store(error) => error.into(),
    }
}

fn shown(row: TokenRow, now_ms: i64) -> Token {
    let status = match &row.revoked {
        Some(_) => TokenStatus::Revoked,
        None if row.is_valid(now_ms) => TokenStatus::Valid,
        None => TokenStatus::Expired,
    };
    let (revoked_by, revoked_at) = match row.revoked {
        Some(revoked) => (Some(revoked.by), Some(Time::from_ms(revoked.at_ms))),
        None => (None, None),
    };
    Token {
        name: row.name,
        scope: row.scope,
        status,
        hint: row.mark.hint,
        created_by: row.created_by,
        created_at: Time::from_ms(row.created_ms),
        expires_at: row.expires_ms.map(Time::from_ms),
        revoked_by,
        revoked_at,
    }
}
