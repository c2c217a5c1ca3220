//! A place in a service's rate budget, from before its request leaves until its exchange has ended.

use std::sync::Arc;

use super::{exchange::Ending, judge::UNAUTHORIZED, ratelimit::hint_of, service::Service};

/// One request's place in the rate budget. Dropped unclosed it counts as used: the request may have left.
pub(super) struct Slot {
    service: Arc<Service>,
    closed: bool,
}

impl Slot {
    /// The budget has counted it.
    pub fn taken(service: &Arc<Service>) -> Slot {
        Slot {
            service: Arc::clone(service),
            closed: false,
        }
    }

    /// Nothing left: the place is free again.
    pub fn release(mut self) {
        self.closed = true;
        self.service.budget().release();
    }

    /// The exchange ended. `wall_ms`: Unix milliseconds.
    pub fn close(mut self, ending: &Ending, wall_ms: i64) {
        if matches!(ending, Ending::Unsent(_)) {
            return self.release();
        }
        self.closed = true;
        let now = self.service.now_ms();
        let mut budget = self.service.budget();
        budget.settle(now);
        let Some(head) = ending.head() else { return };
        budget.observe(now, hint_of(head.status, &head.headers, wall_ms));
        drop(budget);
        if head.status == 401 {
            self.service.refuse(UNAUTHORIZED.to_owned());
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.closed {
            self.service.budget().settle(self.service.now_ms());
        }
    }
}
