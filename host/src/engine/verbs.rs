//! What an operator asks of one saga. Audited: who and why are in the same transaction as the change.

use std::{sync::Arc, time::Duration};

use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::{
    Engine,
    drive::{AdvanceError, OpenError, With},
    live::{Entry, Live},
    request::{Asked, Verb, VerbError},
    watch::Standing,
};
use crate::{
    saga::{self, Event, Hold, Moment, Saga, SagaId, StepIndex},
    store::{SagaRow, StoreError},
};

/// How often a saga is taken from others who take it at the same time.
const TAKES: usize = 3;

impl Engine {
    /// Answers once it is durable, with the saga as it then is.
    pub async fn verb(
        self: &Arc<Self>,
        saga: SagaId,
        verb: Verb,
        asked: Asked,
    ) -> Result<SagaRow, VerbError> {
        let engine = self.clone();
        // A task of its own: a client that goes away must not leave a change half carried out.
        let done = tokio::spawn(async move { engine.carry_out(saga, verb, asked).await });
        done.await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))??;
        self.store.saga(saga).await?.ok_or(VerbError::UnknownSaga(saga))
    }

    async fn carry_out(self: &Arc<Self>, saga: SagaId, verb: Verb, asked: Asked) -> Result<(), VerbError> {
        let mut entry = self.open_for(saga).await?;
        let Some(live) = entry.live.as_mut() else {
            return Err(VerbError::UnknownSaga(saga));
        };
        let event = match event_of(&live.saga, verb, &asked) {
            Ok(event) => event,
            Err(error) => {
                self.go_on(entry).await;
                return Err(error);
            }
        };
        let result = self.apply_asked(live, event, asked).await;
        self.go_on(entry).await;
        result
    }

    pub(super) async fn open_for(&self, saga: SagaId) -> Result<OwnedMutexGuard<Entry>, VerbError> {
        self.open(saga).await.map_err(|error| match error {
            OpenError::Unknown => VerbError::UnknownSaga(saga),
            OpenError::Store(error) => VerbError::Store(error),
        })
    }

    pub(super) async fn apply_asked(
        self: &Arc<Self>,
        live: &mut Live,
        event: Event,
        asked: Asked,
    ) -> Result<(), VerbError> {
        let with = || With {
            asked: asked.clone(),
            writes: None,
            intent: None,
        };
        let mut result = Err(AdvanceError::Fenced);
        for _ in 0..TAKES {
            // Another host's, alive or gone; an ended saga stays with the host that ended it. Between the taking and the change a crash
            // leaves a saga of this host, which the next one takes over.
            if live.fence.owner != self.host {
                let moment = Moment {
                    now_ms: self.store.now_ms(),
                    dice: 0,
                };
                saga::apply(&live.saga, event.clone(), moment)?;
                self.store.take(live.saga.id, self.host).await?;
                self.reload(live).await?;
            }
            result = self.advance(live, event.clone(), with()).await;
            if !matches!(result, Err(AdvanceError::Fenced)) {
                break;
            }
            self.reload(live).await?;
        }
        result.map_err(|error| match error {
            AdvanceError::Refused(refused) => VerbError::Refused(refused),
            AdvanceError::Fenced | AdvanceError::Turned => VerbError::Fenced,
            AdvanceError::Failed(reason) => VerbError::Store(StoreError::Unavailable(reason.into())),
            AdvanceError::Store(error) => VerbError::Store(error),
        })
    }

    /// Waits until the saga's revision differs from `revision` (`None`: until it rests, ended or in need of attention), at
    /// most `patience`, and answers how far it then is. `None`: there is no such saga.
    ///
    /// Most answers come from memory, and all are durable.
    pub async fn standing(
        &self,
        saga: SagaId,
        revision: Option<u64>,
        patience: Duration,
    ) -> Result<Option<Standing>, StoreError> {
        let there = |standing: Standing| match revision {
            Some(known) => standing.revision != known,
            None => standing.rests(),
        };
        let deadline = Instant::now() + patience;
        let mut watcher = self.watchers.watch(saga);
        let Some(now) = self.standing_now(saga, deadline).await? else {
            return Ok(None);
        };
        if there(now) {
            return Ok(Some(now));
        }
        let later = watcher.standing(|told| told.revision > now.revision && there(told));
        match tokio::time::timeout_at(deadline, later).await {
            Ok(Some(standing)) => Ok(Some(standing)),
            Ok(None) | Err(_) => self.standing_now(saga, deadline).await,
        }
    }

    /// From memory if the saga is there and nobody keeps it locked until `deadline`, else from its row.
    async fn standing_now(&self, saga: SagaId, deadline: Instant) -> Result<Option<Standing>, StoreError> {
        match tokio::time::timeout_at(deadline, self.table.standing(saga)).await {
            Ok(Some(standing)) => Ok(Some(standing)),
            Ok(None) | Err(_) => {
                let row = self.store.saga(saga).await?;
                Ok(row.map(|row| Standing {
                    revision: row.revision,
                    status: row.status,
                }))
            }
        }
    }
}

fn event_of(saga: &Saga, verb: Verb, asked: &Asked) -> Result<Event, VerbError> {
    let (actor, reason) = (asked.actor.clone(), asked.reason.clone());
    Ok(match verb {
        Verb::Cancel => Event::CancelRequested { actor, reason },
        Verb::Rollback => Event::RollbackRequested { actor, reason },
        Verb::Pause => Event::Held { hold: Hold::Saga },
        Verb::Resume => Event::Released { hold: Hold::Saga },
        Verb::Retry => Event::Retried,
        Verb::Skip { step } => Event::Skipped {
            step: step_named(saga, &step)?,
        },
        Verb::Abandon => Event::Abandoned,
    })
}

/// Names ignore case.
pub(super) fn step_named(saga: &Saga, step: &str) -> Result<StepIndex, VerbError> {
    saga.plan.step(step).ok_or_else(|| {
        let names: Vec<&str> = saga.plan.steps.iter().map(|step| step.name.as_str()).collect();
        VerbError::UnknownStep {
            step: step.to_owned(),
            steps: names.join(", "),
        }
    })
}
