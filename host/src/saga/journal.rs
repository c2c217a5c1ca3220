//! The journal of mutating requests: the only witness of what a step may have done to the world.
//!
//! A record goes `open → answered | refused | unsent`, or stays open for ever when the host died with the exchange.
//! An intent is durable before its request leaves; an answer is append-only and exempt from the fence, since what
//! happened has happened, whoever owns the saga now.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Phase, SagaId, plan::StepIndex};

/// A UUIDv7, so that the records of a step sort by age.
pub type IntentId = Uuid;

/// The durable record of a mutating request, written before it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub id: IntentId,
    pub saga: SagaId,
    pub step: StepIndex,
    pub phase: Phase,
    /// The key of `once`; none for a request that may be sent again.
    pub once_key: Option<String>,
    pub service: String,
    /// Whose account it goes to: the service's origin, and the account's id where it can be told (`origin#account`). None: it was
    /// recorded before identities were.
    pub identity: Option<String>,
    pub method: String,
    pub path: String,
    /// Hash over service, method, path, query and body: the same key with another request is refused.
    pub request_hash: String,
    /// For people: the body with everything that looks like a secret taken out, at most 16 KiB.
    pub redacted_body: Option<String>,
    pub at_ms: i64,
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub intent: IntentId,
    pub verdict: AnswerVerdict,
    pub at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerVerdict {
    /// It was answered, and the answer does not prove that nothing happened.
    Answered {
        response: RecordedResponse,
        conclusive: bool,
    },
    /// It was answered by a status that proves that nothing happened. A `once` key is free again.
    Refused { response: RecordedResponse },
    /// Nothing was written to the wire. A `once` key is free again.
    Unsent,
    /// The exchange ended without an answer (timeout, reset): the record stays open, and this is when it ended.
    Lost,
}

/// Headers worth keeping; credentials and cookies never are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Whole under a `once` key, empty otherwise.
    pub body: Vec<u8>,
}

/// One record as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRecord {
    pub intent: Intent,
    pub state: RecordState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordState {
    /// Left, no answer recorded. `ended_at_ms`: when its exchange ended or its host was found dead; none while on the wire.
    Open {
        ended_at_ms: Option<i64>,
    },
    Answered {
        response: RecordedResponse,
        conclusive: bool,
        at_ms: i64,
    },
    Refused {
        response: RecordedResponse,
        at_ms: i64,
    },
    Unsent {
        at_ms: i64,
    },
}

/// What the world may hold because of a step, by the journal over all calls of its `run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// No mutating request left, or every one was refused.
    None,
    /// A mutating request left and has no conclusive answer.
    Maybe,
    Applied,
}

/// `Maybe` outranks `Applied`: one doubtful request is enough to have to look.
pub fn effect_of<'a>(records: impl IntoIterator<Item = &'a RecordState>) -> Effect {
    let mut effect = Effect::None;
    for record in records {
        match record {
            RecordState::Open { .. }
            | RecordState::Answered {
                conclusive: false, ..
            } => return Effect::Maybe,
            RecordState::Answered { conclusive: true, .. } => effect = Effect::Applied,
            RecordState::Refused { .. } | RecordState::Unsent { .. } => {}
        }
    }
    effect
}
