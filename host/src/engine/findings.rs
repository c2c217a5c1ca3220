//! What a saga leaves for people when it comes to rest, and what else they have to know of it.
//!
//! | code | when | resource |
//! |---|---|---|
//! | `open-intent` | the saga ends, and a POST of a step's `run` may have made something that no inventory row of that step accounts for | |
//! | `compensation-stuck` | `compensate` of a step can't succeed | each live one of the step |
//! | `step-stuck` | `run` of a step can't succeed, and the saga can't go back over its pivot | each live one of the step |
//! | `crash-loop` | host after host died with a call of the saga in progress | |
//! | `service-changed` | a service that the saga has used reaches another account now: the saga waits (see `accounts`) | |
//! | `left-behind` | the saga was abandoned, and this still exists | each live one of the saga |

use super::drive::stuck_failure;
use crate::{
    saga::{
        InventoryWrite, JournalRecord, Phase, RecordState, ResourceKey, Saga, Status, StepIndex, StepState,
        Writes,
    },
    store::{NewFinding, ResourceRow},
};

/// Codes that an operator's `retry` resolves: what is still wrong is found again.
pub const STUCK_CODES: [&str; 3] = ["compensation-stuck", "step-stuck", "crash-loop"];

pub fn at_rest(saga: &Saga, journal: &[JournalRecord], resources: &[ResourceRow]) -> Vec<NewFinding> {
    match saga.status {
        Status::Running | Status::Compensating => Vec::new(),
        Status::NeedsAttention => stuck(saga, resources),
        Status::Completed | Status::Compensated | Status::Cancelled => open_intents(saga, journal, resources),
        Status::Abandoned => {
            let mut findings = open_intents(saga, journal, resources);
            findings.extend(left_behind(saga, resources));
            findings
        }
    }
}

fn open_intents(saga: &Saga, journal: &[JournalRecord], resources: &[ResourceRow]) -> Vec<NewFinding> {
    journal
        .iter()
        .filter(|record| {
            record.intent.phase == Phase::Run && record.intent.method == "POST" && in_doubt(&record.state)
        })
        .filter(|record| {
            let step = &saga.plan.steps[record.intent.step].name;
            !resources
                .iter()
                .any(|row| row.saga == saga.id && row.step.eq_ignore_ascii_case(step))
        })
        .map(|record| NewFinding {
            code: "open-intent".to_owned(),
            step: Some(record.intent.step),
            resource: None,
            message: format!(
                "step {:?} sent POST {} to {} and has no conclusive answer; nothing was found that it made",
                saga.plan.steps[record.intent.step].name, record.intent.path, record.intent.service
            ),
            advice: "look at the provider for the step's resource tag; delete what appears under it later"
                .to_owned(),
        })
        .collect()
}

fn in_doubt(state: &RecordState) -> bool {
    match state {
        RecordState::Open { .. }
        | RecordState::Answered {
            conclusive: false, ..
        } => true,
        RecordState::Answered { conclusive: true, .. }
        | RecordState::Refused { .. }
        | RecordState::Unsent { .. } => false,
    }
}

fn stuck(saga: &Saga, resources: &[ResourceRow]) -> Vec<NewFinding> {
    let mut findings = Vec::new();
    for (step, state) in saga.steps.iter().enumerate() {
        let Some(failure) = stuck_failure(state) else {
            continue;
        };
        let name = &saga.plan.steps[step].name;
        let (code, what) = match state {
            _ if failure.code == "crash-loop" => ("crash-loop", "was being called whenever its host died"),
            StepState::UndoStuck { .. } => ("compensation-stuck", "can't be undone"),
            _ => (
                "step-stuck",
                "can't go on, and the saga can't go back over its pivot",
            ),
        };
        let message = format!("step {name:?} {what}: {} ({})", failure.message, failure.code);
        let advice = "mend the cause and `retry` the saga, or `abandon` it and clean up by hand".to_owned();
        let mut live: Vec<Option<ResourceKey>> = live_of(saga, resources, Some(step)).map(Some).collect();
        if live.is_empty() {
            live.push(None);
        }
        findings.extend(live.into_iter().map(|resource| NewFinding {
            code: code.to_owned(),
            step: Some(step),
            resource,
            message: message.clone(),
            advice: advice.clone(),
        }));
    }
    findings
}

fn left_behind(saga: &Saga, resources: &[ResourceRow]) -> Vec<NewFinding> {
    live_of(saga, resources, None)
        .map(|resource| NewFinding {
            code: "left-behind".to_owned(),
            step: None,
            message: format!(
                "{} {} at {} still exists; saga {} was abandoned",
                resource.kind, resource.provider_id, resource.provider, saga.id
            ),
            resource: Some(resource),
            advice: "delete it at the provider, or keep it knowingly".to_owned(),
        })
        .collect()
}

fn live_of<'a>(
    saga: &'a Saga,
    resources: &'a [ResourceRow],
    step: Option<StepIndex>,
) -> impl Iterator<Item = ResourceKey> + 'a {
    resources
        .iter()
        .filter(move |row| row.deleted_ms.is_none() && row.saga == saga.id)
        .filter(move |row| step.is_none_or(|step| row.step.eq_ignore_ascii_case(&saga.plan.steps[step].name)))
        .map(|row| row.resource.key.clone())
}

/// The inventory as it will be once these writes, which are not durable yet, are.
pub fn overlay(resources: &mut Vec<ResourceRow>, saga: &Saga, step: StepIndex, writes: &Writes) {
    for write in &writes.inventory {
        match write {
            InventoryWrite::Upsert(resource) => {
                if resources.iter().any(|row| row.resource.key == resource.key) {
                    continue;
                }
                resources.push(ResourceRow {
                    resource_id: resource.key.resource_id(),
                    resource: resource.clone(),
                    saga: saga.id,
                    step: saga.plan.steps[step].name.clone(),
                    first_seen_ms: 0,
                    last_seen_ms: 0,
                    deleted_ms: None,
                });
            }
            InventoryWrite::MarkDeleted(key) => {
                for row in resources.iter_mut().filter(|row| row.resource.key == *key) {
                    row.deleted_ms = Some(0);
                }
            }
            InventoryWrite::RecordProvisioned { .. }
            | InventoryWrite::WithdrawProvisioned { .. }
            | InventoryWrite::Report { .. } => {}
        }
    }
}
