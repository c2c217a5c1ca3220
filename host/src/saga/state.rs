//! The state of a saga: enums that carry only what is valid in that state.
//!
//! What is *not* in here matters as much. Starting a call is no state: a step in [`StepState::Running`] may be in a call,
//! may have been in one on a host that died, or may only be about to be called; the core treats all three alike, because
//! no crash can tell them apart. What a step did to the world is no state either: the journal of mutating requests is the
//! only witness of that, and is asked when `compensate` is called.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Json, SagaId,
    event::Phase,
    plan::{Plan, StepIndex},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saga {
    pub id: SagaId,
    pub plan: Arc<Plan>,
    pub status: Status,
    /// Set by the one event after which the saga only goes back; never unset.
    pub turning: Option<Turning>,
    /// Nothing of it begins, and no clock of it runs, for as long as anything holds it.
    pub paused: Option<Pause>,
    /// A pivot may have taken effect: nothing goes back over it.
    pub pivot_passed: bool,
    /// Takeovers in a row that found a call of this saga on the dead host, without progress in between.
    pub takeovers: u32,
    /// Grows by one with every change.
    pub revision: u64,
    /// One per step of the plan.
    pub steps: Vec<StepState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Running,
    Completed,
    Compensating,
    Compensated,
    Cancelled,
    NeedsAttention,
    Abandoned,
}

impl Status {
    pub const ALL: [Status; 7] = [
        Status::Running,
        Status::Completed,
        Status::Compensating,
        Status::Compensated,
        Status::Cancelled,
        Status::NeedsAttention,
        Status::Abandoned,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Completed => "completed",
            Status::Compensating => "compensating",
            Status::Compensated => "compensated",
            Status::Cancelled => "cancelled",
            Status::NeedsAttention => "needs-attention",
            Status::Abandoned => "abandoned",
        }
    }

    pub fn parse(text: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Nothing happens any more unless somebody asks for it.
    pub fn is_final(self) -> bool {
        match self {
            Status::Completed | Status::Compensated | Status::Cancelled | Status::Abandoned => true,
            Status::Running | Status::Compensating | Status::NeedsAttention => false,
        }
    }
}

/// What holds a saga, and since when. Calls that were in progress come to their end, and what they bring is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When the first hold came, milliseconds since the Unix epoch, by the database's clock.
    pub since_ms: i64,
    /// Never empty.
    pub holds: BTreeSet<Hold>,
}

/// One reason for a pause. Each is lifted by itself; the saga goes on when the last one is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// This saga was paused.
    Saga,
    /// Every saga of its definition was.
    Definition,
    /// Every saga was.
    All,
    /// A service that one of its steps may call was.
    Service(String),
}

/// Why a saga goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Turning {
    /// A step failed for good.
    Failure {
        step: StepIndex,
        code: String,
        message: String,
    },
    Cancel {
        actor: String,
        reason: Option<String>,
    },
    /// It had completed.
    Rollback {
        actor: String,
        reason: Option<String>,
    },
}

/// | state | may `run` have been called? | what comes next |
/// |---|---|---|
/// | `Pending` | no: a predecessor is not durably done | `Running` |
/// | `Running` | yes | a call at `work.wake_ms`; once the saga has turned, only the end of a call |
/// | `Ran` | yes, and it ended | nothing, or the undo |
/// | `RunStuck` | yes | an operator |
/// | `RunSkipped` | yes | nothing, or the undo; steps behind it go on as if it were done |
/// | `Undoing` | yes | a call of `compensate` at `work.wake_ms` |
/// | `UndoStuck` | yes | an operator |
/// | `UndoSkipped` | yes | nothing: what is left of it is a finding |
/// | `Undone` | yes | nothing, or the undo once more when something of it shows up late |
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    Pending,
    Running(Work),
    Ran(RunEnd),
    /// It can't succeed, and the saga can't go back (past a pivot), or it took host after host down.
    RunStuck {
        failure: Failure,
        saved: Option<Json>,
    },
    /// An operator let the saga go on without it.
    RunSkipped {
        failure: Failure,
        saved: Option<Json>,
    },
    Undoing {
        run: RunEnd,
        work: Work,
    },
    UndoStuck {
        run: RunEnd,
        failure: Failure,
    },
    /// An operator let the saga go on without its undo.
    UndoSkipped {
        run: RunEnd,
        failure: Failure,
    },
    Undone {
        run: RunEnd,
    },
}

/// Progress of one phase of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// 1 at first and after every counted `again`.
    pub attempt: u32,
    pub polls: u32,
    /// When this phase began, milliseconds since the Unix epoch, by the database's clock.
    pub began_ms: i64,
    /// Not called before this time.
    pub wake_ms: i64,
    /// What the last `again` saved.
    pub saved: Option<Json>,
    /// What the last `again` told people.
    pub progress: Option<String>,
    /// How the last attempt failed, when it did.
    pub last_failure: Option<Failure>,
}

impl Work {
    pub fn begin(now_ms: i64) -> Work {
        Work {
            attempt: 1,
            polls: 0,
            began_ms: now_ms,
            wake_ms: now_ms,
            saved: None,
            progress: None,
            last_failure: None,
        }
    }
}

/// How `run` ended, and what its last `again` saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    pub verdict: Verdict,
    pub saved: Option<Json>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Succeeded(Json),
    Failed(Failure),
    /// Trap, timeout, cut off, host death, or asleep when the saga turned.
    Unfinished,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `[a-z0-9_.-]{1,64}`
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Json>,
}

impl Failure {
    pub fn new(code: &str, message: impl Into<String>) -> Failure {
        Failure {
            code: code.to_owned(),
            message: message.into(),
            detail: None,
        }
    }
}

impl Saga {
    /// A saga as it is accepted: the steps that wait for nothing may be called at once, unless something holds it.
    pub fn accept(id: SagaId, plan: Arc<Plan>, holds: BTreeSet<Hold>, now_ms: i64) -> Saga {
        let paused = (!holds.is_empty()).then_some(Pause {
            since_ms: now_ms,
            holds,
        });
        let steps = plan
            .steps
            .iter()
            .map(|step| {
                if step.after.is_empty() && paused.is_none() {
                    StepState::Running(Work::begin(now_ms))
                } else {
                    StepState::Pending
                }
            })
            .collect();
        Saga {
            id,
            plan,
            status: Status::Running,
            turning: None,
            paused,
            pivot_passed: false,
            takeovers: 0,
            revision: 1,
            steps,
        }
    }

    /// Which function of the step may be called next, if any is.
    pub fn call_to_come(&self, step: StepIndex) -> Option<Phase> {
        let turned = self.turning.is_some();
        match &self.steps[step] {
            StepState::Pending | StepState::Running(_) | StepState::RunStuck { .. } if !turned => {
                Some(Phase::Run)
            }
            StepState::Running(_) | StepState::RunStuck { .. } => Some(Phase::Compensate),
            StepState::Ran(_) if turned => Some(Phase::Compensate),
            StepState::Undoing { .. } | StepState::UndoStuck { .. } => Some(Phase::Compensate),
            // Before the turning a step that ran has succeeded, and a rollback that may come is no call to come.
            StepState::Pending
            | StepState::Ran(_)
            | StepState::RunSkipped { .. }
            | StepState::UndoSkipped { .. }
            | StepState::Undone { .. } => None,
        }
    }

    /// The step's output, while the step counts as done: not once its undo is finished.
    pub fn output_of(&self, step: StepIndex) -> Option<&Json> {
        match &self.steps[step] {
            StepState::Ran(run) | StepState::Undoing { run, .. } | StepState::UndoStuck { run, .. } => {
                match &run.verdict {
                    Verdict::Succeeded(output) => Some(output),
                    Verdict::Failed(_) | Verdict::Unfinished => None,
                }
            }
            StepState::Pending
            | StepState::Running(_)
            | StepState::RunStuck { .. }
            | StepState::RunSkipped { .. }
            | StepState::UndoSkipped { .. }
            | StepState::Undone { .. } => None,
        }
    }
}
