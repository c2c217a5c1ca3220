//! The clock behind [`Store::now_ms`](super::Store::now_ms): the one place where the process reads the time of day.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Reads the time of day once and counts from there, so that no age is ever negative when the machine's clock is set back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_ms: i64,
}

impl Clock {
    pub fn start() -> Clock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock::at(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    /// It is `now_ms` by a clock that was just read.
    pub fn at(now_ms: i64) -> Clock {
        Clock {
            started: Instant::now(),
            started_ms: now_ms,
        }
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        let elapsed_ms = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.started_ms.saturating_add(elapsed_ms)
    }
}
