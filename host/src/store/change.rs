//! The changes that the writer commits: values, so that memory and databases apply the same thing.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Header, Looked, Watch};
use crate::saga::{Answer, Intent, Json, Phase, ResourceKey, Saga, SagaId, StepIndex, Writes};

/// A host process: a new one at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub Uuid);

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who may change a saga: grows with every change of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    pub owner: HostId,
    pub number: i64,
}

#[derive(Debug, Clone)]
pub enum Change {
    Accept(Box<Accept>),
    Advance(Box<Advance>),
    Checkpoint(Box<Checkpoint>),
    Intent(Box<RecordIntent>),
    Answer(Box<Answer>),
    Findings(Box<SagaFindings>),
    Looked(Box<Looked>),
}

/// What became of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    Done,
    /// Another owner, another fence or another revision: nothing was changed.
    Fenced,
    /// An intent of `run` after a cancel or the turning: nothing was changed.
    Turned,
    /// An accept whose idempotency key is taken: nothing was changed.
    Duplicate {
        saga: SagaId,
        request_hash: String,
    },
    /// This change can't be applied (the text is for the log): nothing was changed.
    Failed(String),
}

/// A new saga, owned from the start by the host that accepts it.
#[derive(Debug, Clone)]
pub struct Accept {
    pub saga: Arc<Saga>,
    pub plan_digest: Arc<str>,
    pub header: Header,
    pub fence: Fence,
    pub idempotency: Option<Idempotency>,
    pub events: Vec<NewEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    pub request_hash: String,
}

/// A saga's next state, with everything that goes with it.
#[derive(Debug, Clone)]
pub struct Advance {
    pub fence: Fence,
    /// Revision of the state that `saga` was made from.
    pub from_revision: u64,
    pub saga: Arc<Saga>,
    /// Digest of its plan, when it is another one from here on.
    pub repinned: Option<Arc<str>>,
    /// Steps whose state differs from the one before.
    pub changed_steps: Vec<StepIndex>,
    /// Whose writes these are (its scope is the plan's), when a call ended.
    pub writes: Option<(StepIndex, Phase, Writes)>,
    pub events: Vec<NewEvent>,
    /// `once` keys answered 4xx of these steps and phases become free (their records become `Refused`).
    pub free_keys: Vec<(StepIndex, Phase)>,
    pub findings: Vec<NewFinding>,
    /// Open findings of this saga with one of these codes are resolved now (before `findings` are added).
    pub resolved_codes: Vec<&'static str>,
    /// The intent that carries the saga over its pivot.
    pub intent: Option<Intent>,
    /// What the saga's end leaves to be watched: takes the place of an earlier watch. None: as it was.
    pub watch: Option<Watch>,
    /// When, by the database's clock.
    pub at_ms: i64,
}

/// Writes of a call that goes on.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub saga: SagaId,
    pub fence: Fence,
    pub step: StepIndex,
    pub phase: Phase,
    /// The step's scope.
    pub scope: String,
    pub writes: Writes,
    pub at_ms: i64,
}

#[derive(Debug, Clone)]
pub struct RecordIntent {
    pub fence: Fence,
    pub intent: Intent,
}

/// Findings of a whole saga that come or go without a change of its state.
#[derive(Debug, Clone)]
pub struct SagaFindings {
    pub saga: SagaId,
    pub fence: Fence,
    /// Open findings with one of these codes end, before the new ones are added.
    pub resolved_codes: Vec<&'static str>,
    /// Without a step.
    pub findings: Vec<NewFinding>,
    pub at_ms: i64,
}

/// Who did what; its time is the change's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// `accepted`, `step-done`, `step-again`, `step-retry`, `step-failed`, `turned`, `cancel-requested`, `undo-done`, …
    pub kind: &'static str,
    /// `host`, or the name of the person or token that asked.
    pub actor: String,
    pub step: Option<StepIndex>,
    pub phase: Option<Phase>,
    /// One JSON object.
    pub detail: Json,
}

/// Something that needs a person. The same (saga, step, code, resource) again is the same finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFinding {
    /// `[a-z0-9_.-]{1,64}`
    pub code: String,
    pub step: Option<StepIndex>,
    pub resource: Option<ResourceKey>,
    pub message: String,
    /// What to do next, one sentence.
    pub advice: String,
}
