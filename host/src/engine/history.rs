//! What goes into `saga_events`: read off two states of a saga, so that no transition can forget to tell of itself.
//!
//! | kind | detail |
//! |---|---|
//! | `accepted` | `{}` |
//! | `step-again`, `undo-again` | `{"polls","progress"}`; only when the progress says something new |
//! | `step-retry`, `undo-retry` | `{"attempt","failure"}`: the attempt to come |
//! | `step-done`, `step-unfinished`, `undo-begun`, `undo-done` | `{}` |
//! | `step-failed`, `step-stuck`, `undo-stuck`, `step-skipped`, `undo-skipped` | `{"failure"}` |
//! | `cancel-requested`, `rollback-requested`, `retry-requested`, `skip-requested`, `abandon-requested` | `{"reason"}` |
//! | `paused`, `resumed` | `{"hold","reason"}`: as `saga::Hold` |
//! | `repin-requested` | `{"version","digest","reason"}`: one per step, the component that it has from here on |
//! | `late-effect` | `{"reason"}`: what has shown up |
//! | `stray-seen` | `{"kind","id"}`: the audit has found this, which the inventory doesn't have; the saga is watched from here on |
//! | `watch-ended` | `{"looks"}`: nothing (more) is looked for |
//! | `pivot-passed`, `taken-over` | `{}` |
//! | `turned` | the cause, as `saga::Turning` |
//! | `completed`, `compensating`, `compensated`, `cancelled`, `needs-attention`, `abandoned`, `running` | `{}`: the saga's new status |

use serde_json::{Value, json};

use super::request::Asked;
use crate::{
    saga::{Event, Hold, Json, Phase, RunEnd, Saga, StepIndex, StepState, Verdict, Work},
    store::{HOST, NewEvent},
};

/// The audit's event.
pub const STRAY_SEEN: &str = "stray-seen";

pub fn accepted(actor: &str) -> NewEvent {
    NewEvent {
        kind: "accepted",
        actor: actor.to_owned(),
        step: None,
        phase: None,
        detail: Json::of(&json!({})),
    }
}

/// A saga that is held from its start.
pub fn paused(hold: &Hold, asked: &Asked) -> NewEvent {
    NewEvent {
        kind: "paused",
        actor: asked.actor.clone(),
        step: None,
        phase: None,
        detail: Json::of(&json!({ "hold": hold, "reason": asked.reason })),
    }
}

pub fn host() -> Asked {
    Asked {
        actor: HOST.to_owned(),
        reason: None,
    }
}

/// In the order in which they happened.
pub fn events(before: &Saga, after: &Saga, event: &Event, asked: &Asked) -> Vec<NewEvent> {
    let mut events = Vec::new();
    let mut tell = |kind, step, phase, detail: Value| {
        events.push(NewEvent {
            kind,
            actor: asked.actor.clone(),
            step,
            phase,
            detail: Json::of(&detail),
        });
    };
    match event {
        Event::CancelRequested { .. } => {
            tell("cancel-requested", None, None, json!({ "reason": asked.reason }))
        }
        Event::RollbackRequested { .. } => tell(
            "rollback-requested",
            None,
            None,
            json!({ "reason": asked.reason }),
        ),
        Event::Held { hold } => {
            let detail = json!({ "hold": hold, "reason": asked.reason });
            tell("paused", None, None, detail);
        }
        Event::Released { hold } => {
            let detail = json!({ "hold": hold, "reason": asked.reason });
            tell("resumed", None, None, detail);
        }
        Event::Retried => tell("retry-requested", None, None, json!({ "reason": asked.reason })),
        Event::Skipped { step } => tell(
            "skip-requested",
            Some(*step),
            None,
            json!({ "reason": asked.reason }),
        ),
        Event::Repinned { steps } => {
            for (step, component) in steps {
                let detail = json!({
                    "version": component.version, "digest": component.digest, "reason": asked.reason
                });
                tell("repin-requested", Some(*step), None, detail);
            }
        }
        Event::LateEffect { step } => {
            let detail = json!({ "reason": asked.reason });
            tell("late-effect", Some(*step), Some(Phase::Compensate), detail);
        }
        Event::Abandoned => tell("abandon-requested", None, None, json!({ "reason": asked.reason })),
        Event::TakenOver { .. } => tell("taken-over", None, None, json!({})),
        Event::PivotPassed { step } => tell("pivot-passed", Some(*step), Some(Phase::Run), json!({})),
        Event::RunReturned { .. } | Event::RunSettled { .. } | Event::UndoReturned { .. } => {}
    }
    for (step, (old, new)) in before.steps.iter().zip(&after.steps).enumerate() {
        if old != new {
            run_events(step, old, new, &mut tell);
        }
    }
    if let (None, Some(turning)) = (&before.turning, &after.turning) {
        tell("turned", None, None, json!(turning));
    }
    for step in undo_order(before, after) {
        undo_events(step, &before.steps[step], &after.steps[step], &mut tell);
    }
    if before.status != after.status {
        tell(after.status.as_str(), None, None, json!({}));
    }
    events
}

/// The steps that changed, last first, but those whose undo begins behind all others: what is undone frees what is undone next.
fn undo_order(before: &Saga, after: &Saga) -> Vec<StepIndex> {
    let begins = |step: StepIndex| {
        let is_undoing = |state: &StepState| matches!(state, StepState::Undoing { .. });
        is_undoing(&after.steps[step]) && !is_undoing(&before.steps[step])
    };
    let mut changed: Vec<StepIndex> = (0..after.steps.len())
        .rev()
        .filter(|&step| before.steps[step] != after.steps[step])
        .collect();
    changed.sort_by_key(|&step| begins(step));
    changed
}

type Tell<'a> = dyn FnMut(&'static str, Option<StepIndex>, Option<Phase>, Value) + 'a;

fn run_events(step: StepIndex, old: &StepState, new: &StepState, tell: &mut Tell<'_>) {
    let mut tell = |kind, detail| tell(kind, Some(step), Some(Phase::Run), detail);
    match (old, new) {
        (StepState::Running(old), StepState::Running(new)) => {
            again_or_retry(old, new, ["step-again", "step-retry"], &mut tell)
        }
        (_, StepState::RunStuck { failure, .. }) => tell("step-stuck", json!({ "failure": failure })),
        (_, StepState::RunSkipped { failure, .. }) => tell("step-skipped", json!({ "failure": failure })),
        (
            StepState::Running(_),
            StepState::Ran(run) | StepState::Undoing { run, .. } | StepState::Undone { run },
        ) => {
            run_ended(run, &mut tell);
        }
        _ => {}
    }
}

fn run_ended(run: &RunEnd, tell: &mut dyn FnMut(&'static str, Value)) {
    match &run.verdict {
        Verdict::Succeeded(_) => tell("step-done", json!({})),
        Verdict::Failed(failure) => tell("step-failed", json!({ "failure": failure })),
        Verdict::Unfinished => tell("step-unfinished", json!({})),
    }
}

fn undo_events(step: StepIndex, old: &StepState, new: &StepState, tell: &mut Tell<'_>) {
    let mut tell = |kind, detail| tell(kind, Some(step), Some(Phase::Compensate), detail);
    match (old, new) {
        (StepState::Undoing { work: old, .. }, StepState::Undoing { work: new, .. }) => {
            again_or_retry(old, new, ["undo-again", "undo-retry"], &mut tell);
        }
        (_, StepState::Undoing { .. }) => tell("undo-begun", json!({})),
        (_, StepState::Undone { .. }) => tell("undo-done", json!({})),
        (_, StepState::UndoStuck { failure, .. }) => tell("undo-stuck", json!({ "failure": failure })),
        (_, StepState::UndoSkipped { failure, .. }) => tell("undo-skipped", json!({ "failure": failure })),
        _ => {}
    }
}

fn again_or_retry(
    old: &Work,
    new: &Work,
    kinds: [&'static str; 2],
    tell: &mut dyn FnMut(&'static str, Value),
) {
    match &new.last_failure {
        Some(failure) => tell(kinds[1], json!({ "attempt": new.attempt, "failure": failure })),
        None if new.progress.is_some() && new.progress != old.progress => {
            tell(kinds[0], json!({ "polls": new.polls, "progress": new.progress }));
        }
        None => {}
    }
}
