//! Headers that change what a request means.

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{ETAG, IF_NONE_MATCH},
        request::Parts,
    },
};

use super::problem::{Code, Problem};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// On the answer to a request whose key was known: the saga is the one that the first request started.
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Longest idempotency key, in characters.
pub const MAX_KEY_CHARS: usize = 255;
/// Longest wait, in seconds.
pub const MAX_WAIT_S: u64 = 60;

/// The header `Idempotency-Key`: requests with the same key start one saga.
pub(super) struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IdempotencyKey, Problem> {
        let refuse = |message: &str| Problem::at_parameter(Code::InvalidHeader, "idempotency-key", message);
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            return Ok(IdempotencyKey(None));
        };
        if values.next().is_some() {
            return Err(refuse("it is given more than once"));
        }
        let key = value
            .to_str()
            .map_err(|_| refuse("it holds more than visible ASCII"))?;
        if !is_key(key) {
            return Err(refuse("it has 1 to 255 characters"));
        }
        Ok(IdempotencyKey(Some(key.to_owned())))
    }
}

/// 1 to 255 visible ASCII characters.
pub(super) fn is_key(text: &str) -> bool {
    (1..=MAX_KEY_CHARS).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

/// The header `Last-Event-ID`: the last event that a reader of a stream has seen.
pub(super) struct LastEventId(pub Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<LastEventId, Problem> {
        let refuse = |message: &str| Problem::at_parameter(Code::InvalidHeader, "last-event-id", message);
        let mut values = parts.headers.get_all(LAST_EVENT_ID).iter();
        let (first, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(refuse("it is given more than once"));
        }
        match first.map(|value| value.to_str().map(str::trim)) {
            None | Some(Ok("")) => Ok(LastEventId(None)),
            Some(Ok(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse() {
                Ok(id) => Ok(LastEventId(Some(id))),
                Err(_) => Err(refuse("it is none of our ids")),
            },
            Some(Ok(_) | Err(_)) => Err(refuse("it is none of our ids, which are numbers")),
        }
    }
}

/// The preference `wait=N` of the header `Prefer` (RFC 7240): how long the answer may take, in seconds, at most 60. What
/// can't be understood is ignored, as with every preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait(pub Option<Duration>);

impl<S: Send + Sync> FromRequestParts<S> for Wait {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Wait, Self::Rejection> {
        let preferences = parts
            .headers
            .get_all(PREFER)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        let seconds = preferences
            .filter_map(|preference| {
                let (name, value) = preference.split(';').next()?.split_once('=')?;
                let value = value.trim().trim_matches('"');
                name.trim()
                    .eq_ignore_ascii_case("wait")
                    .then(|| value.parse::<u64>().ok())?
            })
            .next();
        Ok(Wait(
            seconds.map(|seconds| Duration::from_secs(seconds.min(MAX_WAIT_S))),
        ))
    }
}

impl Wait {
    /// Tells the caller that the preference was heard.
    pub fn applied(self, headers: &mut HeaderMap) {
        if let Some(wait) = self.0 {
            let value = HeaderValue::from_str(&format!("wait={}", wait.as_secs()));
            headers.insert(PREFERENCE_APPLIED, value.expect("digits are legal in a header"));
        }
    }
}

/// The revision that the caller knows, from `If-None-Match`.
pub(super) struct KnownRevision(pub Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for KnownRevision {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<KnownRevision, Self::Rejection> {
        let tag = parts
            .headers
            .get(IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok());
        let revision = tag.and_then(|tag| {
            let tag = tag.trim();
            tag.strip_prefix("W/")
                .unwrap_or(tag)
                .strip_prefix('"')?
                .strip_suffix('"')?
                .parse()
                .ok()
        });
        Ok(KnownRevision(revision))
    }
}

pub(super) fn revision_tag(headers: &mut HeaderMap, revision: u64) {
    let value = HeaderValue::from_str(&format!("\"{revision}\""));
    headers.insert(ETAG, value.expect("digits are legal in a header"));
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn wait_of(values: &[&str]) -> Option<u64> {
        let mut request = Request::builder();
        for value in values {
            request = request.header(PREFER, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let Ok(Wait(wait)) = Wait::from_request_parts(&mut parts, &()).await;
        wait.map(|wait| wait.as_secs())
    }

    #[tokio::test]
    async fn a_wait_is_found_among_other_preferences_and_capped() {
        assert_eq!(wait_of(&["wait=10"]).await, Some(10));
        assert_eq!(wait_of(&["respond-async, Wait = \"7\"; x"]).await, Some(7));
        assert_eq!(wait_of(&["respond-async", "wait=90"]).await, Some(60));
        for ignored in ["wait", "wait=", "wait=-1", "wait=x", "waits=3"] {
            assert_eq!(wait_of(&[ignored]).await, None, "{ignored}");
        }
    }
}
