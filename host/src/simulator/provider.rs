//! The provider as a whole: the world with its clock, rate windows, faults, holds and journal behind one lock, which
//! nobody keeps while waiting.

use std::{
    collections::BTreeMap,
    io,
    net::TcpStream,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde_json::Value;

use super::{
    api::{self, Answer, Call, Route},
    clock::Clock,
    fault::{Ending, FaultBook, Harm, Point},
    hold::{Grip, HoldBook},
    journal::{Entry, Journal, Outcome},
    matcher::Arrival,
    options::{Options, Token},
    rate::{RateWindows, Standing, Verdict},
    refusal::Refusal,
    world::World,
};

/// A request that was read to its end.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) host: String,
    /// What stands behind `Bearer`.
    pub(super) bearer: Option<String>,
    pub(super) body: Bytes,
}

/// What was decided about a request when it arrived.
pub(super) struct Admission {
    pub(super) seq: u64,
    pub(super) request_id: String,
    /// Whether an error body repeats the request's id.
    pub(super) id_in_body: bool,
    pub(super) standing: Standing,
    pub(super) harm: Harm,
    pub(super) grips: Vec<(Point, Grip)>,
    route: Option<Route>,
    /// The token, or why the request goes no further.
    verdict: Result<Token, Refusal>,
}

/// How far a request came.
pub(super) enum Performed {
    Answered(Result<Answer, Refusal>),
    /// A fault ends it before it could have an effect.
    Ended(Ending),
    /// The client has gone, so it has no effect.
    Abandoned,
}

/// Everything that the lock guards.
pub(super) struct Inner {
    pub(super) clock: Clock,
    pub(super) world: World,
    pub(super) faults: FaultBook,
    pub(super) holds: HoldBook,
    pub(super) journal: Journal,
    rates: RateWindows,
}

pub(super) struct Provider {
    inner: Mutex<Inner>,
}

impl Provider {
    pub(super) fn new(options: &Options) -> Self {
        let rules = options.rules.clone();
        Self {
            inner: Mutex::new(Inner {
                clock: Clock::new(options.clock.clone()),
                journal: Journal::new(rules.journal_limit),
                world: World::new(rules, options.seed),
                faults: FaultBook::default(),
                holds: HoldBook::default(),
                rates: RateWindows::default(),
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in one request must not take the others with it: the state is only ever changed by whole operations.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, with everything applied that was due by now.
    pub(super) fn settled(&self) -> (MutexGuard<'_, Inner>, u64) {
        let mut inner = self.lock();
        let now_ms = inner.settle();
        (inner, now_ms)
    }

    /// Writes a request into the journal and decides what will happen to it.
    pub(super) fn admit(&self, inbound: &Inbound) -> Admission {
        let (mut inner, now_ms) = self.settled();
        inner.admit(inbound, now_ms)
    }

    /// Lets a request have its effect, unless its client has gone or a fault comes first.
    pub(super) fn perform(
        &self,
        inbound: &Inbound,
        admission: &Admission,
        client_has_gone: impl FnOnce() -> bool,
    ) -> Performed {
        let token = match &admission.verdict {
            Ok(token) => token,
            Err(refusal) => return Performed::Answered(Err(refusal.clone())),
        };
        let (mut inner, now_ms) = self.settled();
        if client_has_gone() {
            return Performed::Abandoned;
        }
        if let Some(ending) = admission.harm.ending_at(Point::BeforeEffect) {
            return Performed::Ended(ending);
        }
        let Some(route) = &admission.route else {
            return Performed::Answered(Err(Refusal::not_found()));
        };
        let call = Call {
            seq: admission.seq,
            route,
            path: &inbound.path,
            query: &inbound.query,
            host: &inbound.host,
            body: &inbound.body,
            token,
            twist: &admission.harm.twist,
            now_ms,
        };
        let forbidden = call.lacks_scope();
        if forbidden && !token.forbidden_after_effect {
            return Performed::Answered(Err(Refusal::forbidden()));
        }
        let answer = api::answer(&mut inner.world, &call);
        if let Ok(answer) = &answer {
            let effects = answer.effects.iter().cloned();
            inner.journal.add_effects(admission.seq, effects);
        }
        match answer {
            Ok(_) if forbidden => Performed::Answered(Err(Refusal::forbidden())),
            answer => Performed::Answered(answer),
        }
    }

    pub(super) fn close(&self, seq: u64, outcome: Outcome) {
        let mut inner = self.lock();
        let now_ms = inner.clock.now_ms();
        inner.journal.close(seq, outcome, now_ms);
    }
}

impl Inner {
    /// Applies what was due by now, and says what time it is.
    fn settle(&mut self) -> u64 {
        let now_ms = self.clock.now_ms();
        self.world.settle(now_ms);
        for (seq, effects) in self.world.take_late_effects() {
            self.journal.add_effects(seq, effects);
        }
        now_ms
    }

    fn admit(&mut self, inbound: &Inbound, now_ms: u64) -> Admission {
        let (request_id, id_in_body) = self.world.request_id();
        let route = Route::parse(&inbound.method, &inbound.path);
        let text = String::from_utf8_lossy(&inbound.body);
        let body = match serde_json::from_str(&text) {
            Ok(body) => body,
            Err(_) if text.is_empty() => Value::Null,
            Err(_) => Value::String(text.to_string()),
        };
        let arrival = Arrival {
            method: &inbound.method,
            path: &inbound.path,
            query: &inbound.query,
            body: &text,
            tags: self.tags_of(inbound, route.as_ref(), &body),
        };
        let token = self.token_of(inbound);
        let seq = self.journal.open(Entry {
            seq: 0,
            at_ms: now_ms,
            method: inbound.method.clone(),
            path: inbound.path.clone(),
            query: inbound.query.clone(),
            host: inbound.host.clone(),
            token: token.as_ref().map(|token| token.name.clone()),
            body,
            tags: arrival.tags.clone(),
            faults: Vec::new(),
            effects: Vec::new(),
            outcome: Outcome::Open,
            ended_ms: None,
        });
        let rules = &self.world.rules;
        let (per_minute, per_hour) = (rules.rate_per_minute, rules.rate_per_hour);
        let bearer = inbound.bearer.as_deref().unwrap_or_default();
        let standing = self.rates.admit(bearer, now_ms, per_minute, per_hour);
        let verdict = match (token, standing.verdict) {
            (None, _) => Err(Refusal::unauthorized()),
            (Some(_), Verdict::Burst { .. } | Verdict::Exhausted) => Err(Refusal::too_many_requests()),
            (Some(token), Verdict::Admitted) => Ok(token),
        };
        let (mut harm, mut grips) = (Harm::default(), Vec::new());
        if verdict.is_ok() {
            let world = &mut self.world;
            harm = self
                .faults
                .strike(&arrival, |probability| world.chance(probability));
            grips = self.holds.seize(&arrival, seq);
            self.journal.set_faults(seq, harm.hit.clone());
        }
        Admission {
            seq,
            request_id,
            id_in_body,
            standing,
            harm,
            grips,
            route,
            verdict,
        }
    }

    fn token_of(&self, inbound: &Inbound) -> Option<Token> {
        let bearer = inbound.bearer.as_deref()?;
        let mut tokens = self.world.rules.tokens.iter();
        tokens.find(|token| token.token == bearer).cloned()
    }

    fn tags_of(&self, inbound: &Inbound, route: Option<&Route>, body: &Value) -> Vec<String> {
        let in_body = body["tags"].as_array().into_iter().flatten();
        let in_body = in_body.filter_map(|tag| tag.as_str().map(String::from));
        let in_query = inbound.query.get("tag_name").cloned();
        let droplet = route.and_then(Route::droplet);
        let droplet = droplet.and_then(|id| self.world.droplets.get(&id));
        let of_droplet = droplet
            .into_iter()
            .flat_map(|droplet| droplet.tags.iter().cloned());
        in_body.chain(in_query).chain(of_droplet).collect()
    }
}

/// Whether the other end has closed the connection. Asked of the system, not of the event loop, which may not have heard
/// yet: a client killed before this call has gone for certain.
pub(super) fn has_gone(peer: &TcpStream) -> bool {
    match peer.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::simulator::options::ClockMode;

    /// Admits a create whose client then leaves or stays, and performs it.
    fn create(leaves: bool) -> (Performed, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        peer.set_nonblocking(true).unwrap();
        let provider = Provider::new(&Options {
            clock: ClockMode::Virtual,
            ..Options::default()
        });
        let body = r#"{"name": "web-1", "size": "s-1vcpu-1gb", "image": "debian-13-x64"}"#;
        let inbound = Inbound {
            method: "POST".into(),
            path: "/v2/droplets".into(),
            query: BTreeMap::new(),
            host: String::new(),
            bearer: Some("sim-token".into()),
            body: body.into(),
        };
        let admission = provider.admit(&inbound);
        let stays = (!leaves).then_some(client);
        let performed = provider.perform(&inbound, &admission, || has_gone(&peer));
        drop(stays);
        let droplets = provider.settled().0.world.droplets.len();
        (performed, droplets)
    }

    #[test]
    fn a_client_that_has_gone_is_noticed_at_the_last_moment() {
        assert!(matches!(create(true), (Performed::Abandoned, 0)));
        assert!(matches!(create(false), (Performed::Answered(Ok(_)), 1)));
    }
}
