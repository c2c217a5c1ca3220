//! Holds: while there is one, nothing begins and no deadline comes nearer.

use std::collections::BTreeSet;

use crate::saga::{
    event::IllegalEvent,
    state::{Hold, Pause, Saga, StepState, Work},
};

pub(super) fn hold(saga: &mut Saga, by: Hold, now_ms: i64) -> Result<(), IllegalEvent> {
    if saga.status.is_final() {
        return Err(IllegalEvent::Ended);
    }
    match &mut saga.paused {
        Some(pause) => drop(pause.holds.insert(by)),
        None => {
            saga.paused = Some(Pause {
                since_ms: now_ms,
                holds: BTreeSet::from([by]),
            });
        }
    }
    Ok(())
}

pub(super) fn release(saga: &mut Saga, by: &Hold, now_ms: i64) -> Result<(), IllegalEvent> {
    if saga.status.is_final() {
        return Err(IllegalEvent::Ended);
    }
    let Some(pause) = &mut saga.paused else {
        return Ok(());
    };
    pause.holds.remove(by);
    if !pause.holds.is_empty() {
        return Ok(());
    }
    let since_ms = pause.since_ms;
    saga.paused = None;
    for state in &mut saga.steps {
        match state {
            StepState::Running(work) | StepState::Undoing { work, .. } => {
                work.began_ms = work
                    .began_ms
                    .saturating_add(stood_still_ms(work, since_ms, now_ms));
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
    Ok(())
}

/// How long a phase has lasted, pauses left out.
pub(super) fn elapsed_ms(saga: &Saga, work: &Work, now_ms: i64) -> u64 {
    let still_ms = match &saga.paused {
        Some(pause) => stood_still_ms(work, pause.since_ms, now_ms),
        None => 0,
    };
    let elapsed_ms = now_ms.saturating_sub(work.began_ms).saturating_sub(still_ms);
    u64::try_from(elapsed_ms).unwrap_or(0)
}

fn stood_still_ms(work: &Work, since_ms: i64, now_ms: i64) -> i64 {
    now_ms.saturating_sub(since_ms.max(work.began_ms)).max(0)
}
