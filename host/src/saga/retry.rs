//! How long to wait between attempts: exponential backoff with full jitter
//! (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).

/// Shortest and longest `again`, in milliseconds.
pub const AGAIN_MIN_MS: u64 = 100;
pub const AGAIN_MAX_MS: u64 = 86_400_000;

/// Uniform in `[floor_ms, min(max_ms, base_ms * 2^(attempt - 1))]`; `attempt` counts from 1.
pub fn backoff_ms(floor_ms: u64, base_ms: u64, max_ms: u64, attempt: u32, dice: u64) -> u64 {
    let doubled = base_ms.saturating_mul(1u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX));
    let cap = doubled.min(max_ms).max(floor_ms);
    floor_ms + dice % (cap - floor_ms).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_the_cap_and_never_falls_below_the_floor() {
        for attempt in 1..200 {
            for dice in [0, 1, 999, u64::MAX, 0x5555_5555_5555_5555] {
                let wait = backoff_ms(1_000, 1_000, 300_000, attempt, dice);
                assert!(
                    (1_000..=300_000).contains(&wait),
                    "attempt {attempt}, dice {dice}: {wait}"
                );
                assert!(attempt > 8 || wait <= 1_000 << (attempt - 1));
            }
        }
        assert_eq!(backoff_ms(0, 1_000, 60_000, 1, 1_000), 1_000);
        assert_eq!(backoff_ms(0, 0, 0, 7, 12_345), 0);
    }
}
