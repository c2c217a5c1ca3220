//! What happened, as the database, the lines and the cloud have seen it. Times are milliseconds since the Unix epoch, by clocks of one
//! machine.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

#[derive(Debug, Clone, Default)]
pub struct History {
    /// When each host was lost; none lives.
    pub hosts: BTreeMap<String, Option<i64>>,
    /// In the order of the database.
    pub owners: Vec<Owner>,
    pub intents: Vec<Intent>,
    /// All events, by id.
    pub events: Vec<Event>,
    /// What somebody read who asked for what is newer than the last one that it had seen, again and again.
    pub followed: Vec<Event>,
    /// Requests that may change something.
    pub sent: Vec<Sent>,
    /// Requests that reached the cloud and left no host.
    pub from_nowhere: Vec<String>,
    pub sagas: BTreeMap<String, SagaEnd>,
    /// Idempotency keys, and the sagas that were answered.
    pub accepted: Vec<(String, String)>,
    /// Droplets that live, and all snapshots that are there.
    pub droplets: Vec<Droplet>,
    pub snapshots: Vec<String>,
    /// Provider ids of the droplets that the inventory has for living.
    pub inventory: BTreeSet<i64>,
    /// What the sagas say is there: names of droplets, and how many of each.
    pub said: BTreeMap<String, usize>,
    pub snapshots_said: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub saga: String,
    pub host: String,
    pub fence: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub id: String,
    pub saga: String,
    pub step: i64,
    pub phase: String,
    pub once_key: Option<String>,
    /// Who wrote it, when, and who owned the saga then.
    pub host: String,
    pub at_ms: i64,
    pub owner: String,
    pub fence: i64,
    pub method: String,
    pub path: String,
    pub body: Value,
    pub state: String,
    pub status: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: i64,
    pub saga: String,
    pub kind: String,
}

/// A request that left a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub host: String,
    pub left_ms: i64,
    pub method: String,
    pub path: String,
    pub body: Value,
    /// What became of it in the cloud.
    pub arrived: Option<Arrived>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    pub took_effect: bool,
    /// None: nobody was told.
    pub status: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SagaEnd {
    pub status: String,
    /// States of the steps' runs.
    pub runs: Vec<String>,
    /// Resource tags of its steps.
    pub tags: Vec<String>,
    /// A watch, or a finding that is open.
    pub is_told: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Droplet {
    pub id: i64,
    pub name: String,
    pub tags: Vec<String>,
}
