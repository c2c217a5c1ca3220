//! What is not the end of a call: the passing of a pivot, what operators ask, and the death of hosts.

use super::{refuse_at_rest, step_of, turn};
use crate::saga::{
    event::{Command, IllegalEvent, Moment, Phase},
    plan::StepIndex,
    state::{Failure, Saga, Status, StepState, Turning, Work},
};

/// More takeovers than this in a row, each with a call of the saga on the dead host: the saga is taken for the killer.
pub const MAX_TAKEOVERS: u32 = 10;

pub(super) fn pivot_passed(saga: &mut Saga, step: StepIndex) -> Result<(), IllegalEvent> {
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

pub(super) fn cancel(saga: &mut Saga, turning: Turning, moment: Moment) -> Result<(), IllegalEvent> {
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

pub(super) fn retry(
    saga: &mut Saga,
    moment: Moment,
    commands: &mut Vec<Command>,
) -> Result<(), IllegalEvent> {
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

pub(super) fn abandon(saga: &mut Saga) -> Result<(), IllegalEvent> {
    refuse_unless_stuck(saga)?;
    saga.status = Status::Abandoned;
    Ok(())
}

pub(super) fn taken_over(saga: &mut Saga, calling: bool) -> Result<(), IllegalEvent> {
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

fn refuse_unless_stuck(saga: &Saga) -> Result<(), IllegalEvent> {
    if saga.status == Status::NeedsAttention {
        Ok(())
    } else {
        Err(IllegalEvent::NotStuck)
    }
}
