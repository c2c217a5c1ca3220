//! How a saga's progress is told: each phase of each step as one short line, whatever shows it.

use std::time::Duration;

use serde_json::Value;

use crate::{
    api::dto::{PhaseResult, Saga, SagaStep, Turned},
    saga::{Failure, Phase, Status},
};

/// Longest part of an output or a message on one line, in characters.
const MAX_DETAIL: usize = 96;

/// A saga with its steps, as one look shows them.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Picture {
    pub saga: Saga,
    pub steps: Vec<SagaStep>,
}

/// One phase of one step, told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub step: String,
    pub phase: Phase,
    /// `running`, `done`, `FAILED`, `undoing`, `undone`, …
    pub state: &'static str,
    pub detail: String,
    /// Nothing more happens in this phase by itself.
    pub ended: bool,
}

impl Picture {
    /// Every phase that has begun: first forward in the plan's order, then backward in the reverse order.
    pub fn told(&self) -> Vec<Told> {
        let forward = self
            .steps
            .iter()
            .filter_map(|step| Some(tell_run(step, step.run.as_ref()?)));
        let backward = self
            .steps
            .iter()
            .rev()
            .filter_map(|step| Some(tell_compensate(step, step.compensate.as_ref()?)));
        forward.chain(backward).collect()
    }

    /// Width of the column of names.
    pub fn name_width(&self) -> usize {
        self.steps.iter().map(|step| step.name.len()).max().unwrap_or(0)
    }

    /// Nothing happens any more unless somebody asks for it.
    pub fn rests(&self) -> bool {
        self.saga.status.is_final() || self.saga.status == Status::NeedsAttention
    }

    /// How it ended, in one sentence.
    pub fn ending(&self) -> String {
        let saga = &self.saga;
        let took = Duration::from_millis(
            saga.ended_at
                .unwrap_or(saga.updated_at)
                .as_ms()
                .saturating_sub(saga.created_at.as_ms())
                .unsigned_abs(),
        );
        let took = format!("{:.1} s", took.as_secs_f64());
        match saga.status {
            Status::Completed => format!("saga {} completed in {took}", saga.id),
            Status::Compensated => format!("saga {} was undone in {took}: {}", saga.id, self.why()),
            Status::Cancelled => format!("saga {} was cancelled in {took}: {}", saga.id, self.why()),
            Status::NeedsAttention => format!(
                "saga {id} needs attention: {why}\n  next: `arcadia findings --saga {id}` says what can be done",
                id = saga.id,
                why = self.stuck().unwrap_or_else(|| self.why()),
            ),
            Status::Abandoned => format!(
                "saga {id} was abandoned\n  next: `arcadia findings --saga {id}` names what it may have left behind",
                id = saga.id
            ),
            Status::Running | Status::Compensating => match self.paused() {
                Some(paused) => format!(
                    "saga {id} is {} and paused {paused}\n  next: `arcadia saga pauses`, `arcadia saga resume {id}`",
                    saga.status.as_str(),
                    id = saga.id,
                ),
                None => format!("saga {} is {}", saga.id, saga.status.as_str()),
            },
        }
    }

    /// What holds it, since when.
    pub fn paused(&self) -> Option<String> {
        let paused = self.saga.paused.as_ref()?;
        Some(format!("since {}, by: {}", paused.since, paused.by.join(", ")))
    }

    fn why(&self) -> String {
        match &self.saga.turning {
            Some(Turned::Failure { step, code, message }) => format!("{step} failed: {message} ({code})"),
            Some(Turned::Cancel { actor, reason }) => asked_for("it", actor, reason.as_deref()),
            Some(Turned::Rollback { actor, reason }) => asked_for("a rollback", actor, reason.as_deref()),
            None => "no reason is recorded".to_owned(),
        }
    }

    fn stuck(&self) -> Option<String> {
        let stuck = self.told().into_iter().find(|told| told.state == "STUCK")?;
        let phase = match stuck.phase {
            Phase::Run => "",
            Phase::Compensate => "the undo of ",
        };
        Some(format!("{phase}{} is stuck: {}", stuck.step, stuck.detail))
    }
}

fn asked_for(what: &str, actor: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{actor} asked for {what}: {reason}"),
        None => format!("{actor} asked for {what}"),
    }
}

fn tell_run(step: &SagaStep, result: &PhaseResult) -> Told {
    let (state, detail) = match result.state.as_str() {
        "succeeded" => ("done", output_text(result)),
        "failed" => ("FAILED", failure_text(result)),
        "unfinished" => ("cut off", failure_text(result)),
        "stuck" => ("STUCK", failure_text(result)),
        "skipped" => ("skipped", failure_text(result)),
        _ => ("running", progress_text(result)),
    };
    told(step, Phase::Run, state, detail, result)
}

fn tell_compensate(step: &SagaStep, result: &PhaseResult) -> Told {
    let (state, detail) = match result.state.as_str() {
        "done" if !step.compensated => ("undone", "there is nothing to undo".to_owned()),
        "done" => ("undone", output_text(result)),
        "stuck" => ("STUCK", failure_text(result)),
        "skipped" => ("skipped", failure_text(result)),
        _ => ("undoing", progress_text(result)),
    };
    told(step, Phase::Compensate, state, detail, result)
}

fn told(step: &SagaStep, phase: Phase, state: &'static str, detail: String, result: &PhaseResult) -> Told {
    Told {
        step: step.name.clone(),
        phase,
        state,
        detail,
        ended: result.state != "running",
    }
}

fn progress_text(result: &PhaseResult) -> String {
    if let Some(failure) = failure_of(result) {
        let attempt = result.attempt;
        return short(Some(&format!("attempt {attempt}, after: {}", failure.message)));
    }
    short(result.progress.as_deref())
}

fn failure_text(result: &PhaseResult) -> String {
    failure_of(result).map_or_else(String::new, |failure| {
        short(Some(&format!("{} ({})", failure.message, failure.code)))
    })
}

fn failure_of(result: &PhaseResult) -> Option<Failure> {
    serde_json::from_str(result.failure.as_ref()?.as_str()).ok()
}

/// The texts and numbers of an output; the whole of it is in `saga show --json`.
fn output_text(result: &PhaseResult) -> String {
    let Some(Value::Object(members)) = result.output.as_ref().map(|output| output.to_value()) else {
        return String::new();
    };
    let plain = members.iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some(format!("{name}={text}")),
        Value::Number(number) => Some(format!("{name}={number}")),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    short(Some(&plain.collect::<Vec<_>>().join(" ")))
}

/// On one line, and not too long.
fn short(text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    let line: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if line.chars().count() <= MAX_DETAIL {
        return line;
    }
    let kept: String = line.chars().take(MAX_DETAIL - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_or_broken_message_becomes_one_short_line() {
        assert_eq!(short(Some("a\nb\u{1b}[31m")), "a b [31m");
        assert_eq!(short(Some(&"ä".repeat(200))).chars().count(), MAX_DETAIL);
    }
}
