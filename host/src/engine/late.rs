//! Sagas that ended with requests in doubt are watched: what shows up later under a step's tag is undone, or told.
//!
//! The watch is a row, written in the transaction in which the saga ends, and read by whatever host lives then. One look
//! serves all watches of a service that are due. Nothing is known only in memory: a host that dies between a look and what
//! follows from it leaves the row as it was, still due, and the next look finds the same thing again. `late-effect` is refused by
//! the state it would change when it was applied already, and the same finding again is the same finding.
//!
//! | the step is | what shows up under its tag |
//! |---|---|
//! | undone | event `late-effect`: its own `compensate` runs once more |
//! | done | another one than the inventory has: finding `duplicate-resource`; nothing is undone |
//! | anything else: the saga was abandoned | finding `late-resource` |
//!
//! A droplet that only has the right name is a candidate: finding `unclaimed-resource`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    Engine,
    drive::OpenError,
    findings,
    request::{Asked, VerbError},
};
use crate::{
    cloud::{LookError, Seen, Sighting, Wanted, is_lookable},
    saga::{
        Event, JournalRecord, Json, ResourceKey, Saga, SagaId, Status, StepIndex, StepState, Verdict,
        id::{is_reserved_tag, resource_tag},
    },
    store::{
        Applied, Change, HOST, Looked, NewEvent, NewFinding, Page, ResourceFilter, ResourceRow, StoreError,
        Watch, WatchedIntent,
    },
};

/// The longest time between two looks, in first looks.
const WIDEST: i64 = 360;
/// Watches of one look.
const MAX_WATCHES: u32 = 1_000;
/// How far the provider's clock may be behind ours.
const CLOCK_SKEW_MS: i64 = 600_000;

/// How long and how often sagas with requests in doubt are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    /// A watch is over with the first look after this time that could be made, milliseconds.
    pub horizon_ms: i64,
    /// From the saga's end to the first look; later ones come after half of the watch's age, at most 360 times this.
    pub first_look_ms: i64,
}

impl Default for WatchOptions {
    /// A day; 10 s after the end, and at least every hour.
    fn default() -> WatchOptions {
        WatchOptions {
            horizon_ms: 24 * 3_600_000,
            first_look_ms: 10_000,
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
    for record in findings::doubtful(journal).filter(|record| is_lookable(&record.intent.service)) {
        let intent = &record.intent;
        let place = (intent.step, intent.service.clone());
        let found = before.iter().flat_map(|watch| &watch.intents).any(|watched| {
            watched.found && (watched.step, &watched.service) == (intent.step, &intent.service)
        });
        intents.entry(place).or_insert_with(|| WatchedIntent {
            step: intent.step,
            service: intent.service.clone(),
            identity: intent.identity.clone(),
            path: intent.path.clone(),
            tag: resource_tag(installation, saga.id, &saga.plan.steps[intent.step].name),
            name: name_in(intent.redacted_body.as_deref()),
            sent_ms: intent.at_ms,
            found,
        });
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

fn name_in(body: Option<&str>) -> Option<String> {
    let body: Value = serde_json::from_str(body?).ok()?;
    body.get("name")?.as_str().map(str::to_owned)
}

/// Looks for ever, for as long as the engine lives.
pub async fn watch_over(engine: Weak<Engine>, options: WatchOptions) {
    let tick_ms = u64::try_from(options.first_look_ms / 4)
        .unwrap_or(0)
        .clamp(20, 5_000);
    loop {
        tokio::time::sleep(Duration::from_millis(tick_ms)).await;
        let Some(engine) = engine.upgrade() else { return };
        if engine.draining.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = engine.look_round().await {
            tracing::warn!(%error, "watched sagas can't be looked at; trying again soon");
        }
    }
}

type Sightings = BTreeMap<String, Result<Sighting, LookError>>;

/// What a look means for one saga.
#[derive(Default)]
struct Outcome {
    late: BTreeMap<StepIndex, String>,
    findings: Vec<NewFinding>,
    /// Something could not be looked at.
    blind: bool,
}

impl Engine {
    async fn look_round(self: &Arc<Self>) -> Result<(), StoreError> {
        let now_ms = self.store.now_ms();
        // Those that are nearly due come along: one listing serves them too.
        let near_ms = now_ms + self.watching.first_look_ms;
        let watches = self.store.due_watches(near_ms, MAX_WATCHES).await?;
        if watches.iter().all(|(_, watch)| watch.next_look_ms > now_ms) {
            return Ok(());
        }
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
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
            Outcome {
                blind: true,
                ..Outcome::default()
            }
        };
        let now_ms = self.store.now_ms();
        let mut next = Watch {
            next_look_ms: self.watching.next_look_ms(watch.began_ms, now_ms),
            looks: watch.looks + 1,
            ..watch.clone()
        };
        let mut looked = Looked {
            saga: id,
            plan: saga.plan.clone(),
            from_looks: watch.looks,
            watch: None,
            resolved_codes: Vec::new(),
            findings: outcome.findings,
            events: Vec::new(),
            at_ms: now_ms,
        };
        if !outcome.late.is_empty() {
            let late = |intent: &WatchedIntent| outcome.late.contains_key(&intent.step);
            next.intents
                .iter_mut()
                .for_each(|intent| intent.found |= late(intent));
            // Due until the event is durable: should this host die before, the next look finds the same.
            next.next_look_ms = watch.next_look_ms;
            looked.resolved_codes = vec![findings::OPEN_INTENT];
            looked.watch = Some(next.clone());
            if self.store_look(looked.clone()).await? {
                self.undo_late(id, outcome.late).await?;
                looked.from_looks = next.looks;
                looked.watch = Some(Watch {
                    next_look_ms: self.watching.next_look_ms(watch.began_ms, now_ms),
                    looks: next.looks + 1,
                    ..next
                });
                looked.resolved_codes.clear();
                self.store_look(looked).await?;
            }
            return Ok(());
        }
        if outcome.blind || now_ms < watch.until_ms {
            looked.watch = Some(next);
        } else {
            let journal = self.store.journal(id).await?;
            looked.resolved_codes = vec![findings::OPEN_INTENT];
            looked
                .findings
                .extend(findings::unwatched_intents(&saga, &journal));
            looked.events = vec![NewEvent {
                kind: "watch-ended",
                actor: HOST.to_owned(),
                step: None,
                phase: None,
                detail: Json::of(&json!({ "looks": next.looks })),
            }];
        }
        self.store_look(looked).await?;
        Ok(())
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

    async fn judge(&self, saga: &Saga, watch: &Watch, sightings: &Sightings) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        for intent in &watch.intents {
            let continues = |sighting: &&Sighting| {
                let sent_to = intent.identity.as_deref();
                sent_to.is_none_or(|sent_to| sighting.identity.continues(sent_to))
            };
            let sighting = sightings
                .get(&intent.service)
                .and_then(|sighting| sighting.as_ref().ok());
            let Some(sighting) = sighting.filter(continues) else {
                outcome.blind = true;
                continue;
            };
            for thing in &sighting.seen {
                let carries = thing.carries(&intent.tag);
                if !carries && !may_be(thing, intent) {
                    continue;
                }
                let known = self.rows_of(&intent.service, thing, &sighting.identity).await?;
                let told = if carries {
                    self.shown_up(saga, watch, intent, thing, &known, &mut outcome)
                        .await?
                } else {
                    self.unclaimed(saga, intent, thing, &known).await?
                };
                let Some((code, message, advice)) = told else {
                    continue;
                };
                outcome.findings.push(NewFinding {
                    code: code.to_owned(),
                    step: Some(intent.step),
                    resource: Some(ResourceKey {
                        provider: intent.service.clone(),
                        account: sighting.identity.account().to_owned(),
                        kind: thing.kind.to_owned(),
                        provider_id: thing.id.clone(),
                    }),
                    message,
                    advice,
                });
            }
        }
        Ok(outcome)
    }

    /// Something carries the step's tag.
    async fn shown_up(
        &self,
        saga: &Saga,
        watch: &Watch,
        intent: &WatchedIntent,
        thing: &Seen,
        known: &[ResourceRow],
        outcome: &mut Outcome,
    ) -> Result<Option<Told>, StoreError> {
        let step = &saga.plan.steps[intent.step];
        let what = format!("{} {}", thing.kind, thing.id);
        let live_here = known
            .iter()
            .any(|row| row.saga == saga.id && row.deleted_ms.is_none());
        let will_be_undone = match &saga.steps[intent.step] {
            StepState::Undone { .. } => saga.status != Status::Abandoned && step.compensated,
            StepState::Ran(run) if matches!(run.verdict, Verdict::Succeeded(_)) => {
                // A row, deleted or not, says that the saga knew of it.
                if known.iter().any(|row| row.saga == saga.id)
                    || !self.confirmed(intent, thing, outcome).await
                {
                    return Ok(None);
                }
                return self.duplicate(saga, intent, thing).await.map(Some);
            }
            StepState::Pending
            | StepState::Running(_)
            | StepState::Ran(_)
            | StepState::RunStuck { .. }
            | StepState::RunSkipped { .. }
            | StepState::Undoing { .. }
            | StepState::UndoStuck { .. }
            | StepState::UndoSkipped { .. } => false,
        };
        // What is in the inventory and alive was told when the saga was abandoned.
        if (!will_be_undone && live_here) || !self.confirmed(intent, thing, outcome).await {
            return Ok(None);
        }
        let after = after_the_end(self.store.now_ms() - watch.began_ms);
        if will_be_undone {
            let reason = format!("{what} showed up under tag {} {after}", intent.tag);
            outcome.late.entry(intent.step).or_insert(reason);
            return Ok(None);
        }
        Ok(Some((
            "late-resource",
            format!(
                "{what} showed up under the tag of step {:?} {after}; the saga does not undo it",
                step.name
            ),
            delete_advice(thing),
        )))
    }

    async fn duplicate(&self, saga: &Saga, intent: &WatchedIntent, thing: &Seen) -> Result<Told, StoreError> {
        let step = &saga.plan.steps[intent.step].name;
        let filter = ResourceFilter {
            saga: Some(saga.id),
            kind: Some(thing.kind.to_owned()),
            ..ResourceFilter::default()
        };
        let rows = self.store.resources(&filter, page()).await?;
        let recorded = rows.iter().find(|row| row.step.eq_ignore_ascii_case(step));
        let inventory = match recorded {
            Some(row) => format!(
                "the inventory has {} {}",
                thing.kind, row.resource.key.provider_id
            ),
            None => "the inventory has none of its own".to_owned(),
        };
        Ok((
            "duplicate-resource",
            format!(
                "{} {} carries the tag of step {step:?}, which is done; {inventory}",
                thing.kind, thing.id
            ),
            delete_advice(thing),
        ))
    }

    /// The right name, and nothing that says whose it is.
    async fn unclaimed(
        &self,
        saga: &Saga,
        intent: &WatchedIntent,
        thing: &Seen,
        known: &[ResourceRow],
    ) -> Result<Option<Told>, StoreError> {
        if !known.is_empty() {
            return Ok(None);
        }
        let told = self.store.findings(Some(saga.id), true, page()).await?;
        let is_told = told
            .iter()
            .filter_map(|finding| finding.resource.as_ref())
            .any(|key| {
                key.provider == intent.service && key.kind == thing.kind && key.provider_id == thing.id
            });
        let is_told_by_us = told.iter().any(|finding| finding.code == UNCLAIMED);
        if is_told && !is_told_by_us {
            return Ok(None);
        }
        Ok(Some((
            UNCLAIMED,
            format!(
                "{} {} is named {} like one whose create had no clear answer, and carries no tag of ours",
                thing.kind, thing.id, thing.name
            ),
            format!("delete it only if nobody else made it: {}", delete_advice(thing)),
        )))
    }

    async fn confirmed(&self, intent: &WatchedIntent, thing: &Seen, outcome: &mut Outcome) -> bool {
        match self
            .services
            .is_there(&intent.service, thing, self.store.now_ms())
            .await
        {
            Ok(there) => there,
            Err(error) => {
                tracing::warn!(service = intent.service, id = thing.id, %error, "what a listing shows can't be confirmed");
                outcome.blind = true;
                false
            }
        }
    }

    /// Its rows in the inventory, deleted ones too.
    async fn rows_of(
        &self,
        service: &str,
        thing: &Seen,
        identity: &crate::cloud::Identity,
    ) -> Result<Vec<ResourceRow>, StoreError> {
        let filter = ResourceFilter {
            provider: Some(service.to_owned()),
            kind: Some(thing.kind.to_owned()),
            provider_id: Some(thing.id.clone()),
            with_deleted: true,
            ..ResourceFilter::default()
        };
        let mut rows = self.store.resources(&filter, page()).await?;
        rows.retain(|row| {
            let account = &row.resource.key.account;
            account.is_empty() || account == identity.account()
        });
        Ok(rows)
    }
}

const UNCLAIMED: &str = "unclaimed-resource";

/// Code, message and advice of a finding.
type Told = (&'static str, String, String);

fn page() -> Page {
    Page {
        limit: 1_000,
        after: None,
    }
}

/// A droplet of the name that was asked for, made since, with no tag that says whose it is.
fn may_be(thing: &Seen, intent: &WatchedIntent) -> bool {
    let named = intent.name.as_ref();
    thing.kind == crate::cloud::DROPLET
        && !intent.path.ends_with("/actions")
        && named.is_some_and(|name| thing.name.eq_ignore_ascii_case(name))
        && !thing.tags.iter().any(|tag| is_reserved_tag(tag))
        && thing
            .created_ms
            .is_none_or(|created_ms| created_ms >= intent.sent_ms - CLOCK_SKEW_MS)
}

fn delete_advice(thing: &Seen) -> String {
    let command = if thing.kind == crate::cloud::DROPLET {
        format!("doctl compute droplet delete {}", thing.id)
    } else {
        format!("doctl compute snapshot delete {}", thing.id)
    };
    format!("delete it at the provider unless something uses it (`{command}`)")
}

fn after_the_end(age_ms: i64) -> String {
    match age_ms / 1_000 {
        seconds @ ..120 => format!("{} s after the saga's end", seconds.max(0)),
        seconds => format!("{} min after the saga's end", seconds / 60),
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
