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
        http::{self, Host as Http, HttpError},
        info::Host as Info,
        inventory::{self, Host as Inventory, InventoryError},
        types,
    },
    invocation::split,
    limits::{LimitHit, MAX_CONTEXT_WRITES, MAX_REQUESTS},
    state::GuestState,
};
use crate::{
    cloud::{FetchError, Grant, Outgoing, Response},
    saga::{CloudResource, InventoryWrite, Json, Phase, ResourceKey, SagaId, Writes},
};

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

#[tokio::test]
async fn reads_see_the_inputs_and_the_calls_own_writes() {
    let mut guest = guest(&Arc::default(), Phase::Run);
    assert_eq!(get(&mut guest, "__inputs__").as_deref(), Some(r#"{"in":1}"#));
    assert_eq!(get(&mut guest, "a"), None);
    assert!(set(&mut guest, "a", "1").is_ok());
    assert!(
        Context::remove(&mut guest, "old".to_owned())
            .expect("no trap")
            .is_ok()
    );
    assert_eq!(get(&mut guest, "a").as_deref(), Some("1"));
    assert_eq!(get(&mut guest, "old"), None);
    assert_eq!(guest.keys().expect("no trap"), ["__inputs__", "a"]);
    assert_eq!(
        guest.into_writes().context,
        BTreeMap::from([
            ("a".to_owned(), Some(Json::trusted("1"))),
            ("old".to_owned(), None)
        ])
    );
}

#[tokio::test]
async fn a_key_is_written_only_if_it_is_well_formed_and_declared() {
    let mut guest = guest(&Arc::default(), Phase::Run);
    let long = "k".repeat(129);
    for (key, value, expected) in [
        ("", "1", "invalid-key"),
        ("a b", "1", "invalid-key"),
        (long.as_str(), "1", "invalid-key"),
        ("b", "1", "denied"),
        ("__inputs__", "1", "denied"),
        ("__secret", "1", "denied"),
        ("a", "{", "invalid-json"),
        ("a", "\"\\u0000\"", "invalid-json"),
    ] {
        let found = match set(&mut guest, key, value) {
            Err(ContextError::InvalidKey(_)) => "invalid-key",
            Err(ContextError::Denied(_)) => "denied",
            Err(ContextError::InvalidJson(_)) => "invalid-json",
            other => panic!("{key} = {value}: {other:?}"),
        };
        assert_eq!(found, expected, "{key} = {value}");
    }
    let large = format!("\"{}\"", "x".repeat(256 * 1024));
    assert!(matches!(
        set(&mut guest, "a", &large),
        Err(ContextError::TooLarge(262_144))
    ));
    assert_eq!(guest.into_writes(), Writes::default());
}

#[tokio::test]
async fn context_writes_are_limited_in_number_and_in_bytes() {
    let mut counted = guest(&Arc::default(), Phase::Run);
    for _ in 0..MAX_CONTEXT_WRITES {
        assert!(set(&mut counted, "a", "1").is_ok());
    }
    assert!(matches!(
        set(&mut counted, "a", "1"),
        Err(ContextError::Other(why)) if why.contains("1000")
    ));
    let mut weighed = guest(&Arc::default(), Phase::Run);
    let large = format!("\"{}\"", "x".repeat(200 * 1024));
    let taken = (0..100)
        .take_while(|_| set(&mut weighed, "a", &large).is_ok())
        .count();
    assert_eq!(taken, 40, "8 MiB of 200 KiB each");
    assert!(matches!(
        set(&mut weighed, "a", &large),
        Err(ContextError::TooLarge(8_388_608))
    ));
}

#[tokio::test]
async fn a_checkpoint_hands_over_what_is_new_and_keeps_it_readable() {
    let host = Arc::new(FakeHost::default());
    let mut guest = guest(&host, Phase::Run);
    assert!(guest.checkpoint().await.expect("no trap").is_ok());
    assert!(
        host.checkpoints.lock().unwrap().is_empty(),
        "there was nothing to save"
    );
    set(&mut guest, "a", "1").unwrap();
    let resource_id = guest.upsert(droplet("7")).expect("no trap").unwrap();
    assert!(guest.checkpoint().await.expect("no trap").is_ok());
    set(&mut guest, "old", "2").unwrap();
    assert!(guest.checkpoint().await.expect("no trap").is_ok());
    assert_eq!(get(&mut guest, "a").as_deref(), Some("1"));
    let saved = host.checkpoints.lock().unwrap();
    assert_eq!(saved.len(), 2);
    assert_eq!(saved[0].context.len(), 1);
    let [InventoryWrite::Upsert(row)] = &saved[0].inventory[..] else {
        panic!("{:?}", saved[0]);
    };
    assert_eq!(row.key.account, "account of digitalocean");
    assert_eq!(row.key.resource_id(), resource_id);
    assert_eq!(row.public_ip, None, "an empty text is none");
    assert_eq!(
        saved[1],
        Writes {
            context: BTreeMap::from([("old".to_owned(), Some(Json::trusted("2")))]),
            inventory: Vec::new(),
        }
    );
}

#[tokio::test]
async fn after_a_fenced_checkpoint_everything_that_writes_or_sends_is_fenced() {
    let host = Arc::new(FakeHost::default());
    host.fenced.store(true, Ordering::Relaxed);
    let mut guest = guest(&host, Phase::Run);
    set(&mut guest, "a", "1").unwrap();
    assert!(matches!(guest.checkpoint().await, Ok(Err(ContextError::Fenced))));
    assert!(matches!(set(&mut guest, "a", "2"), Err(ContextError::Fenced)));
    assert!(matches!(
        guest.upsert(droplet("7")),
        Ok(Err(InventoryError::Fenced))
    ));
    assert!(matches!(
        Http::fetch(&mut guest, request("cloud")).await,
        Ok(Err(HttpError::Fenced))
    ));
    assert_eq!(host.fetched.load(Ordering::Relaxed), 0);
    assert_eq!(get(&mut guest, "a").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_fenced_request_fences_the_call() {
    let host = Arc::new(FakeHost::default());
    host.fenced.store(true, Ordering::Relaxed);
    let mut guest = guest(&host, Phase::Run);
    assert!(matches!(
        Http::fetch(&mut guest, request("cloud")).await,
        Ok(Err(HttpError::Fenced))
    ));
    assert!(matches!(set(&mut guest, "a", "1"), Err(ContextError::Fenced)));
}

#[tokio::test]
async fn requests_are_limited_in_number_and_in_bytes_answered() {
    let host = Arc::new(FakeHost::default());
    let mut counted = guest(&host, Phase::Run);
    for _ in 0..MAX_REQUESTS {
        assert!(matches!(
            Http::fetch(&mut counted, request("cloud")).await,
            Ok(Ok(_))
        ));
    }
    assert!(matches!(
        Http::fetch(&mut counted, request("cloud")).await,
        Ok(Err(HttpError::BudgetExhausted))
    ));
    assert_eq!(host.fetched.load(Ordering::Relaxed), MAX_REQUESTS);
    let host = Arc::new(FakeHost {
        answer_bytes: 20 << 20,
        ..FakeHost::default()
    });
    let mut weighed = guest(&host, Phase::Run);
    for _ in 0..4 {
        assert!(matches!(
            Http::fetch(&mut weighed, request("cloud")).await,
            Ok(Ok(_))
        ));
    }
    assert!(matches!(
        Http::fetch(&mut weighed, request("cloud")).await,
        Ok(Err(HttpError::BudgetExhausted))
    ));
}

#[tokio::test]
async fn what_was_recorded_is_recalled_case_by_case() {
    let mut guest = guest(&Arc::default(), Phase::Compensate);
    let mut recall = async |phase, key: &str| {
        let recorded = Http::recall(&mut guest, phase, key.to_owned()).await;
        match recorded.expect("no trap") {
            http::Recorded::Never => "never",
            http::Recorded::Open(Some(7)) => "open",
            http::Recorded::Open(_) => "open otherwise",
            http::Recorded::Refused(_) => "refused",
            http::Recorded::Answered(_) => "answered",
        }
    };
    for key in ["never", "open", "refused", "answered"] {
        assert_eq!(recall(types::Phase::Run, key).await, key);
    }
    assert_eq!(recall(types::Phase::Compensate, "open").await, "never");
}

#[tokio::test]
async fn an_entry_out_of_shape_is_invalid_and_the_field_is_named() {
    let mut guest = guest(&Arc::default(), Phase::Run);
    for (field, break_it) in [
        (
            "provider",
            (|entry| entry.provider = String::new()) as fn(&mut inventory::CloudResource),
        ),
        ("provider-id", |entry| entry.provider_id = "x".repeat(513)),
        ("status", |entry| entry.status = "a\0b".to_owned()),
        ("tags", |entry| entry.tags = vec![String::new()]),
        ("raw", |entry| entry.raw = "{".to_owned()),
    ] {
        let mut entry = droplet("7");
        break_it(&mut entry);
        let Ok(Err(InventoryError::Invalid(why))) = guest.upsert(entry) else {
            panic!("{field} passed");
        };
        assert!(why.starts_with(field), "{why}");
    }
    for spec in ["1", "[]", r#"{"a":{}}"#, r#"{"a":[]}"#] {
        let id = guest.upsert(droplet("7")).expect("no trap").unwrap();
        assert!(matches!(
            guest.record_provisioned(id, spec.to_owned()),
            Ok(Err(InventoryError::Invalid(_)))
        ));
    }
    assert!(matches!(
        guest.record_provisioned("7".to_owned(), "{}".to_owned()),
        Ok(Err(InventoryError::Invalid(_)))
    ));
    assert!(matches!(
        guest.report(
            "No Code".to_owned(),
            "digitalocean".to_owned(),
            "droplet".to_owned(),
            "7".to_owned(),
            String::new()
        ),
        Ok(Err(InventoryError::Invalid(_)))
    ));
}

#[tokio::test]
async fn inventory_writes_keep_their_order_and_are_limited() {
    let mut guest = guest(&Arc::default(), Phase::Run);
    let id = guest.upsert(droplet("7")).expect("no trap").unwrap();
    guest
        .record_provisioned(id.clone(), r#"{"size":"s"}"#.to_owned())
        .expect("no trap")
        .unwrap();
    let found = Inventory::get(
        &mut guest,
        "digitalocean".to_owned(),
        "droplet".to_owned(),
        "7".to_owned(),
    );
    assert_eq!(found.await.expect("no trap").unwrap().unwrap().status, "new");
    let mut deletions = 0;
    let refused = loop {
        match guest
            .mark_deleted("digitalocean".to_owned(), "droplet".to_owned(), "7".to_owned())
            .expect("no trap")
        {
            Ok(()) => deletions += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, InventoryError::TooMany));
    assert_eq!(deletions, 998);
    let writes = guest.into_writes().inventory;
    assert!(matches!(writes[0], InventoryWrite::Upsert(_)));
    assert_eq!(
        writes[1],
        InventoryWrite::RecordProvisioned {
            resource_id: id,
            spec: Json::trusted(r#"{"size":"s"}"#),
        }
    );
}

#[tokio::test]
async fn a_panic_of_the_host_ends_the_call_and_not_the_process() {
    let mut guest = guest(&Arc::default(), Phase::Run);
    let error = Inventory::get(
        &mut guest,
        "digitalocean".to_owned(),
        "droplet".to_owned(),
        "8".to_owned(),
    )
    .await
    .unwrap_err();
    assert_eq!(
        error.downcast_ref::<LimitHit>(),
        Some(&LimitHit::Host("inventory.get"))
    );
}

#[tokio::test]
async fn a_cancel_is_seen_in_run_and_never_in_compensate() {
    let host = Arc::new(FakeHost::default());
    let (mut run, mut compensate) = (guest(&host, Phase::Run), guest(&host, Phase::Compensate));
    assert!(!run.cancel_requested().unwrap());
    host.cancelled.store(true, Ordering::Relaxed);
    assert!(run.cancel_requested().unwrap());
    assert!(!compensate.cancel_requested().unwrap());
}

#[tokio::test]
async fn random_bytes_go_on_from_ask_to_ask_and_have_a_limit() {
    let host = Arc::new(FakeHost::default());
    let (mut one, mut other) = (guest(&host, Phase::Run), guest(&host, Phase::Run));
    let first = one.random(5).unwrap();
    let second = one.random(5).unwrap();
    assert_ne!(first, second);
    assert_eq!(
        (first, second),
        (other.random(5).unwrap(), other.random(5).unwrap())
    );
    assert_eq!(one.random(4_096).unwrap().len(), 4_096);
    let error = one.random(4_097).unwrap_err();
    assert_eq!(error.downcast_ref::<LimitHit>(), Some(&LimitHit::Random(4_097)));
}
