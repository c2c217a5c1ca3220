//! Tokens as rows: who may ask for how much. A token itself is never stored, only its hash.

use serde::{Deserialize, Serialize};

/// How much a token may do; each one includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Read,
    Run,
    Operate,
    Admin,
}

impl Scope {
    /// The smallest first.
    pub const ALL: [Scope; 4] = [Scope::Read, Scope::Run, Scope::Operate, Scope::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Run => "run",
            Scope::Operate => "operate",
            Scope::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// What is stored of a token's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMark {
    /// sha256 of the token, 64 hex digits.
    pub hash: String,
    /// Its last characters, by which people tell tokens apart; not enough to guess the rest.
    pub hint: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    pub mark: TokenMark,
    pub name: String,
    pub scope: Scope,
    pub created_by: String,
    /// From then on it opens nothing; none: never.
    pub expires_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    pub mark: TokenMark,
    /// Its own for ever: what stands in events as the actor.
    pub name: String,
    pub scope: Scope,
    pub created_by: String,
    pub created_ms: i64,
    pub expires_ms: Option<i64>,
    pub revoked: Option<Revocation>,
}

/// Who took a token back, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub by: String,
    pub at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddToken {
    Added(TokenRow),
    /// A token of this name is there, or was.
    NameTaken(TokenRow),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokeToken {
    /// The row as it is now; one that was revoked before stays as it was.
    Revoked(TokenRow),
    /// Without it nobody could make tokens any more; nothing was changed.
    LastAdmin(TokenRow),
    Unknown,
}

impl TokenRow {
    /// Neither revoked nor expired.
    pub fn is_valid(&self, now_ms: i64) -> bool {
        self.revoked.is_none() && self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

/// The token in the data folder.
pub const ADMIN: &str = "admin";
/// Who acts when nobody asked.
pub const HOST: &str = "host";

/// A new token's row.
pub(super) fn added(token: NewToken, now_ms: i64) -> TokenRow {
    TokenRow {
        mark: token.mark,
        name: token.name,
        scope: token.scope,
        created_by: token.created_by,
        created_ms: now_ms,
        expires_ms: token.expires_ms,
        revoked: None,
    }
}

/// What the data folder's token is when it is made.
pub(super) fn admin(mark: TokenMark) -> NewToken {
    NewToken {
        mark,
        name: ADMIN.to_owned(),
        scope: Scope::Admin,
        created_by: HOST.to_owned(),
        expires_ms: None,
    }
}

/// What revoking one of all tokens comes to: the row as it then is.
pub(super) fn judge(rows: Vec<TokenRow>, name: &str, by: &str, now_ms: i64) -> RevokeToken {
    let opens = |row: &TokenRow| row.scope == Scope::Admin && row.is_valid(now_ms);
    let another = rows.iter().any(|row| row.name != name && opens(row));
    let Some(mut row) = rows.into_iter().find(|row| row.name == name) else {
        return RevokeToken::Unknown;
    };
    if opens(&row) && !another {
        return RevokeToken::LastAdmin(row);
    }
    row.revoked.get_or_insert_with(|| Revocation {
        by: by.to_owned(),
        at_ms: now_ms,
    });
    RevokeToken::Revoked(row)
}
