//! The simulator's clock: real time, somebody else's or none, plus what was advanced by hand.

use std::time::{SystemTime, UNIX_EPOCH};

use super::options::ClockMode;

/// Where virtual time begins: 2026-01-01T00:00:00Z.
const VIRTUAL_START_MS: u64 = 1_767_225_600_000;

#[derive(Debug)]
pub(super) struct Clock {
    mode: ClockMode,
    advanced_ms: u64,
}

impl Clock {
    pub(super) fn new(mode: ClockMode) -> Self {
        Self { mode, advanced_ms: 0 }
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> u64 {
        let base_ms = match &self.mode {
            ClockMode::Given(clock) => clock.now_ms(),
            ClockMode::Virtual => VIRTUAL_START_MS,
            ClockMode::Real => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(VIRTUAL_START_MS, |since| since.as_millis() as u64),
        };
        base_ms.saturating_add(self.advanced_ms)
    }

    pub(super) fn advance(&mut self, by_ms: u64) {
        self.advanced_ms = self.advanced_ms.saturating_add(by_ms);
    }
}

/// RFC 3339 in UTC with whole seconds, as the provider writes its times.
pub(super) fn timestamp(at_ms: u64, skew_ms: i64) -> String {
    let at_ms = (at_ms as i64).saturating_add(skew_ms);
    jiff::Timestamp::from_millisecond(at_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_time_moves_only_when_advanced() {
        let mut clock = Clock::new(ClockMode::Virtual);
        let before = clock.now_ms();
        assert_eq!(clock.now_ms(), before);
        clock.advance(61_500);
        assert_eq!(timestamp(clock.now_ms(), 0), "2026-01-01T00:01:01Z");
        assert_eq!(timestamp(clock.now_ms(), -62_000), "2025-12-31T23:59:59Z");
    }
}
