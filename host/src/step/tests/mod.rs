//! The functions that a component imports, called as a component would, without one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use async_trait::async_trait;

use super::{
    Call, CallHost, LogLine, Recorded, Unsaved,
    bindings::arcadia::step::{
        context::{ContextError, Host as Context},
        http, inventory,
    },
    invocation::split,
    state::GuestState,
};
use crate::{
    cloud::{FetchError, Grant, Outgoing, Response},
    saga::{CloudResource, Json, Phase, ResourceKey, SagaId, Writes},
};

mod context;
mod outside;

#[derive(Default)]
struct FakeHost {
    fenced: AtomicBool,
    cancelled: AtomicBool,
    checkpoints: Mutex<Vec<Writes>>,
    fetched: AtomicU32,
    answer_bytes: usize,
}

#[async_trait]
impl CallHost for FakeHost {
    fn now_ms(&self) -> i64 {
        42
    }

    fn cancel_requested(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    async fn checkpoint(&self, writes: Writes) -> Result<(), Unsaved> {
        if self.fenced.load(Ordering::Relaxed) {
            return Err(Unsaved::Fenced);
        }
        self.checkpoints.lock().unwrap().push(writes);
        Ok(())
    }

    async fn fetch(&self, _request: Outgoing) -> Result<Response, FetchError> {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        if self.fenced.load(Ordering::Relaxed) {
            return Err(FetchError::Fenced);
        }
        Ok(response(self.answer_bytes))
    }

    async fn recall(&self, phase: Phase, key: &str) -> Recorded {
        match (phase, key) {
            (Phase::Run, "open") => Recorded::Open(Some(7)),
            (Phase::Run, "refused") => Recorded::Refused(response(1)),
            (Phase::Run, "answered") => Recorded::Answered(response(1)),
            _ => Recorded::Never,
        }
    }

    async fn resource(&self, key: ResourceKey) -> Result<Option<CloudResource>, Unsaved> {
        assert_eq!(key.account, "");
        panic!("the host's own failure")
    }

    fn account(&self, provider: &str) -> String {
        format!("account of {provider}")
    }

    fn log(&self, _line: LogLine) {}
}

fn response(bytes: usize) -> Response {
    Response {
        status: 200,
        headers: Vec::new(),
        body: vec![b'x'; bytes],
        replayed: false,
        age_ms: 0,
    }
}

fn guest(host: &Arc<FakeHost>, phase: Phase) -> GuestState {
    let call = Call {
        saga: SagaId(uuid::Uuid::from_u128(1)),
        kind: "test".to_owned(),
        deployment_id: None,
        triggered_by: "tests".to_owned(),
        step: "one".to_owned(),
        phase,
        attempt: 1,
        polls: 0,
        idempotency_key: "key".to_owned(),
        resource_tag: "tag".to_owned(),
        phase_age_ms: 0,
        remaining_ms: 1,
        state: None,
        prior: None,
        inputs: Json::trusted(r#"{"in":1}"#),
        params: Json::trusted("{}"),
        outputs: Arc::default(),
        context: BTreeMap::from([("old".to_owned(), Json::trusted("0"))]),
        writable: vec!["a".to_owned(), "old".to_owned(), "__secret".to_owned()],
        grants: Arc::from([Grant {
            service: "cloud".to_owned(),
            methods: vec!["GET".to_owned()],
            path_prefixes: vec!["/".to_owned()],
        }]),
        seed: [3; 32],
        call_timeout_ms: 1_000,
        memory_bytes: None,
    };
    let (_, state) = split(call, host.clone(), tokio::runtime::Handle::current());
    GuestState::calling(1 << 20, state)
}

fn set(guest: &mut GuestState, key: &str, value: &str) -> Result<(), ContextError> {
    Context::set(guest, key.to_owned(), value.to_owned()).expect("no trap")
}

fn get(guest: &mut GuestState, key: &str) -> Option<String> {
    Context::get(guest, key.to_owned()).expect("no trap")
}

fn request(service: &str) -> http::Request {
    http::Request {
        service: service.to_owned(),
        method: "GET".to_owned(),
        path: "/".to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        timeout_ms: None,
        max_age_ms: None,
        once: None,
    }
}

fn droplet(provider_id: &str) -> inventory::CloudResource {
    inventory::CloudResource {
        provider: "digitalocean".to_owned(),
        kind: "droplet".to_owned(),
        provider_id: provider_id.to_owned(),
        name: Some("web".to_owned()),
        region: None,
        status: "new".to_owned(),
        public_ip: Some(String::new()),
        tags: vec!["t".to_owned()],
        raw: "{}".to_owned(),
    }
}
