//! What an answer says about the service's rate limit. Pure.

use jiff::fmt::rfc2822;

/// No pause that an upstream asks for is longer: an absurd value must not stop a service for days. When it ends, one request
/// goes first and learns whether the limit still holds.
pub const MAX_PAUSE_MS: i64 = 5 * 60_000;
const MIN_PAUSE_MS: i64 = 1_000;
/// A 429 that doesn't say when.
const DEFAULT_PAUSE_MS: i64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Nothing more for so many milliseconds.
    Pause { pause_ms: i64 },
    /// It was answered; what is left of the service's own window, if it said so.
    Answered { left: Option<Left> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub limit: u32,
    pub remaining: u32,
    /// When the oldest request leaves the service's window.
    pub frees_in_ms: i64,
}

/// `wall_ms`: Unix milliseconds. Header names are in lower case.
pub(super) fn hint_of(status: u16, headers: &[(String, String)], wall_ms: i64) -> Hint {
    let header = |name: &str| {
        headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.trim())
    };
    let retry_after_ms = header("retry-after").and_then(|value| retry_after_ms(value, wall_ms));
    let reset_ms = header("ratelimit-reset")
        .and_then(|value| value.parse::<i64>().ok())
        .map(|unix_seconds| unix_seconds.saturating_mul(1000).saturating_sub(wall_ms));
    // A 503 pauses only when it says for how long: without that it may concern one resource.
    let pause_ms = match status {
        429 => Some(retry_after_ms.or(reset_ms).unwrap_or(DEFAULT_PAUSE_MS)),
        503 => retry_after_ms,
        _ => None,
    };
    if let Some(pause_ms) = pause_ms {
        return Hint::Pause {
            pause_ms: pause_ms.clamp(MIN_PAUSE_MS, MAX_PAUSE_MS),
        };
    }
    let count = |name: &str| header(name).and_then(|value| value.parse::<u32>().ok());
    let left = match (count("ratelimit-limit"), count("ratelimit-remaining")) {
        (Some(limit), Some(remaining)) => Some(Left {
            limit,
            remaining,
            frees_in_ms: reset_ms
                .unwrap_or(DEFAULT_PAUSE_MS)
                .clamp(MIN_PAUSE_MS, MAX_PAUSE_MS),
        }),
        _ => None,
    };
    Hint::Answered { left }
}

/// Seconds, or an HTTP date.
fn retry_after_ms(value: &str, wall_ms: i64) -> Option<i64> {
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(date.as_millisecond().saturating_sub(wall_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL_MS: i64 = 1_700_000_000_000;

    fn hint(status: u16, headers: &[(&str, &str)]) -> Hint {
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        hint_of(status, &headers, WALL_MS)
    }

    #[test]
    fn a_429_pauses_for_what_it_says_within_bounds() {
        let cases: [(&[(&str, &str)], i64); 9] = [
            (&[("retry-after", "20")], 20_000),
            (
                &[("retry-after", " 20 "), ("ratelimit-reset", "1700000090")],
                20_000,
            ),
            (&[("retry-after", "0")], MIN_PAUSE_MS),
            (&[("retry-after", "1000000000")], MAX_PAUSE_MS),
            (&[("retry-after", "99999999999999999999")], DEFAULT_PAUSE_MS),
            (&[("retry-after", "Tue, 14 Nov 2023 22:13:50 GMT")], 30_000),
            (
                &[("retry-after", "soon"), ("ratelimit-reset", "1700000090")],
                90_000,
            ),
            (&[("ratelimit-reset", "-9223372036854775808")], MIN_PAUSE_MS),
            (&[], DEFAULT_PAUSE_MS),
        ];
        for (headers, pause_ms) in cases {
            assert_eq!(hint(429, headers), Hint::Pause { pause_ms }, "{headers:?}");
        }
    }

    #[test]
    fn a_503_pauses_only_when_it_says_for_how_long() {
        assert_eq!(
            hint(503, &[("retry-after", "3")]),
            Hint::Pause { pause_ms: 3_000 }
        );
        assert_eq!(hint(503, &[]), Hint::Answered { left: None });
        assert_eq!(hint(500, &[("retry-after", "3")]), Hint::Answered { left: None });
    }

    #[test]
    fn an_answer_tells_what_is_left() {
        let headers = [
            ("ratelimit-limit", "5000"),
            ("ratelimit-remaining", "7"),
            ("ratelimit-reset", "1700000002"),
        ];
        let left = Left {
            limit: 5000,
            remaining: 7,
            frees_in_ms: 2_000,
        };
        assert_eq!(hint(200, &headers), Hint::Answered { left: Some(left) });
        assert_eq!(hint(200, &headers[1..]), Hint::Answered { left: None });
        assert_eq!(
            hint(200, &[("ratelimit-limit", "-1"), ("ratelimit-remaining", "x")]),
            Hint::Answered { left: None }
        );
    }
}
