//! One exchange: a request goes out at most once, and this says how it ended.

use std::time::Duration;

use super::{
    Secret,
    transport::{NotAnswered, Transport, reason},
};

/// At most so long on the wire, counted from when the request may leave.
pub const EXCHANGE_LIMIT: Duration = Duration::from_secs(120);
/// Longest answer that is read.
pub const MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;
/// An answer as it came: header names in lower case, the credential taken out should the upstream have echoed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    Answered(WireAnswer),
    /// Status and headers arrived, more body than [`MAX_RESPONSE_BYTES`]; none of it is kept.
    TooLarge(WireAnswer),
    /// Status and headers arrived, then the connection broke; nothing of the body is kept.
    Cut(WireAnswer, String),
    /// No byte of the request was written: the connection could not be made.
    Unsent(String),
    /// The request may have been written, and there is no answer.
    Lost(String),
    /// As `Lost`: [`EXCHANGE_LIMIT`] passed.
    TimedOut,
}

impl Ending {
    /// The head of the answer, when there was one.
    pub fn head(&self) -> Option<&WireAnswer> {
        match self {
            Ending::Answered(head) | Ending::TooLarge(head) | Ending::Cut(head, _) => Some(head),
            Ending::Unsent(_) | Ending::Lost(_) | Ending::TimedOut => None,
        }
    }
}

pub(super) async fn exchange(
    transport: &dyn Transport,
    request: reqwest::Request,
    limit: Duration,
    credential: Option<&Secret>,
) -> Ending {
    tokio::time::timeout(limit, send(transport, request, credential))
        .await
        .unwrap_or(Ending::TimedOut)
}

async fn send(transport: &dyn Transport, request: reqwest::Request, credential: Option<&Secret>) -> Ending {
    let mut response = match transport.send(request).await {
        Ok(response) => response,
        Err(NotAnswered::Unsent(reason)) => return Ending::Unsent(reason),
        Err(NotAnswered::Lost(reason)) => return Ending::Lost(reason),
    };
    let mut answer = WireAnswer {
        status: response.status().as_u16(),
        headers: headers_of(&response, credential),
        body: Vec::new(),
    };
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_RESPONSE_BYTES => {
                return Ending::TooLarge(answer);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Ending::Cut(answer, reason(error)),
        }
    }
    answer.body = match credential {
        Some(secret) => secret.scrub(body),
        None => body,
    };
    Ending::Answered(answer)
}

/// Values that aren't text are left out.
fn headers_of(response: &reqwest::Response, credential: Option<&Secret>) -> Vec<(String, String)> {
    let scrubbed = |text: &str| match credential {
        Some(secret) => secret.scrub_text(text.to_owned()),
        None => text.to_owned(),
    };
    response
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), scrubbed(value.to_str().ok()?))))
        .collect()
}
