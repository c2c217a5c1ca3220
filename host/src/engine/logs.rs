//! What steps say, on its way to the store: in batches, apart from the sagas' own changes, so that nothing ever waits for a
//! line.
//!
//! A line is readable at most a moment after it was said. Lines are not durable when they are said: a crash loses those of
//! its last moment, a store that is away or a queue that is full loses lines too, and the host's own log says how many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::store::{NewLog, Store, StoreError, end_process};

/// Lines that may wait for the store; more are dropped.
const QUEUE: usize = 2_048;
/// Most lines of one transaction.
const BATCH: usize = 512;
/// Between two transactions: they share the disk with the sagas' own.
const PAUSE: Duration = Duration::from_millis(200);

pub struct Logs {
    queue: mpsc::Sender<Item>,
    dropped: Arc<AtomicU64>,
}

enum Item {
    Line(NewLog),
    /// Answered when everything before it is written.
    Flush(oneshot::Sender<()>),
}

impl Logs {
    pub fn start(store: Arc<dyn Store>) -> (Logs, JoinHandle<()>) {
        let (queue, incoming) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let writing = tokio::spawn(write(store, incoming, dropped.clone()));
        (Logs { queue, dropped }, writing)
    }

    /// Never waits.
    pub fn say(&self, line: NewLog) {
        if self.queue.try_send(Item::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was said before is written.
    pub async fn flush(&self) {
        let (flush, flushed) = oneshot::channel();
        if self.queue.send(Item::Flush(flush)).await.is_ok() {
            // An error says that the task has ended: there is nothing left to wait for.
            let _ = flushed.await;
        }
    }
}

async fn write(store: Arc<dyn Store>, mut incoming: mpsc::Receiver<Item>, dropped: Arc<AtomicU64>) {
    let mut batch = Vec::with_capacity(BATCH);
    while incoming.recv_many(&mut batch, BATCH).await > 0 {
        let mut lines = Vec::with_capacity(batch.len());
        let mut flushes = Vec::new();
        for item in batch.drain(..) {
            match item {
                Item::Line(line) => lines.push(line),
                Item::Flush(flush) => flushes.push(flush),
            }
        }
        add(&*store, lines, &dropped).await;
        if flushes.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        for flush in flushes {
            // Who waited may have gone away.
            let _ = flush.send(());
        }
    }
}

async fn add(store: &dyn Store, lines: Vec<NewLog>, dropped: &AtomicU64) {
    let count = lines.len() as u64;
    if count > 0 {
        match store.add_logs(lines).await {
            Ok(()) => {}
            Err(StoreError::Durability(reason)) => end_process(&reason),
            Err(error) => {
                tracing::warn!(%error, "what steps said can't be written");
                dropped.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
    let lost = dropped.swap(0, Ordering::Relaxed);
    if lost > 0 {
        tracing::warn!(lines = lost, "lines that steps said were dropped");
    }
}
