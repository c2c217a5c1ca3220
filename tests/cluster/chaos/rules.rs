//! What must hold of a history, whatever happened. Each rule is seen to fire by a history that breaks it.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{History, Intent, Sent};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A saga's fence is 1, then one more with each owner.
    FencesGrow,
    /// Ids of events are dense, and who follows them misses none.
    EventsStay,
    /// An intent is its saga's owner's.
    IntentsAreTheOwners,
    /// What leaves has an intent that was there before, of the same host, and each intent is sent once at most.
    IntentsComeFirst,
    /// Nothing leaves a host that was lost.
    TheLostAreSilent,
    /// Of one step, nothing leaves under an old fence once something has under a newer one.
    OldFencesAreSilent,
    /// An answer that is recorded is the one that the cloud gave.
    AnswersAreTrue,
    /// A key of `once` has taken effect once at most.
    OnceIsOnce,
    /// A saga that was accepted is there.
    AcceptedIsKept,
    CompletedIsDone,
    /// Nothing is left of what went back; what is in doubt is watched, or told.
    UndoneIsGone,
    /// Of a step that creates one droplet lives at most.
    OneDropletPerStep,
    /// The cloud, the inventory and what the sagas say.
    AllAgree,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub rule: Rule,
    pub how: String,
}

pub fn broken(history: &History) -> Vec<Broken> {
    let mut broken = Breaches::default();
    fences(history, &mut broken);
    events(history, &mut broken);
    let matched = intents(history, &mut broken);
    silence(history, &matched, &mut broken);
    answers(history, &matched, &mut broken);
    ends(history, &mut broken);
    cloud(history, &mut broken);
    broken.0
}

#[derive(Default)]
struct Breaches(Vec<Broken>);

impl Breaches {
    fn add(&mut self, rule: Rule, how: String) {
        self.0.push(Broken { rule, how });
    }
}

fn fences(history: &History, broken: &mut Breaches) {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for owner in &history.owners {
        let before = last.insert(&owner.saga, owner.fence).unwrap_or(0);
        if owner.fence != before + 1 {
            broken.add(Rule::FencesGrow, format!("{owner:?} after {before}"));
        }
    }
}

fn events(history: &History, broken: &mut Breaches) {
    for (before, event) in (0..).zip(&history.events) {
        if event.id != before + 1 {
            broken.add(Rule::EventsStay, format!("{event:?} after {before}"));
            return;
        }
    }
    let differs = history
        .followed
        .iter()
        .enumerate()
        .find(|(at, event)| history.events.get(*at) != Some(event));
    if let Some((at, event)) = differs {
        let now = history.events.get(at);
        broken.add(Rule::EventsStay, format!("{event:?} was read, where {now:?} is"));
    }
}

/// The intent of each request that was sent.
type Matched<'a> = Vec<(&'a Sent, &'a Intent)>;

fn intents<'a>(history: &'a History, broken: &mut Breaches) -> Matched<'a> {
    for intent in &history.intents {
        if intent.host != intent.owner {
            broken.add(Rule::IntentsAreTheOwners, format!("{intent:?}"));
        }
    }
    for request in &history.from_nowhere {
        broken.add(Rule::IntentsComeFirst, format!("from nowhere: {request}"));
    }
    let mut sent: Vec<&Sent> = history.sent.iter().collect();
    sent.sort_by_key(|sent| sent.left_ms);
    let mut used = BTreeSet::new();
    let mut matched = Matched::new();
    for sent in sent {
        let fits = |intent: &&Intent| {
            intent.host == sent.host
                && (&intent.method, &intent.path, &intent.body) == (&sent.method, &sent.path, &sent.body)
                && intent.state != "unsent"
                && intent.at_ms <= sent.left_ms
                && !used.contains(&intent.id)
        };
        match history
            .intents
            .iter()
            .filter(fits)
            .max_by_key(|intent| intent.at_ms)
        {
            Some(intent) => {
                used.insert(intent.id.clone());
                matched.push((sent, intent));
            }
            None => broken.add(Rule::IntentsComeFirst, format!("{sent:?}")),
        }
    }
    matched
}

fn silence(history: &History, matched: &Matched<'_>, broken: &mut Breaches) {
    for sent in &history.sent {
        if let Some(Some(lost_ms)) = history.hosts.get(&sent.host)
            && sent.left_ms > *lost_ms
        {
            let late_ms = sent.left_ms - lost_ms;
            broken.add(Rule::TheLostAreSilent, format!("{late_ms} ms late: {sent:?}"));
        }
    }
    let mut newest: BTreeMap<(&str, i64), i64> = BTreeMap::new();
    for (sent, intent) in matched {
        let newest = newest.entry((&intent.saga, intent.step)).or_insert(intent.fence);
        if intent.fence < *newest {
            broken.add(
                Rule::OldFencesAreSilent,
                format!("{sent:?} under fence {}, after one under {newest}", intent.fence),
            );
        }
        *newest = intent.fence.max(*newest);
    }
}

fn answers(history: &History, matched: &Matched<'_>, broken: &mut Breaches) {
    let sent: BTreeMap<&str, &Sent> = matched
        .iter()
        .map(|(sent, intent)| (intent.id.as_str(), *sent))
        .collect();
    for intent in history
        .intents
        .iter()
        .filter(|intent| matches!(&*intent.state, "answered" | "refused"))
    {
        let gave = sent.get(&*intent.id).and_then(|sent| sent.arrived);
        if gave.is_none_or(|gave| gave.status != intent.status) {
            broken.add(
                Rule::AnswersAreTrue,
                format!("{intent:?}: the cloud gave {gave:?}"),
            );
        }
    }
    let mut effects: BTreeMap<(&str, i64, &str, &str), usize> = BTreeMap::new();
    for (sent, intent) in matched {
        if let (Some(arrived), Some(key)) = (sent.arrived, &intent.once_key)
            && arrived.took_effect
        {
            let place = (&*intent.saga, intent.step, &*intent.phase, &**key);
            *effects.entry(place).or_default() += 1;
        }
    }
    for (place, count) in effects.into_iter().filter(|(_, count)| *count > 1) {
        broken.add(Rule::OnceIsOnce, format!("{place:?} {count} times"));
    }
}

fn ends(history: &History, broken: &mut Breaches) {
    for (key, saga) in &history.accepted {
        if !history.sagas.contains_key(saga) {
            broken.add(Rule::AcceptedIsKept, format!("{key} was answered with {saga}"));
        }
    }
    for (id, saga) in &history.sagas {
        let doubt = history.intents.iter().any(|intent| {
            intent.saga == *id && intent.phase == "run" && intent.method == "POST" && intent.state == "open"
        });
        match &*saga.status {
            "completed" if saga.runs.iter().any(|run| run != "succeeded") => {
                broken.add(Rule::CompletedIsDone, format!("{id}: {saga:?}"));
            }
            "completed" => {}
            "compensated" | "cancelled" => {
                if doubt && !saga.is_told {
                    broken.add(
                        Rule::UndoneIsGone,
                        format!("in doubt, and not told: {id}: {saga:?}"),
                    );
                }
                let left = history
                    .droplets
                    .iter()
                    .find(|droplet| droplet.tags.iter().any(|tag| saga.tags.contains(tag)));
                if let Some(left) = left {
                    broken.add(Rule::UndoneIsGone, format!("{left:?} is left of {id}: {saga:?}"));
                }
            }
            _ if saga.is_told => {}
            _ => broken.add(Rule::UndoneIsGone, format!("not at rest: {id}: {saga:?}")),
        }
    }
}

fn cloud(history: &History, broken: &mut Breaches) {
    let mut of_steps: BTreeMap<&str, usize> = BTreeMap::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for droplet in &history.droplets {
        *names.entry(droplet.name.clone()).or_default() += 1;
        for tag in droplet.tags.iter().filter(|tag| tag.starts_with("arcadia-r-")) {
            *of_steps.entry(tag).or_default() += 1;
        }
    }
    for (tag, count) in of_steps.into_iter().filter(|(_, count)| *count > 1) {
        broken.add(Rule::OneDropletPerStep, format!("{count} with {tag}"));
    }
    if names != history.said {
        let only = |a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>| {
            let differs = |entry: &(&String, &usize)| b.get(entry.0) != Some(entry.1);
            a.iter()
                .filter(differs)
                .map(|(name, count)| format!("{count} {name}"))
                .collect::<Vec<_>>()
        };
        let (there, said) = (only(&names, &history.said), only(&history.said, &names));
        broken.add(
            Rule::AllAgree,
            format!("there are {there:?}, and the sagas say {said:?}"),
        );
    }
    let ids: BTreeSet<i64> = history.droplets.iter().map(|droplet| droplet.id).collect();
    if ids != history.inventory {
        let differing: Vec<_> = ids.symmetric_difference(&history.inventory).collect();
        broken.add(
            Rule::AllAgree,
            format!("cloud and inventory differ in {differing:?}"),
        );
    }
    if history.snapshots.len() != history.snapshots_said {
        let (there, said) = (&history.snapshots, history.snapshots_said);
        broken.add(
            Rule::AllAgree,
            format!("snapshots {there:?}, and {said} sagas say so"),
        );
    }
}
