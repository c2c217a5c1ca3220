//! Giving sagas in flight another version of a component: for the calls to come, one saga or all that are pinned to some bytes.
//!
//! All steps of one saga that are meant change together, or none does. Nothing that is stuck is started by it.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::{
    Engine,
    catalog::Misfit,
    live::Live,
    request::{Asked, VerbError},
    verbs::step_named,
};
use crate::{
    saga::{ComponentRef, Event, IllegalEvent, JournalRecord, Phase, RecordState, Saga, SagaId, StepIndex},
    store::StoreError,
};

/// Most sagas of one request.
pub const MAX_REPINNED: u32 = 500;
/// Sagas of one request that are looked at, and written, at the same time.
const AT_ONCE: usize = 16;

/// Which component, and for which steps.
#[derive(Debug, Clone)]
pub struct Repin {
    /// The steps that are made of a component of this name are meant.
    pub to: ComponentRef,
    /// Only this one of them.
    pub step: Option<String>,
    /// Only those that are pinned to these bytes.
    pub from_digest: Option<String>,
    /// Nothing is changed.
    pub dry_run: bool,
}

/// What becomes, or would become, of one saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repinned {
    pub saga: SagaId,
    /// The steps that change; those that have the component already are left out.
    pub steps: Vec<RepinnedStep>,
    /// They have changed, durably.
    pub applied: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepinnedStep {
    pub step: StepIndex,
    pub name: String,
    pub from: ComponentRef,
    pub problems: Vec<RepinProblem>,
}

/// Why a step can't have the component now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepinProblem {
    /// It is never called again.
    StepOver,
    /// A request of its run is out, or its answer was lost: only the code that sent it knows what to look for.
    OpenIntent,
    /// Its run is being called.
    CallInProgress,
    Misfit(Misfit),
}

/// One page of what became of all sagas that are pinned to some bytes.
#[derive(Debug)]
pub struct RepinnedAll {
    pub sagas: Vec<(SagaId, Result<Repinned, VerbError>)>,
    /// More sagas may follow after this one.
    pub next: Option<SagaId>,
}

impl Repinned {
    pub fn is_possible(&self) -> bool {
        self.steps.iter().all(|step| step.problems.is_empty())
    }
}

impl Engine {
    /// Changes nothing when anything speaks against it: the answer says what.
    pub async fn repin(
        self: &Arc<Self>,
        saga: SagaId,
        repin: Repin,
        asked: Asked,
    ) -> Result<Repinned, VerbError> {
        let engine = self.clone();
        let done = tokio::spawn(async move { engine.repin_one(saga, &repin, asked).await });
        done.await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?
    }

    /// The sagas after `after` that haven't ended and are pinned to `from_digest` in a step with a call to come, at most
    /// [`MAX_REPINNED`] of those pinned to it in any step. Each is decided for itself.
    pub async fn repin_all(
        self: &Arc<Self>,
        from_digest: &str,
        to: ComponentRef,
        after: Option<SagaId>,
        dry_run: bool,
        asked: &Asked,
    ) -> Result<RepinnedAll, StoreError> {
        let mut plans = Vec::new();
        for digest in self.store.open_plans().await? {
            let plan = match self.store.plan(&digest).await {
                Ok(plan) => plan,
                // Nobody can tell what its sagas are pinned to: they stand still.
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(%error, "the sagas of a plan that can't be read are left out");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let is_pinned =
                plan.is_some_and(|plan| plan.steps.iter().any(|step| step.component.digest == from_digest));
            if is_pinned {
                plans.push(digest);
            }
        }
        let ids = self
            .store
            .open_sagas_of_plans(&plans, after, MAX_REPINNED)
            .await?;
        let next = ids.last().copied().filter(|_| ids.len() >= MAX_REPINNED as usize);
        let repin = Repin {
            to,
            step: None,
            from_digest: Some(from_digest.to_owned()),
            dry_run,
        };
        let sagas: Vec<_> = stream::iter(ids)
            .map(|id| {
                let (repin, asked) = (repin.clone(), asked.clone());
                async move { (id, self.repin(id, repin, asked).await) }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let is_meant = |result: &Result<Repinned, VerbError>| match result {
            Ok(repinned) => !repinned.steps.is_empty(),
            // It has ended, or was purged, meanwhile.
            Err(VerbError::Refused(IllegalEvent::Ended) | VerbError::UnknownSaga(_)) => false,
            Err(_) => true,
        };
        let sagas = sagas.into_iter().filter(|(_, result)| is_meant(result)).collect();
        Ok(RepinnedAll { sagas, next })
    }

    async fn repin_one(
        self: &Arc<Self>,
        saga: SagaId,
        repin: &Repin,
        asked: Asked,
    ) -> Result<Repinned, VerbError> {
        let mut entry = self.open_for(saga).await?;
        let Some(live) = entry.live.as_mut() else {
            return Err(VerbError::UnknownSaga(saga));
        };
        let repinned = self.repin_live(live, repin, asked).await;
        self.go_on(entry).await;
        repinned
    }

    /// The saga is locked: no call of it begins, and so no intent, between the look at the journal and the change.
    async fn repin_live(
        self: &Arc<Self>,
        live: &mut Live,
        repin: &Repin,
        asked: Asked,
    ) -> Result<Repinned, VerbError> {
        if live.saga.status.is_final() {
            return Err(IllegalEvent::Ended.into());
        }
        let mut repinned = self.looked_at(live, repin).await?;
        if repin.dry_run || repinned.steps.is_empty() || !repinned.is_possible() {
            return Ok(repinned);
        }
        let steps = repinned
            .steps
            .iter()
            .map(|step| (step.step, repin.to.clone()))
            .collect();
        self.apply_asked(live, Event::Repinned { steps }, asked).await?;
        repinned.applied = true;
        Ok(repinned)
    }

    async fn looked_at(&self, live: &Live, repin: &Repin) -> Result<Repinned, VerbError> {
        let saga = &live.saga;
        let steps: Vec<(StepIndex, ComponentRef)> = meant(saga, repin)?
            .into_iter()
            .filter(|&step| saga.plan.steps[step].component != repin.to)
            .map(|step| (step, repin.to.clone()))
            .collect();
        let journal = if steps.is_empty() {
            Vec::new()
        } else {
            self.store.journal(saga.id).await?
        };
        let misfits = self.catalog.misfits(&saga.plan, &live.header.inputs, &steps);
        let steps = steps
            .into_iter()
            .map(|(step, _)| {
                let misfits = misfits
                    .iter()
                    .filter(|(of, _)| *of == step)
                    .map(|(_, misfit)| RepinProblem::Misfit(misfit.clone()));
                RepinnedStep {
                    step,
                    name: saga.plan.steps[step].name.clone(),
                    from: saga.plan.steps[step].component.clone(),
                    problems: standing(live, step, &journal)
                        .into_iter()
                        .chain(misfits)
                        .collect(),
                }
            })
            .collect();
        Ok(Repinned {
            saga: saga.id,
            steps,
            applied: false,
        })
    }
}

/// The steps that are asked for: the named one, whatever its state, or all of the component that have a call to come.
fn meant(saga: &Saga, repin: &Repin) -> Result<Vec<StepIndex>, VerbError> {
    if let Some(name) = &repin.step {
        let step = step_named(saga, name)?;
        let component = &saga.plan.steps[step].component.name;
        if *component != repin.to.name {
            return Err(VerbError::OtherComponent {
                step: saga.plan.steps[step].name.clone(),
                component: component.clone(),
                to: repin.to.name.clone(),
            });
        }
        return Ok(vec![step]);
    }
    let steps = saga.plan.steps.iter().enumerate();
    Ok(steps
        .filter(|(_, step)| step.component.name == repin.to.name)
        .filter(|(_, step)| {
            repin
                .from_digest
                .as_ref()
                .is_none_or(|digest| step.component.digest == *digest)
        })
        .filter(|(step, _)| saga.call_to_come(*step).is_some())
        .map(|(step, _)| step)
        .collect())
}

/// What the saga's own state has against it.
fn standing(live: &Live, step: StepIndex, journal: &[JournalRecord]) -> Vec<RepinProblem> {
    match live.saga.call_to_come(step) {
        None => vec![RepinProblem::StepOver],
        Some(Phase::Compensate) => Vec::new(),
        Some(Phase::Run) if live.calling.contains_key(&(step, Phase::Run)) => {
            vec![RepinProblem::CallInProgress]
        }
        Some(Phase::Run) => {
            let is_open = journal.iter().any(|record| {
                record.intent.step == step
                    && record.intent.phase == Phase::Run
                    && matches!(record.state, RecordState::Open { .. })
            });
            is_open.then_some(RepinProblem::OpenIntent).into_iter().collect()
        }
    }
}
