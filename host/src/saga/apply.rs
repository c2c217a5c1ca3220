//! The one transition function. Live and on recovery, nothing else changes a saga.
//!
//! | event | legal when | step becomes | saga |
//! |---|---|---|---|
//! | `RunReturned` done | step `Running` | `Ran(Succeeded)`; steps that waited only for it become `Running` | `completed` once all are |
//! | … again | | `Running`, poll + 1, asleep; past its total time: as permanent | |
//! | … transient, trap, timeout | | `Running`, attempt + 1, asleep; budget used up: as permanent | |
//! | … permanent | | `Ran(Failed)`; past a pivot `RunStuck` | turns; past a pivot `needs-attention` |
//! | any of these, saga turned | | `Ran`: nothing is tried again | goes back |
//! | `RunSettled` | saga turned, step `Running` | `Ran(Unfinished)` | goes back |
//! | `UndoReturned` done | step `Undoing` | `Undone` | `compensated` or `cancelled` once all are |
//! | … again, transient, trap, timeout | | `Undoing`, asleep; past its total time `UndoStuck` | |
//! | … permanent | | `UndoStuck` | `needs-attention` once nothing else can go on |
//! | `PivotPassed` | step `Running`, a pivot, saga not turned | | no way back |
//! | `CancelRequested` | not ended, not past a pivot | | turns; changes nothing when it has turned already |
//! | `Retried` | `needs-attention` | `RunStuck` → `Running`, `UndoStuck` → `Undoing`, begun anew | goes on |
//! | `Abandoned` | `needs-attention` | | `abandoned` |
//! | `TakenOver` | not ended | over [`MAX_TAKEOVERS`] in a row: what works becomes stuck | `needs-attention` |
//!
//! Every other pair is an [`IllegalEvent`], and the state stays as it is.
//!
//! **Who is undone**: every step that may have been called, in reverse order of dependency: a step once all steps behind it
//! that were started are undone. A `Pending` step was certainly never called and is skipped.

use super::{
    Json,
    event::{CallEnd, Command, Event, IllegalEvent, Moment, Outcome, Phase},
    plan::StepIndex,
    retry::{AGAIN_MAX_MS, AGAIN_MIN_MS, backoff_ms},
    state::{Failure, RunEnd, Saga, Status, StepState, Turning, Verdict, Work},
};

/// More takeovers than this in a row, each with a call of the saga on the dead host: the saga is taken for the killer.
pub const MAX_TAKEOVERS: u32 = 10;

/// The next state, and what is wanted now that wasn't wanted before.
pub fn apply(saga: &Saga, event: Event, moment: Moment) -> Result<(Saga, Vec<Command>), IllegalEvent> {
    let mut next = saga.clone();
    let mut commands = Vec::new();
    match event {
        Event::RunReturned { step, end } => run_returned(&mut next, step, end, moment)?,
        Event::RunSettled { step } => run_settled(&mut next, step)?,
        Event::UndoReturned { step, end } => undo_returned(&mut next, step, end, moment)?,
        Event::PivotPassed { step } => pivot_passed(&mut next, step)?,
        Event::CancelRequested { actor, reason } => {
            cancel(&mut next, Turning::Cancel { actor, reason }, moment)?
        }
        Event::Retried => retry(&mut next, moment, &mut commands)?,
        Event::Abandoned => abandon(&mut next)?,
        Event::TakenOver { calling } => taken_over(&mut next, calling)?,
    }
    advance(&mut next, moment.now_ms);
    if next == *saga {
        return Ok((next, commands));
    }
    next.revision += 1;
    let before = wanted(saga);
    commands.extend(wanted(&next).into_iter().filter(|command| match command {
        Command::Call { step, .. } => !before.contains(command) || saga.steps[*step] != next.steps[*step],
        Command::Settle { .. } | Command::FreeKeys { .. } | Command::Rest(_) => !before.contains(command),
    }));
    if next.status != saga.status && (next.status.is_final() || next.status == Status::NeedsAttention) {
        commands.push(Command::Rest(next.status));
    }
    Ok((next, commands))
}

/// Everything that a saga in this state wants done: what a host that has just got it carries out.
pub fn wanted(saga: &Saga) -> Vec<Command> {
    match saga.status {
        Status::Running | Status::Compensating => {}
        Status::Completed
        | Status::Compensated
        | Status::Cancelled
        | Status::Abandoned
        | Status::NeedsAttention => {
            return Vec::new();
        }
    }
    let turned = saga.turning.is_some();
    let mut commands = Vec::new();
    for (step, state) in saga.steps.iter().enumerate() {
        match state {
            StepState::Running(_) if turned => commands.push(Command::Settle { step }),
            StepState::Running(work) => {
                commands.push(Command::Call {
                    step,
                    phase: Phase::Run,
                    not_before_ms: work.wake_ms,
                });
            }
            StepState::Undoing { work, .. } => {
                commands.push(Command::Call {
                    step,
                    phase: Phase::Compensate,
                    not_before_ms: work.wake_ms,
                });
            }
            StepState::Pending
            | StepState::Ran(_)
            | StepState::RunStuck { .. }
            | StepState::UndoStuck { .. }
            | StepState::Undone { .. } => {}
        }
    }
    commands
}

fn run_returned(saga: &mut Saga, step: StepIndex, end: CallEnd, moment: Moment) -> Result<(), IllegalEvent> {
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
    let late = elapsed_ms(&work, moment.now_ms) >= policy.total_ms;
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
                policy.total_ms,
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
            saga.steps[step] = StepState::Running(retrying(
                work,
                failure,
                wait,
                end.starved,
                policy.total_ms,
                moment,
            ));
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
                saga.steps[step] =
                    StepState::Running(retrying(work, failure, wait, false, policy.total_ms, moment));
            }
        }
    }
    Ok(())
}

fn run_settled(saga: &mut Saga, step: StepIndex) -> Result<(), IllegalEvent> {
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

fn undo_returned(saga: &mut Saga, step: StepIndex, end: CallEnd, moment: Moment) -> Result<(), IllegalEvent> {
    let StepState::Undoing { run, work } = step_of(saga, step)?.clone() else {
        return Err(IllegalEvent::OutOfPlace);
    };
    refuse_at_rest(saga)?;
    saga.takeovers = 0;
    let policy = saga.plan.steps[step].compensate;
    let late = elapsed_ms(&work, moment.now_ms) >= policy.total_ms;
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
            let work = asleep(
                work,
                after_ms,
                saved,
                progress,
                end.starved,
                policy.total_ms,
                moment,
            );
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
                work: retrying(work, failure, wait_ms, end.starved, policy.total_ms, moment),
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
                    work: retrying(work, failure, wait_ms, false, policy.total_ms, moment),
                }
            }
        }
    };
    Ok(())
}

fn pivot_passed(saga: &mut Saga, step: StepIndex) -> Result<(), IllegalEvent> {
    let StepState::Running(_) = step_of(saga, step)? else {
        return Err(IllegalEvent::OutOfPlace);
    };
    refuse_at_rest(saga)?;
    if saga.turning.is_some() {
        return Err(IllegalEvent::Turned);
    }
    if !saga.plan.steps[step].pivot {
        return Err(IllegalEvent::OutOfPlace);
    }
    saga.pivot_passed = true;
    Ok(())
}

fn cancel(saga: &mut Saga, turning: Turning, moment: Moment) -> Result<(), IllegalEvent> {
    if saga.status.is_final() {
        return Err(IllegalEvent::Ended);
    }
    if saga.turning.is_some() {
        return Ok(());
    }
    if saga.pivot_passed {
        return Err(IllegalEvent::PivotPassed);
    }
    turn(saga, turning, moment.now_ms);
    Ok(())
}

fn retry(saga: &mut Saga, moment: Moment, commands: &mut Vec<Command>) -> Result<(), IllegalEvent> {
    refuse_unless_stuck(saga)?;
    for (step, state) in saga.steps.iter_mut().enumerate() {
        match state {
            StepState::RunStuck { .. } => {
                *state = StepState::Running(Work::begin(moment.now_ms));
                commands.push(Command::FreeKeys {
                    step,
                    phase: Phase::Run,
                });
            }
            StepState::UndoStuck { run, .. } => {
                *state = StepState::Undoing {
                    run: run.clone(),
                    work: Work::begin(moment.now_ms),
                };
                commands.push(Command::FreeKeys {
                    step,
                    phase: Phase::Compensate,
                });
            }
            StepState::Pending
            | StepState::Running(_)
            | StepState::Ran(_)
            | StepState::Undoing { .. }
            | StepState::Undone { .. } => {}
        }
    }
    saga.takeovers = 0;
    saga.status = if saga.turning.is_some() {
        Status::Compensating
    } else {
        Status::Running
    };
    Ok(())
}

fn abandon(saga: &mut Saga) -> Result<(), IllegalEvent> {
    refuse_unless_stuck(saga)?;
    saga.status = Status::Abandoned;
    Ok(())
}

fn taken_over(saga: &mut Saga, calling: bool) -> Result<(), IllegalEvent> {
    if saga.status.is_final() {
        return Err(IllegalEvent::Ended);
    }
    if saga.status == Status::NeedsAttention || !calling {
        return Ok(());
    }
    saga.takeovers += 1;
    if saga.takeovers <= MAX_TAKEOVERS {
        return Ok(());
    }
    let failure = Failure::new(
        "crash-loop",
        format!(
            "{} hosts in a row died while they called this saga's steps",
            saga.takeovers
        ),
    );
    for state in &mut saga.steps {
        match state {
            StepState::Running(work) if saga.turning.is_none() => {
                *state = StepState::RunStuck {
                    failure: failure.clone(),
                    saved: work.saved.clone(),
                };
            }
            StepState::Undoing { run, .. } => {
                *state = StepState::UndoStuck {
                    run: run.clone(),
                    failure: failure.clone(),
                };
            }
            StepState::Running(_)
            | StepState::Pending
            | StepState::Ran(_)
            | StepState::RunStuck { .. }
            | StepState::UndoStuck { .. }
            | StepState::Undone { .. } => {}
        }
    }
    Ok(())
}

/// What follows from the state alone: starts what is ready, forward or back, and settles the saga's status.
fn advance(saga: &mut Saga, now_ms: i64) {
    if saga.status.is_final() {
        return;
    }
    if saga.turning.is_none() {
        start_ready(saga, now_ms);
    } else {
        undo_ready(saga, now_ms);
    }
    saga.status = settled_status(saga);
}

fn start_ready(saga: &mut Saga, now_ms: i64) {
    let plan = saga.plan.clone();
    for step in 0..saga.steps.len() {
        let ready = saga.steps[step] == StepState::Pending
            && plan
                .before(step)
                .iter()
                .all(|&before| is_done(&saga.steps[before]));
        if ready {
            saga.steps[step] = StepState::Running(Work::begin(now_ms));
        }
    }
}

/// Steps without compensation are undone without a call, which may free the next: until nothing changes.
fn undo_ready(saga: &mut Saga, now_ms: i64) {
    let plan = saga.plan.clone();
    let mut changed = true;
    while changed {
        changed = false;
        for step in 0..saga.steps.len() {
            let StepState::Ran(run) = &saga.steps[step] else {
                continue;
            };
            let free = plan
                .behind(step)
                .all(|behind| matches!(saga.steps[behind], StepState::Pending | StepState::Undone { .. }));
            if !free {
                continue;
            }
            let run = run.clone();
            saga.steps[step] = if plan.steps[step].compensated {
                StepState::Undoing {
                    run,
                    work: Work::begin(now_ms),
                }
            } else {
                StepState::Undone { run }
            };
            changed = true;
        }
    }
}

fn settled_status(saga: &Saga) -> Status {
    let any = |wanted: fn(&StepState) -> bool| saga.steps.iter().any(wanted);
    let stuck = any(|state| matches!(state, StepState::RunStuck { .. } | StepState::UndoStuck { .. }));
    let working = any(|state| matches!(state, StepState::Running(_) | StepState::Undoing { .. }));
    match &saga.turning {
        _ if stuck && !working => Status::NeedsAttention,
        None if saga.steps.iter().all(is_done) => Status::Completed,
        None => Status::Running,
        Some(_) if stuck || working => Status::Compensating,
        Some(Turning::Failure { .. }) => Status::Compensated,
        Some(Turning::Cancel { .. }) => Status::Cancelled,
    }
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

/// From here the saga only goes back: stuck steps are stuck no longer, they are to be undone. What is stuck now took host
/// after host down (past a pivot nothing turns), so nobody knows how its last call ended; `compensate` is other code, and gets
/// takeovers of its own.
fn turn(saga: &mut Saga, turning: Turning, now_ms: i64) {
    saga.turning = Some(turning);
    saga.takeovers = 0;
    for state in &mut saga.steps {
        match state {
            StepState::RunStuck { saved, .. } => {
                *state = StepState::Ran(RunEnd {
                    verdict: Verdict::Unfinished,
                    saved: saved.take(),
                });
            }
            StepState::Running(work) => work.wake_ms = work.wake_ms.min(now_ms),
            StepState::Pending
            | StepState::Ran(_)
            | StepState::Undoing { .. }
            | StepState::UndoStuck { .. }
            | StepState::Undone { .. } => {}
        }
    }
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
    total_ms: u64,
    moment: Moment,
) -> Work {
    let wake_ms = wake(
        &work,
        after_ms.clamp(AGAIN_MIN_MS, AGAIN_MAX_MS),
        total_ms,
        moment.now_ms,
    );
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

fn retrying(
    work: Work,
    failure: Failure,
    wait_ms: u64,
    starved: bool,
    total_ms: u64,
    moment: Moment,
) -> Work {
    let attempt = if starved {
        work.attempt
    } else {
        work.attempt.saturating_add(1)
    };
    let wake_ms = wake(&work, wait_ms, total_ms, moment.now_ms);
    Work {
        attempt,
        wake_ms,
        last_failure: Some(failure),
        ..work
    }
}

/// Never later than the end of the phase, so that the last look happens at its end and not a day after.
fn wake(work: &Work, wait_ms: u64, total_ms: u64, now_ms: i64) -> i64 {
    let end_ms = work.began_ms.saturating_add_unsigned(total_ms);
    now_ms.saturating_add_unsigned(wait_ms).min(end_ms).max(now_ms)
}

fn elapsed_ms(work: &Work, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(work.began_ms)).unwrap_or(0)
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

fn is_done(state: &StepState) -> bool {
    matches!(
        state,
        StepState::Ran(RunEnd {
            verdict: Verdict::Succeeded(_),
            ..
        })
    )
}

fn step_of(saga: &Saga, step: StepIndex) -> Result<&StepState, IllegalEvent> {
    saga.steps.get(step).ok_or(IllegalEvent::OutOfPlace)
}

fn refuse_at_rest(saga: &Saga) -> Result<(), IllegalEvent> {
    match saga.status {
        Status::Running | Status::Compensating => Ok(()),
        Status::Completed | Status::Compensated | Status::Cancelled | Status::Abandoned => {
            Err(IllegalEvent::Ended)
        }
        Status::NeedsAttention => Err(IllegalEvent::OutOfPlace),
    }
}

fn refuse_unless_stuck(saga: &Saga) -> Result<(), IllegalEvent> {
    if saga.status == Status::NeedsAttention {
        Ok(())
    } else {
        Err(IllegalEvent::NotStuck)
    }
}
