//! The turns of callers that the rate budget refused. Pure.

use std::collections::{BTreeMap, HashMap};

use super::budget::Caller;
use crate::saga::Phase;

/// A caller that doesn't come within this time after its turn loses it. Longer than the pace at which steps poll: they come back when
/// they would have come anyway.
const GRACE_MS: i64 = 10_000;
/// More callers than this get a time, but no turn that others leave room for.
const MAX_WAITING: usize = 50_000;

/// When, and a number that keeps turns at the same moment apart.
type Turn = (i64, u64);

/// One queue per phase: compensation doesn't wait for `run`.
#[derive(Debug, Default)]
pub(super) struct Turns {
    run: BTreeMap<Turn, Caller>,
    compensate: BTreeMap<Turn, Caller>,
    by_caller: HashMap<Caller, Turn>,
    next_number: u64,
}

impl Turns {
    pub fn of(&self, caller: Caller) -> Option<i64> {
        self.by_caller.get(&caller).map(|(due, _)| *due)
    }

    /// Gives the caller a turn, in place of one that it may have had.
    pub fn give(&mut self, caller: Caller, due: i64) -> i64 {
        self.leave(caller);
        if self.by_caller.len() < MAX_WAITING {
            let turn = (due, self.next_number);
            self.next_number += 1;
            self.queue(caller.2).insert(turn, caller);
            self.by_caller.insert(caller, turn);
        }
        due
    }

    pub fn leave(&mut self, caller: Caller) {
        if let Some(turn) = self.by_caller.remove(&caller) {
            self.queue(caller.2).remove(&turn);
        }
    }

    /// How many others, whose turn has come, go before this caller: for compensation other compensations, for `run` everybody.
    pub fn due_before(&self, now: i64, caller: Caller) -> usize {
        let any = (now, u64::MAX);
        let own = self
            .by_caller
            .get(&caller)
            .copied()
            .filter(|(due, _)| *due <= now)
            .unwrap_or(any);
        match caller.2 {
            Phase::Compensate => self.compensate.range(..own).count(),
            Phase::Run => self.compensate.range(..any).count() + self.run.range(..own).count(),
        }
    }

    /// How many wait before a newcomer.
    pub fn waiting_before(&self, phase: Phase) -> usize {
        match phase {
            Phase::Compensate => self.compensate.len(),
            Phase::Run => self.compensate.len() + self.run.len(),
        }
    }

    pub fn expire(&mut self, now: i64) {
        for queue in [&mut self.run, &mut self.compensate] {
            while let Some(turn) = queue.first_entry() {
                if now - turn.key().0 <= GRACE_MS {
                    break;
                }
                self.by_caller.remove(&turn.remove());
            }
        }
    }

    fn queue(&mut self, phase: Phase) -> &mut BTreeMap<Turn, Caller> {
        match phase {
            Phase::Run => &mut self.run,
            Phase::Compensate => &mut self.compensate,
        }
    }
}
