//! The state of a step as rows, and back: one row per phase that has begun.
//!
//! | state | run row | compensate row |
//! |---|---|---|
//! | `Pending` | | |
//! | `Running` | `running` | |
//! | `Ran` | `succeeded`, `failed` or `unfinished` | |
//! | `RunStuck` | `stuck` | |
//! | `Undoing` | as `Ran` | `running` |
//! | `UndoStuck` | as `Ran` | `stuck` |
//! | `Undone` | as `Ran` | `done` |
//!
//! Attempts, polls and the beginning are kept for people after a phase has ended, although the state no longer carries
//! them: a new row says 0 and nothing there, and [`StepRow::over`] takes them from the row before.

use serde::{Serialize, de::DeserializeOwned};

use super::StepRow;
use crate::saga::{Failure, Json, Phase, RunEnd, Saga, Status, StepIndex, StepState, Turning, Verdict, Work};

const RUNNING: &str = "running";
const SUCCEEDED: &str = "succeeded";
const FAILED: &str = "failed";
const UNFINISHED: &str = "unfinished";
const STUCK: &str = "stuck";
const DONE: &str = "done";

/// Rows of a step that has come to its present state at `at_ms`.
pub(super) fn rows_of(saga: &Saga, step: StepIndex, at_ms: i64) -> Vec<StepRow> {
    let name = &saga.plan.steps[step].name;
    let row = |phase, state| blank(step, name, phase, state, at_ms);
    match &saga.steps[step] {
        StepState::Pending => Vec::new(),
        StepState::Running(work) => vec![with_work(row(Phase::Run, RUNNING), work)],
        StepState::Ran(run) => vec![with_end(row(Phase::Run, SUCCEEDED), run)],
        StepState::RunStuck { failure, saved } => {
            let mut stuck = with_failure(row(Phase::Run, STUCK), failure);
            stuck.saved = saved.clone();
            vec![stuck]
        }
        StepState::Undoing { run, work } => vec![
            with_end(row(Phase::Run, SUCCEEDED), run),
            with_work(row(Phase::Compensate, RUNNING), work),
        ],
        StepState::UndoStuck { run, failure } => vec![
            with_end(row(Phase::Run, SUCCEEDED), run),
            with_failure(row(Phase::Compensate, STUCK), failure),
        ],
        StepState::Undone { run } => vec![
            with_end(row(Phase::Run, SUCCEEDED), run),
            row(Phase::Compensate, DONE),
        ],
    }
}

/// The state that a step's rows tell; the text says what makes no sense.
pub(super) fn state_of(run: Option<&StepRow>, compensate: Option<&StepRow>) -> Result<StepState, String> {
    let Some(run) = run else {
        return match compensate {
            None => Ok(StepState::Pending),
            Some(_) => Err("a compensate row without a run row".to_owned()),
        };
    };
    match (run.state.as_str(), compensate) {
        (RUNNING, None) => Ok(StepState::Running(work_of(run)?)),
        (STUCK, None) => Ok(StepState::RunStuck {
            failure: failure_of(run)?,
            saved: run.saved.clone(),
        }),
        (_, None) => Ok(StepState::Ran(end_of(run)?)),
        (_, Some(undo)) => {
            let run = end_of(run)?;
            match undo.state.as_str() {
                RUNNING => Ok(StepState::Undoing {
                    run,
                    work: work_of(undo)?,
                }),
                STUCK => Ok(StepState::UndoStuck {
                    run,
                    failure: failure_of(undo)?,
                }),
                DONE => Ok(StepState::Undone { run }),
                other => Err(format!("a compensate row in state {other:?}")),
            }
        }
    }
}

impl StepRow {
    /// This row, written over an earlier one of the same step and phase.
    pub(super) fn over(mut self, earlier: &StepRow) -> StepRow {
        if self.attempt == 0 {
            self.attempt = earlier.attempt;
            self.polls = earlier.polls;
        }
        self.began_ms = self.began_ms.or(earlier.began_ms);
        if self.ended_ms.is_some() {
            self.ended_ms = earlier.ended_ms.or(self.ended_ms);
        }
        self
    }
}

fn blank(step: StepIndex, name: &str, phase: Phase, state: &str, at_ms: i64) -> StepRow {
    StepRow {
        step,
        name: name.to_owned(),
        phase,
        state: state.to_owned(),
        attempt: 0,
        polls: 0,
        began_ms: None,
        wake_ms: None,
        ended_ms: Some(at_ms),
        saved: None,
        progress: None,
        output: None,
        failure: None,
    }
}

fn with_work(row: StepRow, work: &Work) -> StepRow {
    StepRow {
        attempt: work.attempt,
        polls: work.polls,
        began_ms: Some(work.began_ms),
        wake_ms: Some(work.wake_ms),
        ended_ms: None,
        saved: work.saved.clone(),
        progress: work.progress.clone(),
        failure: work.last_failure.as_ref().map(Json::of),
        ..row
    }
}

fn with_failure(row: StepRow, failure: &Failure) -> StepRow {
    StepRow {
        failure: Some(Json::of(failure)),
        ..row
    }
}

fn with_end(row: StepRow, run: &RunEnd) -> StepRow {
    let mut row = StepRow {
        saved: run.saved.clone(),
        ..row
    };
    match &run.verdict {
        Verdict::Succeeded(output) => row.output = Some(output.clone()),
        Verdict::Failed(failure) => {
            FAILED.clone_into(&mut row.state);
            row.failure = Some(Json::of(failure));
        }
        Verdict::Unfinished => UNFINISHED.clone_into(&mut row.state),
    }
    row
}

fn work_of(row: &StepRow) -> Result<Work, String> {
    Ok(Work {
        attempt: row.attempt,
        polls: row.polls,
        began_ms: row.began_ms.ok_or("a running phase without a beginning")?,
        wake_ms: row.wake_ms.ok_or("a running phase without a wake time")?,
        saved: row.saved.clone(),
        progress: row.progress.clone(),
        last_failure: row.failure.as_ref().map(read).transpose()?,
    })
}

fn failure_of(row: &StepRow) -> Result<Failure, String> {
    read(row.failure.as_ref().ok_or("a failed phase without a failure")?)
}

fn end_of(row: &StepRow) -> Result<RunEnd, String> {
    let verdict = match row.state.as_str() {
        SUCCEEDED => Verdict::Succeeded(
            row.output
                .clone()
                .ok_or("a step that succeeded without an output")?,
        ),
        FAILED => Verdict::Failed(failure_of(row)?),
        UNFINISHED => Verdict::Unfinished,
        other => return Err(format!("a run row in state {other:?}")),
    };
    Ok(RunEnd {
        verdict,
        saved: row.saved.clone(),
    })
}

/// A stored text as the value that it was made from.
pub(super) fn read<T: DeserializeOwned>(json: &Json) -> Result<T, String> {
    serde_json::from_str(json.as_str()).map_err(|error| error.to_string())
}

/// What a saga's row says for listings and timers, all of it derived from the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Summary {
    pub turning: Option<Json>,
    pub cancel_requested: bool,
    pub ended: bool,
    /// The soonest wish of its steps; none when nothing is to be done.
    pub wake_ms: Option<i64>,
    /// Steps done, or undone once the saga has turned.
    pub steps_done: u32,
}

impl Summary {
    pub(super) fn of(saga: &Saga) -> Summary {
        let turned = saga.turning.is_some();
        let counts = |state: &&StepState| match state {
            StepState::Ran(RunEnd {
                verdict: Verdict::Succeeded(_),
                ..
            }) => !turned,
            StepState::Undone { .. } => turned,
            StepState::Pending
            | StepState::Running(_)
            | StepState::Ran(_)
            | StepState::RunStuck { .. }
            | StepState::Undoing { .. }
            | StepState::UndoStuck { .. } => false,
        };
        let done = saga.steps.iter().filter(counts).count();
        Summary {
            turning: saga.turning.as_ref().map(Json::of),
            cancel_requested: matches!(saga.turning, Some(Turning::Cancel { .. })),
            ended: saga.status.is_final(),
            wake_ms: wake_ms(saga),
            steps_done: u32::try_from(done).unwrap_or(u32::MAX),
        }
    }
}

fn wake_ms(saga: &Saga) -> Option<i64> {
    match saga.status {
        Status::Running | Status::Compensating => {}
        Status::Completed
        | Status::Compensated
        | Status::Cancelled
        | Status::NeedsAttention
        | Status::Abandoned => return None,
    }
    saga.steps
        .iter()
        .filter_map(|state| match state {
            StepState::Running(work) | StepState::Undoing { work, .. } => Some(work.wake_ms),
            StepState::Pending
            | StepState::Ran(_)
            | StepState::RunStuck { .. }
            | StepState::UndoStuck { .. }
            | StepState::Undone { .. } => None,
        })
        .min()
}
