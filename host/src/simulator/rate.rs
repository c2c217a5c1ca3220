//! The rate limit: a sliding minute and a sliding hour per token.

use std::collections::{HashMap, VecDeque};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// The limits and what a token has used of them, as every answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Unix seconds when the oldest request leaves the hour.
    pub(super) reset_s: u64,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    /// Over the limit of a minute; a request can be admitted in this many seconds.
    Burst {
        retry_after_s: u64,
    },
    /// Over the limit of an hour.
    Exhausted,
}

/// The times of the admitted requests of the last hour, by token. Refused requests don't count.
#[derive(Debug, Default)]
pub(super) struct RateWindows {
    admitted: HashMap<String, VecDeque<u64>>,
}

impl RateWindows {
    pub(super) fn admit(&mut self, token: &str, now_ms: u64, per_minute: u32, per_hour: u32) -> Standing {
        let times = self.admitted.entry(token.into()).or_default();
        while times.front().is_some_and(|at_ms| at_ms + HOUR_MS <= now_ms) {
            times.pop_front();
        }
        let recent = times
            .iter()
            .rev()
            .take_while(|at_ms| **at_ms + MINUTE_MS > now_ms)
            .count();
        let verdict = if times.len() >= per_hour as usize {
            Verdict::Exhausted
        } else if recent >= per_minute as usize {
            let oldest_recent_ms = times[times.len() - recent];
            let free_ms = oldest_recent_ms + MINUTE_MS - now_ms;
            Verdict::Burst {
                retry_after_s: free_ms.div_ceil(1_000).max(1),
            }
        } else {
            times.push_back(now_ms);
            Verdict::Admitted
        };
        let remaining = match verdict {
            Verdict::Admitted => per_hour.saturating_sub(times.len() as u32),
            Verdict::Burst { .. } | Verdict::Exhausted => 0,
        };
        let oldest_ms = times.front().copied().unwrap_or(now_ms);
        Standing {
            limit: per_hour,
            remaining,
            reset_s: (oldest_ms + HOUR_MS).div_ceil(1_000),
            verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(windows: &mut RateWindows, token: &str, now_ms: u64) -> Verdict {
        windows.admit(token, now_ms, 3, 5).verdict
    }

    #[test]
    fn the_minute_slides() {
        let mut windows = RateWindows::default();
        for at_ms in [0, 20_000, 40_000] {
            assert_eq!(verdict(&mut windows, "a", at_ms), Verdict::Admitted);
        }
        let burst = Verdict::Burst { retry_after_s: 10 };
        assert_eq!(verdict(&mut windows, "a", 50_000), burst);
        assert_eq!(verdict(&mut windows, "b", 50_000), Verdict::Admitted);
        assert_eq!(verdict(&mut windows, "a", 60_000), Verdict::Admitted);
        assert_eq!(
            verdict(&mut windows, "a", 60_001),
            Verdict::Burst { retry_after_s: 20 }
        );
    }

    #[test]
    fn the_hour_slides_and_counts_down() {
        let mut windows = RateWindows::default();
        let at = |number: u64| number * 30_000;
        for number in 0..5 {
            let standing = windows.admit("a", at(number), 3, 5);
            let expected = Standing {
                limit: 5,
                remaining: 4 - number as u32,
                reset_s: 3_600,
                verdict: Verdict::Admitted,
            };
            assert_eq!(standing, expected);
        }
        assert_eq!(verdict(&mut windows, "a", HOUR_MS - 1), Verdict::Exhausted);
        assert_eq!(verdict(&mut windows, "a", HOUR_MS), Verdict::Admitted);
        assert_eq!(verdict(&mut windows, "a", HOUR_MS), Verdict::Exhausted);
    }
}
