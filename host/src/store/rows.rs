//! The state of a step as rows, and back: one row per phase that has begun.
//!
//! | state | run row | compensate row |
//! |---|---|---|
//! | `Pending` | | |
//! | `Running` | `running` | |
//! | `Ran` | `succeeded`, `failed` or `unfinished` | |
//! | `RunStuck` | `stuck` | |
//! | `RunSkipped` | `skipped` | |
//! | `Undoing` | as `Ran` | `running` |
//! | `UndoStuck` | as `Ran` | `stuck` |
//! | `UndoSkipped` | as `Ran` | `skipped` |
//! | `Undone` | as `Ran` | `done` |
//!
//! Attempts, polls and the beginning are kept for people after a phase has ended, although the state no longer carries
//! them: a new row says 0 and nothing there, and [`StepRow::over`] takes them from the row before.

use serde::{Serialize, de::DeserializeOwned};

use super::StepRow;
use crate::saga::{
    self, Command, Failure, Json, Phase, RunEnd, Saga, StepIndex, StepState, Turning, Verdict, Work,
};

const RUNNING: &str = "running";
const SUCCEEDED: &str = "succeeded";
const FAILED: &str = "failed";
const UNFINISHED: &str = "unfinished";
const STUCK: &str = "stuck";
const SKIPPED: &str = "skipped";
const DONE: &str = "done";

/// Rows of a step that has come to its present state at `at_ms`.
pub(super) fn rows_of(saga: &Saga, step: StepIndex, at_ms: i64) -> Vec<StepRow> {
    let name = &saga.plan.steps[step].name;
    let row = |phase, state| blank(step, name, phase, state, at_ms);
    match &saga.steps[step] {
        StepState::Pending => Vec::new(),
        StepState::Running(work) => vec![with_work(row(Phase::Run, RUNNING), work)],
        StepState::Ran(run) => vec![with_end(row(Phase::Run, SUCCEEDED), run)],
        StepState::RunStuck { failure, saved } => vec![StepRow {
            saved: saved.clone(),
            ..with_failure(row(Phase::Run, STUCK), failure)
        }],
        StepState::RunSkipped { failure, saved } => vec![StepRow {
            saved: saved.clone(),
            ..with_failure(row(Phase::Run, SKIPPED), failure)
        }],
        StepState::Undoing { run, work } => vec![
            with_end(row(Phase::Run, SUCCEEDED), run),
            with_work(row(Phase::Compensate, RUNNING), work),
        ],
        StepState::UndoStuck { run, failure } => vec![
            with_end(row(Phase::Run, SUCCEEDED), run),
            with_failure(row(Phase::Compensate, STUCK), failure),
        ],
        StepState::UndoSkipped { run, failure } => vec![
            with_end(row(Phase::Run, SUCCEEDED), run),
            with_failure(row(Phase::Compensate, SKIPPED), failure),
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
        (SKIPPED, None) => Ok(StepState::RunSkipped {
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
                SKIPPED => Ok(StepState::UndoSkipped {
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
    pub paused: Option<Json>,
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
            | StepState::RunSkipped { .. }
            | StepState::Undoing { .. }
            | StepState::UndoStuck { .. }
            | StepState::UndoSkipped { .. } => false,
        };
        let done = saga.steps.iter().filter(counts).count();
        Summary {
            turning: saga.turning.as_ref().map(Json::of),
            paused: saga.paused.as_ref().map(Json::of),
            cancel_requested: matches!(saga.turning, Some(Turning::Cancel { .. })),
            ended: saga.status.is_final(),
            wake_ms: wake_ms(saga),
            steps_done: u32::try_from(done).unwrap_or(u32::MAX),
        }
    }
}

fn wake_ms(saga: &Saga) -> Option<i64> {
    let wake_ms = |command: Command| match command {
        Command::Call { not_before_ms, .. } => Some(not_before_ms),
        Command::Settle { step } => match &saga.steps[step] {
            StepState::Running(work) => Some(work.wake_ms),
            StepState::Pending
            | StepState::Ran(_)
            | StepState::RunStuck { .. }
            | StepState::RunSkipped { .. }
            | StepState::Undoing { .. }
            | StepState::UndoStuck { .. }
            | StepState::UndoSkipped { .. }
            | StepState::Undone { .. } => None,
        },
        Command::FreeKeys { .. } | Command::Rest(_) => None,
    };
    saga::wanted(saga).into_iter().filter_map(wake_ms).min()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use uuid::Uuid;

    use super::*;
    use crate::saga::{CompensatePolicy, ComponentRef, Kind, Plan, PlanStep, RunPolicy, SagaId};

    fn saga(state: StepState) -> Saga {
        let step = PlanStep {
            name: "create".to_owned(),
            component: ComponentRef {
                name: "noop".to_owned(),
                version: "1.0.0".to_owned(),
                digest: String::new(),
            },
            params: Json::trusted("{}"),
            scope: String::new(),
            after: Vec::new(),
            compensated: true,
            pivot: false,
            run: RunPolicy::default(),
            compensate: CompensatePolicy::default(),
        };
        let plan = Plan {
            definition: None,
            kind: Kind::Test,
            steps: vec![step],
        };
        let mut saga = Saga::accept(SagaId(Uuid::from_u128(1)), Arc::new(plan), BTreeSet::new(), 5);
        saga.steps[0] = state;
        saga
    }

    fn every_state() -> Vec<StepState> {
        let failure = Failure {
            code: "quota".to_owned(),
            message: "no \"room\"".to_owned(),
            detail: Some(Json::trusted(r#"{ "limit": 3.0 }"#)),
        };
        let plain = Failure::new("timeout", "");
        let saved = [None, Some(Json::trusted("null")), Some(Json::trusted("[1, 2]"))];
        let mut states = vec![StepState::Pending];
        for saved in saved {
            let work = Work {
                attempt: 3,
                polls: 7,
                began_ms: 5,
                wake_ms: 9,
                saved: saved.clone(),
                progress: saved.as_ref().map(|_| "still new".to_owned()),
                last_failure: saved.as_ref().map(|_| plain.clone()),
            };
            states.push(StepState::Running(work.clone()));
            states.push(StepState::RunStuck {
                failure: failure.clone(),
                saved: saved.clone(),
            });
            states.push(StepState::RunSkipped {
                failure: failure.clone(),
                saved: saved.clone(),
            });
            let verdicts = [
                Verdict::Succeeded(Json::trusted("null")),
                Verdict::Failed(failure.clone()),
                Verdict::Unfinished,
            ];
            for verdict in verdicts {
                let run = RunEnd {
                    verdict,
                    saved: saved.clone(),
                };
                states.push(StepState::Ran(run.clone()));
                states.push(StepState::Undoing {
                    run: run.clone(),
                    work: work.clone(),
                });
                states.push(StepState::UndoStuck {
                    run: run.clone(),
                    failure: plain.clone(),
                });
                states.push(StepState::UndoSkipped {
                    run: run.clone(),
                    failure: plain.clone(),
                });
                states.push(StepState::Undone { run });
            }
        }
        states
    }

    #[test]
    fn every_state_of_a_step_comes_back_from_its_rows() {
        for state in every_state() {
            let rows = rows_of(&saga(state.clone()), 0, 9);
            let find = |phase| rows.iter().find(|row| row.phase == phase);
            let read = state_of(find(Phase::Run), find(Phase::Compensate));
            assert_eq!(read, Ok(state));
        }
    }

    #[test]
    fn rows_that_no_state_has_written_are_refused() {
        let of = |state: StepState| rows_of(&saga(state), 0, 9);
        let running = of(StepState::Running(Work::begin(1))).remove(0);
        let undo = StepRow {
            phase: Phase::Compensate,
            ..running.clone()
        };
        assert!(state_of(None, Some(&undo)).is_err());
        assert!(
            state_of(Some(&running), Some(&undo)).is_err(),
            "undone while it runs"
        );
        let odd = |change: fn(&mut StepRow)| {
            let mut row = running.clone();
            change(&mut row);
            state_of(Some(&row), None)
        };
        for reason in [
            odd(|row| row.state = "dancing".to_owned()),
            odd(|row| row.state = SUCCEEDED.to_owned()),
            odd(|row| row.state = FAILED.to_owned()),
            odd(|row| row.wake_ms = None),
            odd(|row| row.failure = Some(Json::trusted("{"))),
        ] {
            assert!(reason.is_err(), "{reason:?}");
        }
    }

    #[test]
    fn a_row_over_another_keeps_what_the_state_no_longer_carries() {
        let running = rows_of(
            &saga(StepState::Running(Work {
                attempt: 4,
                polls: 2,
                ..Work::begin(5)
            })),
            0,
            5,
        );
        let stuck = StepState::RunStuck {
            failure: Failure::new("quota", ""),
            saved: None,
        };
        let stuck = rows_of(&saga(stuck), 0, 9).remove(0).over(&running[0]);
        assert_eq!((stuck.attempt, stuck.polls), (4, 2));
        assert_eq!((stuck.began_ms, stuck.ended_ms), (Some(5), Some(9)));
        let turned = StepState::Ran(RunEnd {
            verdict: Verdict::Unfinished,
            saved: None,
        });
        let turned = rows_of(&saga(turned), 0, 20).remove(0).over(&stuck);
        assert_eq!(turned.ended_ms, Some(9), "a phase ends once");
        let anew = rows_of(&saga(StepState::Running(Work::begin(30))), 0, 30)
            .remove(0)
            .over(&turned);
        assert_eq!((anew.attempt, anew.polls), (1, 0));
        assert_eq!((anew.began_ms, anew.ended_ms), (Some(30), None));
    }
}
