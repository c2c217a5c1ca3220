//! What the project promises (DESIGN §1), as a function from what is there to what is wrong with it. It knows nothing of deaths
//! and faults: whatever happened, this has to be true.

use std::collections::BTreeMap;

use arcadia::{
    saga::{Phase, RecordState, Status, StepIndex, StepState, Verdict},
    simulator::{Effect, Outcome},
    store::EventRow,
};

use super::evidence::{Evidence, stays};

/// Every sentence that is broken, for people.
pub fn broken(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    rest(evidence, &mut wrong);
    for step in 0..evidence.saga.steps.len() {
        step_is_what_the_saga_says(evidence, step, &mut wrong);
        doubt_is_watched(evidence, step, &mut wrong);
    }
    cloud_is_accounted_for(evidence, &mut wrong);
    inventory_is_true(evidence, &mut wrong);
    sent_at_most_once(evidence, &mut wrong);
    sent_after_its_intent(evidence, &mut wrong);
    wrong
}

/// What was durable stays as it was, and more comes after it.
pub fn continues(past: &[EventRow], events: &[EventRow]) -> Option<String> {
    let same = past
        .iter()
        .zip(events)
        .take_while(|(old, new)| old == new)
        .count();
    (same < past.len()).then(|| {
        format!(
            "event {same} of the log was {:?} when the host died, and is {:?} now",
            past[same],
            events.get(same)
        )
    })
}

fn rest(evidence: &Evidence, wrong: &mut Vec<String>) {
    let row = &evidence.row;
    if !row.status.is_final() && row.status != Status::NeedsAttention {
        wrong.push(format!("the saga is still {}", row.status.as_str()));
    }
    if row.status == Status::NeedsAttention
        && !evidence
            .findings
            .iter()
            .any(|finding| finding.saga == Some(row.id))
    {
        wrong.push("the saga needs attention, and no finding says why".to_owned());
    }
    if evidence.events.windows(2).any(|pair| pair[0].id >= pair[1].id) {
        wrong.push("events are out of order".to_owned());
    }
    let accepted = evidence
        .events
        .iter()
        .filter(|event| event.kind == "accepted")
        .count();
    if accepted != 1 {
        wrong.push(format!("the saga was accepted {accepted} times"));
    }
}

fn step_is_what_the_saga_says(evidence: &Evidence, step: StepIndex, wrong: &mut Vec<String>) {
    let (saga, plan) = (&evidence.saga, &evidence.saga.plan.steps[step]);
    let name = &plan.name;
    match evidence.row.status {
        Status::Completed => {
            let done = matches!(&saga.steps[step], StepState::Ran(end) if matches!(end.verdict, Verdict::Succeeded(_)));
            if !done {
                wrong.push(format!("completed, and step {name} is {:?}", saga.steps[step]));
            }
            applied(evidence, step, wrong);
        }
        Status::Compensated | Status::Cancelled => {
            if !matches!(&saga.steps[step], StepState::Pending | StepState::Undone { .. }) {
                wrong.push(format!("undone, and step {name} is {:?}", saga.steps[step]));
            }
            if !evidence.is_watched(step) {
                let left = evidence.droplets(step).len() + evidence.snapshots(step).len();
                if left > 0 {
                    wrong.push(format!(
                        "undone, and {left} thing(s) of step {name} are there that nobody looks for"
                    ));
                }
            }
            let (droplets, live) = (evidence.droplets(step), |id: String| {
                evidence.row_of(&id).is_some_and(|row| row.deleted_ms.is_none())
            });
            if droplets.iter().any(|droplet| live(droplet.id.to_string())) {
                wrong.push(format!("undone, and the inventory has a droplet of step {name}"));
            }
        }
        Status::Running | Status::Compensating | Status::NeedsAttention | Status::Abandoned => {}
    }
}

/// A step that is done has had its effect, once.
fn applied(evidence: &Evidence, step: StepIndex, wrong: &mut Vec<String>) {
    let plan = &evidence.saga.plan.steps[step];
    let name = &plan.name;
    let count = |things: usize, what: &str, wrong: &mut Vec<String>| {
        if things != 1 {
            wrong.push(format!("done, and step {name} has {things} {what}s"));
        }
    };
    match plan.component.name.as_str() {
        "create-droplet" => {
            let droplets = evidence.droplets(step);
            let own = droplets.iter().filter(|droplet| {
                let row = evidence.row_of(&droplet.id.to_string());
                row.is_some_and(|row| row.deleted_ms.is_none() && row.saga == evidence.row.id)
            });
            if !gone_by_others(evidence, step) {
                count(own.count(), "droplet in the inventory", wrong);
            }
            for other in droplets
                .iter()
                .filter(|droplet| evidence.row_of(&droplet.id.to_string()).is_none())
            {
                if !evidence.is_named(&other.id.to_string()) && !evidence.is_watched(step) {
                    wrong.push(format!(
                        "done, and droplet {} of step {name} is nobody's",
                        other.id
                    ));
                }
            }
        }
        "register-droplet" => {
            let in_force = evidence.provisioned.values().flatten();
            let in_force =
                in_force.filter(|version| version.withdrawn_ms.is_none() && version.saga == evidence.row.id);
            if in_force.count() == 0 {
                wrong.push(format!(
                    "done, and step {name} has recorded nothing as provisioned"
                ));
            }
        }
        "create-droplet-snapshot" => count(evidence.snapshots(step).len(), "snapshot", wrong),
        "destroy-droplet" => {
            let inputs = evidence.row.inputs.to_value();
            let target = inputs["droplet_provider_id"].as_str().unwrap_or_default();
            let there = evidence
                .cloud
                .droplets
                .iter()
                .any(|droplet| stays(droplet) && droplet.id.to_string() == target);
            let row = evidence
                .row_of(target)
                .is_some_and(|row| row.deleted_ms.is_none());
            if there || row {
                wrong.push(format!(
                    "done, and droplet {target} is there: {there}; in the inventory: {row}"
                ));
            }
        }
        _ => {}
    }
}

/// Somebody else deleted what the step had made.
fn gone_by_others(evidence: &Evidence, step: StepIndex) -> bool {
    let tag = evidence.tag(step);
    let mut droplets = evidence.cloud.droplets.iter();
    droplets.any(|droplet| {
        droplet.tags.iter().any(|own| own.eq_ignore_ascii_case(tag))
            && droplet.gone_cause.as_deref() == Some("out-of-band")
    })
}

/// A POST that may have taken effect and was never answered is watched when the saga ends, until the watch is over.
fn doubt_is_watched(evidence: &Evidence, step: StepIndex, wrong: &mut Vec<String>) {
    if !evidence.row.status.is_final() {
        return;
    }
    let doubtful = evidence.intents.iter().any(|record| {
        let intent = &record.intent;
        (intent.saga, intent.step, intent.phase) == (evidence.row.id, step, Phase::Run)
            && intent.method == "POST"
            && match record.state {
                RecordState::Open { .. } => true,
                RecordState::Answered { conclusive, .. } => !conclusive,
                RecordState::Refused { .. } | RecordState::Unsent { .. } => false,
            }
    });
    let over = evidence.events.iter().any(|event| event.kind == "watch-ended");
    if doubtful && !over && !evidence.is_watched(step) {
        wrong.push(format!(
            "a request of step {} is in doubt, and nobody watches",
            evidence.saga.plan.steps[step].name
        ));
    }
    if !doubtful && evidence.is_watched(step) {
        wrong.push(format!(
            "step {} is watched without a doubt",
            evidence.saga.plan.steps[step].name
        ));
    }
}

/// Whatever was made under our name is in the inventory, or named in a finding, or looked for.
fn cloud_is_accounted_for(evidence: &Evidence, wrong: &mut Vec<String>) {
    let watched = |tags: &[String]| {
        (0..evidence.saga.steps.len())
            .any(|step| evidence.is_watched(step) && tags.iter().any(|tag| tag == evidence.tag(step)))
    };
    let known =
        |id: &str| evidence.row_of(id).is_some_and(|row| row.deleted_ms.is_none()) || evidence.is_named(id);
    for droplet in evidence.cloud.droplets.iter().filter(|droplet| stays(droplet)) {
        let ours = droplet.tags.iter().any(|tag| tag == "managed-by-arcadia-cloud");
        if ours && !known(&droplet.id.to_string()) && !watched(&droplet.tags) {
            wrong.push(format!(
                "droplet {} is neither in the inventory, nor named, nor looked for",
                droplet.id
            ));
        }
    }
    for snapshot in evidence
        .cloud
        .snapshots
        .iter()
        .filter(|snapshot| !snapshot.deleted)
    {
        let watched = (0..evidence.saga.steps.len())
            .any(|step| evidence.is_watched(step) && snapshot.name.contains(evidence.tag(step)));
        if !known(&snapshot.id.to_string()) && !watched {
            wrong.push(format!(
                "snapshot {} is neither in the inventory, nor named, nor looked for",
                snapshot.id
            ));
        }
    }
}

/// What the inventory has is there, unless somebody else took it away.
fn inventory_is_true(evidence: &Evidence, wrong: &mut Vec<String>) {
    for row in evidence.resources.iter().filter(|row| row.deleted_ms.is_none()) {
        let id = &row.resource.key.provider_id;
        let there = match row.resource.key.kind.as_str() {
            "droplet" => evidence.cloud.droplets.iter().any(|droplet| {
                droplet.id.to_string() == *id
                    && (stays(droplet) || droplet.gone_cause.as_deref() == Some("out-of-band"))
            }),
            _ => evidence
                .cloud
                .snapshots
                .iter()
                .any(|snapshot| snapshot.id.to_string() == *id && !snapshot.deleted),
        };
        if !there {
            wrong.push(format!(
                "the inventory has {} {id}, which isn't there",
                row.resource.key.kind
            ));
        }
    }
}

/// By the provider's account, no create and no snapshot was carried out for two requests.
fn sent_at_most_once(evidence: &Evidence, wrong: &mut Vec<String>) {
    let mut effects: BTreeMap<String, usize> = BTreeMap::new();
    for entry in evidence.requests.iter().filter(|entry| entry.method == "POST") {
        let made = entry
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::DropletCreated(_) | Effect::ActionStarted(_)));
        let key = match entry.tags.iter().find(|tag| tag.starts_with("arcadia-r-")) {
            Some(tag) if entry.path == "/v2/droplets" => tag.clone(),
            _ => entry.body["name"].to_string(),
        };
        *effects.entry(key).or_default() += usize::from(made);
    }
    for (key, count) in effects.into_iter().filter(|(_, count)| *count > 1) {
        wrong.push(format!("{count} requests of {key} took effect"));
    }
}

/// No request that may change something arrived without a record that says it may have been sent.
fn sent_after_its_intent(evidence: &Evidence, wrong: &mut Vec<String>) {
    let mut open: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for record in &evidence.intents {
        if !matches!(record.state, RecordState::Unsent { .. }) {
            *open
                .entry((&record.intent.method, &record.intent.path))
                .or_default() += 1;
        }
    }
    for entry in evidence.requests.iter().filter(|entry| entry.method != "GET") {
        let count = open.entry((&entry.method, &entry.path)).or_default();
        *count -= 1;
        if *count < 0 {
            wrong.push(format!(
                "{} {} ({:?}) arrived without an intent",
                entry.method, entry.path, entry.outcome
            ));
        }
    }
    let unanswered = |outcome: Outcome| matches!(outcome, Outcome::Open);
    if evidence.requests.iter().any(|entry| unanswered(entry.outcome)) {
        wrong.push("a request is still open at the provider".to_owned());
    }
}
