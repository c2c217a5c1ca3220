//! What the exchange asks of the journal. The engine hands in the durable one; tests a list in memory.

use async_trait::async_trait;

use super::{FetchError, Identity};
use crate::saga::{Answer, Intent, JournalRecord, Phase, SagaId, StepIndex};

/// The journal as one step of one saga sees it.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    fn now_ms(&self) -> i64;

    /// Whose requests these are.
    fn owner(&self) -> (SagaId, StepIndex, Phase);

    /// Whether the saga's requests may go to the service with this identity: not when earlier ones went to another account, where
    /// an absence proves nothing here. Asked before anything is sent, reads included.
    async fn admits(&self, service: &str, identity: &Identity) -> Result<(), FetchError>;

    /// Makes the intent durable. Only after `Ok` may the request leave.
    async fn intend(&self, intent: Intent) -> Result<(), IntentRefused>;

    /// Makes the answer durable; retries until it is, or the process ends. Called exactly once per `Ok` of `intend`.
    async fn answer(&self, answer: Answer);

    /// The newest record of this step under a `once` key that wasn't unsent.
    async fn latest(&self, phase: Phase, once_key: &str) -> Result<Option<JournalRecord>, IntentRefused>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntentRefused {
    /// A cancel is recorded or the saga has turned.
    Cancelled,
    Fenced,
    Unavailable(String),
}

impl From<IntentRefused> for FetchError {
    fn from(refused: IntentRefused) -> Self {
        match refused {
            IntentRefused::Cancelled => FetchError::Cancelled,
            IntentRefused::Fenced => FetchError::Fenced,
            IntentRefused::Unavailable(reason) => FetchError::Unavailable(reason),
        }
    }
}
