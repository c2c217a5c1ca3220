//! Which sagas have a call in progress on this host: what its heartbeat tells, so that whoever takes over knows which saga
//! may have taken the host down.

use std::{collections::HashMap, sync::Mutex};

use tokio::sync::Notify;

use crate::saga::SagaId;

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

    pub fn sagas(&self) -> Vec<SagaId> {
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
}
