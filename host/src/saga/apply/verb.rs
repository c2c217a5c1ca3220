//! What is not the end of a call: the passing of a pivot, what operators ask, and the death of hosts.

use std::sync::Arc;

use super::{refuse_at_rest, step_of, turn};
use crate::saga::{
    event::{Command, IllegalEvent, Moment, Phase},
    plan::{ComponentRef, StepIndex},
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

pub(super) fn roll_back(saga: &mut Saga, turning: Turning, moment: Moment) -> Result<(), IllegalEvent> {
    match saga.status {
        Status::Completed if saga.pivot_passed => Err(IllegalEvent::PivotPassed),
        Status::Completed => {
            saga.status = Status::Compensating;
            turn(saga, turning, moment.now_ms);
            Ok(())
        }
        Status::Compensated | Status::Cancelled | Status::Abandoned => Err(IllegalEvent::Ended),
        Status::Running | Status::Compensating | Status::NeedsAttention if saga.turning.is_some() => Ok(()),
        Status::Running | Status::Compensating | Status::NeedsAttention => Err(IllegalEvent::NotCompleted),
    }
}

pub(super) fn skip(saga: &mut Saga, step: StepIndex) -> Result<(), IllegalEvent> {
    refuse_unless_stuck(saga)?;
    saga.steps[step] = match step_of(saga, step)?.clone() {
        StepState::RunStuck { failure, saved } => StepState::RunSkipped { failure, saved },
        StepState::UndoStuck { run, failure } => StepState::UndoSkipped { run, failure },
        StepState::Pending
        | StepState::Running(_)
        | StepState::Ran(_)
        | StepState::RunSkipped { .. }
        | StepState::Undoing { .. }
        | StepState::UndoSkipped { .. }
        | StepState::Undone { .. } => return Err(IllegalEvent::NotStuck),
    };
    // What comes now is other code: it is not to be taken for the killer at its first dead host.
    saga.takeovers = 0;
    Ok(())
}

/// All or none. Only the component is another one: what it was asked to promise (compensation, pivot) stays in the plan.
pub(super) fn repin(saga: &mut Saga, steps: Vec<(StepIndex, ComponentRef)>) -> Result<(), IllegalEvent> {
    if saga.status.is_final() {
        return Err(IllegalEvent::Ended);
    }
    for (step, component) in &steps {
        step_of(saga, *step)?;
        if saga.call_to_come(*step).is_none() {
            return Err(IllegalEvent::StepOver);
        }
        if saga.plan.steps[*step].component.name != component.name {
            return Err(IllegalEvent::OutOfPlace);
        }
    }
    let plan = Arc::make_mut(&mut saga.plan);
    for (step, component) in steps {
        plan.steps[step].component = component;
    }
    Ok(())
}

pub(super) fn late_effect(saga: &mut Saga, step: StepIndex, now_ms: i64) -> Result<(), IllegalEvent> {
    let StepState::Undone { run } = step_of(saga, step)?.clone() else {
        return Err(IllegalEvent::OutOfPlace);
    };
    if saga.status == Status::Abandoned {
        return Err(IllegalEvent::Ended);
    }
    if !saga.plan.steps[step].compensated {
        return Err(IllegalEvent::OutOfPlace);
    }
    saga.steps[step] = StepState::Undoing {
        run,
        work: Work::begin(now_ms),
    };
    saga.status = Status::Compensating;
    saga.takeovers = 0;
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
            | StepState::RunSkipped { .. }
            | StepState::Undoing { .. }
            | StepState::UndoSkipped { .. }
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
            | StepState::RunSkipped { .. }
            | StepState::UndoStuck { .. }
            | StepState::UndoSkipped { .. }
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
