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

mod call;
mod verb;

use super::{
    event::{Command, Event, IllegalEvent, Moment, Phase},
    plan::StepIndex,
    state::{RunEnd, Saga, Status, StepState, Turning, Verdict, Work},
};
use call::{run_returned, run_settled, undo_returned};
pub use verb::MAX_TAKEOVERS;
use verb::{abandon, cancel, pivot_passed, retry, taken_over};

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
