//! What carries requests: the wire, or whatever else a host is given in its place.
//!
//! The wire has two clients per service. Requests that change something get a connection of their own: on a kept connection that
//! the server has closed, the HTTP library can't always tell whether a request was written, and sends it again by itself when it
//! thinks that it wasn't. On a fresh connection it never does. Reads keep and share connections.

use std::{
    error::Error as _,
    fmt::{Debug, Write as _},
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{Client, Method, Request, Response, Url};
use tower::util::AndThenLayer;

use super::{ServicesError, leave::Leave};

/// Name lookup, TCP and TLS: all of it happens before the request is written.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const KEEP_IDLE: Duration = Duration::from_secs(50);
const USER_AGENT: &str = concat!("arcadia/", env!("CARGO_PKG_VERSION"));

/// Carries the requests of one service. How long an exchange may take is not its business: whoever waits drops the future.
#[async_trait]
pub trait Transport: Debug + Send + Sync + 'static {
    /// Sends the request at most once, whatever happens, and follows nothing that the answer points to. Answers with the head; the
    /// body is read from it.
    async fn send(&self, request: Request) -> Result<Response, NotAnswered>;
}

/// Why there is no answer; for people, without the URL, whose query may be nobody's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAnswered {
    /// No byte of the request was written, and none will be.
    Unsent(String),
    /// The request may have been written.
    Lost(String),
}

#[derive(Debug)]
pub(super) struct Wire {
    read: Client,
    write: Client,
}

impl Wire {
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
        Ok(Wire {
            read: build(32)?,
            write: build(0)?,
        })
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request) -> Result<Response, NotAnswered> {
        let client = match *request.method() {
            Method::GET | Method::HEAD => &self.read,
            _ => &self.write,
        };
        client.execute(request).await.map_err(|error| {
            // The only errors that prove that nothing was written: they come from before the connection was there.
            if error.is_connect() || error.is_builder() {
                NotAnswered::Unsent(reason(error))
            } else {
                NotAnswered::Lost(reason(error))
            }
        })
    }
}

/// The error with its causes, without the URL: its query may be nobody's business.
pub(super) fn reason(error: reqwest::Error) -> String {
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
