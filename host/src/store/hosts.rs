//! The processes that work on a database.
//!
//! A host lives as long as its lease says, by the database's clock. Once it is lost it never comes back: a process that finds
//! itself lost ends, and starts again as another host. Leases are how others know when to take over; what keeps a host that doesn't
//! know yet from doing harm are the fences of its sagas.

use super::HostId;
use crate::saga::SagaId;

/// Hosts that have been lost for so long, and own nothing, are forgotten when another one opens the database: a week.
pub(super) const FORGET_MS: i64 = 7 * 86_400_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRow {
    pub id: HostId,
    pub started_ms: i64,
    /// Its last heartbeat.
    pub seen_ms: i64,
    pub lease_until_ms: i64,
    /// It left, or its lease ran out and another host noticed.
    pub lost_ms: Option<i64>,
    /// For which it had a call in progress at its last heartbeat, by id.
    pub calling: Vec<SagaId>,
}

/// What a heartbeat learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    Alive {
        /// Of the sagas that it says to be calling, those that another host owns by now, by id.
        strangers: Vec<SagaId>,
        /// Hosts that are not lost, itself included.
        hosts: u32,
        /// No host that lives is older: work that any one host should do is its.
        eldest: bool,
    },
    Lost,
}

/// What a host has claimed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Takeover {
    /// By id.
    pub taken: Vec<SagaId>,
    /// Of these, the ones that the lost host was calling by its last heartbeat, by id.
    pub called: Vec<SagaId>,
}
