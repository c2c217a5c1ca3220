//! The words of outbound HTTP: what a step may send, what it gets, and how it can fail.

use serde::{Deserialize, Serialize};

/// One permission: methods on paths below a prefix of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub service: String,
    pub methods: Vec<String>,
    /// A path is granted when it equals a prefix, or goes on after it with `/`, compared after normalisation.
    pub path_prefixes: Vec<String>,
}

/// A request as a guest asks for it: a service by name, never a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub service: String,
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub timeout_ms: Option<u32>,
    /// GET only: an answer shared with other calls is accepted up to this age.
    pub max_age_ms: Option<u32>,
    pub once: Option<Once>,
}

/// At most once per (saga, step, phase, key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    pub key: String,
    /// Statuses by which the service proves that nothing happened.
    pub refusals: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// A recorded answer of an earlier call.
    pub replayed: bool,
    /// Milliseconds since a shared or recorded answer arrived; 0 for a fresh one.
    pub age_ms: u64,
}

/// The contract's `http-error`, case by case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("not granted: {0}")]
    Denied(String),
    #[error("invalid request: {0}")]
    InvalidRequest(String),
    #[error("nothing was sent: {0}")]
    Connect(String),
    #[error("the rate budget of the service is used up for {0} ms")]
    RateLimited(u64),
    #[error("unavailable: {0}")]
    Unavailable(String),
    #[error("the call's own budget is used up")]
    BudgetExhausted,
    #[error("may have taken effect: {0}")]
    Interrupted(String),
    #[error("no answer in time; may have taken effect")]
    Timeout,
    #[error("the answer is longer than {0} bytes")]
    ResponseTooLarge(u64),
    #[error("sent earlier under this key, without a recorded answer")]
    InDoubt,
    #[error("the key was used for another request")]
    KeyReused,
    #[error("the saga no longer wants this call")]
    Cancelled,
    #[error("this host no longer owns the saga")]
    Fenced,
}

impl FetchError {
    /// Told one of these, a call costs neither attempt nor poll when it ends with `again` or `transient`.
    pub fn starves(&self) -> bool {
        matches!(
            self,
            FetchError::Connect(_) | FetchError::RateLimited(_) | FetchError::Unavailable(_)
        )
    }
}
