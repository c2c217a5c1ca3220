//! Living beside other hosts on the same database: heartbeats, claims, and what others have changed.
//!
//! No host talks to another: what they know of each other is in the database. On a store that only one host may have open there
//! is nobody else, and all of this is one claim at the start.

use std::{
    collections::HashSet,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::{Engine, drive};
use crate::{
    saga::{Event, SagaId},
    store::{Beat, HostRow, StoreError, Takeover},
};

/// Sagas that are claimed in one transaction: few enough that hosts which claim at the same time share them.
const CLAIM: u32 = 200;
/// Time between two looks for sagas whose owner is lost.
const CLAIM_EVERY: Duration = Duration::from_secs(1);
/// How soon a failed heartbeat is tried again.
const BEAT_AGAIN: Duration = Duration::from_millis(500);
/// Between two looks at what other hosts have changed of what is kept in memory.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// Between two looks for events of other hosts.
const LISTEN_EVERY: Duration = Duration::from_millis(200);

impl Engine {
    /// Hosts that work on the database, or did, newest first; the living ones before the lost ones.
    pub async fn hosts(&self, limit: u32) -> Result<Vec<HostRow>, StoreError> {
        self.store.hosts(limit).await
    }

    pub fn is_this(&self, host: &HostRow) -> bool {
        host.id == self.host
    }

    /// Resolves once other hosts may own what this one owned: it has to end.
    pub async fn lost(&self) {
        self.lease.lost().await;
    }

    pub fn is_lost(&self) -> bool {
        self.lease.is_lost()
    }

    /// Everything that lost hosts owned.
    pub(super) async fn claim_all(self: &Arc<Self>) -> Result<(), StoreError> {
        loop {
            let Takeover { taken, called } = self.store.claim(self.host, CLAIM).await?;
            if taken.is_empty() {
                return Ok(());
            }
            tracing::info!(sagas = taken.len(), called = called.len(), "sagas taken over");
            // Before they are due here: a saga that takes hosts down must be counted before it is called again.
            for saga in called {
                self.taken_over(saga).await;
            }
            self.timers.scan_now();
        }
    }

    /// A lost host was calling this saga: that is counted, since the saga may be what took it down.
    async fn taken_over(&self, saga: SagaId) {
        let Ok(mut entry) = self.open(saga).await else {
            return;
        };
        if let Some(live) = entry.live.as_mut()
            && let Err(error) = self
                .advance(live, Event::TakenOver { calling: true }, drive::With::nothing())
                .await
        {
            tracing::warn!(%saga, %error, "the takeover can't be counted");
        }
        self.table.give_up(saga, &mut entry);
    }

    /// For ever. Alone, an idle host writes nothing, as long as its database can be written.
    pub(super) async fn beat(self: Arc<Self>) {
        let engine = Arc::downgrade(&self);
        let (shared, every) = (self.store.is_shared(), self.lease_options.heartbeat);
        drop(self);
        let mut told = Vec::new();
        loop {
            let Some(engine) = engine.upgrade() else { return };
            let mut calling = engine.calls.sagas();
            calling.sort();
            let mut wait = every;
            if shared || !engine.health.is_well() || calling != told || !calling.is_empty() {
                let asked = Instant::now();
                match engine
                    .store
                    .heartbeat(engine.host, &calling, engine.lease_ms())
                    .await
                {
                    Ok(beat) => {
                        engine.health.written();
                        told.clone_from(&calling);
                        engine.beaten(beat, asked).await;
                    }
                    Err(error) => {
                        engine.health.not_written();
                        tracing::warn!(%error, "the heartbeat can't be written");
                        wait = wait.min(BEAT_AGAIN);
                    }
                }
            }
            if engine.lease.is_lost() {
                return;
            }
            drop(engine);
            tokio::time::sleep(wait).await;
        }
    }

    /// `asked`: when the heartbeat was sent.
    async fn beaten(self: &Arc<Self>, beat: Beat, asked: Instant) {
        match beat {
            Beat::Lost => self.lease.lose("another host has found it run out"),
            Beat::Alive {
                strangers,
                hosts,
                eldest,
            } => {
                self.lease.extend(asked);
                self.services.share_among(hosts);
                self.eldest.store(eldest, Ordering::Release);
                for saga in strangers {
                    self.let_go(saga).await;
                }
            }
        }
    }

    /// Another host owns the saga: its calls here end.
    async fn let_go(&self, saga: SagaId) {
        let Ok(mut entry) = self.open(saga).await else {
            return;
        };
        let Some(live) = entry.live.as_mut() else { return };
        match self.reload(live).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!(%saga, "another host has taken the saga");
                self.table.give_up(saga, &mut entry);
            }
            Err(error) => {
                tracing::warn!(%saga, %error, "a saga that another host has taken can't be read; the next heartbeat names it again")
            }
        }
    }

    /// For ever: takes over what lost hosts leave.
    pub(super) async fn claim_for_ever(engine: Weak<Engine>) {
        loop {
            tokio::time::sleep(CLAIM_EVERY).await;
            let Some(engine) = engine.upgrade() else { return };
            if engine.is_ending() {
                return;
            }
            if let Err(error) = engine.claim_all().await {
                tracing::warn!(%error, "the sagas of lost hosts can't be claimed; trying again in a second");
            }
        }
    }

    /// For ever: what other hosts change of what this one keeps in memory.
    pub(super) async fn follow_peers(engine: Weak<Engine>) {
        loop {
            tokio::time::sleep(FOLLOW_EVERY).await;
            let Some(engine) = engine.upgrade() else { return };
            let followed = async {
                engine.catalog.refresh().await?;
                engine.refresh_holds().await
            };
            if let Err(error) = followed.await {
                tracing::warn!(%error, "what other hosts have changed can't be read; trying again in a second");
            }
        }
    }

    /// For ever: tells those who wait for news that another host has made some.
    pub(super) async fn listen_to_peers(engine: Weak<Engine>) {
        let mut newest = None;
        loop {
            tokio::time::sleep(LISTEN_EVERY).await;
            let Some(engine) = engine.upgrade() else { return };
            let now = match engine.store.newest_event().await {
                Ok(now) => now,
                Err(error) => {
                    tracing::debug!(%error, "new events can't be read");
                    continue;
                }
            };
            if newest.replace(now).is_some_and(|before| before == now) {
                continue;
            }
            engine.writer.others_committed();
            let watched: HashSet<SagaId> = engine.watchers.sagas();
            let watched: Vec<SagaId> = watched.into_iter().collect();
            if let Ok(rows) = engine.store.sagas_of(&watched).await {
                for row in rows {
                    engine.watchers.tell_row(&row);
                }
            }
        }
    }
}
