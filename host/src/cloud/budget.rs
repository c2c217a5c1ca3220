//! The rate budget of one service: a sliding minute and a sliding hour. Pure: time is an argument, in milliseconds of any
//! monotonic clock.
//!
//! The upstream counts when requests *arrive*, which is somewhere between leaving and being answered. So a request holds its
//! slot from the moment it is taken, and the slot runs out one window after the exchange *ended*: whatever the latency, no window of
//! the upstream can hold more requests than ours. The spans are a second or more longer than the upstream's, for its clock's sake.
//!
//! Compensation comes first: `run` may use at most nine tenths of each window. A caller that is refused gets a turn of its own,
//! and newcomers leave room for those whose turn has come: a hundred sagas told to wait don't come back at one instant.

use std::collections::VecDeque;

use super::{
    ratelimit::{Hint, Left},
    turns::Turns,
};
use crate::saga::{Phase, SagaId, StepIndex};

/// Who asks: gets one turn at a time, however often it asks.
pub type Caller = (SagaId, StepIndex, Phase);

const MINUTE_SPAN_MS: i64 = 61_000;
const HOUR_SPAN_MS: i64 = 3_610_000;

/// Turns may come so many times faster than the window's own pace.
const BURST: i64 = 10;

#[derive(Debug)]
pub struct Budget {
    minute: Window,
    hour: Window,
    in_flight: u32,
    /// When exchanges ended, oldest first; those of the last hour.
    ended: VecDeque<i64>,
    paused_until: i64,
    /// The service was at its limit when last heard of: one request at a time until it answers otherwise.
    probing: bool,
    upstream: Option<Upstream>,
    turns: Turns,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    limit: u32,
    span_ms: i64,
    /// Of the one that was configured this is the part of one host among so many.
    configured: u32,
}

impl Window {
    fn of(limit: u32, span_ms: i64) -> Window {
        let limit = limit.max(1);
        Window {
            limit,
            span_ms,
            configured: limit,
        }
    }

    fn share_among(&mut self, hosts: u32) {
        self.limit = (self.configured / hosts.max(1)).max(1);
    }

    fn limit_for(self, phase: Phase) -> u32 {
        match phase {
            Phase::Compensate => self.limit,
            Phase::Run => (self.limit - self.limit / 10).max(1),
        }
    }

    fn interval_ms(self) -> i64 {
        (self.span_ms / i64::from(self.limit)).max(1)
    }
}

/// What the service itself says is left: less than we know of when others use the same credential.
#[derive(Debug, Clone, Copy)]
struct Upstream {
    remaining: u32,
    /// Kept for compensation.
    reserve: u32,
    until: i64,
}

impl Upstream {
    fn room(self, phase: Phase) -> u32 {
        match phase {
            Phase::Compensate => self.remaining,
            Phase::Run => self.remaining.saturating_sub(self.reserve),
        }
    }
}

impl Budget {
    /// Both limits at least 1.
    pub fn new(per_minute: u32, per_hour: u32) -> Self {
        Budget {
            minute: Window::of(per_minute, MINUTE_SPAN_MS),
            hour: Window::of(per_hour, HOUR_SPAN_MS),
            in_flight: 0,
            ended: VecDeque::new(),
            paused_until: i64::MIN,
            probing: false,
            upstream: None,
            turns: Turns::default(),
        }
    }

    /// So many hosts share the budget: each takes an equal part. What the upstream itself says is left is obeyed all the same.
    pub fn share_among(&mut self, hosts: u32) {
        self.minute.share_among(hosts);
        self.hour.share_among(hosts);
    }

    /// One request may leave now, and must be followed by [`Budget::settle`] or [`Budget::release`]; or come back in so many
    /// milliseconds (at least 1).
    pub fn take(&mut self, now: i64, caller: Caller) -> Result<(), u64> {
        self.expire(now);
        let phase = caller.2;
        let room = self.room(now, phase);
        let ahead = self.turns.due_before(now, caller);
        if room as usize > ahead {
            self.turns.leave(caller);
            self.in_flight += 1;
            if let Some(upstream) = &mut self.upstream {
                upstream.remaining = upstream.remaining.saturating_sub(1);
            }
            return Ok(());
        }
        let due = match self.turns.of(caller) {
            Some(due) if due > now => due,
            // Its turn came and the slots are others': it keeps its place before everybody who came later.
            Some(_) => self.turns.give(caller, self.turn_at(now, ahead, phase)),
            None => {
                let position = self.turns.waiting_before(phase);
                self.turns.give(caller, self.turn_at(now, position, phase))
            }
        };
        Err(u64::try_from(due - now).unwrap_or(0).max(1))
    }

    /// The exchange ended, with an answer or without.
    pub fn settle(&mut self, now: i64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let latest = self.ended.back().copied().unwrap_or(now);
        self.ended.push_back(now.max(latest));
    }

    /// Nothing was sent after all.
    pub fn release(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(upstream) = &mut self.upstream {
            upstream.remaining = upstream.remaining.saturating_add(1);
        }
    }

    /// What an answer said. Called after `settle`.
    pub(super) fn observe(&mut self, now: i64, hint: Hint) {
        match hint {
            Hint::Pause { pause_ms } => {
                self.paused_until = self.paused_until.max(now + pause_ms);
                self.probing = true;
            }
            Hint::Answered { left } => {
                // An answer to a request from before the pause says nothing about what comes after it.
                if now >= self.paused_until {
                    self.probing = false;
                }
                if let Some(left) = left {
                    self.upstream = Some(self.known_upstream(now, left));
                }
            }
        }
    }

    /// Requests on the wire may not be counted yet in what the service says.
    fn known_upstream(&self, now: i64, left: Left) -> Upstream {
        Upstream {
            remaining: left.remaining.saturating_sub(self.in_flight),
            reserve: left.limit / 10,
            until: now + left.frees_in_ms,
        }
    }

    /// Requests a minute and an hour.
    pub fn limits(&self) -> (u32, u32) {
        (self.minute.limit, self.hour.limit)
    }

    /// What is left of the minute's and the hour's window.
    pub fn left(&self, now: i64) -> (u32, u32) {
        let left = |window: Window| window.limit.saturating_sub(self.used(now, window));
        (left(self.minute), left(self.hour))
    }

    fn expire(&mut self, now: i64) {
        while self
            .ended
            .front()
            .is_some_and(|ended| now - ended >= self.hour.span_ms)
        {
            self.ended.pop_front();
        }
        if let Some(upstream) = self.upstream
            && upstream.until <= now
        {
            self.probing |= upstream.room(Phase::Run) == 0;
            self.upstream = None;
        }
        self.turns.expire(now);
    }

    fn room(&self, now: i64, phase: Phase) -> u32 {
        if now < self.paused_until {
            return 0;
        }
        if self.probing {
            return u32::from(self.in_flight == 0);
        }
        let in_window = |window: Window| window.limit_for(phase).saturating_sub(self.used(now, window));
        let own = in_window(self.minute).min(in_window(self.hour));
        self.upstream
            .map_or(own, |upstream| own.min(upstream.room(phase)))
    }

    fn used(&self, now: i64, window: Window) -> u32 {
        let recent = self.ended.len() - self.first_within(now, window);
        u32::try_from(recent)
            .unwrap_or(u32::MAX)
            .saturating_add(self.in_flight)
    }

    fn first_within(&self, now: i64, window: Window) -> usize {
        self.ended.partition_point(|ended| now - ended >= window.span_ms)
    }

    /// When the caller with `position` others before it may expect its slot.
    fn turn_at(&self, now: i64, position: usize, phase: Phase) -> i64 {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        let spread = i64::from(position) * self.minute.interval_ms();
        let freed = |position| {
            self.freed_at(now, self.minute, position, phase)
                .max(self.freed_at(now, self.hour, position, phase))
        };
        // What left in one burst is free again at one moment: its slots are still taken one by one.
        let in_burst = position % self.minute.limit_for(phase);
        let one_by_one = i64::from(in_burst) * self.minute.interval_ms() / BURST;
        let mut at = (now + 1)
            .max(freed(position))
            .max(freed(position - in_burst) + one_by_one);
        if now < self.paused_until {
            at = at.max(self.paused_until + spread);
        }
        if self.probing {
            at = at.max(now + self.minute.interval_ms() + spread);
        }
        if let Some(upstream) = self.upstream
            && upstream.room(phase) <= position
        {
            at = at.max(upstream.until + spread);
        }
        at
    }

    /// When a window has a slot for the caller with `position` others before it: slots run out in the order in which their exchanges
    /// ended; what is on the wire, or will be when turns come, is taken to end at once.
    fn freed_at(&self, now: i64, window: Window, position: u32, phase: Phase) -> i64 {
        let used = i64::from(self.used(now, window));
        let limit = i64::from(window.limit_for(phase));
        let mut slot = used + i64::from(position) - limit;
        if slot < 0 {
            return now;
        }
        let first_round = used.max(limit);
        let rounds = if slot < first_round {
            0
        } else {
            (slot - first_round) / limit + 1
        };
        slot -= rounds * limit;
        let first = self.first_within(now, window);
        let ended = usize::try_from(slot)
            .ok()
            .and_then(|slot| self.ended.get(first + slot));
        ended.copied().unwrap_or(now) + window.span_ms * (rounds + 1)
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
