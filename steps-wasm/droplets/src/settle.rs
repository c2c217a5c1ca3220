//! When to look, and how long to wait between looks.

/// Looks at 0, 1/12, 1/4, 1/2 and all of the settle window: milliseconds until the next one, given how much of the window has
/// passed. None when it is over: the look just made was the last.
pub fn next_look_ms(passed_ms: u64, settle_ms: u64) -> Option<u64> {
    let looks = [settle_ms / 12, settle_ms / 4, settle_ms / 2, settle_ms];
    looks
        .into_iter()
        .find(|at| *at > passed_ms)
        .map(|at| at - passed_ms)
}

/// A wait that grows for what takes long: the interval for the first twelve polls, twice that for the next twelve, and so on;
/// at most five minutes, unless the interval itself is longer.
pub fn patience_ms(interval_ms: u64, polls: u32) -> u64 {
    let times = 1 + u64::from(polls / 12);
    interval_ms.saturating_mul(times).min(interval_ms.max(300_000))
}

#[cfg(test)]
mod tests {
    use super::{next_look_ms, patience_ms};

    #[test]
    fn five_looks_fall_into_the_window_and_the_last_at_its_end() {
        let mut passed = 0;
        let mut looks = vec![passed];
        while let Some(wait) = next_look_ms(passed, 60_000) {
            passed += wait;
            looks.push(passed);
        }
        assert_eq!(looks, [0, 5_000, 15_000, 30_000, 60_000]);
    }

    #[test]
    fn a_late_look_skips_what_it_missed_but_never_the_end() {
        assert_eq!(next_look_ms(29_999, 60_000), Some(1));
        assert_eq!(next_look_ms(30_000, 60_000), Some(30_000));
        assert_eq!(next_look_ms(60_000, 60_000), None);
        assert_eq!(next_look_ms(0, 0), None);
    }

    #[test]
    fn waits_grow_to_five_minutes() {
        let waits: Vec<u64> = [0, 11, 12, 24, 1_000_000]
            .map(|polls| patience_ms(5_000, polls))
            .into();
        assert_eq!(waits, [5_000, 5_000, 10_000, 15_000, 300_000]);
        assert_eq!(patience_ms(600_000, 500), 600_000);
    }
}
