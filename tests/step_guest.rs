//! Small guests, written as core WebAssembly text and made into components with the project's own `wit/`; and a host that
//! remembers what it was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
};

use crate::support::runtime;
use arcadia::{
    cloud::{FetchError, Outgoing, Response},
    saga::{CloudResource, Json, Phase, ResourceKey, SagaId, Writes},
    step::{Call, CallHost, Compiled, Ended, LogLine, Recorded, Runtime, RuntimeOptions, Unsaved},
};
use async_trait::async_trait;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

pub static RUNTIME: LazyLock<Arc<Runtime>> = LazyLock::new(|| {
    Runtime::new(RuntimeOptions {
        threads: 2,
        max_calls: 64,
        ..runtime::options()
    })
    .expect("the runtime starts")
});

pub const WIT: &str = include_str!("../wit/step.wit");
pub const MANIFEST: &str = r#"{"name":"guest","version":"1.2.3"}"#;

/// Parts of a core module. `run` and `compensate` are bodies that leave the address of a `result<outcome, step-error>`;
/// `$done` and `$again` make one.
pub struct Guest {
    pub imports: &'static str,
    pub items: &'static str,
    pub pages: u32,
    pub manifest: String,
    pub describe: &'static str,
    pub run: &'static str,
    pub compensate: &'static str,
}

impl Default for Guest {
    fn default() -> Self {
        Guest {
            imports: "",
            items: "",
            pages: 2,
            manifest: MANIFEST.to_owned(),
            describe: "",
            run: "(call $done (i32.const 64) (i32.const 2))",
            compensate: "(call $done (i32.const 64) (i32.const 2))",
        }
    }
}

impl Guest {
    pub fn running(run: &'static str) -> Guest {
        Guest {
            run,
            ..Guest::default()
        }
    }

    pub fn wasm(&self) -> Vec<u8> {
        component(WIT, &self.text())
    }

    pub fn compiled(&self) -> Compiled {
        RUNTIME.compile(self.wasm().into()).expect("it compiles")
    }

    fn text(&self) -> String {
        let Guest {
            imports,
            items,
            pages,
            manifest,
            describe,
            run,
            compensate,
        } = self;
        let length = manifest.len();
        let data = manifest.replace('\\', "\\\\").replace('"', "\\\"");
        format!(
            r#"(module
            {imports}
            (memory (export "memory") {pages})
            (global $heap (mut i32) (i32.const 65536))
            (data (i32.const 64) "{{}}")
            (data (i32.const 1024) "{data}")
            {items}
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                (global.set $heap (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func $done (param $text i32) (param $length i32) (result i32)
                (i32.store8 (i32.const 128) (i32.const 0))
                (i32.store8 (i32.const 136) (i32.const 0))
                (i32.store (i32.const 144) (local.get $text))
                (i32.store (i32.const 148) (local.get $length))
                (i32.const 128))
            (func (export "arcadia:step/step@0.1.0#describe") (result i32)
                {describe}
                (i32.store (i32.const 32) (i32.const 1024))
                (i32.store (i32.const 36) (i32.const {length}))
                (i32.const 32))
            (func (export "arcadia:step/step@0.1.0#run") (param i32) (result i32) {run})
            (func (export "arcadia:step/step@0.1.0#compensate") (param i32) (result i32) {compensate}))"#
        )
    }
}

/// A component of the first world in `wit`, around a core module.
pub fn component(wit: &str, module: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("step.wit", wit).expect("the WIT parses");
    let world = resolve
        .select_world(&[package], Some("step-component"))
        .expect("it has the world");
    let mut module = wat::parse_str(module).expect("the module's text parses");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata fits");
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .expect("the module fits the world")
        .encode()
        .expect("it becomes a component")
}

pub fn call() -> Call {
    Call {
        saga: SagaId(uuid::Uuid::from_u128(7)),
        kind: "test".to_owned(),
        deployment_id: None,
        triggered_by: "tests".to_owned(),
        step: "one".to_owned(),
        phase: Phase::Run,
        attempt: 1,
        polls: 0,
        idempotency_key: "key".to_owned(),
        resource_tag: "arcadia-r-abc".to_owned(),
        phase_age_ms: 0,
        remaining_ms: 60_000,
        state: None,
        prior: None,
        inputs: Json::trusted("{}"),
        params: Json::trusted("{}"),
        outputs: Arc::default(),
        context: BTreeMap::new(),
        writable: Vec::new(),
        grants: Arc::from([]),
        seed: [7; 32],
        call_timeout_ms: 20_000,
        memory_bytes: None,
    }
}

pub async fn run(guest: &Guest) -> Ended {
    RUNTIME
        .call(&guest.compiled(), call(), Arc::new(FakeHost::default()))
        .await
}

/// Answers a request with its path, `/busy` with the rate limit, `/slow` never; keeps the log and the checkpoints.
#[derive(Default)]
pub struct FakeHost {
    pub lines: Mutex<Vec<LogLine>>,
    pub checkpoints: Mutex<Vec<Writes>>,
}

#[async_trait]
impl CallHost for FakeHost {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000
    }

    fn cancel_requested(&self) -> bool {
        false
    }

    async fn checkpoint(&self, writes: Writes) -> Result<(), Unsaved> {
        self.checkpoints.lock().expect("never poisoned").push(writes);
        Ok(())
    }

    async fn fetch(&self, request: Outgoing) -> Result<Response, FetchError> {
        match request.path.as_str() {
            "/busy" => Err(FetchError::RateLimited(1_000)),
            "/slow" => std::future::pending().await,
            path => Ok(Response {
                status: 200,
                headers: Vec::new(),
                body: format!("{:?}", path).into_bytes(),
                replayed: false,
                age_ms: 0,
            }),
        }
    }

    async fn recall(&self, _phase: Phase, _key: &str) -> Recorded {
        Recorded::Never
    }

    async fn resource(&self, _key: ResourceKey) -> Result<Option<CloudResource>, Unsaved> {
        Ok(None)
    }

    fn account(&self, _provider: &str) -> String {
        "account".to_owned()
    }

    fn log(&self, line: LogLine) {
        self.lines.lock().expect("never poisoned").push(line);
    }
}
