//! A store that counts the writer's transactions and can make each of them slow, or keep what is written from arriving at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arcadia::store::{SqlStore, Store};
use async_trait::async_trait;
use tokio::sync::watch;

use super::around::{Around, Wrapped};

pub struct Counting {
    commits: Arc<AtomicU64>,
    each: Duration,
    cut: watch::Receiver<bool>,
}

impl Counting {
    /// `each`: what every commit takes longer.
    pub fn wrap(commits: Arc<AtomicU64>, each: Duration) -> impl FnOnce(SqlStore) -> Arc<dyn Store> {
        let cut = watch::Sender::new(false).subscribe();
        move |inner| Wrapped::of(Arc::new(inner), Counting { commits, each, cut })
    }

    /// While `cut` is true nothing that is written arrives, and nobody is told.
    pub fn behind(inner: Arc<dyn Store>, cut: &watch::Sender<bool>) -> Arc<dyn Store> {
        let counting = Counting {
            commits: Arc::default(),
            each: Duration::ZERO,
            cut: cut.subscribe(),
        };
        Wrapped::of(inner, counting)
    }
}

#[async_trait]
impl Around for Counting {
    async fn before(&self, call: &'static str) {
        // An error: the sender is gone, and nobody cuts it any more.
        let _ = self.cut.clone().wait_for(|cut| !cut).await;
        if call != "commit" {
            return;
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        if !self.each.is_zero() {
            tokio::time::sleep(self.each).await;
        }
    }

    async fn after(&self, _: &'static str) {}
}
