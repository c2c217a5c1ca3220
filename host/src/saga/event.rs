//! What can happen to a saga, what it then wants done, and what is refused.

use serde::{Deserialize, Serialize};

use super::{
    Failure, Json, Status,
    plan::{ComponentRef, StepIndex},
    state::Hold,
};

/// The two functions of a step component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Run,
    Compensate,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Run => "run",
            Phase::Compensate => "compensate",
        }
    }

    pub fn parse(text: &str) -> Option<Phase> {
        [Phase::Run, Phase::Compensate]
            .into_iter()
            .find(|phase| phase.as_str() == text)
    }
}

/// When an event happens, and the randomness that it may use: arguments, so that `apply` stays a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the Unix epoch, by the database's clock.
    pub now_ms: i64,
    /// Uniform random bits, for the jitter of a backoff.
    pub dice: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A call of `run` ended.
    RunReturned {
        step: StepIndex,
        end: CallEnd,
    },
    /// The saga has turned, and no call of this step's `run` is in progress anywhere.
    RunSettled {
        step: StepIndex,
    },
    /// A call of `compensate` ended.
    UndoReturned {
        step: StepIndex,
        end: CallEnd,
    },
    /// The first mutating intent of a pivot's `run` is about to become durable, in the same transaction as this event.
    PivotPassed {
        step: StepIndex,
    },
    CancelRequested {
        actor: String,
        reason: Option<String>,
    },
    /// An operator takes back a saga that has completed.
    RollbackRequested {
        actor: String,
        reason: Option<String>,
    },
    /// Nothing begins until this hold, and every other one, is released.
    Held {
        hold: Hold,
    },
    Released {
        hold: Hold,
    },
    /// An operator begins what is stuck anew.
    Retried,
    /// An operator lets the saga go on without a step that is stuck.
    Skipped {
        step: StepIndex,
    },
    /// An operator gives steps another version of their component, for the calls to come. Whether the journal, the parameters
    /// and the grants allow it was checked before.
    Repinned {
        steps: Vec<(StepIndex, ComponentRef)>,
    },
    /// Something of this step has shown up after its undo was done.
    LateEffect {
        step: StepIndex,
    },
    /// An operator gives up on what is stuck.
    Abandoned,
    /// A host found this saga owned by a dead one. `calling`: that host had a call of it in progress.
    TakenOver {
        calling: bool,
    },
}

/// How one call of a component ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEnd {
    pub outcome: Outcome,
    /// The call was told `rate-limited`, `connect` or `unavailable`: ending with `again` or `transient` costs neither
    /// attempt nor poll.
    pub starved: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done(Json),
    Again {
        after_ms: u64,
        saved: Option<Json>,
        progress: Option<String>,
    },
    Transient {
        failure: Failure,
        retry_after_ms: Option<u64>,
    },
    Permanent(Failure),
    /// It trapped, ran into a limit, or could not be called at all.
    Trap(Failure),
    /// It was still running at the end of its wall time.
    Timeout,
}

/// What the saga wants done. `Call` and `Settle` are wants, not orders: they hold until the state says otherwise, so the
/// engine may hear of the same one twice (after a restart) and carries it out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Call `phase` of `step`, not before `not_before_ms`.
    Call {
        step: StepIndex,
        phase: Phase,
        not_before_ms: i64,
    },
    /// See to it that no call of `run` of `step` is in progress, and report how it ended: `RunReturned` for a call that
    /// came to its end (it sees `cancel-requested` and has 30 s), `RunSettled` when there is none.
    Settle { step: StepIndex },
    /// In the same transaction: `once` keys of this step and phase that were answered 4xx become free.
    FreeKeys { step: StepIndex, phase: Phase },
    /// The saga has come to this status, which needs nothing more of the engine.
    Rest(Status),
}

/// Refused: the state stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    #[error("the saga has passed its pivot: what it did can't be undone")]
    PivotPassed,
    #[error("the saga has ended")]
    Ended,
    #[error("nothing is stuck in this saga: the verb is for sagas that need attention")]
    NotStuck,
    #[error("the saga has not completed: cancel it instead")]
    NotCompleted,
    #[error("the step has nothing left to call")]
    StepOver,
    #[error("the saga goes back: its steps start nothing new")]
    Turned,
    #[error("the event does not fit the step's state")]
    OutOfPlace,
}
