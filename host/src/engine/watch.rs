//! Who waits for a change of a saga: costs nothing for sagas that nobody watches, and wakes nobody before what they wait for.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use tokio::sync::watch;

use crate::{
    saga::{Saga, SagaId, Status},
    store::SagaRow,
};

/// How far a saga is, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub revision: u64,
    pub status: Status,
}

impl Standing {
    pub(super) fn of(saga: &Saga) -> Standing {
        Standing {
            revision: saga.revision,
            status: saga.status,
        }
    }

    /// Nothing more happens until somebody asks for it.
    pub fn rests(self) -> bool {
        self.status.is_final() || self.status == Status::NeedsAttention
    }
}

/// The last change that was told; none yet.
type News = watch::Sender<Option<Standing>>;

#[derive(Default)]
pub struct Watchers {
    watched: Mutex<HashMap<SagaId, Arc<News>>>,
}

/// Keeps the saga watched; the last one to go takes the entry with it.
pub struct Watcher<'a> {
    watchers: &'a Watchers,
    saga: SagaId,
    news: Arc<News>,
    changes: watch::Receiver<Option<Standing>>,
}

impl Watchers {
    /// Every change from now on is seen.
    pub fn watch(&self, saga: SagaId) -> Watcher<'_> {
        let news = self
            .watched
            .lock()
            .expect("no code panics under this lock")
            .entry(saga)
            .or_insert_with(|| Arc::new(News::new(None)))
            .clone();
        Watcher {
            watchers: self,
            saga,
            changes: news.subscribe(),
            news,
        }
    }

    /// What is told is durable.
    pub fn tell(&self, saga: &Saga) {
        self.tell_standing(saga.id, Standing::of(saga));
    }

    /// What another host may have changed.
    pub fn tell_row(&self, row: &SagaRow) {
        let standing = Standing {
            revision: row.revision,
            status: row.status,
        };
        self.tell_standing(row.id, standing);
    }

    fn tell_standing(&self, saga: SagaId, standing: Standing) {
        if let Some(news) = self
            .watched
            .lock()
            .expect("no code panics under this lock")
            .get(&saga)
        {
            // A row that was read before the last change is old news.
            news.send_if_modified(|told| {
                let is_news = told.is_none_or(|told| told.revision < standing.revision);
                if is_news {
                    *told = Some(standing);
                }
                is_news
            });
        }
    }

    /// Those that somebody waits for.
    pub fn sagas(&self) -> HashSet<SagaId> {
        self.watched
            .lock()
            .expect("no code panics under this lock")
            .keys()
            .copied()
            .collect()
    }
}

impl Watcher<'_> {
    /// The saga has changed since this was last asked, or since the watch began.
    pub async fn changed(&mut self) {
        // The sender is kept beside the receiver: there is no error.
        let _ = self.changes.changed().await;
    }

    /// The next standing of this kind, or the last one told if it is of the kind.
    pub async fn standing(&mut self, wanted: impl Fn(Standing) -> bool) -> Option<Standing> {
        let told = self.changes.wait_for(|told| told.is_some_and(&wanted)).await;
        told.ok().and_then(|told| *told)
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        let mut watched = self
            .watchers
            .watched
            .lock()
            .expect("no code panics under this lock");
        // The table's own and ours: nobody else waits.
        if Arc::strong_count(&self.news) == 2 {
            watched.remove(&self.saga);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAGA: SagaId = SagaId(uuid::Uuid::from_u128(1));

    fn at(revision: u64, status: Status) -> Standing {
        Standing { revision, status }
    }

    #[tokio::test]
    async fn a_watcher_waits_for_the_standing_that_it_wants() {
        let watchers = Watchers::default();
        watchers.tell_standing(SAGA, at(1, Status::Completed));
        let mut watcher = watchers.watch(SAGA);
        let mut rest = std::pin::pin!(watcher.standing(Standing::rests));
        assert!(
            futures_util::poll!(&mut rest).is_pending(),
            "told before the watch"
        );
        watchers.tell_standing(SAGA, at(2, Status::Compensating));
        assert!(futures_util::poll!(&mut rest).is_pending());
        watchers.tell_standing(SAGA, at(3, Status::NeedsAttention));
        assert_eq!(rest.await, Some(at(3, Status::NeedsAttention)));
    }

    #[test]
    fn nobody_is_kept_for_a_saga_that_is_no_longer_watched() {
        let watchers = Watchers::default();
        let (one, other) = (watchers.watch(SAGA), watchers.watch(SAGA));
        drop(one);
        assert_eq!(watchers.watched.lock().unwrap().len(), 1);
        drop(other);
        assert_eq!(watchers.watched.lock().unwrap().len(), 0);
    }
}
