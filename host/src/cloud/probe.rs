//! Reading a service's identity: before its first use, once for all who wait for it, and again when it is in doubt.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use super::{
    FetchError, Identity, IdentityProbe, Outgoing,
    budget::Caller,
    exchange::{Ending, WireAnswer, exchange},
    judge::{UNAUTHORIZED, judge_read},
    policy,
    services::{Prepared, Service},
};
use crate::saga::{Phase, SagaId};

/// How long the host waits for an answer to the probe.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// Whoever comes within this time after a failure hears of that one.
const ASK_AGAIN_MS: i64 = 1_000;
/// An account that couldn't be told is asked for again after this time, once somebody has to know it.
const TELL_AGAIN_MS: i64 = 60_000;

/// What is known of a service's identity.
#[derive(Debug)]
pub(super) struct Reading {
    origin: String,
    probe: Option<IdentityProbe>,
    known: RwLock<Option<Known>>,
    /// Held by the one who asks; what the last one heard when it failed.
    asking: Arc<Mutex<Option<Failed>>>,
}

#[derive(Debug, Clone)]
struct Known {
    identity: Arc<Identity>,
    read_ms: i64,
}

#[derive(Debug)]
struct Failed {
    error: FetchError,
    at_ms: i64,
}

impl Reading {
    pub fn new(origin: String, probe: Option<IdentityProbe>) -> Reading {
        let known = probe.is_none().then(|| Known {
            identity: Arc::new(Identity::of_origin(&origin)),
            read_ms: 0,
        });
        Reading {
            origin,
            probe,
            known: RwLock::new(known),
            asking: Arc::default(),
        }
    }

    pub fn known(&self) -> Option<Arc<Identity>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|known| Arc::clone(&known.identity))
    }

    /// The next one to need it reads it anew.
    pub fn forget(&self) {
        if self.probe.is_some() {
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// As `forget`, for an account that couldn't be told, at most once a minute.
    pub fn doubt(&self, now_ms: i64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known
            .as_ref()
            .is_some_and(|known| known.identity.note().is_some() && now_ms - known.read_ms >= TELL_AGAIN_MS)
        {
            *known = None;
        }
    }

    fn learn(&self, identity: Identity, read_ms: i64) -> Arc<Identity> {
        let identity = Arc::new(identity);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Known {
            identity: Arc::clone(&identity),
            read_ms,
        });
        identity
    }
}

impl Service {
    /// The identity, read now unless it is known. `wall_ms`: Unix milliseconds.
    ///
    /// A service that answers without telling the account (403, 404, another body) has an identity without one. One that can't be
    /// asked, or refuses the credential, has none yet: `connect`, `rate-limited` or `unavailable`, all of which cost a step nothing.
    pub async fn identity(self: &Arc<Self>, wall_ms: i64) -> Result<Arc<Identity>, FetchError> {
        if let Some(identity) = self.reading.known() {
            return Ok(identity);
        }
        let asking = Arc::clone(&self.reading.asking).lock_owned().await;
        if let Some(identity) = self.reading.known() {
            return Ok(identity);
        }
        if let Some(failed) = &*asking
            && self.now_ms() - failed.at_ms < ASK_AGAIN_MS
        {
            return Err(failed.error.clone());
        }
        // A task of the host: the one who asked may be cut off, and others wait for the answer.
        let asked = self.handle.spawn(Arc::clone(self).ask_identity(asking, wall_ms));
        asked
            .await
            .unwrap_or_else(|_| Err(FetchError::Unavailable("the account wasn't read".to_owned())))
    }

    async fn ask_identity(
        self: Arc<Self>,
        mut asking: OwnedMutexGuard<Option<Failed>>,
        wall_ms: i64,
    ) -> Result<Arc<Identity>, FetchError> {
        let Some(probe) = &self.reading.probe else {
            return Ok(self.reading.learn(Identity::of_origin(&self.reading.origin), 0));
        };
        match self.ask(probe, wall_ms).await {
            Ok(identity) => {
                *asking = None;
                match identity.note() {
                    None => tracing::info!(service = self.name, %identity, "account"),
                    Some(note) => tracing::warn!(
                        service = self.name,
                        %identity,
                        note,
                        "the account can't be told: a change of the account behind the credential will go unnoticed"
                    ),
                }
                Ok(self.reading.learn(identity, self.now_ms()))
            }
            Err(error) => {
                tracing::warn!(service = self.name, %error, "the account can't be read yet; calls wait");
                *asking = Some(Failed {
                    error: error.clone(),
                    at_ms: self.now_ms(),
                });
                Err(error)
            }
        }
    }

    async fn ask(self: &Arc<Self>, probe: &IdentityProbe, wall_ms: i64) -> Result<Identity, FetchError> {
        // Before everything else that waits: nothing of it may leave without the answer.
        let host: Caller = (SagaId(Uuid::nil()), 0, Phase::Compensate);
        let request = self.outgoing(&self.probe_request(probe)?)?;
        let slot = self.slot(host)?;
        let limit = PROBE_LIMIT.min(self.exchange_limit);
        let ending = exchange(&self.clients.read, request, limit, self.credential.as_ref()).await;
        slot.close(&ending, wall_ms);
        identity_of(&self.reading.origin, probe, ending)
    }

    /// Also checks the probe's path.
    pub fn probe_request(&self, probe: &IdentityProbe) -> Result<Prepared, FetchError> {
        let asked = Outgoing {
            service: self.name.clone(),
            method: "GET".to_owned(),
            path: probe.path.clone(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
            max_age_ms: None,
            once: None,
        };
        let target = policy::shape_of(&asked)?;
        self.addressed(asked, target)
    }
}

/// What the end of a probe proves. Statuses that may be different in a moment prove nothing.
fn identity_of(origin: &str, probe: &IdentityProbe, ending: Ending) -> Result<Identity, FetchError> {
    let WireAnswer { status, body, .. } = judge_read(ending).map_err(|error| match error {
        // Nothing of a step was sent: that is what it has to hear.
        FetchError::Interrupted(reason) => {
            FetchError::Unavailable(format!("the account can't be read: {reason}"))
        }
        FetchError::Timeout => {
            FetchError::Unavailable("the account can't be read: no answer in time".to_owned())
        }
        FetchError::ResponseTooLarge(bytes) => FetchError::Unavailable(format!(
            "the account can't be read: the answer is longer than {bytes} bytes"
        )),
        other => other,
    })?;
    match status {
        200 => Ok(Identity::answered(origin, probe, &body)),
        401 => Err(FetchError::Unavailable(UNAUTHORIZED.to_owned())),
        408 | 429 | 500.. => Err(FetchError::Unavailable(format!(
            "the account can't be read: GET {} is answered {status}",
            probe.path
        ))),
        _ => Ok(Identity::unreadable(
            origin,
            format!("GET {} is answered {status}", probe.path),
        )),
    }
}
