//! Holds: a chosen request stops at a chosen point until a test lets it go on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    fault::Point,
    matcher::{Arrival, Matcher},
};

/// A hold as `POST /holds` takes it. It stops one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    #[serde(default, rename = "match")]
    pub matcher: Matcher,
    /// The n-th matching request, counted from 1 and from when the hold was set.
    #[serde(default = "first")]
    pub nth: u64,
    pub point: Point,
}

fn first() -> u64 {
    1
}

/// Where a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum HoldState {
    /// No request has come yet.
    Waiting,
    /// A request has come, but hasn't reached the point yet.
    Claimed { seq: u64 },
    /// The request with this number in the journal stands still.
    Held { seq: u64 },
    /// Let go; with the number of the request, if one had come.
    Released { seq: Option<u64> },
    /// The client went away while its request was held.
    ClientGone { seq: u64 },
}

#[derive(Debug)]
struct Posted {
    hold: Hold,
    matched: u64,
    state: watch::Sender<HoldState>,
}

/// A request's part in a hold.
#[derive(Debug)]
pub(super) struct Grip {
    seq: u64,
    state: watch::Sender<HoldState>,
}

#[derive(Debug, Default)]
pub(super) struct HoldBook {
    posted: BTreeMap<u64, Posted>,
    last_id: u64,
}

impl HoldBook {
    pub(super) fn post(&mut self, hold: Hold) -> u64 {
        self.last_id += 1;
        let posted = Posted {
            hold,
            matched: 0,
            state: watch::Sender::new(HoldState::Waiting),
        };
        self.posted.insert(self.last_id, posted);
        self.last_id
    }

    /// The grips that holds take on a request that has just arrived, for the two points.
    pub(super) fn seize(&mut self, arrival: &Arrival<'_>, seq: u64) -> Vec<(Point, Grip)> {
        let mut grips = Vec::new();
        for posted in self.posted.values_mut() {
            let waiting = *posted.state.borrow() == HoldState::Waiting;
            if !waiting || !posted.hold.matcher.matches(arrival) {
                continue;
            }
            posted.matched += 1;
            if posted.matched == posted.hold.nth {
                posted.state.send_replace(HoldState::Claimed { seq });
                let state = posted.state.clone();
                grips.push((posted.hold.point, Grip { seq, state }));
            }
        }
        grips
    }

    /// Lets the request go on, now or when it comes.
    pub(super) fn release(&self, id: u64) -> Option<HoldState> {
        let posted = self.posted.get(&id)?;
        posted.state.send_if_modified(|state| {
            let seq = match *state {
                HoldState::Waiting => None,
                HoldState::Claimed { seq } | HoldState::Held { seq } => Some(seq),
                HoldState::Released { .. } | HoldState::ClientGone { .. } => return false,
            };
            *state = HoldState::Released { seq };
            true
        });
        Some(*posted.state.borrow())
    }

    pub(super) fn watch(&self, id: u64) -> Option<watch::Receiver<HoldState>> {
        self.posted.get(&id).map(|posted| posted.state.subscribe())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, HoldState)> {
        let posted = self.posted.iter();
        posted.map(|(id, posted)| (*id, *posted.state.borrow()))
    }
}

impl Grip {
    /// Stands still until released. Dropped meanwhile, it says that the client has gone.
    pub(super) async fn wait(self) {
        let seq = self.seq;
        let mut receiver = self.state.subscribe();
        self.state.send_if_modified(|state| {
            let claimed = *state == HoldState::Claimed { seq };
            if claimed {
                *state = HoldState::Held { seq };
            }
            claimed
        });
        let released = |state: &HoldState| matches!(state, HoldState::Released { .. });
        // An error means that the sender is gone, and the simulator with it; this grip owns one, so it can't be.
        let waited = receiver.wait_for(released).await;
        drop(waited);
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        let seq = self.seq;
        self.state.send_if_modified(|state| {
            let open = *state == HoldState::Held { seq } || *state == HoldState::Claimed { seq };
            if open {
                *state = HoldState::ClientGone { seq };
            }
            open
        });
    }
}
