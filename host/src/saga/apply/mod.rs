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
//! | `RollbackRequested` | `completed`, not past a pivot | | turns; changes nothing while it goes back |
//! | `Held`, `Released` | not ended | | paused until the last hold is released; then clocks go on where they stood |
//! | `Retried` | `needs-attention` | `RunStuck` → `Running`, `UndoStuck` → `Undoing`, begun anew | goes on |
//! | `Skipped` | `needs-attention`, step stuck | `RunSkipped`, `UndoSkipped` | goes on; ends `abandoned` |
//! | `Repinned` | not ended, steps with a call to come | other component | |
//! | `LateEffect` | turned, not `abandoned`, step `Undone` | `Undoing`, begun anew | `compensating` |
//! | `Abandoned` | `needs-attention` | | `abandoned` |
//! | `TakenOver` | not ended | over [`MAX_TAKEOVERS`] in a row: what works becomes stuck | `needs-attention` |
//!
//! Every other pair is an [`IllegalEvent`], and the state stays as it is.
//!
//! **Who is undone**: every step that may have been called, in reverse order of dependency: a step once all steps behind it
//! that were started are undone. A `Pending` step was certainly never called and is passed over.
//!
//! **While paused** no step begins, forward or back, and nothing is called; calls in progress come to their end. Time stands
//! still for deadlines: a pause uses up none. A saga that ends is held by nothing any more.

mod call;
mod pause;
mod verb;

use super::{
    event::{Command, Event, IllegalEvent, Moment, Phase},
    plan::StepIndex,
    state::{RunEnd, Saga, Status, StepState, Turning, Verdict, Work},
};
use call::{run_returned, run_settled, undo_returned};
use pause::{hold, release};
pub use verb::MAX_TAKEOVERS;
use verb::{abandon, cancel, late_effect, pivot_passed, repin, retry, roll_back, skip, taken_over};

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
        Event::RollbackRequested { actor, reason } => {
            roll_back(&mut next, Turning::Rollback { actor, reason }, moment)?
        }
        Event::Held { hold: by } => hold(&mut next, by, moment.now_ms)?,
        Event::Released { hold: by } => release(&mut next, &by, moment.now_ms)?,
        Event::Retried => retry(&mut next, moment, &mut commands)?,
        Event::Skipped { step } => skip(&mut next, step)?,
        Event::Repinned { steps } => repin(&mut next, steps)?,
        Event::LateEffect { step } => late_effect(&mut next, step, moment.now_ms)?,
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
            StepState::Running(_) | StepState::Undoing { .. } if saga.paused.is_some() => {}
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
            | StepState::RunSkipped { .. }
            | StepState::UndoStuck { .. }
            | StepState::UndoSkipped { .. }
            | StepState::Undone { .. } => {}
        }
    }
    commands
}

/// What follows from the state alone: starts what is ready, forward or back, and settles the saga's status.
fn advance(saga: &mut Saga, now_ms: i64) {
    if saga.status.is_final() {
        release_ended(saga);
        return;
    }
    if saga.paused.is_none() {
        // Steps without compensation are undone without a call, which may free the next: until nothing is ready.
        loop {
            let ready = ready(saga);
            if ready.is_empty() {
                break;
            }
            for step in ready {
                begin(saga, step, now_ms);
            }
        }
    }
    saga.status = settled_status(saga);
    release_ended(saga);
}

/// Nothing holds what has ended: if it comes back to life, it is held by what holds others then.
fn release_ended(saga: &mut Saga) {
    if saga.status.is_final() {
        saga.paused = None;
    }
}

/// The steps that wait for nothing any more: for their run, or once the saga has turned for their undo.
fn ready(saga: &Saga) -> Vec<StepIndex> {
    let (plan, steps) = (&saga.plan, &saga.steps);
    let is_ready = |step: &StepIndex| match &steps[*step] {
        StepState::Pending => {
            saga.turning.is_none() && plan.before(*step).iter().all(|&before| lets_on(&steps[before]))
        }
        StepState::Ran(_) => {
            saga.turning.is_some() && plan.behind(*step).all(|behind| lets_back(&steps[behind]))
        }
        StepState::Running(_)
        | StepState::RunStuck { .. }
        | StepState::RunSkipped { .. }
        | StepState::Undoing { .. }
        | StepState::UndoStuck { .. }
        | StepState::UndoSkipped { .. }
        | StepState::Undone { .. } => false,
    };
    (0..steps.len()).filter(is_ready).collect()
}

fn begin(saga: &mut Saga, step: StepIndex, now_ms: i64) {
    let work = Work::begin(now_ms);
    saga.steps[step] = match saga.steps[step].clone() {
        StepState::Pending => StepState::Running(work),
        StepState::Ran(run) if saga.plan.steps[step].compensated => StepState::Undoing { run, work },
        StepState::Ran(run) => StepState::Undone { run },
        begun @ (StepState::Running(_)
        | StepState::RunStuck { .. }
        | StepState::RunSkipped { .. }
        | StepState::Undoing { .. }
        | StepState::UndoStuck { .. }
        | StepState::UndoSkipped { .. }
        | StepState::Undone { .. }) => begun,
    };
}

fn settled_status(saga: &Saga) -> Status {
    let any = |wanted: fn(&StepState) -> bool| saga.steps.iter().any(wanted);
    let stuck = any(|state| matches!(state, StepState::RunStuck { .. } | StepState::UndoStuck { .. }));
    let working = any(|state| matches!(state, StepState::Running(_) | StepState::Undoing { .. }));
    // Something is still ready only while the saga is paused.
    let goes_on = working || !ready(saga).is_empty();
    let skipped = any(|state| {
        matches!(
            state,
            StepState::RunSkipped { .. } | StepState::UndoSkipped { .. }
        )
    });
    match &saga.turning {
        _ if stuck && !goes_on => Status::NeedsAttention,
        None if stuck || goes_on => Status::Running,
        Some(_) if stuck || goes_on => Status::Compensating,
        _ if skipped => Status::Abandoned,
        None => Status::Completed,
        Some(Turning::Failure { .. } | Turning::Rollback { .. }) => Status::Compensated,
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
            StepState::RunStuck { saved, .. } | StepState::RunSkipped { saved, .. } => {
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
            | StepState::UndoSkipped { .. }
            | StepState::Undone { .. } => {}
        }
    }
}

/// Steps behind one in this state may start.
fn lets_on(state: &StepState) -> bool {
    match state {
        StepState::Ran(run) => matches!(run.verdict, Verdict::Succeeded(_)),
        StepState::RunSkipped { .. } => true,
        StepState::Pending
        | StepState::Running(_)
        | StepState::RunStuck { .. }
        | StepState::Undoing { .. }
        | StepState::UndoStuck { .. }
        | StepState::UndoSkipped { .. }
        | StepState::Undone { .. } => false,
    }
}

/// Steps before one in this state may be undone.
fn lets_back(state: &StepState) -> bool {
    match state {
        StepState::Pending | StepState::UndoSkipped { .. } | StepState::Undone { .. } => true,
        StepState::Running(_)
        | StepState::Ran(_)
        | StepState::RunStuck { .. }
        | StepState::RunSkipped { .. }
        | StepState::Undoing { .. }
        | StepState::UndoStuck { .. } => false,
    }
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
