//! Pausing services: by an operator, who also resumes them, or by the host, when a service refuses its credential.
//!
//! A refusal closes the service in memory at once; then a row says so, and every saga that may use the service is held: its
//! deadlines stand still, and nobody turns. The host goes on asking for the account, at growing intervals, and takes its own
//! pause back when that is answered. A crash anywhere in between leaves a row that the next start acts on, or a service that
//! refuses the next request as well.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use super::{Engine, HoldChange, request::Asked};
use crate::{
    cloud::{Closed, ServiceReport},
    saga::id::hash_of,
    store::{FindingRow, HOST, HoldRow, HoldTarget, StoreError},
};

/// Code of the finding about a service that the host has paused; resolved when it is resumed.
const SERVICE_PAUSED: &str = "service-paused";
/// Between two times that the host asks a service which it has paused, or whose account it has not read yet: from, to.
const ASK_FIRST: Duration = Duration::from_secs(1);
const ASK_LAST: Duration = Duration::from_secs(60);

/// A service, and the pause that is in force.
#[derive(Debug, Clone)]
pub struct ServiceStatus {
    pub service: ServiceReport,
    pub paused: Option<HoldRow>,
}

impl ServiceStatus {
    /// The host paused it, not a person.
    pub fn by_host(&self) -> bool {
        self.paused.as_ref().is_some_and(|row| row.by == HOST)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("no service {0:?} is configured")]
    Unknown(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the watch knows from its earlier looks.
#[derive(Default)]
struct Seen {
    identities: HashMap<String, String>,
    asks: HashMap<String, Ask>,
    /// Services whose present pause by the host is among the findings.
    told: HashSet<String>,
}

/// When to ask a service next.
struct Ask {
    at: Instant,
    wait: Duration,
}

impl Engine {
    /// By name.
    pub fn services(&self) -> Vec<ServiceStatus> {
        let holds = self.holds();
        let paused = |name: &str| {
            let of = |row: &&HoldRow| matches!(&row.target, HoldTarget::Service(service) if service == name);
            holds.iter().find(of).cloned()
        };
        let reports = self.services.reports().into_iter();
        reports
            .map(|service| ServiceStatus {
                paused: paused(&service.name),
                service,
            })
            .collect()
    }

    pub fn service(&self, name: &str) -> Result<ServiceStatus, ServiceError> {
        let mut all = self.services().into_iter();
        all.find(|status| status.service.name == name)
            .ok_or_else(|| ServiceError::Unknown(name.to_owned()))
    }

    /// From the answer on nothing is sent to the service, whoever paused it before; only a person resumes it.
    pub async fn pause_service(
        self: &Arc<Self>,
        name: &str,
        asked: Asked,
    ) -> Result<ServiceStatus, ServiceError> {
        self.service(name)?;
        self.services.pause(name, Closed::Paused);
        self.pause(HoldTarget::Service(name.to_owned()), asked).await?;
        self.forget_finding(name).await?;
        self.service(name)
    }

    /// The service is used again, with the credential and the account that it has now. If it still refuses, it is paused anew.
    pub async fn resume_service(
        self: &Arc<Self>,
        name: &str,
        asked: Asked,
    ) -> Result<ServiceStatus, ServiceError> {
        let before = self.service(name)?;
        self.services.resume(name);
        if let Err(error) = self.lift(name, asked).await {
            if let Some(closed) = before.service.closed {
                self.services.pause(name, closed);
            }
            return Err(error.into());
        }
        self.service(name)
    }

    /// The finding last: if it stays for a crash in between, the next start resolves it.
    async fn lift(self: &Arc<Self>, name: &str, asked: Asked) -> Result<HoldChange, StoreError> {
        let change = self.resume(HoldTarget::Service(name.to_owned()), asked).await?;
        self.forget_finding(name).await?;
        Ok(change)
    }

    /// At the start, before anything is called: what is paused stays so.
    pub(super) fn close_paused(&self) {
        for row in self.holds().iter() {
            if let HoldTarget::Service(name) = &row.target {
                self.services.pause(name, closed_by(row));
            }
        }
    }

    /// For ever: pauses services that refuse, and asks those that may be used again.
    pub(super) async fn watch_services(self: Arc<Self>) {
        let engine = Arc::downgrade(&self);
        let services = self.services.clone();
        self.settle_findings().await;
        drop(self);
        let mut seen = Seen::default();
        loop {
            let news = services.news();
            let Some(engine) = engine.upgrade() else { return };
            let next = engine.look_at_services(&mut seen).await;
            drop(engine);
            // Either way everything is looked at again.
            let _ = timeout_at(next, news).await;
        }
    }

    /// One look at every service. Answers when the next one is due.
    async fn look_at_services(self: &Arc<Self>, seen: &mut Seen) -> Instant {
        let mut next = Instant::now() + ASK_LAST;
        let Seen {
            identities,
            asks,
            told,
        } = seen;
        for status in self.services() {
            let name = status.service.name.clone();
            if let Some(identity) = &status.service.identity
                && identities
                    .get(&name)
                    .is_none_or(|known| known != identity.as_str())
            {
                identities.insert(name.clone(), identity.to_string());
                // Sagas of this account, that another one had held, go on.
                if let Err(error) = self.release_all().await {
                    tracing::warn!(service = name, %error, "not every saga knows the account yet; each will when it is due");
                }
            }
            if let Err(error) = self.tell_refusal(&status, told).await {
                tracing::error!(service = name, %error, "its pause can't be stored yet; nothing is sent meanwhile");
                next = next.min(Instant::now() + ASK_FIRST);
                continue;
            }
            let wants = match &status.service.closed {
                Some(Closed::Refused(_)) => true,
                Some(Closed::Paused) => false,
                None => status.service.identity.is_none(),
            };
            if !wants {
                asks.remove(&name);
                continue;
            }
            let refused = status.service.closed.is_some();
            let ask = asks.entry(name.clone()).or_insert_with(|| Ask {
                // One that was paused just now refused a moment ago.
                at: Instant::now()
                    + if refused && status.paused.is_none() {
                        ASK_FIRST
                    } else {
                        Duration::ZERO
                    },
                wait: ASK_FIRST,
            });
            if ask.at <= Instant::now() {
                if self.ask_service(&name, refused).await {
                    asks.remove(&name);
                    continue;
                }
                ask.at = Instant::now() + ask.wait;
                ask.wait = (ask.wait * 2).min(ASK_LAST);
            }
            next = next.min(ask.at);
        }
        next
    }

    /// True: the service is as it should be.
    async fn ask_service(self: &Arc<Self>, name: &str, refused: bool) -> bool {
        let identity = match self.services.probe(name, self.store.now_ms()).await {
            Ok(identity) => identity,
            Err(error) => {
                tracing::debug!(service = name, %error, "asked for its account");
                return false;
            }
        };
        if !refused {
            return true;
        }
        let asked = Asked {
            actor: HOST.to_owned(),
            reason: Some(format!("the service answers again, as {identity}")),
        };
        // Somebody may have paused it meanwhile: then it is theirs.
        let mine = self.service(name).is_ok_and(|status| {
            status.by_host() && matches!(status.service.closed, Some(Closed::Refused(_)))
        });
        if !mine {
            return true;
        }
        tracing::info!(service = name, %identity, "the service answers again; it is resumed");
        self.services.resume(name);
        if let Err(error) = self.lift(name, asked).await {
            tracing::error!(service = name, %error, "the pause can't be lifted yet");
            self.services
                .pause(name, Closed::Refused("its pause can't be lifted yet".to_owned()));
            return false;
        }
        true
    }

    /// Makes a refusal durable: the row first, then the finding. What is missing after an error or a crash is made good by a later
    /// look.
    async fn tell_refusal(
        self: &Arc<Self>,
        status: &ServiceStatus,
        told: &mut HashSet<String>,
    ) -> Result<(), StoreError> {
        let name = &status.service.name;
        let row = match (&status.service.closed, &status.paused) {
            (_, Some(row)) => Some(row.clone()),
            (Some(Closed::Refused(why)), None) => {
                // Another pause than the one that was told.
                told.remove(name);
                tracing::warn!(
                    service = name,
                    why,
                    "the service is paused; sagas that may use it wait"
                );
                let asked = Asked {
                    actor: HOST.to_owned(),
                    reason: Some(why.clone()),
                };
                self.pause(HoldTarget::Service(name.clone()), asked).await?.hold
            }
            (Some(Closed::Paused) | None, None) => None,
        };
        match row {
            Some(row) if row.by == HOST => {
                if !told.contains(name) {
                    self.store.put_finding(finding(name, &row)).await?;
                    told.insert(name.clone());
                }
            }
            Some(_) | None => {
                told.remove(name);
            }
        }
        Ok(())
    }

    async fn forget_finding(&self, service: &str) -> Result<(), StoreError> {
        self.store
            .resolve_finding(&finding_id(service), self.store.now_ms())
            .await
    }

    /// At the start: what an earlier process didn't get to resolve.
    async fn settle_findings(&self) {
        for status in self.services().iter().filter(|status| !status.by_host()) {
            if let Err(error) = self.forget_finding(&status.service.name).await {
                tracing::warn!(service = status.service.name, %error, "the finding about its pause isn't resolved");
            }
        }
    }
}

pub(super) fn closed_by(row: &HoldRow) -> Closed {
    match (&row.reason, row.by == HOST) {
        (Some(reason), true) => Closed::Refused(reason.clone()),
        (None, true) => Closed::Refused("the service refused the host's credential".to_owned()),
        (_, false) => Closed::Paused,
    }
}

/// The same for every pause of the service by the host.
fn finding_id(service: &str) -> String {
    let hash = hash_of(&[b"finding", SERVICE_PAUSED.as_bytes(), service.as_bytes()]);
    format!("find-{}", data_encoding::HEXLOWER.encode(&hash[..16]))
}

fn finding(service: &str, row: &HoldRow) -> FindingRow {
    let why = row
        .reason
        .as_deref()
        .unwrap_or("it refused the host's credential");
    FindingRow {
        id: finding_id(service),
        code: SERVICE_PAUSED.to_owned(),
        saga: None,
        step: None,
        resource: None,
        message: format!(
            "service {service} is paused: {why}; sagas that may use it wait, and none of them goes back for it"
        ),
        advice: format!(
            "replace the credential: one from a file is read again within a minute, or at once by `arcadia service resume {service}`; for one from the environment restart the host"
        ),
        created_ms: row.since_ms,
        resolved_ms: None,
    }
}
