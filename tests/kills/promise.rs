//! The promise, sentence by sentence, on everything that all those hosts did and left.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    evidence::{Evidence, Told, text},
    moment::Asked,
    order::Wish,
};

/// Every sentence that is broken, for people.
pub fn broken(evidence: &Evidence) -> Vec<String> {
    let mut wrong = evidence.histories.clone();
    if evidence.has_panicked {
        wrong.push("a host panicked".to_owned());
    }
    accepted_once(evidence, &mut wrong);
    for told in &evidence.told {
        ended_well(evidence, told, &mut wrong);
        doubt_is_watched(told, &mut wrong);
    }
    droplets_are_as_said(evidence, &mut wrong);
    snapshots_are_as_said(evidence, &mut wrong);
    inventory_is_true(evidence, &mut wrong);
    sent_at_most_once(evidence, &mut wrong);
    intended_before_it_left(evidence, &mut wrong);
    recorded_before_it_was_heard(evidence, &mut wrong);
    wrong
}

/// What was answered 202 is there, once, under its id and under its key; and nothing else is.
fn accepted_once(evidence: &Evidence, wrong: &mut Vec<String>) {
    let mut known = BTreeSet::new();
    for told in &evidence.told {
        let (order, saga) = (&told.accepted.order, &told.accepted.saga);
        known.insert(saga);
        if told.again != *saga {
            wrong.push(format!(
                "{order:?} was accepted as {saga}, and its key leads to {}",
                told.again
            ));
        }
    }
    let listed: BTreeSet<&String> = evidence.listed.iter().collect();
    for saga in known.difference(&listed) {
        wrong.push(format!("saga {saga} was accepted, and is not there"));
    }
    for saga in listed.difference(&known) {
        wrong.push(format!("saga {saga} is there, and was never accepted"));
    }
    if listed.len() != evidence.listed.len() || known.len() != evidence.told.len() {
        wrong.push("a saga is there twice".to_owned());
    }
}

fn ended_well(evidence: &Evidence, told: &Told, wrong: &mut Vec<String>) {
    let Told {
        accepted,
        status,
        codes,
        events,
        ..
    } = told;
    let end = evidence.end(told);
    if !accepted.order.may_end(end) {
        wrong.push(format!("{accepted:?} is {status} with {codes:?}, {end:?}"));
    }
    if status == "completed" && told.steps_done.0 != told.steps_done.1 {
        wrong.push(format!(
            "{accepted:?} is completed, and of its steps only {:?}",
            told.steps_done
        ));
    }
    if codes.iter().any(|code| code != "open-intent" || !told.is_watched) {
        wrong.push(format!("{accepted:?} is {status} with the findings {codes:?}"));
    }
    let kind = |event: &Value| text(&event["kind"]);
    if events.iter().filter(|event| kind(event) == "accepted").count() > 1 {
        wrong.push(format!("{accepted:?} was accepted twice"));
    }
    if events.iter().any(|event| kind(event) == "late-effect") && !evidence.came_too_late(told) {
        wrong.push(format!(
            "{accepted:?} had ended without looking for what was there"
        ));
    }
}

/// A request that may have made something and has no conclusive answer is watched.
fn doubt_is_watched(told: &Told, wrong: &mut Vec<String>) {
    let is_doubtful = |request: &Value| {
        (text(&request["method"]), text(&request["phase"])) == ("POST".to_owned(), "run".to_owned())
            && matches!(request["state"].as_str(), Some("open" | "doubtful"))
    };
    let doubtful = told.requests.iter().any(is_doubtful);
    if doubtful && !told.is_watched {
        wrong.push(format!(
            "{:?}: a request is in doubt, and nobody watches",
            told.accepted
        ));
    }
}

/// Completed: its droplet is there, unless it was destroyed since. Undone: it is not.
fn droplets_are_as_said(evidence: &Evidence, wrong: &mut Vec<String>) {
    let destroyed: BTreeSet<i64> = evidence.told.iter().filter_map(destroyed_by).collect();
    let mut explained = BTreeSet::new();
    for told in &evidence.told {
        let made = evidence.made(told);
        explained.extend(made.iter().map(|droplet| droplet.id));
        if made.len() > 1 {
            wrong.push(format!("{:?} has made {} droplets", told.accepted, made.len()));
        }
        let live: Vec<i64> = made
            .iter()
            .filter(|droplet| droplet.live)
            .map(|droplet| droplet.id)
            .collect();
        let kept = match told.accepted.order.wish {
            Wish::Keep | Wish::Cancel if told.status == "completed" => {
                usize::from(!made.iter().any(|droplet| destroyed.contains(&droplet.id)))
            }
            Wish::Keep | Wish::Cancel | Wish::Fail | Wish::Torn => 0,
            Wish::Snapshot { .. }
            | Wish::FailSnapshot { .. }
            | Wish::Destroy { .. }
            | Wish::Tag
            | Wish::Nothing => 0,
        };
        for droplet in &made {
            let specified = evidence.specified.contains(&droplet.id.to_string());
            let stays = kept > 0 && droplet.live;
            // One that was destroyed on request was once to be something.
            if specified != stays && !destroyed.contains(&droplet.id) {
                let what = format!("droplet {} is to be something: {specified}", droplet.id);
                wrong.push(format!("{:?} is {}, and {what}", told.accepted, told.status));
            }
        }
        let looked_for = told.is_watched && evidence.came_too_late(told);
        if live.len() != kept && !looked_for {
            wrong.push(format!(
                "{:?} is {}, and of its droplets there are {live:?}",
                told.accepted, told.status
            ));
        }
    }
    for droplet in &evidence.cloud.droplets {
        if !explained.contains(&droplet.id) {
            wrong.push(format!("nobody has asked for droplet {droplet:?}"));
        }
    }
}

fn destroyed_by(told: &Told) -> Option<i64> {
    match told.accepted.order.wish {
        Wish::Destroy { droplet } => Some(droplet),
        Wish::Keep | Wish::Fail | Wish::Torn | Wish::Cancel | Wish::Tag | Wish::Nothing => None,
        Wish::Snapshot { .. } | Wish::FailSnapshot { .. } => None,
    }
}

fn snapshots_are_as_said(evidence: &Evidence, wrong: &mut Vec<String>) {
    for told in &evidence.told {
        let (droplet, wanted) = match told.accepted.order.wish {
            Wish::Snapshot { droplet } => (droplet, usize::from(told.status == "completed")),
            Wish::FailSnapshot { droplet } => (droplet, 0),
            Wish::Keep
            | Wish::Fail
            | Wish::Torn
            | Wish::Cancel
            | Wish::Destroy { .. }
            | Wish::Tag
            | Wish::Nothing => {
                continue;
            }
        };
        let taken = evidence
            .cloud
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.droplet_id == droplet);
        let (taken, there) = (
            taken.clone().count(),
            taken.filter(|snapshot| !snapshot.deleted).count(),
        );
        if taken > 1 || there != wanted {
            let (accepted, status) = (&told.accepted, &told.status);
            wrong.push(format!(
                "{accepted:?} is {status}; {taken} snapshots were taken, {there} are there"
            ));
        }
    }
}

/// The inventory has what is there, each thing as its saga's, and nothing else.
fn inventory_is_true(evidence: &Evidence, wrong: &mut Vec<String>) {
    let mut there: BTreeMap<(&str, String), Option<&str>> = BTreeMap::new();
    for droplet in evidence.cloud.droplets.iter().filter(|droplet| droplet.live) {
        let maker = evidence
            .told
            .iter()
            .find(|told| told.accepted.order.name() == droplet.name);
        let saga = maker.map(|told| told.accepted.saga.as_str());
        there.insert(("droplet", droplet.id.to_string()), saga);
    }
    for snapshot in evidence
        .cloud
        .snapshots
        .iter()
        .filter(|snapshot| !snapshot.deleted)
    {
        let of_it = Wish::Snapshot {
            droplet: snapshot.droplet_id,
        };
        let maker = evidence
            .told
            .iter()
            .find(|told| told.accepted.order.wish == of_it);
        let saga = maker.map(|told| told.accepted.saga.as_str());
        there.insert(("snapshot", snapshot.id.to_string()), saga);
    }
    let mut rows: BTreeMap<(&str, String), Option<&str>> = BTreeMap::new();
    for row in &evidence.inventory {
        rows.insert(
            (row["kind"].as_str().unwrap(), text(&row["provider_id"])),
            row["saga_id"].as_str(),
        );
    }
    if rows.len() != evidence.inventory.len() {
        wrong.push("the inventory has something twice".to_owned());
    }
    for (thing, saga) in &there {
        match rows.get(thing) {
            Some(row) if row == saga => {}
            row => wrong.push(format!(
                "{thing:?} is there, of {saga:?}; the inventory has {row:?}"
            )),
        }
    }
    for thing in rows.keys().filter(|thing| !there.contains_key(*thing)) {
        wrong.push(format!("the inventory has {thing:?}, which isn't there"));
    }
}

/// No request that is sent at most once has arrived twice.
fn sent_at_most_once(evidence: &Evidence, wrong: &mut Vec<String>) {
    let mut arrived: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for entry in &evidence.posts {
        let name = entry.body["name"].as_str().unwrap_or_default();
        *arrived.entry((&entry.path, name)).or_default() += 1;
    }
    for ((path, name), count) in arrived.into_iter().filter(|(_, count)| *count > 1) {
        wrong.push(format!("POST {path} of {name} has arrived {count} times"));
    }
}

type Which = (String, String, Option<String>);

/// Records of requests, by what they ask for; only those in one of these states.
fn records(evidence: &Evidence, states: &[&str]) -> BTreeMap<Which, usize> {
    let mut records: BTreeMap<Which, usize> = BTreeMap::new();
    for request in evidence.told.iter().flat_map(|told| &told.requests) {
        if states.contains(&request["state"].as_str().unwrap_or_default()) {
            let body: Value = serde_json::from_str(&text(&request["body"])).unwrap_or_default();
            let name = body["name"].as_str().map(str::to_owned);
            *records
                .entry((text(&request["method"]), text(&request["path"]), name))
                .or_default() += 1;
        }
    }
    records
}

/// For each request that has left a host and may change something, there is a record that says it may have.
fn intended_before_it_left(evidence: &Evidence, wrong: &mut Vec<String>) {
    let mut intents = records(evidence, &["open", "answered", "doubtful", "refused"]);
    for exchange in &evidence.exchanges {
        if Asked::of(&exchange.method, &exchange.path).is_none() {
            continue;
        }
        let which = (
            exchange.method.clone(),
            exchange.path.clone(),
            exchange.name.clone(),
        );
        match intents.get_mut(&which).filter(|count| **count > 0) {
            Some(count) => *count -= 1,
            None => wrong.push(format!("{which:?} has left without an intent")),
        }
    }
}

/// The answer of each request that a step is known to have heard is recorded.
fn recorded_before_it_was_heard(evidence: &Evidence, wrong: &mut Vec<String>) {
    let mut answers = records(evidence, &["answered", "doubtful", "refused"]);
    for exchange in &evidence.exchanges {
        let Some((known, since)) = &exchange.answered else {
            continue;
        };
        let mut later = evidence.exchanges[*since..].iter();
        let heard = later
            .any(|later| (later.host, later.life) == (exchange.host, exchange.life) && later.path == *known);
        if !heard {
            continue;
        }
        let which = (
            exchange.method.clone(),
            exchange.path.clone(),
            exchange.name.clone(),
        );
        match answers.get_mut(&which).filter(|count| **count > 0) {
            Some(count) => *count -= 1,
            None => wrong.push(format!(
                "a step has heard the answer to {which:?}, and it is not recorded"
            )),
        }
    }
}
