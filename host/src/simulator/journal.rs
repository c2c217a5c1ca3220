//! The journal: every request that reached the API, what became of it and what it changed.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::world::Effect;

/// One request. Times are milliseconds since the Unix epoch by the simulator's clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up from 1.
    pub seq: u64,
    pub at_ms: u64,
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    /// The `host` header.
    pub host: String,
    /// The name of the token; none when it is unknown. Never the token itself.
    pub token: Option<String>,
    /// JSON where the body is JSON, text otherwise, null without a body.
    pub body: Value,
    /// Tags in the body and the query, and those of the droplet that the path names.
    pub tags: Vec<String>,
    /// The faults that hit it.
    pub faults: Vec<u64>,
    pub effects: Vec<Effect>,
    pub outcome: Outcome,
    pub ended_ms: Option<u64>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// Not yet.
    Open,
    Answered {
        status: u16,
    },
    /// The connection was reset or closed on purpose.
    Dropped,
    /// The client went away before the answer.
    ClientGone,
}

#[derive(Debug)]
pub(super) struct Journal {
    entries: VecDeque<Entry>,
    last_seq: u64,
    limit: usize,
}

impl Journal {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            last_seq: 0,
            limit,
        }
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Numbers and keeps an entry; the oldest is forgotten when there are too many.
    pub(super) fn open(&mut self, mut entry: Entry) -> u64 {
        self.last_seq += 1;
        entry.seq = self.last_seq;
        self.entries.push_back(entry);
        while self.entries.len() > self.limit.max(1) {
            self.entries.pop_front();
        }
        self.last_seq
    }

    pub(super) fn find(&self, seq: u64) -> Option<&Entry> {
        let first = self.entries.front()?.seq;
        let position = seq.checked_sub(first)?;
        self.entries.get(usize::try_from(position).ok()?)
    }

    fn find_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        let first = self.entries.front()?.seq;
        let position = seq.checked_sub(first)?;
        self.entries.get_mut(usize::try_from(position).ok()?)
    }

    pub(super) fn set_faults(&mut self, seq: u64, faults: Vec<u64>) {
        if let Some(entry) = self.find_mut(seq) {
            entry.faults = faults;
        }
    }

    pub(super) fn add_effects(&mut self, seq: u64, effects: impl IntoIterator<Item = Effect>) {
        if let Some(entry) = self.find_mut(seq) {
            entry.effects.extend(effects);
        }
    }

    /// Records how a request ended, once.
    pub(super) fn close(&mut self, seq: u64, outcome: Outcome, now_ms: u64) {
        if let Some(entry) = self.find_mut(seq)
            && entry.outcome == Outcome::Open
        {
            entry.outcome = outcome;
            entry.ended_ms = Some(now_ms);
        }
    }

    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.seq > seq)
    }
}
