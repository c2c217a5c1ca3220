//! The named services, and the one function that sends.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::Notify, time::Instant};

use super::{
    Closed, FetchError, Grant, Identity, Journal, Outgoing, Response, ServiceConfig, crypto::install_crypto,
    exchange::EXCHANGE_LIMIT, leave::Leave, open::OpenExchanges, policy, read, service::Service,
    transport::Transport, write,
};
use crate::saga::{Phase, SagaId, StepIndex};

/// How long a guest waits when it doesn't say, and at most.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
pub const MAX_TIMEOUT: Duration = EXCHANGE_LIMIT;

/// All services of a host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    services: Arc<BTreeMap<String, Arc<Service>>>,
    open: OpenExchanges,
    news: Arc<Notify>,
    leave: Leave,
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
        Self::open(configs.into_iter().map(|config| (config, None)), limit)
    }

    /// With something else than the wire to carry the requests of each service.
    pub fn carried_by(services: Vec<(ServiceConfig, Arc<dyn Transport>)>) -> Result<Self, ServicesError> {
        let carried = |(config, transport)| (config, Some(transport));
        Self::open(services.into_iter().map(carried), EXCHANGE_LIMIT)
    }

    fn open(
        configs: impl Iterator<Item = (ServiceConfig, Option<Arc<dyn Transport>>)>,
        limit: Duration,
    ) -> Result<Self, ServicesError> {
        install_crypto();
        let handle = Handle::try_current().map_err(|_| ServicesError::NoRuntime)?;
        let started = Instant::now();
        let mut services = BTreeMap::new();
        let news = Arc::new(Notify::new());
        let leave = Leave::default();
        for (config, transport) in configs {
            let name = config.name.clone();
            let service = Service::new(
                config,
                transport,
                handle.clone(),
                started,
                limit,
                news.clone(),
                leave.clone(),
            )?;
            if services.insert(name.clone(), Arc::new(service)).is_some() {
                return Err(ServicesError::Twice(name));
            }
        }
        Ok(Services {
            services: Arc::new(services),
            open: OpenExchanges::default(),
            news,
            leave,
        })
    }

    /// Nothing new leaves unless this says yes; what is on the wire comes to its end.
    pub fn only_while(&self, question: Arc<dyn Fn() -> bool + Send + Sync>) {
        self.leave.only_while(question);
    }

    /// So many hosts use the same credentials: each takes its part of the rate budgets.
    pub fn share_among(&self, hosts: u32) {
        for service in self.services.values() {
            service.budget().share_among(hosts);
        }
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

    /// Resolves when no mutating exchange is on the wire, and the answers of those that were are durable.
    pub fn all_idle(&self) -> impl Future<Output = ()> + Send + 'static {
        self.open.clone().all_idle()
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
