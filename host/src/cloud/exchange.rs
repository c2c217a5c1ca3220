//! One exchange on the wire: a request goes out at most once, and this says how it ended.
//!
//! Two clients per service. Requests that change something get a connection of their own: on a kept connection that the
//! server has closed, the HTTP library can't always tell whether a request was written, and sends it again by itself when it
//! thinks that it wasn't. On a fresh connection it never does. Reads keep and share connections.

use std::{error::Error as _, fmt::Write as _, time::Duration};

use reqwest::{Client, Url};
use tower::util::AndThenLayer;

use super::{Secret, ServicesError, leave::Leave};

/// At most so long on the wire, counted from when the request may leave.
pub const EXCHANGE_LIMIT: Duration = Duration::from_secs(120);
/// Longest answer that is read.
pub const MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;
/// Name lookup, TCP and TLS: all of it happens before the request is written.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const KEEP_IDLE: Duration = Duration::from_secs(50);
const USER_AGENT: &str = concat!("arcadia/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
pub(super) struct Clients {
    pub read: Client,
    pub write: Client,
}

impl Clients {
    pub fn new(service: &str, base_url: &Url, leave: &Leave) -> Result<Self, ServicesError> {
        let leave = leave.clone();
        let last_question = AndThenLayer::new(move |connection| std::future::ready(leave.to(connection)));
        let build = |idle_connections: usize| {
            let mut builder = Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .http1_only()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT_LIMIT)
                .pool_idle_timeout(KEEP_IDLE)
                .pool_max_idle_per_host(idle_connections)
                .connector_layer(last_question.clone());
            if base_url.scheme() == "https" {
                builder = builder.https_only(true);
            } else {
                // Without TLS no roots are needed, and a machine without any must still start.
                builder = builder.tls_certs_only([]);
            }
            builder.build().map_err(|source| ServicesError::Client {
                service: service.to_owned(),
                source,
            })
        };
        Ok(Clients {
            read: build(32)?,
            write: build(0)?,
        })
    }
}

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
    client: &Client,
    request: reqwest::Request,
    limit: Duration,
    credential: Option<&Secret>,
) -> Ending {
    tokio::time::timeout(limit, send(client, request, credential))
        .await
        .unwrap_or(Ending::TimedOut)
}

async fn send(client: &Client, request: reqwest::Request, credential: Option<&Secret>) -> Ending {
    let mut response = match client.execute(request).await {
        Ok(response) => response,
        // The only error that proves that nothing was written: it comes from before the connection was there.
        Err(error) if error.is_connect() => return Ending::Unsent(reason(error)),
        Err(error) if error.is_builder() => return Ending::Unsent(reason(error)),
        Err(error) => return Ending::Lost(reason(error)),
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

/// The error with its causes, without the URL: its query may be nobody's business.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string can't fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
