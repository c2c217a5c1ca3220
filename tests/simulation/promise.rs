//! What the project promises (DESIGN §1), as a function from what is there to what is wrong with it. It knows nothing of deaths
//! and faults: whatever happened, this has to be true.

use std::collections::BTreeMap;

use arcadia::{
    saga::{RecordState, Status, StepIndex, StepState, Verdict},
    simulator::{Effect, Outcome},
    store::EventRow,
};

use super::evidence::{Evidence, Thing, stays};

/// Every sentence that is broken, for people.
pub fn broken(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    rest(evidence, &mut wrong);
    for step in 0..evidence.saga.steps.len() {
        match evidence.row.status {
            Status::Completed => done(evidence, step, &mut wrong),
            Status::Compensated | Status::Cancelled => undone(evidence, step, &mut wrong),
            Status::Running | Status::Compensating | Status::NeedsAttention | Status::Abandoned => {}
        }
        doubt_is_watched(evidence, step, &mut wrong);
    }
    cloud_is_accounted_for(evidence, &mut wrong);
    inventory_is_true(evidence, &mut wrong);
    sent_at_most_once(evidence, &mut wrong);
    sent_after_its_intent(evidence, &mut wrong);
    wrong
}

/// Once everything has had the time to be found: what is there of a step that is undone is named in a finding, and of one that is
/// done it is in the inventory or named, however long it is still looked for.
pub fn unfound(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for step in 0..evidence.saga.steps.len() {
        for thing in evidence.things(step) {
            let undone = matches!(evidence.row.status, Status::Compensated | Status::Cancelled);
            let kept = !undone && evidence.is_kept(&thing);
            if !kept && !evidence.is_named(&thing) {
                wrong.push(format!("{} {} was never found", thing.kind, thing.id));
            }
        }
    }
    wrong
}

/// How many answers reached a host that are not in its journal. One that dies takes along those that it was about to write.
pub fn unrecorded(evidence: &Evidence) -> usize {
    let sent = evidence.requests.iter().filter(|entry| entry.method != "GET");
    let answered = sent.filter(|entry| matches!(entry.outcome, Outcome::Answered { .. }));
    let recorded = evidence.intents.iter().filter(|record| match record.state {
        RecordState::Answered { .. } | RecordState::Refused { .. } => true,
        RecordState::Open { .. } | RecordState::Unsent { .. } => false,
    });
    answered.count().saturating_sub(recorded.count())
}

/// What was durable stays as it was, and more comes after it.
pub fn continues(past: &[EventRow], events: &[EventRow]) -> Option<String> {
    let same = past
        .iter()
        .zip(events)
        .take_while(|(old, new)| old == new)
        .count();
    let (was, is) = (past.get(same)?, events.get(same));
    Some(format!(
        "event {same} of the log was {was:?} when the host died, and is {is:?} now"
    ))
}

fn rest(evidence: &Evidence, wrong: &mut Vec<String>) {
    let row = &evidence.row;
    if !row.status.is_final() && row.status != Status::NeedsAttention {
        wrong.push(format!("the saga is still {}", row.status.as_str()));
    }
    let told = evidence
        .findings
        .iter()
        .any(|finding| finding.saga == Some(row.id));
    if row.status == Status::NeedsAttention && !told {
        wrong.push("the saga needs attention, and no finding says why".to_owned());
    }
    if evidence.events.windows(2).any(|pair| pair[0].id >= pair[1].id) {
        wrong.push("events are out of order".to_owned());
    }
    let accepted = evidence.events.iter().filter(|event| event.kind == "accepted");
    let accepted = accepted.count();
    if accepted != 1 {
        wrong.push(format!("the saga was accepted {accepted} times"));
    }
}

/// A step of a saga that is undone was never called, or is undone, and what is there of it is looked for or named.
fn undone(evidence: &Evidence, step: StepIndex, wrong: &mut Vec<String>) {
    let (state, name) = (&evidence.saga.steps[step], &evidence.saga.plan.steps[step].name);
    if !matches!(state, StepState::Pending | StepState::Undone { .. }) {
        wrong.push(format!("undone, and step {name} is {state:?}"));
    }
    for thing in evidence.things(step) {
        let what = format!("{} {} of step {name}", thing.kind, thing.id);
        if !evidence.is_watched(step) && !evidence.is_named(&thing) {
            wrong.push(format!("undone, and nobody looks for {what}"));
        }
        if evidence.is_kept(&thing) {
            wrong.push(format!("undone, and the inventory has {what}"));
        }
    }
}

/// A step of a saga that is completed has succeeded, and has had its effect once.
fn done(evidence: &Evidence, step: StepIndex, wrong: &mut Vec<String>) {
    let (state, plan) = (&evidence.saga.steps[step], &evidence.saga.plan.steps[step]);
    let name = &plan.name;
    if !matches!(state, StepState::Ran(end) if matches!(end.verdict, Verdict::Succeeded(_))) {
        wrong.push(format!("completed, and step {name} is {state:?}"));
    }
    match plan.component.name.as_str() {
        "create-droplet" if !gone_by_others(evidence, step) => {
            let droplets = evidence.droplets(step).into_iter();
            let own = droplets.filter_map(|droplet| evidence.row_of(&droplet.id.to_string()));
            let own = own.filter(|row| row.deleted_ms.is_none() && row.saga == evidence.row.id);
            let count = own.count();
            if count != 1 {
                wrong.push(format!(
                    "done, and step {name} has {count} droplets in the inventory"
                ));
            }
        }
        "register-droplet" => {
            let in_force = evidence.provisioned.values().flatten();
            let mut in_force = in_force.filter(|version| version.withdrawn_ms.is_none());
            if !in_force.any(|version| version.saga == evidence.row.id) {
                wrong.push(format!(
                    "done, and step {name} has recorded nothing as provisioned"
                ));
            }
        }
        "create-droplet-snapshot" => {
            let snapshots = evidence.snapshots(step);
            let kept = snapshots
                .iter()
                .filter(|snapshot| evidence.is_kept(&Thing::from(**snapshot)));
            let count = kept.count();
            if count != 1 {
                wrong.push(format!(
                    "done, and step {name} has {count} snapshots in the inventory"
                ));
            }
        }
        "destroy-droplet" => {
            let inputs = evidence.row.inputs.to_value();
            let target = inputs["droplet_provider_id"].as_str().unwrap_or_default();
            let mut droplets = evidence.cloud.droplets.iter();
            let there = droplets.any(|droplet| stays(droplet) && droplet.id.to_string() == target);
            let kept = evidence
                .row_of(target)
                .is_some_and(|row| row.deleted_ms.is_none());
            if there || kept {
                wrong.push(format!(
                    "done, and droplet {target} is there: {there}; in the inventory: {kept}"
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
    let doubtful = evidence.is_in_doubt(step);
    let over = evidence.events.iter().any(|event| event.kind == "watch-ended");
    let name = &evidence.saga.plan.steps[step].name;
    if doubtful && !over && !evidence.is_watched(step) {
        wrong.push(format!(
            "a request of step {name} is in doubt, and nobody watches"
        ));
    }
    if !doubtful && evidence.is_watched(step) && !evidence.is_expected(step) {
        wrong.push(format!("step {name} is watched without a doubt"));
    }
}

/// Whatever was made under our name is in the inventory, or named in a finding, or looked for.
fn cloud_is_accounted_for(evidence: &Evidence, wrong: &mut Vec<String>) {
    let of_watched: Vec<String> = (0..evidence.saga.steps.len())
        .filter(|step| evidence.is_watched(*step))
        .flat_map(|step| evidence.things(step))
        .map(|thing| thing.id)
        .collect();
    let droplets = evidence.cloud.droplets.iter().filter(|droplet| stays(droplet));
    let ours = droplets.filter(|droplet| droplet.tags.iter().any(|tag| tag == "managed-by-arcadia-cloud"));
    let snapshots = evidence.cloud.snapshots.iter();
    let snapshots = snapshots.filter(|snapshot| !snapshot.deleted);
    for thing in ours.map(Thing::from).chain(snapshots.map(Thing::from)) {
        let known = evidence.is_kept(&thing) || evidence.is_named(&thing);
        if !known && !of_watched.contains(&thing.id) {
            wrong.push(format!(
                "{} {} is neither in the inventory, nor named, nor looked for",
                thing.kind, thing.id
            ));
        }
    }
}

/// What the inventory has is there, unless somebody else took it away, or a destroy is stuck half-way, as a finding says.
fn inventory_is_true(evidence: &Evidence, wrong: &mut Vec<String>) {
    if evidence.row.status == Status::NeedsAttention {
        return;
    }
    for row in evidence.resources.iter().filter(|row| row.deleted_ms.is_none()) {
        let (kind, id) = (&row.resource.key.kind, &row.resource.key.provider_id);
        let mut droplets = evidence.cloud.droplets.iter();
        let mut snapshots = evidence.cloud.snapshots.iter();
        let there = if kind == "droplet" {
            droplets.any(|droplet| {
                let by_others = droplet.gone_cause.as_deref() == Some("out-of-band");
                droplet.id.to_string() == *id && (stays(droplet) || by_others)
            })
        } else {
            snapshots.any(|snapshot| snapshot.id.to_string() == *id && !snapshot.deleted)
        };
        if !there {
            wrong.push(format!("the inventory has {kind} {id}, which isn't there"));
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
            Some(_) | None => entry.body["name"].to_string(),
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
        let intent = &record.intent;
        if !matches!(record.state, RecordState::Unsent { .. }) {
            *open.entry((&intent.method, &intent.path)).or_default() += 1;
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
    if evidence
        .requests
        .iter()
        .any(|entry| entry.outcome == Outcome::Open)
    {
        wrong.push("a request is still open at the provider".to_owned());
    }
}
