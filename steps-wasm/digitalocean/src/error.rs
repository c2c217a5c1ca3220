//! What can go wrong, by what a caller does about it.

use serde_json::Value;

use crate::transport::Response;

/// A bad answer is at most this long in a message for people, in characters.
const MESSAGE_CHARACTERS: usize = 300;

/// `E` is the transport's own error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// There is no answer.
    Transport(E),
    /// Answered with a status that isn't a success.
    Refused(Refusal),
    /// Answered with success, and the body can't be understood.
    Unreadable { status: u16, what: String },
}

/// An answer that says no. Decide by the status; the id and the message are for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub id: String,
    pub message: String,
    retry_after: Option<RetryAfter>,
    rate_limit_reset_s: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryAfter {
    Seconds(u64),
    /// A date, or nonsense.
    Other,
}

impl Refusal {
    /// A body may be JSON in one of two forms, HTML, or empty.
    pub fn read(response: &Response) -> Refusal {
        let body = serde_json::from_slice::<Value>(&response.body).unwrap_or(Value::Null);
        let name = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
        let messages = || {
            let all = crate::field::texts(&body, "messages")?;
            Some(all.join("; ")).filter(|text| !text.is_empty())
        };
        let message = name("message")
            .or_else(messages)
            .or_else(|| name("error"))
            .unwrap_or_default();
        let number = |header: &str| response.header(header).and_then(|text| text.trim().parse().ok());
        Refusal {
            status: response.status,
            id: name("id").unwrap_or_default(),
            message: message.chars().take(MESSAGE_CHARACTERS).collect(),
            retry_after: response
                .header("retry-after")
                .map(|_| number("retry-after").map_or(RetryAfter::Other, RetryAfter::Seconds)),
            rate_limit_reset_s: number("ratelimit-reset"),
        }
    }

    /// How long to wait after a 429, bounded to an hour: as told by `retry-after`, which only the burst limit sends, else until the
    /// oldest request leaves the window, up to an hour away. None without either, and when `retry-after` isn't in seconds: the
    /// host reads dates, holds everything back until then, and tells whoever asks again how long that is.
    pub fn wait_ms(&self, now_ms: u64) -> Option<u64> {
        let told = match self.retry_after {
            Some(RetryAfter::Seconds(seconds)) => seconds.saturating_mul(1000),
            Some(RetryAfter::Other) => return None,
            None => self
                .rate_limit_reset_s?
                .saturating_mul(1000)
                .saturating_sub(now_ms),
        };
        Some(told.min(3_600_000))
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.message.is_empty() {
            write!(out, "status {}", self.status)
        } else {
            write!(out, "status {}: {}", self.status, self.message)
        }
    }
}
