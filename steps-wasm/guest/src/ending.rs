//! How a call ends: done, later, or an error; and what a refusal by the host means for it.

use serde_json::Value;

use crate::{ContextError, Failure, HttpError, InventoryError, Later, Outcome, StepError};

/// The wait after a problem that clears by itself and costs neither attempt nor poll (a lost connection, a paused service).
const SOON_MS: u64 = 1000;

/// Why a call ends before its work is finished.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// Come back after this many milliseconds; nothing is wrong.
    Later {
        after_ms: u64,
        progress: String,
    },
    Failed(StepError),
}

/// Come back later, with one line for people.
pub fn again(after_ms: u64, progress: impl Into<String>) -> Stop {
    Stop::Later {
        after_ms,
        progress: progress.into(),
    }
}

pub fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure {
        code: code.into(),
        message: message.into(),
        detail: None,
        retry_after_ms: None,
    }
}

pub fn permanent(code: &str, message: impl Into<String>) -> Stop {
    Stop::Failed(StepError::Permanent(failure(code, message)))
}

fn transient(code: &str, message: impl Into<String>) -> Stop {
    Stop::Failed(StepError::Transient(failure(code, message)))
}

pub fn done(output: &Value) -> Outcome {
    Outcome::Done(output.to_string())
}

/// What a step keeps from one call of a phase to the next. Written and read by hand: derived code for these few fields made
/// a component a fifth larger.
pub trait State: Default {
    fn write(&self) -> Value;
    /// Anything that can't be read counts as not saved.
    fn read(saved: &Value) -> Self;
}

/// What an earlier `again` of this phase saved; the default when it saved nothing.
pub fn restore<S: State>(state: Option<&str>) -> S {
    state
        .and_then(|text| serde_json::from_str(text).ok())
        .map_or_else(S::default, |saved| S::read(&saved))
}

/// Turn the end of a step's work into the contract's words. `state` is saved when the step comes back later.
pub fn conclude<S: State>(end: Result<Value, Stop>, state: &S) -> Result<Outcome, StepError> {
    conclude_with(end, || Some(state.write().to_string()))
}

/// The same for a step that keeps nothing, or that saves what it was given.
pub fn conclude_with(
    end: Result<Value, Stop>,
    state: impl FnOnce() -> Option<String>,
) -> Result<Outcome, StepError> {
    match end {
        Ok(output) => Ok(done(&output)),
        Err(Stop::Later { after_ms, progress }) => Ok(Outcome::Again(Later {
            after_ms,
            state: state(),
            progress: Some(progress),
        })),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn fenced() -> Stop {
    transient("fenced", "this host no longer owns the saga")
}

impl From<ContextError> for Stop {
    fn from(error: ContextError) -> Stop {
        match error {
            ContextError::Fenced => fenced(),
            ContextError::Unavailable(why) | ContextError::Other(why) => {
                transient("context-unavailable", why)
            }
            ContextError::InvalidKey(what) | ContextError::InvalidJson(what) | ContextError::Denied(what) => {
                permanent("context-refused", what)
            }
            ContextError::TooLarge(limit) => {
                permanent("context-refused", over_limit("the value", limit.into()))
            }
        }
    }
}

impl From<InventoryError> for Stop {
    fn from(error: InventoryError) -> Stop {
        match error {
            InventoryError::Fenced => fenced(),
            InventoryError::Unavailable(why) | InventoryError::Other(why) => {
                transient("inventory-unavailable", why)
            }
            InventoryError::Invalid(what) => permanent("inventory-refused", what),
            InventoryError::TooMany => permanent("inventory-refused", "too many inventory rows in one call"),
        }
    }
}

fn over_limit(what: &str, bytes: u64) -> String {
    format!("{what} is over the limit of {bytes} bytes")
}

/// The end of a call whose request was not answered. For a mutating request, use it only where the step has already dealt
/// with the errors that leave the outcome open.
impl From<HttpError> for Stop {
    fn from(error: HttpError) -> Stop {
        match error {
            HttpError::RateLimited(ms) => again(ms, "waiting for the service's rate budget"),
            HttpError::Connect(why) => again(SOON_MS, format!("the service can't be reached: {why}")),
            HttpError::Unavailable(why) => again(SOON_MS, format!("the service can't be used now: {why}")),
            HttpError::BudgetExhausted => again(SOON_MS, "this call's request budget is used up"),
            HttpError::Cancelled => transient("cancelled", "the saga no longer wants this step"),
            HttpError::Fenced => fenced(),
            HttpError::Denied(what) => permanent("http-denied", what),
            HttpError::InvalidRequest(what) => permanent("invalid-request", what),
            HttpError::KeyReused => permanent(
                "key-reused",
                "an earlier request of this step had another body or path",
            ),
            HttpError::Interrupted(why) | HttpError::Other(why) => {
                again(SOON_MS, format!("no answer from the service: {why}"))
            }
            HttpError::Timeout => again(SOON_MS, "no answer from the service in time"),
            HttpError::InDoubt => again(SOON_MS, "an earlier request has no answer yet"),
            HttpError::ResponseTooLarge(limit) => {
                permanent("response-too-large", over_limit("the answer", limit))
            }
        }
    }
}
