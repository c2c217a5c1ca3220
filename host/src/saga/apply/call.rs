//! How the end of a call changes its step, and what is tried again.

use super::{pause::elapsed_ms, refuse_at_rest, step_of, turn};
use crate::saga::{
    Json,
    event::{CallEnd, IllegalEvent, Moment, Outcome},
    plan::StepIndex,
    retry::{AGAIN_MAX_MS, AGAIN_MIN_MS, backoff_ms},
    state::{Failure, RunEnd, Saga, StepState, Turning, Verdict, Work},
};

pub(super) fn run_returned(
    saga: &mut Saga,
    step: StepIndex,
    end: CallEnd,
    moment: Moment,
) -> Result<(), IllegalEvent> {
    let StepState::Running(work) = step_of(saga, step)?.clone() else {
        return Err(IllegalEvent::OutOfPlace);
    };
    refuse_at_rest(saga)?;
    saga.takeovers = 0;
    if saga.turning.is_some() {
        saga.steps[step] = StepState::Ran(cut_short(work, end.outcome));
        return Ok(());
    }
    let policy = saga.plan.steps[step].run;
    let left_ms = policy
        .total_ms
        .saturating_sub(elapsed_ms(saga, &work, moment.now_ms));
    let late = left_ms == 0;
    match end.outcome {
        Outcome::Done(output) => {
            saga.steps[step] = StepState::Ran(RunEnd {
                verdict: Verdict::Succeeded(output),
                saved: work.saved,
            });
        }
        Outcome::Again { saved, .. } if late => {
            let work = Work { saved, ..work };
            fail(
                saga,
                step,
                work,
                overdue("run", policy.total_ms),
                true,
                moment.now_ms,
            );
        }
        Outcome::Again {
            after_ms,
            saved,
            progress,
        } => {
            saga.steps[step] = StepState::Running(asleep(
                work,
                after_ms,
                saved,
                progress,
                end.starved,
                left_ms,
                moment,
            ));
        }
        Outcome::Permanent(failure) => fail(saga, step, work, failure, false, moment.now_ms),
        Outcome::Transient {
            failure,
            retry_after_ms,
        } => {
            let spent = !end.starved && work.attempt >= policy.max_attempts;
            if spent || late {
                fail(saga, step, work, failure, false, moment.now_ms);
                return Ok(());
            }
            let wait = backoff_ms(
                0,
                policy.backoff_base_ms,
                policy.backoff_max_ms,
                work.attempt,
                moment.dice,
            )
            .max(retry_after_ms.unwrap_or(0));
            saga.steps[step] =
                StepState::Running(retrying(work, failure, wait, end.starved, left_ms, moment));
        }
        outcome @ (Outcome::Trap(_) | Outcome::Timeout) => {
            let failure = broken(outcome, policy.call_timeout_ms);
            if work.attempt >= policy.max_attempts || late {
                fail(saga, step, work, failure, true, moment.now_ms);
            } else {
                let wait = backoff_ms(
                    0,
                    policy.backoff_base_ms,
                    policy.backoff_max_ms,
                    work.attempt,
                    moment.dice,
                );
                saga.steps[step] = StepState::Running(retrying(work, failure, wait, false, left_ms, moment));
            }
        }
    }
    Ok(())
}

pub(super) fn run_settled(saga: &mut Saga, step: StepIndex) -> Result<(), IllegalEvent> {
    let StepState::Running(work) = step_of(saga, step)?.clone() else {
        return Err(IllegalEvent::OutOfPlace);
    };
    refuse_at_rest(saga)?;
    if saga.turning.is_none() {
        return Err(IllegalEvent::OutOfPlace);
    }
    saga.steps[step] = StepState::Ran(RunEnd {
        verdict: Verdict::Unfinished,
        saved: work.saved,
    });
    Ok(())
}

pub(super) fn undo_returned(
    saga: &mut Saga,
    step: StepIndex,
    end: CallEnd,
    moment: Moment,
) -> Result<(), IllegalEvent> {
    let StepState::Undoing { run, work } = step_of(saga, step)?.clone() else {
        return Err(IllegalEvent::OutOfPlace);
    };
    refuse_at_rest(saga)?;
    saga.takeovers = 0;
    let policy = saga.plan.steps[step].compensate;
    let left_ms = policy
        .total_ms
        .saturating_sub(elapsed_ms(saga, &work, moment.now_ms));
    let late = left_ms == 0;
    let wait = |attempt| {
        backoff_ms(
            policy.backoff_base_ms,
            policy.backoff_base_ms,
            policy.backoff_max_ms,
            attempt,
            moment.dice,
        )
    };
    saga.steps[step] = match end.outcome {
        Outcome::Done(_) => StepState::Undone { run },
        Outcome::Permanent(failure) => StepState::UndoStuck { run, failure },
        Outcome::Again { .. } if late => StepState::UndoStuck {
            run,
            failure: overdue("compensate", policy.total_ms),
        },
        Outcome::Again {
            after_ms,
            saved,
            progress,
        } => {
            let work = asleep(work, after_ms, saved, progress, end.starved, left_ms, moment);
            StepState::Undoing { run, work }
        }
        Outcome::Transient { failure, .. } if late => StepState::UndoStuck { run, failure },
        Outcome::Transient {
            failure,
            retry_after_ms,
        } => {
            let wait_ms = wait(work.attempt).max(retry_after_ms.unwrap_or(0));
            StepState::Undoing {
                run,
                work: retrying(work, failure, wait_ms, end.starved, left_ms, moment),
            }
        }
        outcome @ (Outcome::Trap(_) | Outcome::Timeout) => {
            let failure = broken(outcome, policy.call_timeout_ms);
            if late {
                StepState::UndoStuck { run, failure }
            } else {
                let wait_ms = wait(work.attempt);
                StepState::Undoing {
                    run,
                    work: retrying(work, failure, wait_ms, false, left_ms, moment),
                }
            }
        }
    };
    Ok(())
}

fn fail(saga: &mut Saga, step: StepIndex, work: Work, failure: Failure, unfinished: bool, now_ms: i64) {
    if saga.pivot_passed {
        saga.steps[step] = StepState::RunStuck {
            failure,
            saved: work.saved,
        };
        return;
    }
    let turning = Turning::Failure {
        step,
        code: failure.code.clone(),
        message: failure.message.clone(),
    };
    let verdict = if unfinished {
        Verdict::Unfinished
    } else {
        Verdict::Failed(failure)
    };
    saga.steps[step] = StepState::Ran(RunEnd {
        verdict,
        saved: work.saved,
    });
    turn(saga, turning, now_ms);
}

/// How a call of `run` counts that ended after the saga had turned.
fn cut_short(work: Work, outcome: Outcome) -> RunEnd {
    match outcome {
        Outcome::Done(output) => RunEnd {
            verdict: Verdict::Succeeded(output),
            saved: work.saved,
        },
        Outcome::Again { saved, .. } => RunEnd {
            verdict: Verdict::Unfinished,
            saved,
        },
        Outcome::Transient { failure, .. } | Outcome::Permanent(failure) => RunEnd {
            verdict: Verdict::Failed(failure),
            saved: work.saved,
        },
        Outcome::Trap(_) | Outcome::Timeout => RunEnd {
            verdict: Verdict::Unfinished,
            saved: work.saved,
        },
    }
}

fn asleep(
    work: Work,
    after_ms: u64,
    saved: Option<Json>,
    progress: Option<String>,
    starved: bool,
    left_ms: u64,
    moment: Moment,
) -> Work {
    let wake_ms = wake(after_ms.clamp(AGAIN_MIN_MS, AGAIN_MAX_MS), left_ms, moment.now_ms);
    let (attempt, polls) = if starved {
        (work.attempt, work.polls)
    } else {
        (1, work.polls + 1)
    };
    Work {
        attempt,
        polls,
        wake_ms,
        saved,
        progress,
        last_failure: None,
        began_ms: work.began_ms,
    }
}

fn retrying(work: Work, failure: Failure, wait_ms: u64, starved: bool, left_ms: u64, moment: Moment) -> Work {
    let attempt = if starved {
        work.attempt
    } else {
        work.attempt.saturating_add(1)
    };
    let wake_ms = wake(wait_ms, left_ms, moment.now_ms);
    Work {
        attempt,
        wake_ms,
        last_failure: Some(failure),
        ..work
    }
}

/// Never later than the end of the phase, so that the last look happens at its end and not a day after. `left_ms`: what is left
/// of the phase, from which a pause takes nothing.
fn wake(wait_ms: u64, left_ms: u64, now_ms: i64) -> i64 {
    now_ms.saturating_add_unsigned(wait_ms.min(left_ms))
}

fn overdue(phase: &str, total_ms: u64) -> Failure {
    Failure::new(
        "deadline",
        format!("`{phase}` has not finished within {total_ms} ms"),
    )
}

fn broken(outcome: Outcome, call_timeout_ms: u64) -> Failure {
    match outcome {
        Outcome::Trap(failure) => failure,
        Outcome::Timeout => Failure::new(
            "timeout",
            format!("the call was still running after {call_timeout_ms} ms"),
        ),
        Outcome::Done(_) | Outcome::Again { .. } | Outcome::Transient { .. } | Outcome::Permanent(_) => {
            unreachable!("only called for traps and timeouts")
        }
    }
}
