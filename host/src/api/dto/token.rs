//! Tokens: who may ask for how much.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, schema};
use crate::engine::Scope;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Its own for ever, also once it is revoked: it stands in events as the actor. 1 to 64 of a-z, 0-9, _, ., @ and -,
    /// beginning with a letter or digit.
    #[schema(example = "ci")]
    pub name: String,
    #[schema(schema_with = schema::scope)]
    pub scope: Scope,
    /// Seconds until it expires, at most ten years; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 315_360_000_u64)]
    pub expires_in_s: Option<u64>,
}

/// A new token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// The token itself, to be sent as `Authorization: Bearer <token>`. Nobody can read it again.
    #[schema(example = "arc_…")]
    pub secret: String,
    pub token: Token,
}

/// What is known of a token, which is not the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub name: String,
    #[schema(schema_with = schema::scope)]
    pub scope: Scope,
    pub status: TokenStatus,
    /// Its last characters; empty for one whose end nobody noted.
    pub hint: String,
    /// Name of the token that made it; `host` for the one in the data folder.
    pub created_by: String,
    pub created_at: Time,
    /// Null: never.
    pub expires_at: Option<Time>,
    pub revoked_by: Option<String>,
    pub revoked_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenStatus {
    Valid,
    Expired,
    Revoked,
}
