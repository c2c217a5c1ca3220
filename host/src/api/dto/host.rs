//! Hosts: the processes that work on a database.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// A process that works on the database, or did. Each start is another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Host {
    pub id: String,
    /// Whether it is the one that answers this request.
    pub this: bool,
    pub started: Time,
    /// Its last heartbeat. A host that has its database alone sends one only while it calls steps.
    pub seen: Time,
    /// Until when no other host takes over its sagas, by the database's clock, unless it leaves. Null: it has the database alone.
    pub lease_until: Option<Time>,
    /// It left, or its lease ran out and another host noticed: its sagas are others' from then on. Null: it lives.
    pub lost: Option<Time>,
    /// Sagas for which it had a call in progress at its last heartbeat.
    pub calling: Vec<String>,
}

/// The living ones first, each newest first; at most 100.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostList {
    pub items: Vec<Host>,
}
