//! How a fault bends the effect of one request. A request without faults has the default twist, which bends nothing.

use serde::{Deserialize, Serialize};

use crate::simulator::options::Lag;

/// What several faults on one request add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::simulator) struct Twist {
    pub(in crate::simulator) birth: Birth,
    pub(in crate::simulator) lag: Option<Lag>,
    /// The effect takes place this long after the request.
    pub(in crate::simulator) late_ms: Option<u64>,
    /// The effect takes place twice.
    pub(in crate::simulator) twice: bool,
    /// The droplet made or addressed by the request is gone this long after it, without a request.
    pub(in crate::simulator) vanish_ms: Option<u64>,
    /// A delete answers 204 and removes nothing.
    pub(in crate::simulator) delete_ignored: bool,
    pub(in crate::simulator) action_errors: bool,
    pub(in crate::simulator) snapshot_lag_ms: Option<u64>,
    pub(in crate::simulator) listing: Listing,
}

/// How the life of a droplet made by the request begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::simulator) enum Birth {
    #[default]
    Normal,
    Activation(Activation),
    /// It stays `new`, then it is gone and its create action errored.
    PlacementFails {
        after_ms: u64,
    },
    /// Its create action errored and it stays `new`.
    ActionErrors {
        after_ms: u64,
    },
}

/// How a droplet becomes active, where not as the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "plan", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Activation {
    Slow {
        after_ms: u64,
    },
    Never,
    /// Active, with a private address only.
    WithoutPublicIp,
    /// Active, off one period later, active again after another.
    Flapping {
        period_ms: u64,
    },
}

/// A listing that doesn't tell the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listing {
    /// 200 and nothing in it.
    pub empty: bool,
    /// Items skipped (positive) or shown again (negative) at the start of the page, as when others came or went since the
    /// page before.
    pub shift: i64,
    /// The last page links to one more, in which there is nothing, as when its items went meanwhile.
    pub page_more: bool,
    /// What `meta.total` claims.
    pub total: Option<u64>,
}
