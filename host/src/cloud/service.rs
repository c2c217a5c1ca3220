//! One upstream: where it is, what it is sent with, and the request as it goes out.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{Url, header};
use tokio::{runtime::Handle, sync::Notify, time::Instant};

use super::{
    Closed, FetchError, Grant, Outgoing, ServiceConfig, ServiceReport, ServicesError,
    budget::{Budget, Caller},
    credential::{Credential, Credentials},
    gate::Gate,
    leave::Leave,
    policy::{self, MAX_URL_BYTES, Target},
    probe::Reading,
    services::{DEFAULT_TIMEOUT, MAX_TIMEOUT},
    shared::Shared,
    slot::Slot,
    transport::{Transport, Wire},
};
use crate::saga::id::hash_of;

/// One upstream.
#[derive(Debug)]
pub(super) struct Service {
    pub name: String,
    pub credentials: Credentials,
    pub gate: Gate,
    pub leave: Leave,
    pub transport: Arc<dyn Transport>,
    pub shared: Shared,
    pub handle: Handle,
    pub exchange_limit: Duration,
    pub reading: Reading,
    base_url: Url,
    pub news: Arc<Notify>,
    allow: Vec<Grant>,
    budget: Mutex<Budget>,
    started: Instant,
}

/// A request that is allowed, ready to be sent.
pub(super) struct Prepared {
    pub target: Target,
    pub asked: Outgoing,
    pub url: Url,
    pub timeout: Duration,
}

impl Prepared {
    pub fn query(&self) -> &str {
        self.url.query().unwrap_or_default()
    }
}

impl Service {
    pub fn new(
        config: ServiceConfig,
        transport: Option<Arc<dyn Transport>>,
        handle: Handle,
        started: Instant,
        exchange_limit: Duration,
        news: Arc<Notify>,
        leave: Leave,
    ) -> Result<Self, ServicesError> {
        let name = config.name;
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) {
            return Err(ServicesError::Name(name));
        }
        if config.per_minute == 0 || config.per_hour == 0 {
            return Err(ServicesError::Budget(name));
        }
        let base_url = base_url(&config.base_url, config.credential.is_some()).map_err(|reason| {
            ServicesError::BaseUrl {
                service: name.clone(),
                reason,
            }
        })?;
        let credential = match config.credential {
            None => Credential::default(),
            Some(secret) => Credential::new(secret).ok_or_else(|| ServicesError::Credential(name.clone()))?,
        };
        let origin = config
            .origin
            .unwrap_or_else(|| base_url.origin().ascii_serialization());
        let probe = config.identity;
        let service = Service {
            transport: match transport {
                Some(transport) => transport,
                None => Arc::new(Wire::new(&name, &base_url, &leave)?),
            },
            leave,
            reading: Reading::new(origin, probe.clone()),
            name,
            credentials: Credentials::new(credential, config.credential_file),
            gate: Gate::default(),
            news,
            shared: Shared::default(),
            handle,
            exchange_limit,
            base_url,
            allow: config.allow,
            budget: Mutex::new(Budget::new(config.per_minute, config.per_hour)),
            started,
        };
        if let Some(probe) = &probe {
            let refused = |reason: String| ServicesError::Identity {
                service: service.name.clone(),
                reason,
            };
            service
                .probe_request(probe)
                .map_err(|error| refused(error.to_string()))?;
            if probe.pointers.is_empty() || probe.pointers.iter().any(|pointer| !pointer.starts_with('/')) {
                return Err(refused(
                    "a JSON Pointer begins with `/`, and one is needed".to_owned(),
                ));
            }
        }
        Ok(service)
    }

    pub fn prepare(&self, grants: &[Grant], asked: Outgoing) -> Result<Prepared, FetchError> {
        let target = policy::shape_of(&asked)?;
        policy::check_grant(&self.name, &self.allow, grants, &target)?;
        self.addressed(asked, target)
    }

    /// With the URL that it goes to.
    pub fn addressed(&self, asked: Outgoing, target: Target) -> Result<Prepared, FetchError> {
        let mut url = self.base_url.clone();
        let path = format!("{}{}", url.path().trim_end_matches('/'), target.path);
        url.set_path(&path);
        // What was granted is what is sent, whatever the URL library thinks of the path.
        if url.path() != path {
            return Err(FetchError::InvalidRequest(
                "the path isn't in its normal form".to_owned(),
            ));
        }
        if !asked.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&asked.query);
        }
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(FetchError::InvalidRequest(format!(
                "the URL is longer than {MAX_URL_BYTES} bytes"
            )));
        }
        let timeout = asked.timeout_ms.map_or(DEFAULT_TIMEOUT, |ms| {
            Duration::from_millis(u64::from(ms)).min(MAX_TIMEOUT)
        });
        Ok(Prepared {
            target,
            asked,
            url,
            timeout,
        })
    }

    /// The request as it goes out, credential included.
    pub fn outgoing(
        &self,
        prepared: &Prepared,
        credential: &Credential,
    ) -> Result<reqwest::Request, FetchError> {
        let invalid = |what: &str| FetchError::InvalidRequest(format!("{what} can't be sent"));
        let method = prepared
            .target
            .method
            .parse()
            .map_err(|_| invalid("the method"))?;
        let mut request = reqwest::Request::new(method, prepared.url.clone());
        let headers = request.headers_mut();
        for (name, value) in &prepared.asked.headers {
            let key = name
                .parse::<header::HeaderName>()
                .map_err(|_| invalid("a header's name"))?;
            let value = header::HeaderValue::from_str(value).map_err(|_| invalid("a header's value"))?;
            headers.append(key, value);
        }
        if let Some(authorization) = &credential.header {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        if let Some(body) = &prepared.asked.body {
            *request.body_mut() = Some(body.clone().into());
        }
        Ok(request)
    }

    /// Equal for requests that ask for the same: over service, method, path, query and body.
    pub fn request_hash(&self, prepared: &Prepared) -> String {
        let (has_body, body): (&[u8], &[u8]) = match &prepared.asked.body {
            Some(body) => (b"body", body),
            None => (b"none", b""),
        };
        let hash = hash_of(&[
            self.name.as_bytes(),
            prepared.target.method.as_bytes(),
            prepared.target.path.as_bytes(),
            prepared.query().as_bytes(),
            has_body,
            body,
        ]);
        data_encoding::HEXLOWER.encode(&hash)
    }

    /// Monotonic milliseconds.
    pub fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// A place in the rate budget, or how long to wait for one.
    pub fn slot(self: &Arc<Self>, caller: Caller) -> Result<Slot, FetchError> {
        self.budget()
            .take(self.now_ms(), caller)
            .map_err(FetchError::RateLimited)?;
        Ok(Slot::taken(self))
    }

    /// The service refuses the host's credential: nothing more is sent, and the engine hears of it.
    pub fn refuse(&self, why: String) {
        self.reading.forget();
        if self.gate.close(Closed::Refused(why)) {
            self.news.notify_one();
        }
    }

    pub fn report(&self) -> ServiceReport {
        let budget = self.budget();
        let (left_in_minute, left_in_hour) = budget.left(self.now_ms());
        let (per_minute, per_hour) = budget.limits();
        ServiceReport {
            name: self.name.clone(),
            base_url: self.base_url.to_string(),
            identity: self.reading.known(),
            per_minute,
            per_hour,
            left_in_minute,
            left_in_hour,
            closed: self.gate.closed(),
        }
    }

    pub fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn base_url(text: &str, has_credential: bool) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "isn't a URL")?;
    let host = url.host_str().ok_or("has no host")?;
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if loopback || !has_credential => {}
        "http" => return Err("must be https: a credential would travel in the clear"),
        _ => return Err("must be http or https"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user or a password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or a fragment");
    }
    Ok(url)
}
