//! What a saga leaves for people when it comes to rest, and what else they have to know of it.
//!
//! | code | when | resource | until |
//! |---|---|---|---|
//! | `compensation-stuck` | `compensate` of a step can't succeed | each live one of the step | the step is tried again and done |
//! | `step-stuck` | `run` of a step can't succeed, and the saga can't go back over its pivot | each live one of the step | it is tried again, or undone |
//! | `crash-loop` | host after host died with a call of the saga in progress | each live one of the step | it is tried again, or undone |
//! | `left-behind` | the saga was abandoned, and this still exists, and none of those above names it | each live one of the saga | |
//! | `open-intent` | the saga ends, and a POST of a step's `run` may have made something that no inventory row of that step accounts for | | it is found and undone, or the watch is over |
//! | `duplicate-resource`, `late-resource`, `unclaimed-resource` | what the watch or the audit found (`late`) | that one | |
//! | `service-changed` | a service now reaches another account (`accounts`) | | a request of the saga passes, or it ends |
//! | `saga-unreadable` | its rows make no sense (`unreadable`) | | it can be read again |
//! | `service-paused` | of no saga: the host has paused a service that refuses its credential (`services`) | | the service is resumed |
//! | whatever a step reports | a candidate that it must not touch (DESIGN §7) | the one it names | |
//!
//! A skipped step keeps its finding, with other advice: what it left is a person's. Every advice names what to do next.

use std::collections::BTreeSet;

use super::late;
use crate::{
    cloud::is_lookable,
    saga::{
        Failure, InventoryWrite, JournalRecord, Phase, RecordState, ResourceKey, Saga, Status, StepIndex,
        StepState, Writes,
    },
    store::{NewFinding, ResourceRow, Watch},
};

/// Codes that an operator's `retry` resolves: what is still wrong is found again.
pub const STUCK_CODES: [&str; 3] = ["compensation-stuck", "step-stuck", "crash-loop"];

/// Resolved when the watch has found what the request made, or is over.
pub const OPEN_INTENT: &str = "open-intent";

/// `rests`: the saga has just come to its status. `moved`: what its steps need people for has just changed; what was needed
/// and isn't any more is resolved in the same transaction. Adding a finding that is there says it anew: its age stays.
pub fn of(
    saga: &Saga,
    rests: bool,
    moved: bool,
    journal: &[JournalRecord],
    resources: &[ResourceRow],
    watch: Option<&Watch>,
) -> Vec<NewFinding> {
    let ended = rests && saga.status.is_final();
    let mut findings = Vec::new();
    if rests || moved {
        findings.extend(needy(saga, resources));
    }
    if ended {
        findings.extend(open_intents(saga, journal, resources, watch));
    }
    if ended && saga.status == Status::Abandoned {
        findings.extend(left_behind(saga, resources));
    }
    findings
}

/// A person has to do something about this step, or has decided to do it by hand.
pub fn needs_person(state: &StepState) -> Option<&Failure> {
    match state {
        StepState::RunStuck { failure, .. }
        | StepState::RunSkipped { failure, .. }
        | StepState::UndoStuck { failure, .. }
        | StepState::UndoSkipped { failure, .. } => Some(failure),
        StepState::Pending
        | StepState::Running(_)
        | StepState::Ran(_)
        | StepState::Undoing { .. }
        | StepState::Undone { .. } => None,
    }
}

/// Creates of `run` that may have made something without a conclusive answer.
pub fn doubtful(journal: &[JournalRecord]) -> impl Iterator<Item = &JournalRecord> {
    journal.iter().filter(|record| {
        record.intent.phase == Phase::Run && record.intent.method == "POST" && in_doubt(&record.state)
    })
}

fn open_intents(
    saga: &Saga,
    journal: &[JournalRecord],
    resources: &[ResourceRow],
    watch: Option<&Watch>,
) -> Vec<NewFinding> {
    let found: BTreeSet<StepIndex> = late::found(watch);
    unaccounted(saga, journal, resources)
        .filter(|record| !found.contains(&record.intent.step))
        .map(|record| open_intent(saga, record, watch))
        .collect()
}

/// Doubtful creates of steps that no row of the inventory is from.
fn unaccounted<'a>(
    saga: &'a Saga,
    journal: &'a [JournalRecord],
    resources: &'a [ResourceRow],
) -> impl Iterator<Item = &'a JournalRecord> {
    doubtful(journal).filter(|record| {
        let step = &saga.plan.steps[record.intent.step].name;
        !resources
            .iter()
            .any(|row| row.saga == saga.id && row.step.eq_ignore_ascii_case(step))
    })
}

/// Those to services that nobody can look at: they stay open when the watch is over.
pub fn unwatched_intents(
    saga: &Saga,
    journal: &[JournalRecord],
    resources: &[ResourceRow],
) -> Vec<NewFinding> {
    unaccounted(saga, journal, resources)
        .filter(|record| !is_lookable(&record.intent.service))
        .map(|record| open_intent(saga, record, None))
        .collect()
}

fn open_intent(saga: &Saga, record: &JournalRecord, watch: Option<&Watch>) -> NewFinding {
    let intent = &record.intent;
    let advice = match watch.filter(|_| is_lookable(&intent.service)) {
        Some(watch) => format!(
            "nothing needs doing now: it is watched until {}, and what shows up under the step's resource tag is undone or told",
            jiff::Timestamp::from_millisecond(watch.until_ms)
                .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
                .strftime("%Y-%m-%dT%H:%M:%SZ")
        ),
        None => format!(
            "`arcadia saga requests {}` shows the request; look at the provider for the step's resource tag, and delete what appears under it later",
            saga.id
        ),
    };
    NewFinding {
        code: OPEN_INTENT.to_owned(),
        step: Some(intent.step),
        resource: None,
        message: format!(
            "step {:?} sent POST {} to {} and has no conclusive answer; nothing was found that it made",
            saga.plan.steps[intent.step].name, intent.path, intent.service
        ),
        advice,
    }
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

fn needy(saga: &Saga, resources: &[ResourceRow]) -> Vec<NewFinding> {
    let mut findings = Vec::new();
    for (step, state) in saga.steps.iter().enumerate() {
        let Some(failure) = needs_person(state) else {
            continue;
        };
        let name = &saga.plan.steps[step].name;
        let is_undo = matches!(state, StepState::UndoStuck { .. } | StepState::UndoSkipped { .. });
        let (code, what) = match is_undo {
            _ if failure.code == "crash-loop" => ("crash-loop", "was being called whenever its host died"),
            true => ("compensation-stuck", "can't be undone"),
            false => (
                "step-stuck",
                "can't go on, and the saga can't go back over its pivot",
            ),
        };
        let message = format!("step {name:?} {what}: {} ({})", failure.message, failure.code);
        let advice = advice(saga, name, state);
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

fn advice(saga: &Saga, step: &str, state: &StepState) -> String {
    let id = saga.id;
    let is_skipped = matches!(
        state,
        StepState::RunSkipped { .. } | StepState::UndoSkipped { .. }
    );
    if is_skipped {
        format!(
            "the step was skipped, nothing tries it again: finish by hand what it left; `arcadia saga requests {id}` shows what it sent"
        )
    } else if saga.status == Status::Abandoned {
        format!(
            "the saga was abandoned, nothing tries this again: clean up by hand; `arcadia saga requests {id}` shows what the step sent"
        )
    } else {
        format!(
            "mend the cause, then `arcadia saga retry {id} --reason …`; if the cause is the component, first `arcadia saga repin {id} --step {step} --to NAME@VERSION`; to go on without the step, `arcadia saga skip {id} {step} --reason …`; to give up, `arcadia saga abandon {id} --reason …`"
        )
    }
}

/// What no finding of a step names already.
fn left_behind(saga: &Saga, resources: &[ResourceRow]) -> Vec<NewFinding> {
    let is_named = |row: &ResourceRow| {
        let step = saga.plan.step(&row.step);
        step.is_some_and(|step| needs_person(&saga.steps[step]).is_some())
    };
    resources
        .iter()
        .filter(|row| row.deleted_ms.is_none() && row.saga == saga.id && !is_named(row))
        .map(|row| &row.resource.key)
        .map(|resource| NewFinding {
            code: "left-behind".to_owned(),
            step: None,
            message: format!(
                "{} {} at {} still exists; saga {} was abandoned",
                resource.kind, resource.provider_id, resource.provider, saga.id
            ),
            advice: if resource.kind == "droplet" {
                format!(
                    "`arcadia droplet destroy {}` deletes it; or keep it knowingly",
                    resource.provider_id
                )
            } else {
                "delete it at the provider, or keep it knowingly".to_owned()
            },
            resource: Some(resource.clone()),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::saga::{
        CloudResource, CompensatePolicy, ComponentRef, Intent, Json, Kind, Plan, PlanStep, RunPolicy, SagaId,
    };

    fn saga() -> Saga {
        let step = |name: &str| PlanStep {
            name: name.to_owned(),
            component: ComponentRef {
                name: "any".to_owned(),
                version: "1.0.0".to_owned(),
                digest: String::new(),
            },
            params: Json::trusted("{}"),
            scope: String::new(),
            after: Vec::new(),
            compensated: true,
            pivot: false,
            run: RunPolicy::default(),
            compensate: CompensatePolicy::default(),
        };
        let plan = Plan {
            definition: None,
            kind: Kind::Test,
            steps: vec![step("one"), step("two")],
        };
        Saga::accept(SagaId(Uuid::from_u128(1)), Arc::new(plan), [].into(), 5)
    }

    fn lost(saga: &Saga, step: StepIndex, service: &str) -> JournalRecord {
        JournalRecord {
            intent: Intent {
                id: Uuid::now_v7(),
                saga: saga.id,
                step,
                phase: Phase::Run,
                once_key: None,
                service: service.to_owned(),
                identity: None,
                method: "POST".to_owned(),
                path: "/things".to_owned(),
                request_hash: String::new(),
                redacted_body: None,
                at_ms: 5,
            },
            state: RecordState::Open { ended_at_ms: Some(6) },
        }
    }

    fn made_by(saga: &Saga, step: &str) -> ResourceRow {
        let key = ResourceKey {
            provider: "things".to_owned(),
            account: String::new(),
            kind: "thing".to_owned(),
            provider_id: "7".to_owned(),
        };
        ResourceRow {
            resource_id: key.resource_id(),
            resource: CloudResource {
                key,
                name: None,
                region: None,
                status: "new".to_owned(),
                public_ip: None,
                tags: Vec::new(),
                raw: Json::trusted("{}"),
            },
            saga: saga.id,
            step: step.to_owned(),
            first_seen_ms: 5,
            last_seen_ms: 5,
            deleted_ms: None,
        }
    }

    #[test]
    fn what_nobody_could_look_at_stays_open_after_the_watch_unless_the_inventory_has_it() {
        let saga = saga();
        let journal = [
            lost(&saga, 0, "things"),
            lost(&saga, 1, "things"),
            lost(&saga, 1, "digitalocean"),
        ];
        let told = |resources: &[ResourceRow]| -> Vec<Option<StepIndex>> {
            let findings = unwatched_intents(&saga, &journal, resources);
            findings.into_iter().map(|finding| finding.step).collect()
        };
        assert_eq!(told(&[]), [Some(0), Some(1)]);
        assert_eq!(told(&[made_by(&saga, "one")]), [Some(1)]);
    }
}
