//! Compiled components by digest: what every call of a step begins with.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::Catalog;
use crate::{
    step::{Compiled, Manifest},
    store::StoreError,
};

/// Most components that are kept compiled.
const MAX_COMPONENTS: usize = 256;
/// Most bytes of wasm that the kept components were compiled from, in sum; machine code is a few times that.
const MAX_BYTES: u64 = 256 << 20;

/// A component ready to be called.
pub struct Pinned {
    pub component: Compiled,
    pub manifest: Manifest,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("there is no component with digest {0}")]
    Unknown(String),
    /// Registered by a binary that could use it; this one can't. Compiling it again gives the same.
    #[error("the component {digest} can't be used: {reason}")]
    Unusable { digest: String, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Catalog {
    /// The component of these bytes, compiled at most once at a time; a hit costs a lock and a look-up.
    pub async fn pinned(&self, digest: &str) -> Result<Arc<Pinned>, CatalogError> {
        let cell = self.pinned.cell(digest);
        if let Some(pinned) = cell.get() {
            return Ok(pinned.clone());
        }
        let pinned = cell
            .get_or_try_init(|| self.compile_stored(digest))
            .await?
            .clone();
        self.pinned.make_room();
        Ok(pinned)
    }

    /// The component's world as WIT text; none when it can't be written as one.
    pub async fn wit(&self, digest: &str) -> Result<Option<String>, CatalogError> {
        Ok(self.pinned(digest).await?.component.wit().map(str::to_owned))
    }

    async fn compile_stored(&self, digest: &str) -> Result<Arc<Pinned>, CatalogError> {
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
        let component = self
            .compile(bytes)
            .await
            .map_err(|error| unusable(error.to_string()))?;
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
                .filter(|(_, slot)| slot.cell.initialized() && slot.last_use != newest)
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
