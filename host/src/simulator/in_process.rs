//! The provider without sockets: the same world, rules, faults and journal, for a client in this process that wants to be
//! fast and to say what time it is.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use hyper::{Request, Response};

use super::{
    control::StateReport,
    fault::Fault,
    gate::{self, Cut},
    journal::Entry,
    options::{Options, Rules},
    provider::Provider,
    refusal::Refusal,
    reply::Body,
    world::Drift,
};

/// Cheap to clone; all clones are one provider.
#[derive(Clone)]
pub struct InProcess {
    provider: Arc<Provider>,
}

impl InProcess {
    /// The addresses among the options are not used.
    pub fn new(options: &Options) -> Self {
        Self {
            provider: Arc::new(Provider::new(options)),
        }
    }

    /// As a request over a connection of its own: dropping the future is going away. Delays and holds need a tokio runtime.
    ///
    /// # Errors
    /// The connection ends without an answer.
    pub async fn call<B>(&self, request: Request<B>) -> Result<Response<Body>, Cut>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // Who has gone has dropped this future.
        gate::pass(&self.provider, || false, request).await
    }

    pub fn state(&self) -> StateReport {
        StateReport::of(&self.provider)
    }

    /// Oldest first.
    pub fn journal(&self) -> Vec<Entry> {
        let (inner, _) = self.provider.settled();
        inner.journal.after(0).cloned().collect()
    }

    /// Sets a fault; its id.
    pub fn add_fault(&self, fault: Fault) -> u64 {
        self.provider.lock().faults.post(fault)
    }

    pub fn clear_faults(&self) {
        self.provider.lock().faults.withdraw(None);
    }

    pub fn set_rules(&self, rules: Rules) {
        let (mut inner, _) = self.provider.settled();
        inner.journal.set_limit(rules.journal_limit);
        inner.world.rules = rules;
    }

    /// Changes a droplet behind the API's back.
    ///
    /// # Errors
    /// Why it can't be: the provider's words.
    pub fn change(&self, droplet: i64, drift: &Drift) -> Result<(), String> {
        let (mut inner, now_ms) = self.provider.settled();
        let changed = inner.world.drift(droplet, drift, now_ms);
        changed.map_err(|refusal: Refusal| refusal.message)
    }
}
