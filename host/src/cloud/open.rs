//! Which steps have an exchange on the wire.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::budget::Caller;

#[derive(Debug, Clone, Default)]
pub(super) struct OpenExchanges {
    open: Arc<Mutex<HashMap<Caller, Open>>>,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    ended: Arc<Notify>,
}

impl OpenExchanges {
    /// Counted until the guard is dropped.
    pub fn enter(&self, caller: Caller) -> OpenGuard {
        self.lock().entry(caller).or_default().count += 1;
        OpenGuard {
            exchanges: self.clone(),
            caller,
        }
    }

    /// Resolves when the caller has none.
    pub async fn idle(self, caller: Caller) {
        loop {
            // Made under the lock: an end after it can't be missed.
            let ended = match self.lock().get(&caller) {
                None => return,
                Some(open) => open.ended.clone().notified_owned(),
            };
            ended.await;
        }
    }

    /// Resolves when nobody has any.
    pub async fn all_idle(self) {
        loop {
            let first = self.lock().keys().next().copied();
            match first {
                None => return,
                Some(caller) => self.clone().idle(caller).await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Caller, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct OpenGuard {
    exchanges: OpenExchanges,
    caller: Caller,
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        let mut open = self.exchanges.lock();
        if let Some(entry) = open.get_mut(&self.caller) {
            entry.count -= 1;
            if entry.count == 0
                && let Some(entry) = open.remove(&self.caller)
            {
                entry.ended.notify_waiters();
            }
        }
    }
}
