//! Which sagas have a call in progress on this host: what its heartbeat tells, so that whoever takes over knows which saga
//! may have taken the host down.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    saga::SagaId,
    store::{HostId, Store},
};

/// Time between two heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Calls {
    by_saga: Mutex<HashMap<SagaId, u32>>,
    none_left: Notify,
}

impl Calls {
    pub fn begin(&self, saga: SagaId) {
        *self
            .by_saga
            .lock()
            .expect("no code panics under this lock")
            .entry(saga)
            .or_insert(0) += 1;
    }

    pub fn end(&self, saga: SagaId) {
        let mut by_saga = self.by_saga.lock().expect("no code panics under this lock");
        if let Some(count) = by_saga.get_mut(&saga) {
            *count -= 1;
            if *count == 0 {
                by_saga.remove(&saga);
            }
        }
        if by_saga.is_empty() {
            self.none_left.notify_waiters();
        }
    }

    fn sagas(&self) -> Vec<SagaId> {
        self.by_saga
            .lock()
            .expect("no code panics under this lock")
            .keys()
            .copied()
            .collect()
    }

    /// Waits until no call is in progress.
    pub async fn none_left(&self) {
        loop {
            let notified = self.none_left.notified();
            if self.sagas().is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// Tells the store, for ever; an idle host writes nothing.
    pub async fn beat(self: Arc<Self>, store: Arc<dyn Store>, host: HostId) {
        let mut told = Vec::new();
        loop {
            let mut sagas = self.sagas();
            sagas.sort();
            if sagas != told || !sagas.is_empty() {
                match store.heartbeat(host, &sagas).await {
                    Ok(()) => told = sagas,
                    Err(error) => tracing::warn!(%error, "the heartbeat can't be written"),
                }
            }
            tokio::time::sleep(HEARTBEAT).await;
        }
    }
}
