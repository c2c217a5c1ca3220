//! The named services, and the one function that sends.

use std::{
    collections::BTreeMap,
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use reqwest::{Url, header};
use tokio::{runtime::Handle, sync::Notify};

use super::{
    Closed, FetchError, Grant, Identity, Journal, Outgoing, Response, ServiceConfig,
    budget::{Budget, Caller},
    credential::{Credential, Credentials},
    crypto::install_crypto,
    exchange::{Clients, EXCHANGE_LIMIT, Ending},
    gate::Gate,
    judge::UNAUTHORIZED,
    open::OpenExchanges,
    policy::{self, MAX_URL_BYTES, Target},
    probe::Reading,
    ratelimit::hint_of,
    read,
    shared::Shared,
    write,
};
use crate::saga::{Phase, SagaId, StepIndex, id::hash_of};

/// How long a guest waits when it doesn't say, and at most.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
pub const MAX_TIMEOUT: Duration = EXCHANGE_LIMIT;

/// All services of a host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    services: Arc<BTreeMap<String, Arc<Service>>>,
    open: OpenExchanges,
    news: Arc<Notify>,
}

/// A service as people see it; never its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceReport {
    pub name: String,
    pub base_url: String,
    /// None: not read yet.
    pub identity: Option<Arc<Identity>>,
    pub per_minute: u32,
    pub per_hour: u32,
    /// Requests that may leave in this window now.
    pub left_in_minute: u32,
    pub left_in_hour: u32,
    /// Why nothing is sent, when nothing is.
    pub closed: Option<Closed>,
}

/// Why the configured services can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    #[error("a service's name has 1 to 64 characters of a-z, 0-9 and -: {0:?}")]
    Name(String),
    #[error("service {0} is configured twice")]
    Twice(String),
    #[error("service {service}: the base URL {reason}")]
    BaseUrl { service: String, reason: &'static str },
    #[error("service {0}: the credential is empty or has a character that can't stand in a header")]
    Credential(String),
    #[error("service {0}: per_minute and per_hour must be at least 1")]
    Budget(String),
    #[error("service {service}: its identity can't be read: {reason}")]
    Identity { service: String, reason: String },
    #[error("service {service}: the HTTP client can't be made")]
    Client { service: String, source: reqwest::Error },
    #[error("services need a running async runtime")]
    NoRuntime,
}

impl Services {
    /// Called inside the runtime that exchanges belong to: they end there, whatever becomes of the call that asked for them.
    pub fn new(configs: Vec<ServiceConfig>) -> Result<Self, ServicesError> {
        Self::with_exchange_limit(configs, EXCHANGE_LIMIT)
    }

    /// With another limit than [`EXCHANGE_LIMIT`] for how long an answer is awaited.
    pub fn with_exchange_limit(configs: Vec<ServiceConfig>, limit: Duration) -> Result<Self, ServicesError> {
        install_crypto();
        let handle = Handle::try_current().map_err(|_| ServicesError::NoRuntime)?;
        let started = Instant::now();
        let mut services = BTreeMap::new();
        let news = Arc::new(Notify::new());
        for config in configs {
            let name = config.name.clone();
            let service = Service::new(config, handle.clone(), started, limit, news.clone())?;
            if services.insert(name.clone(), Arc::new(service)).is_some() {
                return Err(ServicesError::Twice(name));
            }
        }
        Ok(Services {
            services: Arc::new(services),
            open: OpenExchanges::default(),
            news,
        })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// Sends one request of the journal's owner.
    ///
    /// Nothing leaves before the service's identity is known and [`Journal::admits`] it.
    ///
    /// A request that may change something leaves only when its intent is durable. From then on the exchange is the host's:
    /// dropping this future leaves it running to its end, which is journaled. Dropped before that, nothing is sent, and an intent that
    /// became durable meanwhile is recorded as unsent. After a crash the intent is there, open or answered.
    pub async fn fetch(
        &self,
        grants: &[Grant],
        journal: Arc<dyn Journal>,
        request: Outgoing,
    ) -> Result<Response, FetchError> {
        let Some(service) = self.services.get(&request.service) else {
            let target = policy::shape_of(&request)?;
            return Err(FetchError::Denied(format!(
                "{}: {} {} (no service of this name is configured)",
                request.service, target.method, target.path
            )));
        };
        let prepared = service.prepare(grants, request)?;
        service.gate.check(&service.name)?;
        let identity = service.identity(journal.now_ms()).await?;
        journal.admits(&service.name, &identity).await?;
        if prepared.target.mutating() {
            write::fetch(service, &self.open, journal, prepared, &identity).await
        } else {
            read::fetch(service, journal, prepared).await
        }
    }

    /// The identity of a service, read now unless it is known; none for a service that isn't configured. `wall_ms`: Unix milliseconds.
    /// After an error the service can't be used yet; asking again later may work.
    pub async fn identity(&self, service: &str, wall_ms: i64) -> Result<Option<Arc<Identity>>, FetchError> {
        match self.services.get(service) {
            Some(service) => {
                service.gate.check(&service.name)?;
                service.identity(wall_ms).await.map(Some)
            }
            None => Ok(None),
        }
    }

    /// Asks a service for its account, whether it may be used or not, after reading its credential's file again. An error says why it
    /// can't be used: it doesn't answer, refuses the credential, has another account than before, or has no probe.
    pub async fn probe(&self, service: &str, wall_ms: i64) -> Result<Arc<Identity>, FetchError> {
        match self.services.get(service) {
            Some(service) => service.probe(wall_ms).await,
            None => Err(FetchError::Unavailable(format!(
                "no service {service} is configured"
            ))),
        }
    }

    /// Nothing more of this service is sent, but probes. Exchanges on the wire come to their end.
    pub fn pause(&self, service: &str, why: Closed) {
        if let Some(service) = self.services.get(service) {
            service.gate.close(why);
        }
    }

    /// The service may be used again, with the credential and the account that it has now: both are read anew.
    pub fn resume(&self, service: &str) {
        if let Some(service) = self.services.get(service) {
            service.credentials.read_again(&service.name);
            service.reading.start_over();
            service.gate.open();
            service.news.notify_one();
        }
    }

    /// Resolves when something about a service has changed since the last time: it has refused the credential, was resumed, or its
    /// identity was read. For one who waits.
    pub fn news(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.news).notified_owned()
    }

    pub fn reports(&self) -> Vec<ServiceReport> {
        self.services.values().map(|service| service.report()).collect()
    }

    /// The identity of a service, if it has been read.
    pub fn known_identity(&self, service: &str) -> Option<Arc<Identity>> {
        self.services.get(service)?.reading.known()
    }

    /// Configured, and its identity isn't known at the moment.
    pub fn is_unread(&self, service: &str) -> bool {
        self.services
            .get(service)
            .is_some_and(|service| service.reading.known().is_none())
    }

    /// Somebody has to know the account of a service. If it couldn't be told, it is read again, at most once a minute.
    pub fn doubt_identity(&self, service: &str) {
        if let Some(service) = self.services.get(service) {
            service.reading.doubt(service.now_ms());
        }
    }

    /// Resolves when the step's phase has no mutating exchange on the wire, and the answers of those that it had are durable.
    pub fn idle(
        &self,
        saga: SagaId,
        step: StepIndex,
        phase: Phase,
    ) -> impl Future<Output = ()> + Send + 'static {
        self.open.clone().idle((saga, step, phase))
    }
}

/// One upstream.
#[derive(Debug)]
pub(super) struct Service {
    pub name: String,
    pub credentials: Credentials,
    pub gate: Gate,
    pub clients: Clients,
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
    fn new(
        config: ServiceConfig,
        handle: Handle,
        started: Instant,
        exchange_limit: Duration,
        news: Arc<Notify>,
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
            clients: Clients::new(&name, &base_url)?,
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

    fn prepare(&self, grants: &[Grant], asked: Outgoing) -> Result<Prepared, FetchError> {
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
        Ok(Slot {
            service: Arc::clone(self),
            closed: false,
        })
    }

    /// The service refuses the host's credential: nothing more is sent, and the engine hears of it.
    pub fn refuse(&self, why: String) {
        self.reading.forget();
        if self.gate.close(Closed::Refused(why)) {
            self.news.notify_one();
        }
    }

    fn report(&self) -> ServiceReport {
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

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request's place in the rate budget. Dropped unclosed it counts as used: the request may have left.
pub(super) struct Slot {
    service: Arc<Service>,
    closed: bool,
}

impl Slot {
    /// Nothing left: the place is free again.
    pub fn release(mut self) {
        self.closed = true;
        self.service.budget().release();
    }

    /// The exchange ended. `wall_ms`: Unix milliseconds.
    pub fn close(mut self, ending: &Ending, wall_ms: i64) {
        if matches!(ending, Ending::Unsent(_)) {
            return self.release();
        }
        self.closed = true;
        let now = self.service.now_ms();
        let mut budget = self.service.budget();
        budget.settle(now);
        let Some(head) = ending.head() else { return };
        budget.observe(now, hint_of(head.status, &head.headers, wall_ms));
        drop(budget);
        if head.status == 401 {
            self.service.refuse(UNAUTHORIZED.to_owned());
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.closed {
            self.service.budget().settle(self.service.now_ms());
        }
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
