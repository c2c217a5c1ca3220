//! Sagas in memory: only those that are being changed or called. A saga that sleeps is a row.
//!
//! Each saga has one entry with one lock, so that its changes are serial; whoever finds an entry that was given up
//! meanwhile looks again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, OwnedMutexGuard};

use super::{
    accounts::{Accounts, SERVICE_CHANGED},
    watch::Standing,
};
use crate::{
    saga::{Json, Phase, Saga, SagaId, StepIndex, Writes},
    store::{Fence, Header, LoadedSaga},
};

pub struct Live {
    pub saga: Arc<Saga>,
    pub header: Arc<Header>,
    pub fence: Fence,
    /// `(scope, key)` to value.
    pub context: BTreeMap<(String, String), Json>,
    pub calling: HashMap<(StepIndex, Phase), Calling>,
    /// A mutating intent may be in the journal: what ends is checked against it.
    pub has_intents: Arc<AtomicBool>,
    pub accounts: Arc<Accounts>,
}

/// A call in progress on this host.
pub struct Calling {
    /// The saga no longer wants its result; what `info.cancel-requested` says.
    pub unwanted: Arc<AtomicBool>,
    /// Ends the guest.
    pub cut: Arc<Notify>,
}

impl Live {
    pub fn new(saga: Arc<Saga>, header: Header, fence: Fence) -> Live {
        Live {
            saga,
            header: Arc::new(header),
            fence,
            context: BTreeMap::new(),
            calling: HashMap::new(),
            has_intents: Arc::new(AtomicBool::new(false)),
            accounts: Arc::default(),
        }
    }

    pub fn loaded(loaded: LoadedSaga) -> Live {
        let told = loaded.open_findings.contains(SERVICE_CHANGED);
        let live = Live {
            context: loaded.context,
            accounts: Arc::new(Accounts::loaded(loaded.identities, told)),
            ..Live::new(Arc::new(loaded.saga), loaded.header, loaded.fence)
        };
        live.has_intents.store(true, Ordering::Relaxed);
        live
    }

    pub fn keep(&mut self, step: StepIndex, writes: &Writes) {
        let scope = &self.saga.plan.steps[step].scope;
        for (key, value) in &writes.context {
            let key = (scope.clone(), key.clone());
            match value {
                Some(value) => drop(self.context.insert(key, value.clone())),
                None => drop(self.context.remove(&key)),
            }
        }
    }

    /// What the scope of a step shows.
    pub fn shown_to(&self, step: StepIndex) -> BTreeMap<String, Json> {
        let scope = &self.saga.plan.steps[step].scope;
        self.context
            .range((scope.clone(), String::new())..)
            .take_while(|((of, _), _)| of == scope)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// `None`: not loaded yet.
type Slot = Arc<tokio::sync::Mutex<Entry>>;

pub struct Entry {
    pub live: Option<Live>,
    /// No longer in the table: look again.
    given_up: bool,
}

#[derive(Default)]
pub struct Table {
    slots: Mutex<HashMap<SagaId, Slot>>,
}

impl Table {
    /// The saga's entry, locked; its `live` is `None` when nobody has loaded it yet.
    pub async fn lock(&self, saga: SagaId) -> OwnedMutexGuard<Entry> {
        loop {
            let slot = {
                let mut slots = self.slots.lock().expect("no code panics under this lock");
                slots
                    .entry(saga)
                    .or_insert_with(|| {
                        Arc::new(tokio::sync::Mutex::new(Entry {
                            live: None,
                            given_up: false,
                        }))
                    })
                    .clone()
            };
            let entry = slot.lock_owned().await;
            if !entry.given_up {
                return entry;
            }
        }
    }

    /// How far the saga is, if it is in memory; waits for a change that is being made.
    pub async fn standing(&self, saga: SagaId) -> Option<Standing> {
        let slot = {
            let slots = self.slots.lock().expect("no code panics under this lock");
            slots.get(&saga)?.clone()
        };
        let entry = slot.lock().await;
        entry.live.as_ref().map(|live| Standing::of(&live.saga))
    }

    /// Forgets the saga: the next one to ask loads it from the store.
    pub fn give_up(&self, saga: SagaId, entry: &mut Entry) {
        entry.given_up = true;
        entry.live = None;
        self.slots
            .lock()
            .expect("no code panics under this lock")
            .remove(&saga);
    }

    pub fn len(&self) -> usize {
        self.slots.lock().expect("no code panics under this lock").len()
    }
}
