//! Following what happens: who follows reads rows from the store whenever it is ready for more.
//!
//! The engine only says that something has changed, and keeps nothing for anybody: however slow a reader is, and however
//! many there are, no saga waits. What is read is durable.

use std::time::Duration;

use super::Engine;
use crate::{
    saga::SagaId,
    store::{EventRow, SagaRow, StepRow, StoreError},
};

/// Most events of one reading.
pub const NEWS: u32 = 200;

/// Commits that follow each other are looked at together: a reader costs the host no more than this allows.
const GATHERING: Duration = Duration::from_millis(50);

/// One saga as it stands, with what happened since the reader's last reading.
#[derive(Debug, Clone)]
pub struct SagaNews {
    /// Oldest first; more may follow at once.
    pub events: Vec<EventRow>,
    /// At least as new as the events.
    pub row: SagaRow,
    pub steps: Vec<StepRow>,
}

impl Engine {
    /// Waits until the saga has events after the event `after`, or another revision than `revision`, or has ended. `None`:
    /// there is no such saga.
    ///
    /// An ended saga with the same revision and without events has nothing more to tell.
    pub async fn saga_news(
        &self,
        saga: SagaId,
        after: i64,
        revision: Option<u64>,
    ) -> Result<Option<SagaNews>, StoreError> {
        let mut watcher = self.watchers.watch(saga);
        loop {
            let events = self.store.events(saga, after, NEWS).await?;
            let Some(row) = self.store.saga(saga).await? else {
                return Ok(None);
            };
            if !events.is_empty() || revision != Some(row.revision) || row.status.is_final() {
                let steps = self.store.steps(saga).await?;
                return Ok(Some(SagaNews { events, row, steps }));
            }
            watcher.changed().await;
        }
    }

    /// Waits until there are events after the event `after`, of whatever saga; oldest first, at most [`NEWS`]. Empty only
    /// when the host ends.
    pub async fn news(&self, after: i64) -> Result<Vec<EventRow>, StoreError> {
        let mut commits = self.writer.commits();
        loop {
            let events = self.store.events_after(after, NEWS).await?;
            if !events.is_empty() || commits.changed().await.is_err() {
                return Ok(events);
            }
            tokio::time::sleep(GATHERING).await;
        }
    }
}
