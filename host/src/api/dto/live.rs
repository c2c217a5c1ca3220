//! What streams carry, and what is kept of a saga's doings beside its events: log lines and requests.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, Saga, SagaStep, SagaSummary, Time, schema};
use crate::saga::Phase;

/// Data of the messages `snapshot` and `change` in the stream of one saga.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SagaChange {
    /// At least as new as the events.
    pub saga: Saga,
    pub steps: Vec<SagaStep>,
    /// What happened since the message before, oldest first. Empty when only the saga's row changed.
    pub events: Vec<Event>,
}

/// Data of the messages in the stream of all sagas.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SagasChange {
    /// In `change`.
    One {
        /// At least as new as the events.
        saga: SagaSummary,
        /// What happened to it, oldest first; never empty.
        events: Vec<Event>,
    },
    /// In `snapshot`.
    Snapshot {
        /// Newest first, at most 200.
        sagas: Vec<SagaSummary>,
        /// There are older ones, which `GET /v1/sagas` lists.
        more: bool,
    },
}

/// A line that a step said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Grows with time.
    pub id: String,
    pub at: Time,
    pub step: String,
    #[schema(schema_with = schema::phase)]
    pub phase: Phase,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    #[schema(example = "info")]
    pub level: String,
    pub message: String,
    pub fields: Vec<LogField>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogField {
    pub name: String,
    pub value: String,
}

/// A request of a step that may have changed the world. It is recorded before it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SagaRequest {
    /// Grows with time.
    pub id: String,
    pub step: String,
    #[schema(schema_with = schema::phase)]
    pub phase: Phase,
    pub service: String,
    /// Whose account it went to: the service's origin, `#`, and the account's id where it can be told.
    pub identity: Option<String>,
    #[schema(example = "POST")]
    pub method: String,
    #[schema(example = "/v2/droplets")]
    pub path: String,
    /// The key under which it is sent at most once; null when it may be sent again.
    pub once_key: Option<String>,
    /// The start of the body, at most 16 KiB, with everything that looks like a secret taken out.
    pub body: Option<String>,
    pub state: RequestState,
    /// Status of the answer.
    pub status: Option<u16>,
    /// When it was recorded, right before it left.
    pub at: Time,
    /// When its exchange ended: with an answer, without one, or with its host. Null while it is on the wire.
    pub ended_at: Option<Time>,
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// No answer is recorded: it may have taken effect.
    Open,
    /// The answer says what it did.
    Answered,
    /// There is an answer, and it doesn't prove what the request did.
    Doubtful,
    /// The answer proves that it did nothing.
    Refused,
    /// It never left.
    Unsent,
}

impl RequestState {
    pub fn as_str(self) -> &'static str {
        match self {
            RequestState::Open => "open",
            RequestState::Answered => "answered",
            RequestState::Doubtful => "doubtful",
            RequestState::Refused => "refused",
            RequestState::Unsent => "unsent",
        }
    }
}
