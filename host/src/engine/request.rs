//! What people ask of the engine, and what it answers.

use std::collections::BTreeMap;

use super::catalog::NotApproved;
use crate::{
    saga::{IllegalEvent, Json, Kind, SagaId},
    store::{Idempotency, StoreError},
};

/// A saga to be started.
#[derive(Debug, Clone)]
pub struct StartSaga {
    pub plan: PlanSource,
    /// One JSON object, checked against the definition's and the steps' schemas.
    pub inputs: Json,
    /// By step name, laid over the definition's parameters key by key.
    pub params: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    /// Accepted, and held until it is resumed.
    pub paused: bool,
    pub deployment_id: Option<String>,
    /// What the one who asks says it is for or by; stands in the saga.
    pub triggered_by: String,
    /// Whose token it was; stands in the saga's events.
    pub actor: String,
    pub idempotency: Option<Idempotency>,
}

#[derive(Debug, Clone)]
pub enum PlanSource {
    /// The newest version of a definition.
    Definition { name: String },
    /// Steps in the request itself, in the shape of a definition's `steps`.
    Inline { kind: Kind, steps: serde_json::Value },
}

/// Answered only when it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub saga: SagaId,
    /// False: an earlier request with the same idempotency key started it.
    pub created: bool,
}

/// One thing that is wrong with a request body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON Pointer (RFC 6901) into the request body.
    pub pointer: String,
    /// Stable, machine readable.
    pub code: &'static str,
    pub message: String,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("there is no definition {0:?}")]
    UnknownDefinition(String),
    #[error("the request has {} problem(s)", .0.len())]
    Invalid(Vec<Problem>),
    /// A component of the plan may not be used by new sagas.
    #[error(transparent)]
    NotApproved(NotApproved),
    /// Same idempotency key, other request; the saga that has the key.
    #[error("the idempotency key belongs to another request, which started saga {0}")]
    KeyReused(SagaId),
    /// More sagas are waiting than the host takes; nothing was accepted.
    #[error("too many sagas are waiting to be written; try again in {retry_after_s} s")]
    Overloaded { retry_after_s: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    #[error("there is no saga {0}")]
    UnknownSaga(SagaId),
    #[error("there is no step {step:?}; the steps are {steps}")]
    UnknownStep { step: String, steps: String },
    #[error("step {step:?} is made of the component {component:?}, which no {to:?} takes over")]
    OtherComponent {
        step: String,
        component: String,
        to: String,
    },
    #[error(transparent)]
    Refused(#[from] IllegalEvent),
    /// Another host owns the saga now.
    #[error("this host no longer owns the saga; ask again")]
    Fenced,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an operator can do to one saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    Cancel,
    Rollback,
    Pause,
    Resume,
    Retry,
    /// Let the saga go on without this step, which is stuck.
    Skip {
        step: String,
    },
    Abandon,
}

/// Who asks, and why: both go into the saga's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub actor: String,
    pub reason: Option<String>,
}
