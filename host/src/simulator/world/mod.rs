//! The provider's state, pure: every operation is given the time. What happens by itself (a droplet becomes active, an
//! action ends) waits in a queue of events and is applied by [`World::settle`] in the order in which it was due.

mod action;
mod droplet;
mod key;
mod network;
mod order;
mod snapshot;
mod tag;
mod twist;

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;

pub(super) use action::{Action, ActionRequest, ActionStatus, Change};
pub use droplet::Drift;
pub(super) use droplet::{Departure, Droplet, Presence, Status};
pub(super) use key::Key;
pub(super) use order::Order;
pub(super) use snapshot::Snapshot;
pub(super) use tag::{TagIndex, is_valid as is_valid_tag};
pub use twist::{Activation, Listing};
pub(super) use twist::{Birth, Twist};

use super::options::Rules;

/// What a request changed; what the journal counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "kebab-case")]
pub enum Effect {
    DropletCreated(i64),
    DropletDeleted(i64),
    ActionStarted(i64),
    SnapshotDeleted(i64),
    TagCreated(String),
    TagDeleted(String),
    DropletTagged(i64),
    DropletUntagged(i64),
    SnapshotTagged(i64),
    SnapshotUntagged(i64),
    KeyCreated(i64),
    KeyDeleted(i64),
}

#[derive(Debug)]
enum Event {
    Activate {
        droplet: i64,
        public_ip: bool,
    },
    Power {
        droplet: i64,
        status: Status,
    },
    EndAction {
        action: i64,
        status: ActionStatus,
    },
    Depart {
        droplet: i64,
        cause: Departure,
    },
    LateOrder {
        order: Box<Order>,
        twist: Box<Twist>,
        request: u64,
    },
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) rules: Rules,
    pub(super) droplets: BTreeMap<i64, Droplet>,
    pub(super) actions: BTreeMap<i64, Action>,
    pub(super) snapshots: BTreeMap<i64, Snapshot>,
    pub(super) tags: TagIndex,
    pub(super) keys: BTreeMap<i64, Key>,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    late_effects: Vec<(u64, Vec<Effect>)>,
    rng: StdRng,
    next: NextIds,
}

/// The next id per kind. All lie above 2^31, as real ones come to.
#[derive(Debug)]
struct NextIds {
    droplet: i64,
    action: i64,
    snapshot: i64,
    key: i64,
}

impl World {
    pub(super) fn new(rules: Rules, seed: u64) -> Self {
        // Another seed, other ids: a client that outlives a simulator must not meet an old id again.
        let first = i64::try_from(seed % 10_000 * 100_000).expect("it is below 1,000,000,000");
        Self {
            rules,
            droplets: BTreeMap::new(),
            actions: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            tags: TagIndex::default(),
            keys: BTreeMap::new(),
            events: BTreeMap::new(),
            scheduled: 0,
            late_effects: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
            next: NextIds {
                droplet: 3_000_000_000 + first,
                action: 4_000_000_000 + first,
                snapshot: 5_000_000_000 + first,
                key: 6_000_000_000 + first,
            },
        }
    }

    /// Applies everything that was due until now. Every look at the world comes after it.
    pub(super) fn settle(&mut self, now_ms: u64) {
        while let Some(entry) = self.events.first_entry() {
            let due_ms = entry.key().0;
            if due_ms > now_ms {
                return;
            }
            let event = entry.remove();
            self.happen(event, due_ms);
        }
    }

    fn happen(&mut self, event: Event, at_ms: u64) {
        match event {
            Event::Activate { droplet, public_ip } => self.activate(droplet, public_ip),
            Event::Power { droplet, status } => self.set_power(droplet, status),
            Event::EndAction { action, status } => self.end_action(action, status, at_ms),
            Event::Depart { droplet, cause } => self.depart(droplet, cause, at_ms),
            Event::LateOrder {
                order,
                twist,
                request,
            } => {
                let twist = Twist {
                    late_ms: None,
                    ..*twist
                };
                let created = self.create(&order, &twist, request, at_ms);
                let effects = created
                    .iter()
                    .map(|(droplet, _)| Effect::DropletCreated(*droplet));
                self.late_effects.push((request, effects.collect()));
            }
        }
    }

    /// Effects of earlier requests that took place since the last call, by request.
    pub(super) fn take_late_effects(&mut self) -> Vec<(u64, Vec<Effect>)> {
        std::mem::take(&mut self.late_effects)
    }

    fn schedule(&mut self, at_ms: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((at_ms, self.scheduled), event);
    }

    fn mint(rng: &mut StdRng, next: &mut i64) -> i64 {
        *next += rng.random_range(1..=9);
        *next
    }

    /// A fresh `x-request-id`, and whether an error body repeats it.
    pub(super) fn request_id(&mut self) -> (String, bool) {
        let bits: u128 = self.rng.random();
        let hex = format!("{bits:032x}");
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        (parts.join("-"), self.rng.random())
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests;
