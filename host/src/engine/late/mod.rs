//! Sagas of which something may yet show up are watched: what does, under a step's tag, is undone, or told.
//!
//! | watched is | because |
//! |---|---|
//! | a saga that ends with a POST of `run` in doubt | it may have made something |
//! | a saga that ends with a step undone whose POST was answered clearly, and whose `compensate` has had no DELETE carried out | what the answer named was never seen |
//! | an ended saga of which the [audit](audit) has seen something that the inventory doesn't have | there it is |
//!
//! The watch is a row, written in the transaction in which the saga ends, and read by whatever host lives then. One look
//! serves all watches of a service that are due. Nothing is known only in memory: a host that dies between a look and what
//! follows from it leaves the row as it was, still due, and the next look finds the same thing again. `late-effect` is refused by
//! the state it would change when it was applied already, and the same finding again is the same finding.
//!
//! | the step is | what shows up under its tag |
//! |---|---|
//! | undone | event `late-effect`: its own `compensate` runs once more, also when a request of it is answered late |
//! | done | another one than the inventory has: finding `duplicate-resource`; one that the inventory holds to be deleted: `late-resource`; nothing is undone |
//! | anything else: the saga was abandoned | finding `late-resource` |
//!
//! A droplet that only has the right name is a candidate: finding `unclaimed-resource`.

mod audit;
mod judge;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use self::{
    audit::Audit,
    judge::{Outcome, Sightings},
};
use super::{
    Engine,
    drive::OpenError,
    findings,
    request::{Asked, VerbError},
};
use crate::{
    cloud::{Wanted, is_lookable},
    saga::{
        Event, Intent, JournalRecord, Json, Phase, RecordState, Saga, SagaId, StepIndex, StepState,
        id::resource_tag,
    },
    store::{Applied, Change, HOST, Looked, NewEvent, StoreError, Watch, WatchedIntent},
};

/// The longest time between two looks, in first looks.
const WIDEST: i64 = 360;
/// Watches of one look.
const MAX_WATCHES: u32 = 1_000;

/// How long and how often is looked for what may show up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    /// A watch is over with the first look after this time that could be made, milliseconds.
    pub horizon_ms: i64,
    /// From the saga's end to the first look; later ones come after half of the watch's age, at most 360 times this.
    pub first_look_ms: i64,
    /// Between two audits; the first one comes so long after the start.
    pub audit_ms: i64,
    /// So long something stays unexplained before the audit holds it to be a stray: longer than a create takes from its effect to its row.
    pub grace_ms: i64,
}

impl Default for WatchOptions {
    /// A day; 10 s after the end, and at least every hour. An audit every hour, and 10 minutes' grace.
    fn default() -> WatchOptions {
        WatchOptions {
            horizon_ms: 24 * 3_600_000,
            first_look_ms: 10_000,
            audit_ms: 3_600_000,
            grace_ms: 600_000,
        }
    }
}

impl WatchOptions {
    fn next_look_ms(&self, began_ms: i64, now_ms: i64) -> i64 {
        let age_ms = now_ms.saturating_sub(began_ms);
        now_ms + (age_ms / 2).clamp(self.first_look_ms, self.first_look_ms * WIDEST)
    }
}

/// The watch that an ended saga wants. `before`: the one that it has, which goes on.
pub fn watch_of(
    options: &WatchOptions,
    installation: uuid::Uuid,
    saga: &Saga,
    journal: &[JournalRecord],
    before: Option<Watch>,
    now_ms: i64,
) -> Option<Watch> {
    let mut intents: BTreeMap<(StepIndex, String), WatchedIntent> = BTreeMap::new();
    let doubtful = findings::doubtful(journal).map(|record| (record, false));
    let unseen = unseen(saga, journal).map(|record| (record, true));
    for (record, answered) in doubtful.chain(unseen) {
        let intent = &record.intent;
        if !is_lookable(&intent.service) {
            continue;
        }
        let found = before.iter().flat_map(|watch| &watch.intents).any(|watched| {
            watched.found && (watched.step, &watched.service) == (intent.step, &intent.service)
        });
        intents
            .entry((intent.step, intent.service.clone()))
            .or_insert_with(|| WatchedIntent {
                found,
                ..watched(installation, saga, intent, answered)
            });
    }
    // What the audit has begun goes on.
    for watched in before.iter().flat_map(|watch| &watch.intents) {
        if watched.answered {
            let place = (watched.step, watched.service.clone());
            intents.entry(place).or_insert_with(|| watched.clone());
        }
    }
    if intents.is_empty() {
        return None;
    }
    let intents = intents.into_values().collect();
    Some(match before {
        Some(before) => Watch { intents, ..before },
        None => Watch {
            began_ms: now_ms,
            until_ms: now_ms + options.horizon_ms,
            next_look_ms: now_ms + options.first_look_ms,
            looks: 0,
            intents,
        },
    })
}

/// Whether there is anything to watch.
pub fn is_wanted(saga: &Saga, journal: &[JournalRecord]) -> bool {
    findings::doubtful(journal)
        .chain(unseen(saga, journal))
        .next()
        .is_some()
}

fn watched(installation: uuid::Uuid, saga: &Saga, intent: &Intent, answered: bool) -> WatchedIntent {
    WatchedIntent {
        step: intent.step,
        service: intent.service.clone(),
        identity: intent.identity.clone(),
        path: intent.path.clone(),
        tag: resource_tag(installation, saga.id, &saga.plan.steps[intent.step].name),
        name: name_in(intent.redacted_body.as_deref()),
        sent_ms: intent.at_ms,
        found: false,
        answered,
    }
}

/// Creates of undone steps that were answered clearly, and nothing that their steps' `compensate` sent says that it has deleted
/// anything: what was promised may come yet.
fn unseen<'a>(saga: &'a Saga, journal: &'a [JournalRecord]) -> impl Iterator<Item = &'a JournalRecord> {
    let sent = |phase: Phase, method: &'static str| {
        journal.iter().filter(move |record| {
            let is_clear = matches!(record.state, RecordState::Answered { conclusive: true, .. });
            is_clear && record.intent.phase == phase && record.intent.method == method
        })
    };
    sent(Phase::Run, "POST").filter(move |create| {
        let step = create.intent.step;
        let mut deletes = sent(Phase::Compensate, "DELETE");
        matches!(saga.steps[step], StepState::Undone { .. })
            && !deletes.any(|delete| delete.intent.step == step)
    })
}

fn name_in(body: Option<&str>) -> Option<String> {
    let body: Value = serde_json::from_str(body?).ok()?;
    body.get("name")?.as_str().map(str::to_owned)
}

/// Looks for ever, for as long as the engine lives.
pub async fn watch_over(engine: Weak<Engine>, options: WatchOptions) {
    let tick_ms = u64::try_from(options.first_look_ms / 4)
        .unwrap_or(0)
        .clamp(20, 5_000);
    let mut audit = match engine.upgrade() {
        Some(engine) => Audit::begin(&options, engine.store.now_ms()),
        None => return,
    };
    loop {
        tokio::time::sleep(Duration::from_millis(tick_ms)).await;
        let Some(engine) = engine.upgrade() else { return };
        if engine.is_ending() {
            return;
        }
        // One host looks for all: two would ask the same.
        if !engine.eldest.load(Ordering::Acquire) {
            continue;
        }
        if let Err(error) = engine.look_round(&mut audit).await {
            tracing::warn!(%error, "watched sagas can't be looked at; trying again soon");
        }
    }
}

impl Engine {
    async fn look_round(self: &Arc<Self>, audit: &mut Audit) -> Result<(), StoreError> {
        let now_ms = self.store.now_ms();
        // Those that are nearly due come along: one listing serves them too.
        let near_ms = now_ms + self.watching.first_look_ms;
        let watches = self.store.due_watches(near_ms, MAX_WATCHES).await?;
        let audits = audit.is_due(now_ms);
        if !audits && watches.iter().all(|(_, watch)| watch.next_look_ms > now_ms) {
            return Ok(());
        }
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for service in self
            .services
            .names()
            .filter(|service| audits && is_lookable(service))
        {
            wanted.entry(service.to_owned()).or_default().snapshots = self.has_snapshots(service).await?;
        }
        for intent in watches.iter().flat_map(|(_, watch)| &watch.intents) {
            let wanted = wanted.entry(intent.service.clone()).or_default();
            wanted.add(&intent.path, intent.name.as_deref());
        }
        let mut sightings = Sightings::new();
        for (service, wanted) in wanted {
            let sighting = self.services.look(&service, &wanted, now_ms).await;
            if let Err(error) = &sighting {
                tracing::warn!(service, %error, "can't look for what may show up late; looking again later");
            }
            sightings.insert(service, sighting);
        }
        for (saga, watch) in watches {
            if let Err(error) = self.looked(saga, watch, &sightings).await {
                tracing::warn!(%saga, %error, "what a look means for a saga can't be stored; looking again soon");
            }
        }
        if audits {
            self.audit(audit, &sightings).await?;
        }
        Ok(())
    }

    async fn looked(
        self: &Arc<Self>,
        id: SagaId,
        watch: Watch,
        sightings: &Sightings,
    ) -> Result<(), StoreError> {
        let Some(loaded) = self.store.load(id).await? else {
            return Ok(());
        };
        let saga = loaded.saga;
        let outcome = if saga.status.is_final() {
            self.judge(&saga, &watch, sightings).await?
        } else {
            Outcome::blind()
        };
        let now_ms = self.store.now_ms();
        let looked = Looked {
            saga: id,
            plan: saga.plan.clone(),
            from_looks: Some(watch.looks),
            watch: None,
            resolved_codes: Vec::new(),
            findings: outcome.findings,
            events: Vec::new(),
            at_ms: now_ms,
        };
        let next = Watch {
            next_look_ms: self.watching.next_look_ms(watch.began_ms, now_ms),
            looks: watch.looks + 1,
            ..watch.clone()
        };
        if !outcome.late.is_empty() {
            return self.late(&watch, next, looked, outcome.late).await;
        }
        let looked = if outcome.blind || now_ms < watch.until_ms {
            Looked {
                watch: Some(next),
                ..looked
            }
        } else {
            self.over(&saga, next.looks, looked).await?
        };
        self.store_look(looked).await?;
        Ok(())
    }

    /// Something has shown up that is to be undone.
    async fn late(
        self: &Arc<Self>,
        watch: &Watch,
        mut next: Watch,
        mut looked: Looked,
        late: BTreeMap<StepIndex, String>,
    ) -> Result<(), StoreError> {
        for intent in &mut next.intents {
            intent.found |= late.contains_key(&intent.step);
        }
        let next_look_ms = next.next_look_ms;
        // Due until the event is durable: should this host die before, the next look finds the same.
        next.next_look_ms = watch.next_look_ms;
        looked.resolved_codes = vec![findings::OPEN_INTENT];
        looked.watch = Some(next.clone());
        if !self.store_look(looked.clone()).await? {
            return Ok(());
        }
        self.undo_late(looked.saga, late).await?;
        looked.from_looks = Some(next.looks);
        looked.watch = Some(Watch {
            next_look_ms,
            looks: next.looks + 1,
            ..next
        });
        looked.resolved_codes.clear();
        self.store_look(looked).await?;
        Ok(())
    }

    /// Nothing has shown up for as long as it was watched.
    async fn over(&self, saga: &Saga, looks: u32, mut looked: Looked) -> Result<Looked, StoreError> {
        let journal = self.store.journal(saga.id).await?;
        let resources = self.resources_of(saga.id).await?;
        looked.resolved_codes = vec![findings::OPEN_INTENT];
        looked
            .findings
            .extend(findings::unwatched_intents(saga, &journal, &resources));
        looked.events = vec![NewEvent {
            kind: "watch-ended",
            actor: HOST.to_owned(),
            step: None,
            phase: None,
            detail: Json::of(&json!({ "looks": looks })),
        }];
        Ok(looked)
    }

    /// False: another host's look came first.
    async fn store_look(&self, looked: Looked) -> Result<bool, StoreError> {
        match self.writer.submit(Change::Looked(Box::new(looked))).await? {
            Applied::Done => Ok(true),
            Applied::Fenced | Applied::Turned | Applied::Duplicate { .. } => Ok(false),
            Applied::Failed(reason) => Err(StoreError::Unavailable(reason.into())),
        }
    }

    /// The steps' own `compensate` removes what has shown up; the saga then ends as it had.
    async fn undo_late(
        self: &Arc<Self>,
        saga: SagaId,
        late: BTreeMap<StepIndex, String>,
    ) -> Result<(), StoreError> {
        let mut entry = match self.open(saga).await {
            Ok(entry) => entry,
            Err(OpenError::Unknown) => return Ok(()),
            Err(OpenError::Store(error)) => return Err(error),
        };
        let Some(live) = entry.live.as_mut() else {
            return Ok(());
        };
        let mut undone = Ok(());
        for (step, reason) in late {
            tracing::info!(%saga, reason, "undoing what has shown up late");
            let asked = Asked {
                actor: HOST.to_owned(),
                reason: Some(reason),
            };
            match self.apply_asked(live, Event::LateEffect { step }, asked).await {
                Ok(()) => {}
                Err(VerbError::Store(error)) => {
                    undone = Err(error);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%saga, %error, "what has shown up late isn't undone now; looking again")
                }
            }
        }
        self.go_on(entry).await;
        undone
    }
}

/// Steps whose requests in doubt are explained by what has shown up.
pub fn found(watch: Option<&Watch>) -> BTreeSet<StepIndex> {
    let intents = watch.into_iter().flat_map(|watch| &watch.intents);
    intents
        .filter(|intent| intent.found)
        .map(|intent| intent.step)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_widen_from_ten_seconds_to_an_hour() {
        let options = WatchOptions::default();
        let mut now_ms = options.first_look_ms;
        let mut waits = Vec::new();
        while now_ms < options.horizon_ms {
            let next = options.next_look_ms(0, now_ms);
            waits.push(next - now_ms);
            now_ms = next;
        }
        assert_eq!(waits[..4], [10_000, 10_000, 15_000, 22_500]);
        assert_eq!(waits.last(), Some(&3_600_000));
        assert!(waits.is_sorted() && waits.len() < 60, "{} looks", waits.len());
    }
}
