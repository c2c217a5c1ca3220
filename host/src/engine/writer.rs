//! Group commit: the one task through which sagas change.
//!
//! Runners hand it changes; it commits what has gathered since the last commit was done, at most [`BATCH`] at a time, in
//! one transaction, in the order in which they came. Nobody gets an answer before the disk has it. A queue that is full makes
//! callers wait ([`Writer::submit`]) or is told to people ([`Writer::offer`]); it never grows.
//!
//! A commit may take long: somebody keeps its rows locked, or its answer is lost and the server can't be asked what became of it. Who
//! is in it waits until that is known. After [`LATE`] nobody else does: what has come since is refused, and is not written.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::health::Health;
use crate::store::{Applied, Change, Store, StoreError, end_process};

/// Most changes of one transaction.
pub const BATCH: usize = 256;
/// Changes that may wait for the disk.
const QUEUE: usize = 4_096;
/// How long a commit may take before others are told that the database doesn't answer.
const LATE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Pending>,
    commits: watch::Sender<u64>,
}

struct Pending {
    change: Change,
    answer: oneshot::Sender<Result<Applied, StoreError>>,
}

/// The queue is full: nothing was taken.
#[derive(Debug)]
pub struct QueueFull;

impl Writer {
    /// The task ends when the last `Writer` is dropped and the queue is empty.
    pub fn start(store: Arc<dyn Store>, health: Arc<Health>) -> (Writer, JoinHandle<()>) {
        let (queue, incoming) = mpsc::channel(QUEUE);
        let commits = watch::Sender::new(0);
        let writing = tokio::spawn(write(store, health, incoming, commits.clone()));
        (Writer { queue, commits }, writing)
    }

    /// Changes with every commit from now on, whoever looks.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Another host has committed something.
    pub fn others_committed(&self) {
        self.commits.send_modify(|count| *count += 1);
    }

    /// Waits for a place in the queue and for the disk. The change may be committed even when this future is dropped.
    pub async fn submit(&self, change: Change) -> Result<Applied, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .send(Pending { change, answer })
            .await
            .map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// As `submit`, but never waits for a place in the queue.
    pub async fn offer(&self, change: Change) -> Result<Result<Applied, StoreError>, QueueFull> {
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Pending { change, answer }) {
            Ok(()) => Ok(answered.await.unwrap_or_else(|_| Err(gone()))),
            Err(mpsc::error::TrySendError::Full(_)) => Err(QueueFull),
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(Err(gone())),
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the host is shutting down".into())
}

async fn write(
    store: Arc<dyn Store>,
    health: Arc<Health>,
    mut incoming: mpsc::Receiver<Pending>,
    commits: watch::Sender<u64>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while incoming.recv_many(&mut batch, BATCH).await > 0 {
        let (changes, answers): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .map(|pending| (pending.change, pending.answer))
            .unzip();
        match commit(&*store, &health, &mut incoming, changes).await {
            Ok(applied) => {
                health.written();
                commits.send_modify(|count| *count += 1);
                for (answer, applied) in answers.into_iter().zip(applied) {
                    // A caller that has gone away needs no answer; its change is durable all the same.
                    let _ = answer.send(Ok(applied));
                }
            }
            Err(StoreError::Durability(reason)) => end_process(&reason),
            Err(error) => {
                health.not_written();
                tracing::error!(%error, changes = answers.len(), "a commit failed; its changes are not applied");
                let reason = error.to_string();
                for answer in answers {
                    let _ = answer.send(Err(StoreError::Unavailable(reason.clone().into())));
                }
            }
        }
    }
}

/// Refuses what comes while the commit is late.
async fn commit(
    store: &dyn Store,
    health: &Health,
    incoming: &mut mpsc::Receiver<Pending>,
    changes: Vec<Change>,
) -> Result<Vec<Applied>, StoreError> {
    let mut committed = store.commit(changes);
    if let Ok(committed) = tokio::time::timeout(LATE, &mut committed).await {
        return committed;
    }
    health.not_written();
    tracing::warn!(
        seconds = LATE.as_secs(),
        "the database has not answered a commit; what comes meanwhile is refused"
    );
    loop {
        tokio::select! {
            biased;
            committed = &mut committed => return committed,
            Some(pending) = incoming.recv() => {
                let reason = "an earlier commit has not been answered yet";
                let _ = pending.answer.send(Err(StoreError::Unavailable(reason.into())));
            }
        }
    }
}
