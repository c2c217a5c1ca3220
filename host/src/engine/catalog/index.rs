//! What is in the catalogue: an immutable picture, replaced as a whole after each change.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use super::{
    StepView,
    definition::Definition,
    entry::Entry,
    plan::Prepared,
    pointer::Pointer,
    selector::{Pick, Selector},
};
use crate::{
    step::Manifest,
    store::{ChannelRow, ComponentRow, DefinitionRow, Store, StoreError},
};

#[derive(Default)]
pub struct Index {
    by_digest: HashMap<String, Arc<Entry>>,
    /// By name; newest upload first.
    by_name: BTreeMap<String, Vec<Arc<Entry>>>,
    /// By step and channel.
    channels: BTreeMap<(String, String), ChannelRow>,
    definitions: BTreeMap<String, Known>,
}

/// A definition in force, and its plan without a start's own parameters, made when first asked: the channels of one index
/// never move.
pub struct Known {
    pub row: DefinitionRow,
    pub definition: Arc<Definition>,
    pub prepared: OnceLock<Arc<Prepared>>,
}

impl Index {
    /// Reads everything. `before`: entries of components that are still there are taken over.
    pub async fn load(store: &dyn Store, before: &Index) -> Result<Index, StoreError> {
        let components = store.components().await?;
        let channels = store.channels().await?;
        let definitions = store.definitions().await?;
        Ok(Index::of(components, channels, definitions, before))
    }

    pub fn of(
        components: Vec<ComponentRow>,
        channels: Vec<ChannelRow>,
        definitions: Vec<DefinitionRow>,
        before: &Index,
    ) -> Index {
        let mut index = Index::default();
        for row in components {
            if let Some(entry) = entry_of(row, before) {
                index.by_digest.insert(entry.row.digest.clone(), entry.clone());
                index
                    .by_name
                    .entry(entry.row.name.clone())
                    .or_default()
                    .push(entry);
            }
        }
        for row in channels {
            index
                .channels
                .insert((row.step.clone(), row.channel.clone()), row);
        }
        for row in definitions {
            if let Some(definition) = definition_of(&row, before) {
                let known = Known {
                    row: row.clone(),
                    definition,
                    prepared: OnceLock::new(),
                };
                index.definitions.insert(row.name, known);
            }
        }
        index
    }

    pub fn component(&self, digest: &str) -> Option<&Arc<Entry>> {
        self.by_digest.get(digest)
    }

    /// All components of each name, newest upload first.
    pub fn components(&self) -> impl Iterator<Item = (&str, &[Arc<Entry>])> {
        self.by_name
            .iter()
            .map(|(name, entries)| (name.as_str(), entries.as_slice()))
    }

    pub fn view(&self, name: &str) -> Option<StepView> {
        let entries = self.by_name.get(name)?;
        Some(StepView {
            name: name.to_owned(),
            components: entries.iter().map(|entry| entry.row.clone()).collect(),
            channels: self
                .channels
                .values()
                .filter(|row| row.step == name)
                .cloned()
                .collect(),
        })
    }

    pub fn channel(&self, step: &str, channel: &str) -> Option<&ChannelRow> {
        self.channels.get(&(step.to_owned(), channel.to_owned()))
    }

    pub fn definition(&self, name: &str) -> Option<&Known> {
        self.definitions.get(name)
    }

    pub fn definitions(&self) -> impl Iterator<Item = &Known> {
        self.definitions.values()
    }

    /// `Err`: why there is none, for people.
    pub fn select(&self, selector: &Selector) -> Result<&Arc<Entry>, String> {
        let name = &selector.name;
        let Some(entries) = self.by_name.get(name) else {
            return Err(format!("there is no step component {name:?}"));
        };
        match &selector.pick {
            Pick::Version(version) => entries
                .iter()
                .find(|entry| entry.row.version == *version)
                .ok_or_else(|| format!("{name:?} has no version {version}")),
            Pick::Digest(digest) => entries
                .iter()
                .find(|entry| entry.row.digest == *digest)
                .ok_or_else(|| format!("no component {name:?} has this digest")),
            Pick::Channel(channel) => {
                let row = self.channel(name, channel);
                let row = row.ok_or_else(|| format!("{name:?} has no channel {channel:?}"))?;
                self.component(&row.digest)
                    .ok_or_else(|| format!("the channel {channel:?} of {name:?} points to no component"))
            }
        }
    }
}

/// `None`, with a line in the log, for a row that this binary can't read: its neighbours stay usable.
fn entry_of(row: ComponentRow, before: &Index) -> Option<Arc<Entry>> {
    if let Some(entry) = before.by_digest.get(&row.digest).filter(|entry| entry.row == row) {
        return Some(entry.clone());
    }
    match Manifest::parse(&row.manifest) {
        Ok(manifest) => Some(Entry::new(row, manifest)),
        Err(violations) => {
            tracing::error!(
                component = row.name,
                digest = row.digest,
                ?violations,
                "a stored manifest is unreadable"
            );
            None
        }
    }
}

fn definition_of(row: &DefinitionRow, before: &Index) -> Option<Arc<Definition>> {
    if let Some(known) = before.definition(&row.name).filter(|known| known.row == *row) {
        return Some(known.definition.clone());
    }
    match Definition::parse(&row.body.to_value(), &Pointer::root()) {
        Ok(definition) => Some(Arc::new(definition)),
        Err(problems) => {
            tracing::error!(
                definition = row.name,
                ?problems,
                "a stored definition is unreadable"
            );
            None
        }
    }
}
