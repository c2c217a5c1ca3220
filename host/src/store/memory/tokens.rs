//! Tokens in the model.

use super::State;
use crate::store::{
    AddToken, NewToken, RevokeToken, TokenMark, TokenRow,
    tokens::{self, ADMIN},
};

impl State {
    pub(super) fn add_token(&mut self, token: NewToken, now_ms: i64) -> AddToken {
        if let Some(row) = self.tokens.get(&token.name) {
            return AddToken::NameTaken(row.clone());
        }
        let row = tokens::added(token, now_ms);
        self.tokens.insert(row.name.clone(), row.clone());
        AddToken::Added(row)
    }

    pub(super) fn revoke_token(&mut self, name: &str, by: &str, now_ms: i64) -> RevokeToken {
        let answer = tokens::judge(self.tokens.values().cloned().collect(), name, by, now_ms);
        if let RevokeToken::Revoked(row) = &answer {
            self.tokens.insert(row.name.clone(), row.clone());
        }
        answer
    }

    pub(super) fn admin_token(&mut self, mark: TokenMark, replace: bool, now_ms: i64) -> TokenRow {
        if let Some(row) = self.tokens.get(ADMIN)
            && !replace
        {
            return row.clone();
        }
        let row = tokens::added(tokens::admin(mark), now_ms);
        self.tokens.insert(row.name.clone(), row.clone());
        row
    }
}
