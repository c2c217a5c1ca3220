//! What an operator asks of one saga. Audited: who and why are in the same transaction as the change.

use std::{sync::Arc, time::Duration};

use super::{
    Engine,
    drive::{AdvanceError, OpenError, With},
    request::{Asked, Verb, VerbError},
};
use crate::{
    saga::{Event, SagaId, Status},
    store::{SagaRow, StoreError},
};

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
        let mut entry = self.open(saga).await.map_err(|error| match error {
            OpenError::Unknown => VerbError::UnknownSaga(saga),
            OpenError::Store(error) => VerbError::Store(error),
        })?;
        let Some(live) = entry.live.as_mut() else {
            return Err(VerbError::UnknownSaga(saga));
        };
        let event = match verb {
            Verb::Cancel => Event::CancelRequested {
                actor: asked.actor.clone(),
                reason: asked.reason.clone(),
            },
            Verb::Retry => Event::Retried,
            Verb::Abandon => Event::Abandoned,
        };
        let mut result = self
            .advance(
                live,
                event.clone(),
                With {
                    asked: asked.clone(),
                    writes: None,
                    intent: None,
                },
            )
            .await;
        if matches!(result, Err(AdvanceError::Fenced)) && self.reload(live).await {
            result = self
                .advance(
                    live,
                    event,
                    With {
                        asked,
                        writes: None,
                        intent: None,
                    },
                )
                .await;
        }
        self.go_on(entry).await;
        result.map_err(|error| match error {
            AdvanceError::Refused(refused) => VerbError::Refused(refused),
            AdvanceError::Fenced | AdvanceError::Turned => VerbError::Fenced,
            AdvanceError::Failed(reason) => VerbError::Store(StoreError::Unavailable(reason.into())),
            AdvanceError::Store(error) => VerbError::Store(error),
        })
    }

    /// Waits until the saga's revision differs from `revision` (`None`: until it rests, ended or in need of attention), at
    /// most `timeout`, and answers it as it then is.
    pub async fn wait(
        &self,
        saga: SagaId,
        revision: Option<u64>,
        timeout: Duration,
    ) -> Result<Option<SagaRow>, StoreError> {
        let deadline = tokio::time::Instant::now() + timeout;
        let watcher = self.watchers.watch(saga);
        loop {
            let changed = watcher.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let Some(row) = self.store.saga(saga).await? else {
                return Ok(None);
            };
            let there = match revision {
                Some(known) => row.revision != known,
                None => row.status.is_final() || row.status == Status::NeedsAttention,
            };
            if there || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(Some(row));
            }
        }
    }
}
