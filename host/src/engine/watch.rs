//! Who waits for a change of a saga: costs nothing for sagas that nobody watches.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;

use crate::saga::SagaId;

#[derive(Default)]
pub struct Watchers {
    waiting: Mutex<HashMap<SagaId, Arc<Notify>>>,
}

/// Keeps the saga watched; the last one to go takes the entry with it.
pub struct Watcher<'a> {
    watchers: &'a Watchers,
    saga: SagaId,
    pub changed: Arc<Notify>,
}

impl Watchers {
    pub fn watch(&self, saga: SagaId) -> Watcher<'_> {
        let changed = self
            .waiting
            .lock()
            .expect("no code panics under this lock")
            .entry(saga)
            .or_default()
            .clone();
        Watcher {
            watchers: self,
            saga,
            changed,
        }
    }

    pub fn tell(&self, saga: SagaId) {
        if let Some(changed) = self
            .waiting
            .lock()
            .expect("no code panics under this lock")
            .get(&saga)
        {
            changed.notify_waiters();
        }
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        let mut waiting = self
            .watchers
            .waiting
            .lock()
            .expect("no code panics under this lock");
        // The table's own and ours: nobody else waits.
        if Arc::strong_count(&self.changed) == 2 {
            waiting.remove(&self.saga);
        }
    }
}
