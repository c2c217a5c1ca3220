//! Durable timers. The truth is `wake_ms` in the rows; in memory are only the wakes of the near horizon, read by one scan for
//! all sagas every [`SCAN_MS`], and those that were set since.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    saga::SagaId,
    store::{HostId, Store},
};

/// Wakes up to this far ahead are kept in memory, milliseconds.
const HORIZON_MS: i64 = 30_000;
/// Time between two scans, milliseconds; less than the horizon, so that no wake falls between them.
const SCAN_MS: u64 = 10_000;
/// Most rows of one scan.
const SCAN_ROWS: u32 = 50_000;

#[derive(Default)]
pub struct Timers {
    near: Mutex<BTreeSet<(i64, SagaId)>>,
    earlier: Notify,
    scan: AtomicBool,
}

impl Timers {
    /// Far wakes are left to the scan, which finds them in their rows.
    pub fn set(&self, wake_ms: i64, saga: SagaId, now_ms: i64) {
        if wake_ms.saturating_sub(now_ms) > HORIZON_MS {
            return;
        }
        let first = {
            let mut near = self.near.lock().expect("no code panics under this lock");
            near.insert((wake_ms, saga));
            near.first() == Some(&(wake_ms, saga))
        };
        if first {
            self.earlier.notify_one();
        }
    }

    /// Sagas have come whose wakes are only in their rows.
    pub fn scan_now(&self) {
        self.scan.store(true, Ordering::Release);
        self.earlier.notify_one();
    }

    /// Sagas that are due, and how long until the next one is.
    fn take_due(&self, now_ms: i64) -> (Vec<SagaId>, Option<Duration>) {
        let mut near = self.near.lock().expect("no code panics under this lock");
        let later = near.split_off(&(now_ms.saturating_add(1), SagaId(uuid::Uuid::nil())));
        let mut due: Vec<SagaId> = std::mem::replace(&mut *near, later)
            .into_iter()
            .map(|(_, saga)| saga)
            .collect();
        due.dedup();
        let wait = near
            .first()
            .map(|(wake_ms, _)| Duration::from_millis(wake_ms.saturating_sub(now_ms).max(1).unsigned_abs()));
        (due, wait)
    }

    /// Hands every due saga to `wake`, for ever.
    pub async fn run(self: Arc<Self>, store: Arc<dyn Store>, host: HostId, wake: impl Fn(SagaId)) {
        let mut next_scan = tokio::time::Instant::now();
        loop {
            if self.scan.swap(false, Ordering::AcqRel) || tokio::time::Instant::now() >= next_scan {
                next_scan = tokio::time::Instant::now() + self.scan(&store, host).await;
            }
            let (due, wait) = self.take_due(store.now_ms());
            due.into_iter().for_each(&wake);
            let until_scan = next_scan.saturating_duration_since(tokio::time::Instant::now());
            let pause = wait.map_or(until_scan, |wait| wait.min(until_scan));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.earlier.notified() => {}
            }
        }
    }

    /// Time until the next scan.
    async fn scan(&self, store: &Arc<dyn Store>, host: HostId) -> Duration {
        let until_ms = store.now_ms().saturating_add(HORIZON_MS);
        match store.due(host, until_ms, SCAN_ROWS).await {
            Ok(rows) => {
                let full = rows.len() >= SCAN_ROWS as usize;
                let mut near = self.near.lock().expect("no code panics under this lock");
                near.extend(rows.into_iter().map(|(saga, wake_ms)| (wake_ms, saga)));
                Duration::from_millis(if full { SCAN_MS / 10 } else { SCAN_MS })
            }
            Err(error) => {
                tracing::warn!(%error, "sleeping sagas can't be read; looking again in a second");
                Duration::from_secs(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saga(number: u128) -> SagaId {
        SagaId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn only_what_is_due_is_taken_and_the_far_is_not_kept() {
        let timers = Timers::default();
        timers.set(1_000, saga(1), 0);
        timers.set(1_000, saga(1), 0);
        timers.set(2_000, saga(2), 0);
        timers.set(HORIZON_MS + 1, saga(3), 0);
        assert_eq!(timers.take_due(999), (vec![], Some(Duration::from_millis(1))));
        assert_eq!(
            timers.take_due(1_000),
            (vec![saga(1)], Some(Duration::from_millis(1_000)))
        );
        assert_eq!(timers.take_due(i64::MAX - 1), (vec![saga(2)], None));
    }
}
