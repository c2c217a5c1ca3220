//! Tokens: making them, taking them back, and telling whose one is.
//!
//! Truth is the store's rows. Every request is answered from a picture of them in memory, so that neither a known token nor
//! a guessed one costs a read. The picture is replaced after each change, before the change is answered. Where other hosts share
//! the database it is also read again every second: so long a token that was revoked through another host may still open.

use std::{collections::HashMap, sync::Arc, time::Duration};

use data_encoding::BASE32_NOPAD;
use subtle::ConstantTimeEq as _;
use tokio::sync::{Mutex, watch};

use crate::{
    saga::id::sha256_hex,
    store::{ADMIN, AddToken, HOST, NewToken, RevokeToken, Scope, Store, StoreError, TokenMark, TokenRow},
};

/// Most tokens that are valid at the same time.
pub const MAX_TOKENS: usize = 1_000;
/// Longest life of a token that expires, in milliseconds: ten years.
pub const MAX_LIFE_MS: i64 = 10 * 365 * 86_400_000;
pub const NAME_RULE: &str = "1 to 64 of a-z, 0-9, _, ., @ and -, beginning with a letter or digit";

const FOLLOW_EVERY: Duration = Duration::from_secs(1);
const MAX_NAME_CHARS: usize = 64;
/// By which tools that look for secrets in code know one.
const PREFIX: &str = "arc_";
/// Characters of a token that people are shown afterwards: 20 of its 256 random bits.
const HINT_CHARS: usize = 4;

/// A token itself. It is shown once, and never by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    pub fn of(random: [u8; 32]) -> TokenText {
        TokenText(format!(
            "{PREFIX}{}",
            BASE32_NOPAD.encode(&random).to_ascii_lowercase()
        ))
    }

    /// One that was made before, as it stands in a file or a header.
    pub fn known(text: &str) -> TokenText {
        TokenText(text.trim().to_owned())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn mark(&self) -> TokenMark {
        let from = self.0.char_indices().rev().nth(HINT_CHARS - 1);
        TokenMark {
            hash: sha256_hex(self.0.as_bytes()),
            // So short a text is no token of ours, and its end would be most of it.
            hint: from
                .filter(|_| self.0.len() > 4 * HINT_CHARS)
                .map_or_else(String::new, |(from, _)| self.0[from..].to_owned()),
        }
    }
}

impl std::fmt::Debug for TokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[token]")
    }
}

/// Why a token opens nothing. The last two are said only to who holds the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefused {
    Unknown,
    Expired { at_ms: i64 },
    Revoked { at_ms: i64 },
}

#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    #[error("{0:?} is no name of a token: {NAME_RULE}; {ADMIN:?} and {HOST:?} are taken")]
    Name(String),
    #[error("a token expires in the future, and within ten years")]
    Expiry,
    /// Names are never given twice: they stand in events for ever.
    #[error("there is, or was, a token {0:?}; give this one a name of its own")]
    NameTaken(String),
    #[error("{MAX_TOKENS} tokens are valid; revoke one first")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum RevokeTokenError {
    #[error("there is no token {0:?}")]
    Unknown(String),
    #[error("{0:?} is the last valid token with the scope admin; create another one before you revoke it")]
    LastAdmin(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub struct Tokens {
    store: Arc<dyn Store>,
    picture: watch::Sender<Arc<Picture>>,
    /// Held from a change to the new picture, so that pictures follow one another.
    changing: Mutex<()>,
}

struct Picture {
    /// By name.
    rows: Vec<Arc<TokenRow>>,
    /// By the first bytes of the hash, so that no comparison of a whole one ends early.
    by_hash: HashMap<[u8; KEY_BYTES], Vec<Arc<TokenRow>>>,
}

const KEY_BYTES: usize = 16;

impl Tokens {
    pub async fn open(store: Arc<dyn Store>) -> Result<Tokens, StoreError> {
        let rows = store.tokens().await?;
        let picture = Picture::of(rows.into_iter().map(Arc::new));
        Ok(Tokens {
            store,
            picture: watch::Sender::new(Arc::new(picture)),
            changing: Mutex::new(()),
        })
    }

    /// Whose token this is. Reads nothing but memory.
    pub fn check(&self, text: &str) -> Result<Arc<TokenRow>, TokenRefused> {
        let row = self.picture.borrow().find(&sha256_hex(text.as_bytes()));
        let row = row.ok_or(TokenRefused::Unknown)?;
        if let Some(revoked) = &row.revoked {
            return Err(TokenRefused::Revoked { at_ms: revoked.at_ms });
        }
        match row.expires_ms {
            Some(at_ms) if at_ms <= self.store.now_ms() => Err(TokenRefused::Expired { at_ms }),
            Some(_) | None => Ok(row),
        }
    }

    /// Comes true when the token is valid no longer: what it opened and still goes on has to end.
    pub async fn ended(self: Arc<Self>, token: Arc<TokenRow>) {
        let mut pictures = self.picture.subscribe();
        loop {
            let known = pictures.borrow_and_update().find(&token.mark.hash);
            let now_ms = self.store.now_ms();
            if !known.is_some_and(|row| row.is_valid(now_ms)) {
                return;
            }
            let left = token
                .expires_ms
                .map(|expires_ms| Duration::from_millis(expires_ms.abs_diff(now_ms)));
            let expiry = async {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Nothing sends any more once the host is gone, and then nothing is served either.
                changed = pictures.changed() => if changed.is_err() { return },
                () = expiry => {}
            }
        }
    }

    /// All that ever were, by name.
    pub fn list(&self) -> Vec<TokenRow> {
        let picture = self.picture.borrow();
        picture.rows.iter().map(|row| TokenRow::clone(row)).collect()
    }

    /// Makes a token; it is durable and valid when this answers. `expires_ms`: since the Unix epoch; none: never.
    pub async fn create(
        self: &Arc<Self>,
        name: &str,
        scope: Scope,
        expires_ms: Option<i64>,
        actor: &str,
        random: [u8; 32],
    ) -> Result<(TokenText, TokenRow), CreateTokenError> {
        if !is_name(name) {
            return Err(CreateTokenError::Name(name.to_owned()));
        }
        let now_ms = self.store.now_ms();
        if expires_ms.is_some_and(|at_ms| at_ms <= now_ms || at_ms - now_ms > MAX_LIFE_MS) {
            return Err(CreateTokenError::Expiry);
        }
        let text = TokenText::of(random);
        let token = NewToken {
            mark: text.mark(),
            name: name.to_owned(),
            scope,
            created_by: actor.to_owned(),
            expires_ms,
        };
        let tokens = self.clone();
        // A task of its own: who goes away must not leave a row that the picture doesn't show.
        let added = tokio::spawn(async move { tokens.add(token, now_ms).await });
        let row = added
            .await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))??;
        Ok((text, row))
    }

    async fn add(&self, token: NewToken, now_ms: i64) -> Result<TokenRow, CreateTokenError> {
        let _changing = self.changing.lock().await;
        let valid = |row: &&Arc<TokenRow>| row.is_valid(now_ms);
        if self.picture.borrow().rows.iter().filter(valid).count() >= MAX_TOKENS {
            return Err(CreateTokenError::TooMany);
        }
        match self.store.add_token(token).await? {
            AddToken::NameTaken(row) => Err(CreateTokenError::NameTaken(row.name)),
            AddToken::Added(row) => {
                self.show(row.clone());
                let (token, scope, actor) = (&row.name, row.scope.as_str(), &row.created_by);
                tracing::info!(token, scope, actor, "token created");
                Ok(row)
            }
        }
    }

    /// Takes a token back: it opens nothing once this answers. Again changes nothing.
    pub async fn revoke(self: &Arc<Self>, name: &str, actor: &str) -> Result<TokenRow, RevokeTokenError> {
        let (tokens, name, actor) = (self.clone(), name.to_owned(), actor.to_owned());
        // A task of its own: who goes away must not leave a picture in which the token is valid.
        let revoked = tokio::spawn(async move { tokens.take_back(&name, &actor).await });
        revoked
            .await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?
    }

    async fn take_back(&self, name: &str, actor: &str) -> Result<TokenRow, RevokeTokenError> {
        let _changing = self.changing.lock().await;
        match self.store.revoke_token(name, actor).await? {
            RevokeToken::Unknown => Err(RevokeTokenError::Unknown(name.to_owned())),
            RevokeToken::LastAdmin(row) => Err(RevokeTokenError::LastAdmin(row.name)),
            RevokeToken::Revoked(row) => {
                self.show(row.clone());
                tracing::info!(token = name, actor, "token revoked");
                Ok(row)
            }
        }
    }

    /// For ever, where other hosts share the database: what they have made and revoked.
    pub async fn follow(self: Arc<Self>) {
        while self.store.is_shared() {
            tokio::time::sleep(FOLLOW_EVERY).await;
            let changing = self.changing.lock().await;
            match self.store.tokens().await {
                Ok(rows) => {
                    let picture = Picture::of(rows.into_iter().map(Arc::new));
                    self.picture.send_if_modified(|shown| {
                        let is_news = shown.rows != picture.rows;
                        if is_news {
                            *shown = Arc::new(picture);
                        }
                        is_news
                    });
                }
                Err(error) => tracing::warn!(%error, "tokens can't be read again; trying in a second"),
            }
            drop(changing);
        }
    }

    /// The row stands in the store: from here on it stands in the picture.
    fn show(&self, row: TokenRow) {
        let rows = self.picture.borrow().rows.clone();
        let others = rows.into_iter().filter(|known| known.name != row.name);
        let picture = Picture::of(others.chain([Arc::new(row.clone())]));
        self.picture.send_replace(Arc::new(picture));
    }
}

impl Picture {
    fn of(rows: impl Iterator<Item = Arc<TokenRow>>) -> Picture {
        let mut rows: Vec<Arc<TokenRow>> = rows.collect();
        rows.sort_by(|one, other| one.name.cmp(&other.name));
        let mut by_hash: HashMap<_, Vec<_>> = HashMap::new();
        for row in &rows {
            by_hash.entry(key(&row.mark.hash)).or_default().push(row.clone());
        }
        Picture { rows, by_hash }
    }

    fn find(&self, hash: &str) -> Option<Arc<TokenRow>> {
        let same = |row: &&Arc<TokenRow>| row.mark.hash.as_bytes().ct_eq(hash.as_bytes()).into();
        self.by_hash.get(&key(hash))?.iter().find(same).cloned()
    }
}

fn key(hash: &str) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    for (to, from) in key.iter_mut().zip(hash.bytes()) {
        *to = from;
    }
    key
}

fn is_name(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '@' | '-');
    (1..=MAX_NAME_CHARS).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(inside)
        && text != HOST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    const T0: i64 = 1_000_000;

    async fn tokens() -> (Arc<MemoryStore>, Arc<Tokens>) {
        let store = Arc::new(MemoryStore::new(T0));
        store
            .admin_token(TokenText::known("the-admin-token").mark(), false)
            .await
            .unwrap();
        let tokens = Tokens::open(store.clone()).await.unwrap();
        (store, Arc::new(tokens))
    }

    #[test]
    fn a_token_has_a_prefix_and_256_random_bits_and_shows_only_its_end() {
        let text = TokenText::of([7; 32]);
        assert_eq!(text.reveal().len(), 4 + 52);
        assert!(text.reveal().starts_with("arc_"));
        let mark = text.mark();
        assert_eq!(mark.hint.len(), 4);
        assert!(text.reveal().ends_with(&mark.hint));
        assert_eq!(mark.hash, sha256_hex(text.reveal().as_bytes()));
        assert!(!format!("{text:?}").contains(text.reveal()));
        assert_eq!(TokenText::known("short").mark().hint, "");
    }

    #[test]
    fn names_are_short_lower_case_words_and_the_host_has_its_own() {
        for good in ["ci", "ann@example.com", "a.b_c-d", "7", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Ann", "-a", "a b", "a/b", "ä", HOST, &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_token_is_valid_until_the_moment_of_its_expiry() {
        let (store, tokens) = tokens().await;
        let expires = Some(T0 + 5_000);
        let made = tokens.create("ci", Scope::Run, expires, "admin", [1; 32]).await;
        let (text, row) = made.unwrap();
        store.set_now_ms(T0 + 4_999);
        assert_eq!(*tokens.check(text.reveal()).unwrap(), row);
        store.set_now_ms(T0 + 5_000);
        let expired = TokenRefused::Expired { at_ms: T0 + 5_000 };
        assert_eq!(tokens.check(text.reveal()), Err(expired));
        assert_eq!(tokens.check("arc_guessed"), Err(TokenRefused::Unknown));
    }

    #[tokio::test]
    async fn what_a_token_opened_ends_when_it_is_revoked_and_not_when_another_one_is() {
        let (_store, tokens) = tokens().await;
        let (text, _) = tokens
            .create("ci", Scope::Run, None, "admin", [1; 32])
            .await
            .unwrap();
        tokens
            .create("other", Scope::Run, None, "admin", [2; 32])
            .await
            .unwrap();
        let row = tokens.check(text.reveal()).unwrap();
        let mut ended = std::pin::pin!(tokens.clone().ended(row));
        assert!(futures_util::poll!(&mut ended).is_pending());
        tokens.revoke("other", "admin").await.unwrap();
        assert!(futures_util::poll!(&mut ended).is_pending());
        tokens.revoke("ci", "admin").await.unwrap();
        ended.await;
        assert!(matches!(
            tokens.check(text.reveal()),
            Err(TokenRefused::Revoked { at_ms: T0 })
        ));
    }

    #[tokio::test]
    async fn only_so_many_tokens_are_valid_at_once_and_one_that_ended_makes_room() {
        let (store, _) = tokens().await;
        for number in 1..MAX_TOKENS {
            let mut random = [0; 32];
            random[..8].copy_from_slice(&number.to_be_bytes());
            let token = NewToken {
                mark: TokenText::of(random).mark(),
                name: format!("t{number}"),
                scope: Scope::Read,
                created_by: ADMIN.to_owned(),
                expires_ms: Some(T0 + 1_000),
            };
            store.add_token(token).await.unwrap();
        }
        let tokens = Arc::new(Tokens::open(store.clone()).await.unwrap());
        let one_more = || tokens.create("more", Scope::Read, None, "admin", [9; 32]);
        assert!(matches!(one_more().await, Err(CreateTokenError::TooMany)));
        store.set_now_ms(T0 + 1_000);
        one_more().await.unwrap();
    }
}
