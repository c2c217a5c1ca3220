//! Accepting a saga: 202 is said only when it is durable.

use std::sync::Arc;

use super::{
    Engine, history,
    live::Live,
    request::{Asked, StartError, StartSaga, Started},
};
use crate::{
    saga::{Hold, Saga, SagaId},
    store::{Accept, Applied, Change, Fence, Header, StoreError},
};

/// Sagas that may be in memory, running or waiting to: beyond that, new ones are refused for a while.
pub const MAX_LIVE: usize = 20_000;
const RETRY_AFTER_S: u64 = 1;

impl Engine {
    /// Resolves the plan, writes the saga down, and lets it run. A crash before the answer leaves either no saga, or one that
    /// runs and that the same idempotency key finds.
    pub async fn start_saga(self: &Arc<Self>, request: StartSaga) -> Result<Started, StartError> {
        if self.table.len() >= MAX_LIVE {
            return Err(StartError::Overloaded {
                retry_after_s: RETRY_AFTER_S,
            });
        }
        let resolved = self
            .catalog
            .resolve(&request.plan, &request.params, &request.inputs)?;
        let now_ms = self.store.now_ms();
        let id = SagaId(uuid::Uuid::now_v7());
        let mut holds = self.holds_on(&resolved.plan);
        if request.paused {
            let asked = Asked {
                actor: request.actor.clone(),
                reason: None,
            };
            holds.insert(Hold::Saga, asked);
        }
        let mut events = vec![history::accepted(&request.actor)];
        events.extend(holds.iter().map(|(hold, asked)| history::paused(hold, asked)));
        let holds = holds.into_keys().collect();
        let saga = Arc::new(Saga::accept(id, resolved.plan.clone(), holds, now_ms));
        let header = Header {
            deployment_id: request.deployment_id,
            triggered_by: request.triggered_by,
            inputs: request.inputs,
            created_ms: now_ms,
        };
        let fence = Fence {
            owner: self.host,
            number: 1,
        };
        let accept = Accept {
            saga: saga.clone(),
            plan_digest: resolved.digest.clone(),
            header: header.clone(),
            fence,
            idempotency: request.idempotency.clone(),
            events,
        };
        let engine = self.clone();
        // A task of its own: a client that goes away must not stop what was accepted.
        let accepted =
            tokio::spawn(async move { engine.accept(accept, Live::new(saga, header, fence)).await });
        let applied = accepted
            .await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))??;
        match (applied, request.idempotency) {
            (Applied::Done, _) => Ok(Started {
                saga: id,
                created: true,
            }),
            (Applied::Duplicate { saga, request_hash }, Some(asked))
                if request_hash == asked.request_hash =>
            {
                Ok(Started { saga, created: false })
            }
            (Applied::Duplicate { saga, .. }, _) => Err(StartError::KeyReused(saga)),
            (applied @ (Applied::Fenced | Applied::Turned | Applied::Failed(_)), _) => {
                Err(StoreError::Unavailable(format!("the saga was not stored: {applied:?}").into()).into())
            }
        }
    }

    async fn accept(self: &Arc<Self>, accept: Accept, live: Live) -> Result<Applied, StartError> {
        let saga = live.saga.id;
        let applied = match self.writer.offer(Change::Accept(Box::new(accept))).await {
            Ok(applied) => applied?,
            Err(super::writer::QueueFull) => {
                return Err(StartError::Overloaded {
                    retry_after_s: RETRY_AFTER_S,
                });
            }
        };
        if applied == Applied::Done {
            let mut entry = self.table.lock(saga).await;
            entry.live.get_or_insert(live);
            self.go_on(entry).await;
        }
        Ok(applied)
    }
}
