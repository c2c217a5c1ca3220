//! What a look means for one saga: reads the inventory and confirms at the provider, and changes nothing.

use std::collections::BTreeMap;

use crate::{
    cloud::{LookError, Seen, Sighting},
    engine::Engine,
    saga::{
        Phase, RecordState, ResourceKey, Saga, Status, StepIndex, StepState, Verdict, id::is_reserved_tag,
    },
    store::{NewFinding, Page, ResourceFilter, ResourceRow, StoreError, Watch, WatchedIntent},
};

/// How far the provider's clock may be behind ours.
const CLOCK_SKEW_MS: i64 = 600_000;

/// By service.
pub(super) type Sightings = BTreeMap<String, Result<Sighting, LookError>>;

/// What a look means for one saga.
#[derive(Default)]
pub(super) struct Outcome {
    pub late: BTreeMap<StepIndex, String>,
    pub findings: Vec<NewFinding>,
    /// Something could not be looked at.
    pub blind: bool,
}

impl Outcome {
    /// Nothing could be looked at.
    pub fn blind() -> Outcome {
        Outcome {
            blind: true,
            ..Outcome::default()
        }
    }
}

impl Engine {
    pub(super) async fn judge(
        &self,
        saga: &Saga,
        watch: &Watch,
        sightings: &Sightings,
    ) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome {
            late: self.answered_late(saga, watch).await?,
            ..Outcome::default()
        };
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

    /// Undone steps whose request was answered after all, by a host that had been given up: what it made may never show its
    /// tag, and the step's undo knows it from the answer.
    async fn answered_late(
        &self,
        saga: &Saga,
        watch: &Watch,
    ) -> Result<BTreeMap<StepIndex, String>, StoreError> {
        let mut late = BTreeMap::new();
        if saga.status == Status::Abandoned {
            return Ok(late);
        }
        for record in self.store.journal(saga.id).await? {
            let RecordState::Answered {
                conclusive: true,
                at_ms,
                ..
            } = record.state
            else {
                continue;
            };
            let step = record.intent.step;
            // It was in doubt when the saga ended.
            let watched = watch.intents.iter().any(|intent| {
                let same = intent.step == step && intent.sent_ms == record.intent.at_ms;
                same && !intent.found && !intent.answered
            });
            if watched
                && record.intent.phase == Phase::Run
                && saga.plan.steps[step].compensated
                && matches!(saga.steps[step], StepState::Undone { .. })
            {
                let after = after_the_end(at_ms - watch.began_ms);
                late.insert(step, format!("its request was answered {after}"));
            }
        }
        Ok(late)
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
                // Whosever the live row is, it accounts for it.
                if known.iter().any(|row| row.deleted_ms.is_none())
                    || !self.confirmed(intent, thing, outcome).await
                {
                    return Ok(None);
                }
                if !known.is_empty() {
                    return Ok(Some((
                        LATE,
                        format!("{what} is there, and the inventory holds it to be deleted"),
                        delete_advice(thing),
                    )));
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
            LATE,
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

const LATE: &str = "late-resource";
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
