//! The host: parameters, context, journal and inventory in memory, and faults on the way to the provider.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use guest::{
    CloudResource, ContextError, Effect, Host, HttpError, InventoryError, Level, Phase, Recorded, Request,
    Response,
};
use serde_json::Value;

use crate::cloud::FakeCloud;
use crate::fault::{Fault, What, meet};
use crate::journal::{Entry, State, identity};

/// The resource tag of the step under test.
pub const TAG: &str = "arcadia-r-k3v";

/// What one request takes, in milliseconds.
const EXCHANGE_MS: u64 = 10;

/// A request that left.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub method: String,
    pub path: String,
    pub query: String,
    pub at_ms: u64,
    pub max_age_ms: Option<u32>,
    /// None: no answer. Of a mutating request.
    pub status: Option<u16>,
    pub is_refused: bool,
}

/// What is durable, and what this call has written so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    pub context: BTreeMap<String, Value>,
    pub inventory: BTreeMap<(String, String), CloudResource>,
    pub deleted: Vec<String>,
    pub provisioned: BTreeMap<String, Value>,
    /// Code and provider's id.
    pub findings: Vec<(String, String)>,
}

#[derive(Default)]
pub struct FakeHost {
    pub params: RefCell<Value>,
    pub inputs: RefCell<Value>,
    pub cloud: RefCell<FakeCloud>,
    pub faults: RefCell<Vec<Fault>>,
    pub sent: RefCell<Vec<Sent>>,
    pub durable: RefCell<Records>,
    written: RefCell<Records>,
    journal: RefCell<BTreeMap<String, Entry>>,
    pub(crate) is_dead: Cell<bool>,
    pub(crate) was_told_to_wait: Cell<bool>,
    pub(crate) phase: Cell<Option<Phase>>,
}

impl FakeHost {
    pub fn new(inputs: Value) -> FakeHost {
        FakeHost {
            inputs: RefCell::new(inputs),
            ..FakeHost::default()
        }
    }

    pub fn with_faults(self, faults: impl IntoIterator<Item = Fault>) -> FakeHost {
        self.faults.borrow_mut().extend(faults);
        self
    }

    pub fn with_cloud(self, change: impl FnOnce(&mut FakeCloud)) -> FakeHost {
        change(&mut self.cloud.borrow_mut());
        self
    }

    pub fn with_context(self, key: &str, value: Value) -> FakeHost {
        self.durable.borrow_mut().context.insert(key.to_owned(), value);
        self
    }

    /// How many requests of this method left for paths that begin like this.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let sent = self.sent.borrow();
        sent.iter()
            .filter(|sent| sent.method == method && sent.path.starts_with(path))
            .count()
    }

    /// When they left.
    pub fn times(&self, method: &str, path: &str, query: &str) -> Vec<u64> {
        let sent = self.sent.borrow();
        let fits =
            |sent: &&Sent| sent.method == method && sent.path.starts_with(path) && sent.query.contains(query);
        sent.iter().filter(fits).map(|sent| sent.at_ms).collect()
    }

    pub fn context(&self, key: &str) -> Option<Value> {
        self.durable.borrow().context.get(key).cloned()
    }

    pub(crate) fn begin_call(&self, phase: Phase) {
        self.phase.set(Some(phase));
        self.is_dead.set(false);
        self.was_told_to_wait.set(false);
        *self.written.borrow_mut() = self.durable.borrow().clone();
    }

    pub(crate) fn commit(&self) {
        *self.durable.borrow_mut() = self.written.borrow().clone();
    }

    pub(crate) fn sleep(&self, ms: u64) {
        self.cloud.borrow_mut().now_ms += ms;
    }

    /// What the journal says over all calls of `run`.
    pub fn effect(&self) -> Effect {
        let sent = self.sent.borrow();
        let mutating: Vec<&Sent> = sent
            .iter()
            .filter(|sent| sent.method != "GET" && !sent.is_refused)
            .collect();
        let is_clear = |sent: &&Sent| sent.status.is_some_and(|status| status < 300 || status == 404);
        match mutating.as_slice() {
            [] => Effect::None,
            all if all.iter().all(is_clear) => Effect::Applied,
            _ => Effect::Maybe,
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{:?} {key}", self.phase.get())
    }

    /// Carry the request out at the provider, as far as the fault lets it come.
    fn exchange(&self, request: &Request, what: Option<What>) -> Exchange {
        let handle = || {
            let body = request.body.as_deref().map_or(Value::Null, |body| {
                serde_json::from_slice(body).expect("bodies are JSON")
            });
            let (status, body) =
                self.cloud
                    .borrow_mut()
                    .handle(&request.method, &request.path, &request.query, &body);
            response(
                status,
                if body.is_null() {
                    String::new()
                } else {
                    body.to_string()
                },
            )
        };
        match what {
            None => Exchange::answered(handle(), 0),
            Some(What::LostBefore) => Exchange::lost(HttpError::Interrupted("reset".to_owned())),
            Some(What::LostAfter) => {
                handle();
                Exchange::lost(HttpError::Interrupted("reset".to_owned()))
            }
            Some(What::Slow(ms)) => Exchange {
                result: Err(HttpError::Timeout),
                ..Exchange::answered(handle(), ms)
            },
            Some(What::Answer { status, body, effect }) => {
                if effect {
                    handle();
                }
                Exchange::answered(response(status, body), 0)
            }
            Some(What::DieBefore) => self.die(Exchange::lost(HttpError::Fenced)),
            Some(What::DieAfter) => {
                handle();
                self.die(Exchange::lost(HttpError::Fenced))
            }
            Some(What::DieAnswered) => {
                let exchange = Exchange::answered(handle(), 0);
                self.die(Exchange {
                    result: Err(HttpError::Fenced),
                    ..exchange
                })
            }
            Some(other) => panic!("{other:?} is told before a request leaves"),
        }
    }

    fn die(&self, exchange: Exchange) -> Exchange {
        self.is_dead.set(true);
        exchange
    }
}

/// How a request ended: for the guest, and for the journal.
struct Exchange {
    result: Result<Response, HttpError>,
    recorded: Option<Response>,
    late_ms: u64,
}

impl Exchange {
    fn answered(response: Response, late_ms: u64) -> Exchange {
        Exchange {
            result: Ok(response.clone()),
            recorded: Some(response),
            late_ms,
        }
    }

    fn lost(error: HttpError) -> Exchange {
        Exchange {
            result: Err(error),
            recorded: None,
            late_ms: 0,
        }
    }
}

fn response(status: u16, body: String) -> Response {
    Response {
        status,
        headers: Vec::new(),
        body: body.into_bytes(),
        replayed: false,
        age_ms: 0,
    }
}

impl Host for FakeHost {
    fn inputs(&self) -> Value {
        self.inputs.borrow().clone()
    }

    fn params(&self) -> Value {
        self.params.borrow().clone()
    }

    fn now_ms(&self) -> u64 {
        self.cloud.borrow().now_ms
    }

    fn get(&self, key: &str) -> Option<Value> {
        self.written.borrow().context.get(key).cloned()
    }

    fn set(&self, key: &str, value: &Value) -> Result<(), ContextError> {
        self.written
            .borrow_mut()
            .context
            .insert(key.to_owned(), value.clone());
        Ok(())
    }

    fn remove(&self, key: &str) -> Result<(), ContextError> {
        self.written.borrow_mut().context.remove(key);
        Ok(())
    }

    fn checkpoint(&self) -> Result<(), ContextError> {
        self.commit();
        Ok(())
    }

    fn fetch(&self, request: &Request) -> Result<Response, HttpError> {
        assert!(
            !self.is_dead.get(),
            "a step that was told `fenced` has to return at once"
        );
        let now_ms = self.now_ms();
        let entry_key = request.once.as_ref().map(|once| self.key(&once.key));
        if let Some(entry) = entry_key
            .as_ref()
            .and_then(|key| self.journal.borrow().get(key).cloned())
        {
            match entry.recorded(now_ms) {
                Recorded::Open(_) => return Err(HttpError::InDoubt),
                Recorded::Answered(_) if entry.what != identity(request) => return Err(HttpError::KeyReused),
                Recorded::Answered(response) => return Ok(response),
                Recorded::Never | Recorded::Refused(_) => {}
            }
        }
        let what = meet(&mut self.faults.borrow_mut(), &request.method, &request.path);
        let told = match &what {
            Some(What::Connect) => Some(HttpError::Connect("refused".to_owned())),
            Some(What::RateLimited(ms)) => Some(HttpError::RateLimited(*ms)),
            Some(What::Unavailable) => Some(HttpError::Unavailable("paused".to_owned())),
            Some(What::BudgetExhausted) => Some(HttpError::BudgetExhausted),
            Some(What::Cancelled) => Some(HttpError::Cancelled),
            _ => None,
        };
        if let Some(error) = told {
            let waits = !matches!(error, HttpError::BudgetExhausted | HttpError::Cancelled);
            self.was_told_to_wait.set(self.was_told_to_wait.get() || waits);
            return Err(error);
        }
        let exchange = self.exchange(request, what);
        self.sleep(EXCHANGE_MS);
        let ended_ms = self.now_ms() + exchange.late_ms;
        let refusals = request.once.as_ref().map_or(&[][..], |once| &once.refusals);
        let status = exchange.recorded.as_ref().map(|response| response.status);
        let is_refused = status.is_some_and(|status| status == 429 || refusals.contains(&status));
        self.sent.borrow_mut().push(Sent {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request
                .query
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
                .join("&"),
            at_ms: now_ms,
            max_age_ms: request.max_age_ms,
            status,
            is_refused,
        });
        if let Some(key) = entry_key {
            let state = match exchange.recorded {
                None => State::Open { ended_ms },
                Some(response) if is_refused => State::Refused {
                    at_ms: ended_ms,
                    response,
                },
                Some(response) => State::Answered {
                    at_ms: ended_ms,
                    response,
                },
            };
            self.journal.borrow_mut().insert(
                key,
                Entry {
                    what: identity(request),
                    state,
                },
            );
        }
        exchange.result
    }

    fn recall(&self, phase: Phase, key: &str) -> Recorded {
        let key = format!("{:?} {key}", Some(phase));
        self.journal
            .borrow()
            .get(&key)
            .map_or(Recorded::Never, |entry| entry.recorded(self.now_ms()))
    }

    fn upsert(&self, entry: &CloudResource) -> Result<String, InventoryError> {
        let key = (entry.kind.clone(), entry.provider_id.clone());
        self.written.borrow_mut().inventory.insert(key, entry.clone());
        Ok(format!("res-{}", entry.provider_id))
    }

    fn resource(
        &self,
        _provider: &str,
        kind: &str,
        provider_id: &str,
    ) -> Result<Option<CloudResource>, InventoryError> {
        Ok(self
            .written
            .borrow()
            .inventory
            .get(&(kind.to_owned(), provider_id.to_owned()))
            .cloned())
    }

    fn mark_deleted(&self, _provider: &str, _kind: &str, provider_id: &str) -> Result<(), InventoryError> {
        self.written.borrow_mut().deleted.push(provider_id.to_owned());
        Ok(())
    }

    fn record_provisioned(&self, resource_id: &str, spec: &Value) -> Result<(), InventoryError> {
        self.written
            .borrow_mut()
            .provisioned
            .insert(resource_id.to_owned(), spec.clone());
        Ok(())
    }

    fn withdraw_provisioned(&self, resource_id: &str) -> Result<(), InventoryError> {
        self.written.borrow_mut().provisioned.remove(resource_id);
        Ok(())
    }

    fn report(
        &self,
        code: &str,
        _provider: &str,
        _kind: &str,
        provider_id: &str,
        _message: &str,
    ) -> Result<(), InventoryError> {
        self.written
            .borrow_mut()
            .findings
            .push((code.to_owned(), provider_id.to_owned()));
        Ok(())
    }

    fn log(&self, _level: Level, _message: &str) {}
}
