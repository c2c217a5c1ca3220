//! The HTTP API as the commands see it: one request, one answer or one [`CliError`].

use std::{net::IpAddr, time::Duration};

use reqwest::{
    Method, RequestBuilder, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    failure::{CliError, Refusal},
    messages::Messages,
};
use crate::api::HEARTBEAT;

/// Longest wait for an answer, beyond what a request asks the server to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stream may be silent until its server counts as gone: a few heartbeats.
const SILENCE: Duration = HEARTBEAT.saturating_mul(3);

#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Without a limit for the whole of an answer.
    streams: reqwest::Client,
    base: Url,
}

impl Client {
    /// A client for the server at `base`. Nothing is sent yet. On loopback no proxy of the environment is used.
    pub fn new(base: Url, token: Option<&str>) -> Result<Client, CliError> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| CliError::usage("the token holds characters that no token has", "check it"))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let builder = || {
            let builder = reqwest::Client::builder()
                .default_headers(headers.clone())
                .user_agent(concat!("arcadia/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none());
            if is_loopback(&base) {
                builder.no_proxy()
            } else {
                builder
            }
        };
        let unbuilt = |source| CliError::Unreachable {
            url: base.to_string(),
            source,
        };
        let http = builder().build().map_err(unbuilt)?;
        let streams = builder().read_timeout(SILENCE).build().map_err(unbuilt)?;
        Ok(Client { http, streams, base })
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, CliError> {
        let request = self.request_with(Method::GET, path, query)?;
        self.read(request, "GET", path).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        let request = self.request(Method::POST, path)?.json(body);
        self.read(request, "POST", path).await
    }

    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        let request = self.request(Method::PUT, path)?.json(body);
        self.read(request, "PUT", path).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let request = self.request(Method::DELETE, path)?;
        self.read(request, "DELETE", path).await
    }

    /// Starts something: answered 202 once it is durable. With a key, the same request twice starts one saga.
    pub async fn start<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        idempotency_key: Option<&str>,
    ) -> Result<T, CliError> {
        let name = method.to_string();
        let mut request = self.request(method, path)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let answer = self.send(request, &name, path).await?;
        self.decode(answer).await
    }

    /// Uploads bytes; also says whether they were new (201) or already there (200).
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        bytes: Vec<u8>,
    ) -> Result<(bool, T), CliError> {
        let request = self
            .request_with(Method::POST, path, query)?
            .timeout(ANSWER_TIMEOUT * 10)
            .header(CONTENT_TYPE, "application/wasm")
            .body(bytes);
        let answer = self.send(request, "POST", path).await?;
        let new = answer.status() == StatusCode::CREATED;
        Ok((new, self.decode(answer).await?))
    }

    /// Opens a stream of server-sent events, after the message with the id `last` if there is one. `None`: everything of
    /// it was told.
    pub async fn stream(&self, path: &str, last: Option<&str>) -> Result<Option<Messages>, CliError> {
        let mut request = self.streams.get(self.url(path)?);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = self.send(request, "GET", path).await?;
        let over = answer.status() == StatusCode::NO_CONTENT;
        Ok((!over).then(|| Messages::of(answer)))
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, CliError> {
        self.request_with(method, path, &[])
    }

    fn request_with(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<RequestBuilder, CliError> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.http.request(method, url).timeout(ANSWER_TIMEOUT))
    }

    fn url(&self, path: &str) -> Result<Url, CliError> {
        self.base.join(path).map_err(|error| {
            CliError::usage(
                format!("{path:?} is no path: {error}"),
                "check the id or name in it",
            )
        })
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        method: &str,
        path: &str,
    ) -> Result<T, CliError> {
        let answer = self.send(request, method, path).await?;
        self.decode(answer).await
    }

    async fn send(
        &self,
        request: RequestBuilder,
        method: &str,
        path: &str,
    ) -> Result<reqwest::Response, CliError> {
        let answer = request.send().await.map_err(|source| self.unreachable(source))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.map_err(|source| self.unreachable(source))?;
        let problem = serde_json::from_str(&text).map_err(|_| CliError::Strange {
            url: self.base.to_string(),
            reason: format!("{method} {path}: {status} without a problem document"),
        })?;
        Err(CliError::Refused(Box::new(Refusal {
            problem,
            request: format!("{method} {path}"),
        })))
    }

    async fn decode<T: DeserializeOwned>(&self, answer: reqwest::Response) -> Result<T, CliError> {
        let path = answer.url().path().to_owned();
        let bytes = answer.bytes().await.map_err(|source| self.unreachable(source))?;
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|error| CliError::Strange {
            url: self.base.to_string(),
            reason: format!("{path}: {error}"),
        })
    }

    fn unreachable(&self, source: reqwest::Error) -> CliError {
        CliError::Unreachable {
            url: self.base.to_string(),
            source,
        }
    }
}

/// True for `localhost` and addresses of this machine alone.
pub fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        let loopback = |url: &str| is_loopback(&Url::parse(url).unwrap());
        assert!(loopback("http://127.0.0.1:7270"));
        assert!(loopback("http://127.9.9.9"));
        assert!(loopback("http://[::1]:80"));
        assert!(loopback("http://localhost:7270"));
        assert!(!loopback("https://api.digitalocean.com"));
        assert!(!loopback("http://localhost.example.com"));
        assert!(!loopback("http://10.0.0.1"));
    }
}
