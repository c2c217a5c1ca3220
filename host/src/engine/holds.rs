//! Pausing more than one saga: everything, a definition, a service.
//!
//! The rows say what is paused, and are in memory too. Every saga follows them: whenever one is pumped, its own set of
//! [`Hold`]s is brought into line with the rows first, so that nothing is called against them, whatever a crash left
//! undone. Changing a row then goes through the sagas that it concerns, so that those asleep are held, or go on, at once;
//! the next start does the same for what this process didn't get to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use futures_util::future::join_all;

use super::{
    Engine,
    drive::{AdvanceError, OpenError, With},
    history,
    live::Live,
    request::Asked,
    services::closed_by,
};
use crate::{
    saga::{Event, Hold, Plan, SagaId},
    store::{HoldRow, HoldTarget, Store, StoreError},
};

/// Sagas that are gone through together.
const PAGE: u32 = 500;

/// What became of a pause, or of its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldChange {
    /// The pause in force, or the one that was lifted; none when there was none.
    pub hold: Option<HoldRow>,
    /// Sagas that are held, or released, because of it.
    pub sagas: u64,
}

/// The rows, as every pump reads them.
pub(super) struct Holds {
    rows: RwLock<Arc<Vec<HoldRow>>>,
    /// Who lifted what, for the events of the sagas that follow; only until the process ends.
    lifted: Mutex<HashMap<Hold, Asked>>,
    /// Held from a change of the rows to their picture in memory, so that changes follow one another.
    changing: tokio::sync::Mutex<()>,
}

impl Holds {
    pub async fn load(store: &dyn Store) -> Result<Holds, StoreError> {
        Ok(Holds {
            rows: RwLock::new(Arc::new(store.holds().await?)),
            lifted: Mutex::default(),
            changing: tokio::sync::Mutex::new(()),
        })
    }

    pub fn rows(&self) -> Arc<Vec<HoldRow>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn reload(&self, store: &dyn Store) -> Result<(), StoreError> {
        let rows = Arc::new(store.holds().await?);
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = rows;
        Ok(())
    }

    fn lifted(&self) -> std::sync::MutexGuard<'_, HashMap<Hold, Asked>> {
        self.lifted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a row means to a saga that it concerns.
fn hold_of(target: &HoldTarget) -> Hold {
    match target {
        HoldTarget::All => Hold::All,
        HoldTarget::Definition(_) => Hold::Definition,
        HoldTarget::Service(name) => Hold::Service(name.clone()),
    }
}

impl Engine {
    /// What is paused now, beyond single sagas.
    pub fn holds(&self) -> Arc<Vec<HoldRow>> {
        self.holds.rows()
    }

    /// What holds a saga of this plan, whatever it is paused for itself, and who says so.
    pub(super) fn holds_on(&self, plan: &Plan) -> BTreeMap<Hold, Asked> {
        let concerns = |row: &&HoldRow| match &row.target {
            HoldTarget::All => true,
            HoldTarget::Definition(name) => plan
                .definition
                .as_ref()
                .is_some_and(|definition| definition.name == *name),
            HoldTarget::Service(name) => self.catalog.may_call(plan, name),
        };
        let rows = self.holds.rows();
        let held = rows.iter().filter(concerns).map(|row| {
            let asked = Asked {
                actor: row.by.clone(),
                reason: row.reason.clone(),
            };
            (hold_of(&row.target), asked)
        });
        held.collect()
    }

    /// Brings what holds the saga into line with the rows. True: something changed.
    pub(super) async fn follow_holds(&self, live: &mut Live) -> Result<bool, AdvanceError> {
        // Each host sees to its own.
        if live.saga.status.is_final() || live.fence.owner != self.host {
            return Ok(false);
        }
        let mut wanted = self.holds_on(&live.saga.plan);
        let has = live.saga.paused.as_ref().map(|pause| pause.holds.clone());
        let has = has.unwrap_or_default();
        self.hold_elsewhere(live, &has, &mut wanted).await;
        let mut changes = Vec::new();
        for (hold, asked) in &wanted {
            if !has.contains(hold) {
                let event = Event::Held { hold: hold.clone() };
                changes.push((event, asked.clone()));
            }
        }
        for hold in has {
            if hold != Hold::Saga && !wanted.contains_key(&hold) {
                let asked = self.holds.lifted().get(&hold).cloned();
                changes.push((Event::Released { hold }, asked.unwrap_or_else(history::host)));
            }
        }
        let changed = !changes.is_empty();
        for (event, asked) in changes {
            let with = With {
                asked,
                writes: None,
                intent: None,
            };
            self.advance(live, event, with).await?;
        }
        Ok(changed)
    }

    /// Where a service reaches another account than the saga's, nothing of it may happen: its clocks stand still too. While the
    /// account isn't known, nothing changes.
    async fn hold_elsewhere(&self, live: &Live, has: &BTreeSet<Hold>, wanted: &mut BTreeMap<Hold, Asked>) {
        let known = |service: &str| self.services.known_identity(service);
        for service in live.accounts.elsewhere(known) {
            if let Some(identity) = known(&service) {
                self.check_account(live.saga.id, live.fence, &live.accounts, &service, &identity)
                    .await;
            }
            let asked = Asked {
                reason: Some(format!("{service} reaches another account than the saga's")),
                ..history::host()
            };
            wanted.entry(Hold::Service(service)).or_insert(asked);
        }
        for hold in has {
            if let Hold::Service(service) = hold
                && live.accounts.told()
                && live.accounts.has_used(service)
                && self.services.is_unread(service)
            {
                wanted.entry(hold.clone()).or_insert_with(history::host);
            }
        }
    }

    /// From the answer on nothing that this concerns begins; calls in progress come to their end. A pause that is there
    /// already stays as it is.
    ///
    /// Durable before the first saga is held: a crash in between is made good at the next start.
    pub async fn pause(self: &Arc<Self>, target: HoldTarget, asked: Asked) -> Result<HoldChange, StoreError> {
        let engine = self.clone();
        // A task of its own: a client that goes away must not leave it half carried out.
        let paused = tokio::spawn(async move {
            let changing = engine.holds.changing.lock().await;
            let hold = HoldRow {
                target,
                by: asked.actor,
                reason: asked.reason,
                since_ms: engine.store.now_ms(),
            };
            let hold = engine.store.put_hold(hold).await?;
            engine.holds.reload(engine.store.as_ref()).await?;
            drop(changing);
            let sagas = engine.hold_all(&hold.target).await?;
            let hold = Some(hold);
            Ok(HoldChange { hold, sagas })
        });
        paused
            .await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?
    }

    /// What was held by this, and by nothing else, goes on.
    pub async fn resume(
        self: &Arc<Self>,
        target: HoldTarget,
        asked: Asked,
    ) -> Result<HoldChange, StoreError> {
        let engine = self.clone();
        let resumed = tokio::spawn(async move {
            let changing = engine.holds.changing.lock().await;
            let was = engine
                .holds
                .rows()
                .iter()
                .find(|row| row.target == target)
                .cloned();
            engine.store.remove_hold(&target).await?;
            engine.holds.lifted().insert(hold_of(&target), asked);
            engine.holds.reload(engine.store.as_ref()).await?;
            drop(changing);
            let sagas = engine.release_all().await?;
            Ok(HoldChange { hold: was, sagas })
        });
        resumed
            .await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?
    }

    /// What another host has paused or resumed; its own sagas have followed already.
    pub(super) async fn refresh_holds(self: &Arc<Self>) -> Result<(), StoreError> {
        let changing = self.holds.changing.lock().await;
        let before = self.holds.rows();
        self.holds.reload(self.store.as_ref()).await?;
        let now = self.holds.rows();
        drop(changing);
        if before == now {
            return Ok(());
        }
        for row in now.iter().filter(|row| !before.contains(row)) {
            if let HoldTarget::Service(name) = &row.target {
                self.services.pause(name, closed_by(row));
            }
        }
        let is_paused = |target: &HoldTarget| now.iter().any(|row| row.target == *target);
        for row in before.iter().filter(|row| !is_paused(&row.target)) {
            if let HoldTarget::Service(name) = &row.target {
                self.services.resume(name);
            }
        }
        self.follow_all_holds().await
    }

    /// At the start: whatever an earlier process didn't get to.
    pub(super) async fn follow_all_holds(self: &Arc<Self>) -> Result<(), StoreError> {
        for row in self.holds.rows().iter() {
            self.hold_all(&row.target).await?;
        }
        self.release_all().await?;
        Ok(())
    }

    async fn hold_all(self: &Arc<Self>, target: &HoldTarget) -> Result<u64, StoreError> {
        let definition = match target {
            HoldTarget::Definition(name) => Some(name.as_str()),
            HoldTarget::All | HoldTarget::Service(_) => None,
        };
        let (mut followed, mut after) = (0, None);
        loop {
            let page = self.store.open_sagas(definition, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(followed);
            };
            after = Some(*last);
            followed += self.follow(&page).await;
        }
    }

    pub(super) async fn release_all(self: &Arc<Self>) -> Result<u64, StoreError> {
        let (mut followed, mut after) = (0, None);
        loop {
            let page = self.store.paused_sagas(after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(followed);
            };
            after = Some(*last);
            followed += self.follow(&page).await;
        }
    }

    /// How many of these changed. One that can't be read or written stands still; it follows when it is pumped next.
    async fn follow(self: &Arc<Self>, sagas: &[SagaId]) -> u64 {
        let changed = join_all(sagas.iter().map(|saga| self.follow_one(*saga))).await;
        changed.into_iter().map(u64::from).sum()
    }

    async fn follow_one(self: &Arc<Self>, saga: SagaId) -> bool {
        let waking = self.waking.acquire().await;
        let changed = match self.open(saga).await {
            Ok(mut entry) => {
                let followed = match entry.live.as_mut() {
                    Some(live) => self.follow_holds(live).await,
                    None => Ok(false),
                };
                self.go_on(entry).await;
                followed
            }
            Err(OpenError::Unknown) => Ok(false),
            Err(OpenError::Store(error)) => Err(error.into()),
        };
        drop(waking);
        changed.unwrap_or_else(|error| {
            tracing::warn!(%saga, %error, "the saga does not follow a pause yet");
            false
        })
    }
}
