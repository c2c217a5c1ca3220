//! Compiled components by digest: what every call of a step begins with.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::Catalog;
use crate::{
    step::{Asked, CompileError, Compiled, Loaded, Manifest},
    store::StoreError,
};

/// Most components that are kept compiled.
const MAX_COMPONENTS: usize = 256;
/// Most bytes of wasm that the kept components were compiled from, in sum; machine code is a few times that.
const MAX_BYTES: u64 = 256 << 20;

/// Most components that are read and compiled at once: each holds its bytes, up to 64 MiB.
pub(super) const MAX_LOADING: usize = 8;

/// A component ready to be called.
pub struct Pinned {
    pub component: Compiled,
    pub manifest: Manifest,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("there is no component with digest {0}")]
    Unknown(String),
    /// Registered by a host that could use it; this one can't. Compiling it again gives the same.
    #[error("the component {digest} can't be used: {reason}")]
    Unusable { digest: String, reason: String },
    /// An administrator's word; another one undoes it.
    #[error("the component {0} is revoked: it is not called until it is approved again")]
    Revoked(String),
    /// The machine is short of something; nothing is wrong with the component.
    #[error("the component {digest} can't be compiled now: {reason}")]
    NotNow { digest: String, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Catalog {
    /// The component of these bytes, loaded at most once at a time; a hit costs a lock and a look-up. Another one is read from
    /// the cache on disk, or compiled.
    pub async fn pinned(&self, digest: &str) -> Result<Arc<Pinned>, CatalogError> {
        let cell = self.pinned.cell(digest);
        if let Some(pinned) = cell.get() {
            return Ok(pinned.clone());
        }
        let pinned = match cell.get_or_try_init(|| self.load_stored(digest)).await {
            Ok(pinned) => pinned.clone(),
            Err(error) => {
                self.pinned.forget(digest, &cell);
                return Err(error);
            }
        };
        self.pinned.make_room();
        Ok(pinned)
    }

    async fn load_stored(&self, digest: &str) -> Result<Arc<Pinned>, CatalogError> {
        // Before the bytes are read, so that waiting holds none of them.
        let _turn = self
            .loading
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let unusable = |reason: String| CatalogError::Unusable {
            digest: digest.to_owned(),
            reason,
        };
        let unknown = || CatalogError::Unknown(digest.to_owned());
        let row = self.store.component(digest).await?.ok_or_else(unknown)?;
        let bytes = self.store.component_bytes(digest).await?.ok_or_else(unknown)?;
        let manifest = Manifest::parse(&row.manifest)
            .map_err(|violations| unusable(format!("its manifest breaks rules: {violations:?}")))?;
        self.pinned.note_size(digest, row.size_bytes);
        let loaded = self.runtime.load(bytes, Asked::ByCall).await;
        let Loaded { component, fresh } = loaded.map_err(|error| match error {
            CompileError::NoCompiler { reason } => CatalogError::NotNow {
                digest: digest.to_owned(),
                reason,
            },
            error => unusable(error.to_string()),
        })?;
        if let Some(fresh) = fresh {
            self.runtime.keep(fresh).await;
        }
        Ok(Arc::new(Pinned { component, manifest }))
    }
}

/// Least recently used first out. A component in use stays alive through its own handle.
#[derive(Default)]
pub(super) struct PinnedCache(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    by_digest: HashMap<String, Slot>,
    uses: u64,
}

#[derive(Default)]
struct Slot {
    cell: Arc<OnceCell<Arc<Pinned>>>,
    bytes: u64,
    last_use: u64,
}

impl PinnedCache {
    fn cell(&self, digest: &str) -> Arc<OnceCell<Arc<Pinned>>> {
        let mut slots = self.slots();
        slots.uses += 1;
        let uses = slots.uses;
        if let Some(slot) = slots.by_digest.get_mut(digest) {
            slot.last_use = uses;
            return slot.cell.clone();
        }
        let slot = Slot {
            last_use: uses,
            ..Slot::default()
        };
        let cell = slot.cell.clone();
        slots.by_digest.insert(digest.to_owned(), slot);
        cell
    }

    /// Nothing came of it: the next call tries again.
    fn forget(&self, digest: &str, cell: &Arc<OnceCell<Arc<Pinned>>>) {
        let mut slots = self.slots();
        let same = |slot: &Slot| Arc::ptr_eq(&slot.cell, cell) && !slot.cell.initialized();
        if slots.by_digest.get(digest).is_some_and(same) {
            slots.by_digest.remove(digest);
        }
    }

    fn note_size(&self, digest: &str, bytes: u64) {
        if let Some(slot) = self.slots().by_digest.get_mut(digest) {
            slot.bytes = bytes;
        }
    }

    /// Puts in what has just been compiled anyway.
    pub(super) fn insert(&self, digest: &str, bytes: u64, pinned: Pinned) {
        let cell = self.cell(digest);
        self.note_size(digest, bytes);
        // Somebody else was faster: theirs is the same.
        let _ = cell.set(Arc::new(pinned));
        self.make_room();
    }

    fn make_room(&self) {
        let mut slots = self.slots();
        while slots.by_digest.len() > MAX_COMPONENTS
            || slots.by_digest.values().map(|slot| slot.bytes).sum::<u64>() > MAX_BYTES
        {
            let newest = slots.uses;
            let idle = slots
                .by_digest
                .iter()
                .filter(|(_, slot)| {
                    // Nobody waits for a cell that only its slot holds: the call that made it was dropped.
                    let idle = slot.cell.initialized() || Arc::strong_count(&slot.cell) == 1;
                    idle && slot.last_use != newest
                })
                .min_by_key(|(_, slot)| slot.last_use)
                .map(|(digest, _)| digest.clone());
            let Some(digest) = idle else { return };
            slots.by_digest.remove(&digest);
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{Runtime, RuntimeOptions};

    const NOOP: &[u8] = include_bytes!("../../../../steps-wasm/examples/components/noop.wasm");

    /// One component under many digests.
    async fn noop() -> impl Fn() -> Pinned {
        let options = RuntimeOptions {
            threads: 1,
            max_calls: 1,
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::new(options).unwrap();
        let component = runtime.compile(Arc::from(NOOP)).unwrap();
        let manifest = runtime.describe(&component).await.unwrap();
        move || Pinned {
            component: component.clone(),
            manifest: manifest.clone(),
        }
    }

    fn kept(cache: &PinnedCache, digest: &str) -> bool {
        cache.slots().by_digest.contains_key(digest)
    }

    #[tokio::test]
    async fn what_was_not_used_for_longest_makes_room() {
        let (noop, cache) = (noop().await, PinnedCache::default());
        for number in 0..MAX_COMPONENTS {
            cache.insert(&number.to_string(), 1, noop());
        }
        assert!(kept(&cache, "0"));
        cache.cell("0");
        cache.insert("one more", 1, noop());
        assert!(kept(&cache, "0") && kept(&cache, "one more") && !kept(&cache, "1"));
        assert_eq!(cache.slots().by_digest.len(), MAX_COMPONENTS);
    }

    #[tokio::test]
    async fn large_components_make_room_by_their_size_and_the_newest_stays_whatever_its_size() {
        let (noop, cache) = (noop().await, PinnedCache::default());
        cache.insert("a", MAX_BYTES / 2, noop());
        cache.insert("b", MAX_BYTES / 2, noop());
        assert!(kept(&cache, "a") && kept(&cache, "b"));
        cache.insert("c", 1, noop());
        assert!(!kept(&cache, "a") && kept(&cache, "b") && kept(&cache, "c"));
        cache.insert("d", MAX_BYTES * 2, noop());
        assert!(kept(&cache, "d") && cache.slots().by_digest.len() == 1);
    }

    #[tokio::test]
    async fn what_is_being_compiled_is_kept_for_as_long_as_somebody_waits_for_it() {
        let (noop, cache) = (noop().await, PinnedCache::default());
        let waiting = cache.cell("waiting");
        for number in 0..2 * MAX_COMPONENTS {
            cache.insert(&number.to_string(), 1, noop());
        }
        assert!(Arc::ptr_eq(&waiting, &cache.cell("waiting")));
        drop(waiting);
        for number in 0..2 * MAX_COMPONENTS {
            cache.insert(&number.to_string(), 1, noop());
        }
        assert!(!kept(&cache, "waiting"));
    }
}
