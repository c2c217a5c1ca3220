//! Reading a service's identity: before its first use, once for all who wait for it, and again when it is in doubt.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
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
    service::{Prepared, Service},
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
    /// The last account that was told since the service was last taken as it is.
    told: RwLock<Option<Arc<Identity>>>,
    /// When a 403 last made the host ask.
    suspected_ms: AtomicI64,
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
            told: RwLock::default(),
            suspected_ms: AtomicI64::new(i64::MIN),
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

    /// As `forget`, and whatever account is read next is taken as it is.
    pub fn start_over(&self) {
        self.forget();
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = None;
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

    fn told(&self) -> Option<Arc<Identity>> {
        self.told.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a 403 is a reason to ask now: at most once a minute.
    fn suspect(&self, now_ms: i64) -> bool {
        let last_ms = self.suspected_ms.load(Ordering::Acquire);
        let due = last_ms == i64::MIN || now_ms.saturating_sub(last_ms) >= TELL_AGAIN_MS;
        if due {
            self.suspected_ms.store(now_ms, Ordering::Release);
        }
        due
    }

    fn learn(&self, identity: Identity, read_ms: i64) -> Arc<Identity> {
        let identity = Arc::new(identity);
        if !identity.account().is_empty() {
            *self.told.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&identity));
        }
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

    /// Asks whether or not it is known, and whether or not the service may be used. Another account than before is an error.
    pub async fn probe(self: &Arc<Self>, wall_ms: i64) -> Result<Arc<Identity>, FetchError> {
        if self.reading.probe.is_none() {
            return Err(FetchError::Unavailable(
                "it has no `identity` to be asked for".to_owned(),
            ));
        }
        let asking = Arc::clone(&self.reading.asking).lock_owned().await;
        self.credentials.read_again(&self.name);
        let asked = self.handle.spawn(Arc::clone(self).ask_identity(asking, wall_ms));
        asked
            .await
            .unwrap_or_else(|_| Err(FetchError::Unavailable("the account wasn't read".to_owned())))
    }

    /// A 403 may be about one thing that the credential may not do, or about everything: then the account can't be read any more
    /// either, and the service is paused. True: everything, or the service is paused anyway.
    ///
    /// Where the account could never be told, a 403 to the probe says nothing, and nothing is asked.
    pub async fn refuses_everything(self: &Arc<Self>, wall_ms: i64) -> bool {
        if self.reading.told().is_some() {
            let asking = Arc::clone(&self.reading.asking).lock_owned().await;
            if self.gate.closed().is_none() && self.reading.suspect(self.now_ms()) {
                let asked = self.handle.spawn(Arc::clone(self).ask_identity(asking, wall_ms));
                // What it proves is in the gate; no answer proves nothing.
                let _ = asked.await;
            }
        }
        self.gate.closed().is_some()
    }

    async fn ask_identity(
        self: Arc<Self>,
        mut asking: OwnedMutexGuard<Option<Failed>>,
        wall_ms: i64,
    ) -> Result<Arc<Identity>, FetchError> {
        let Some(probe) = &self.reading.probe else {
            return Ok(self.reading.learn(Identity::of_origin(&self.reading.origin), 0));
        };
        let asked = match self.ask(probe, wall_ms).await {
            Ok(identity) => self.same_as_told(identity),
            Err(error) => Err(error),
        };
        match asked {
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
                let identity = self.reading.learn(identity, self.now_ms());
                self.news.notify_one();
                Ok(identity)
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

    /// In one process the credential changes only while the service is paused. Then an account that isn't told any more, or is another
    /// one, is for a person to decide.
    fn same_as_told(&self, identity: Identity) -> Result<Identity, FetchError> {
        let Some(told) = self.reading.told() else {
            return Ok(identity);
        };
        if identity.continues(told.as_str()) {
            return Ok(identity);
        }
        let Some(note) = identity.note() else {
            let why = format!("it answers as another account, {identity}; it was {told}");
            return match self.gate.closed() {
                // Sagas of the earlier account wait one by one; new ones use this one.
                None => Ok(identity),
                Some(_) => Err(FetchError::Unavailable(why)),
            };
        };
        let why = format!("the service refuses the host's credential: {note}");
        self.refuse(why.clone());
        Err(FetchError::Unavailable(why))
    }

    async fn ask(self: &Arc<Self>, probe: &IdentityProbe, wall_ms: i64) -> Result<Identity, FetchError> {
        // Before everything else that waits: nothing of it may leave without the answer.
        let host: Caller = (SagaId(Uuid::nil()), 0, Phase::Compensate);
        let credential = self.credentials.now();
        let request = self.outgoing(&self.probe_request(probe)?, &credential)?;
        let slot = self.slot(host)?;
        let limit = PROBE_LIMIT.min(self.exchange_limit);
        let ending = exchange(&*self.transport, request, limit, credential.secret.as_ref()).await;
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
