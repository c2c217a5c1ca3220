//! An engine in this process, on a real SQLite file, with a simulator on the other end.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arcadia::{
    cloud::{Secret, ServiceConfig, Services},
    engine::{
        Engine, EngineOptions, LeaseOptions, PlanSource, StartSaga, WatchOptions,
        catalog::{BuiltIn, Catalog},
    },
    saga::{Json, Kind, SagaId},
    simulator::{Options, Rules, Simulator},
    step::{Runtime, RuntimeOptions},
    store::{SagaRow, SqlStore, Store, StoreError},
};
use serde_json::{Value, json};

use super::{runtime, simulator::Control};

const EXAMPLES: [(&str, &[u8]); 4] = [
    (
        "noop",
        include_bytes!("../../steps-wasm/examples/components/noop.wasm"),
    ),
    (
        "scripted",
        include_bytes!("../../steps-wasm/examples/components/scripted.wasm"),
    ),
    (
        "scripted-pivot",
        include_bytes!("../../steps-wasm/examples/components/scripted-pivot.wasm"),
    ),
    (
        "greet-c",
        include_bytes!("../../steps-wasm/examples/components/greet-c.wasm"),
    ),
];

/// How long a saga may take to come to rest.
const RESTS_IN: Duration = Duration::from_secs(30);

pub struct Stand {
    engine: Option<Arc<Engine>>,
    rules: Rules,
    watching: WatchOptions,
    pub control: Control,
    pub simulator: Simulator,
    pub folder: tempfile::TempDir,
}

impl Stand {
    pub async fn new() -> Stand {
        Stand::with(Rules::default(), |store| Arc::new(store)).await
    }

    pub async fn with(rules: Rules, wrap: impl FnOnce(SqlStore) -> Arc<dyn Store>) -> Stand {
        Stand::watching(rules, WatchOptions::default(), wrap).await
    }

    pub async fn watching(
        rules: Rules,
        watching: WatchOptions,
        wrap: impl FnOnce(SqlStore) -> Arc<dyn Store>,
    ) -> Stand {
        let simulator = Simulator::start(Options {
            rules: rules.clone(),
            ..Options::default()
        })
        .await
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = wrap(SqlStore::sqlite(&folder.path().join("arcadia.db")).await.unwrap());
        let engine = engine_on(store, &simulator, &rules, watching).await;
        Stand {
            engine: Some(engine),
            rules,
            watching,
            control: Control::of(&simulator),
            simulator,
            folder,
        }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        self.engine.as_ref().unwrap()
    }

    pub async fn start(&self, steps: Value, inputs: Value) -> SagaId {
        let plan = PlanSource::Inline {
            kind: Kind::Test,
            steps,
        };
        start(self.engine(), plan, inputs).await
    }

    pub async fn define(&self, definition: &str, inputs: Value) -> SagaId {
        start(
            self.engine(),
            PlanSource::Definition {
                name: definition.to_owned(),
            },
            inputs,
        )
        .await
    }

    /// Ends the host, as a shutdown does, and starts one on what it left.
    pub async fn restart(&mut self) {
        let engine = self.engine.take().unwrap();
        engine.shutdown(Duration::from_secs(5)).await;
        drop(engine);
        // What the host leaves behind ends by itself: the last of it may still be about to close the file.
        let path = self.folder.path().join("arcadia.db");
        let deadline = Instant::now() + RESTS_IN;
        let store = loop {
            match SqlStore::sqlite(&path).await {
                Ok(store) => break store,
                Err(StoreError::Refused(_)) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("the store is still held: {error}"),
            }
        };
        self.engine = Some(engine_on(Arc::new(store), &self.simulator, &self.rules, self.watching).await);
    }

    /// The saga once it rests.
    pub async fn rest(&self, saga: SagaId) -> SagaRow {
        rest(self.engine(), saga).await
    }
}

/// A host on this store, with the shipped components and the examples. Its rate budget is the shipped one, and larger where
/// the simulator allows more than the provider does.
pub async fn engine_on(
    store: Arc<dyn Store>,
    simulator: &Simulator,
    rules: &Rules,
    watching: WatchOptions,
) -> Arc<Engine> {
    peer_on(store, simulator, rules, watching, LeaseOptions::default()).await
}

/// As [`engine_on`], for a store that hosts share.
pub async fn peer_on(
    store: Arc<dyn Store>,
    simulator: &Simulator,
    rules: &Rules,
    watching: WatchOptions,
    lease: LeaseOptions,
) -> Arc<Engine> {
    peer_with(runtime::options(), store, simulator, rules, watching, lease).await
}

/// With a runtime of its own.
pub async fn peer_with(
    runtime: RuntimeOptions,
    store: Arc<dyn Store>,
    simulator: &Simulator,
    rules: &Rules,
    watching: WatchOptions,
    lease: LeaseOptions,
) -> Arc<Engine> {
    arcadia::cloud::install_crypto();
    let shipped = ServiceConfig::digitalocean(Some(Secret::new("sim-token")));
    let provider = Rules::default();
    let service = ServiceConfig {
        base_url: simulator.api_url(),
        per_minute: shipped.per_minute + rules.rate_per_minute.saturating_sub(provider.rate_per_minute),
        per_hour: shipped.per_hour + rules.rate_per_hour.saturating_sub(provider.rate_per_hour),
        ..shipped
    };
    let runtime = Runtime::new(runtime).unwrap();
    let mut built_in = BuiltIn::shipped();
    built_in
        .components
        .extend(EXAMPLES.map(|(name, bytes)| (name.to_owned(), Arc::from(bytes))));
    let catalog = Catalog::open(store.clone(), runtime.clone(), &built_in)
        .await
        .unwrap();
    let services = Services::new(vec![service]).unwrap();
    Engine::start(EngineOptions {
        store,
        services,
        runtime,
        catalog: Arc::new(catalog),
        watching,
        dice: Arc::new(rand::random),
        lease,
    })
    .await
    .unwrap()
}

/// Intervals of the shipped definitions' steps that make a test quick; steps that a plan doesn't have are left out.
fn quick(plan: &PlanSource) -> BTreeMap<String, serde_json::Map<String, Value>> {
    let PlanSource::Definition { name } = plan else {
        return BTreeMap::new();
    };
    let steps: &[&str] = match name.as_str() {
        "provision_droplet" => &["create", "wait", "register"],
        "snapshot_droplet" => &["snapshot"],
        "destroy_droplet" => &["destroy"],
        _ => &[],
    };
    let quick = |step: &str| match step {
        "wait" => json!({ "poll_interval_ms": 100 }),
        _ => json!({ "poll_interval_ms": 100, "settle_ms": 1_500, "absence_recheck_ms": 100 }),
    };
    steps
        .iter()
        .filter_map(|step| Some(((*step).to_owned(), quick(step).as_object()?.clone())))
        .collect()
}

pub async fn start(engine: &Arc<Engine>, plan: PlanSource, inputs: Value) -> SagaId {
    let request = StartSaga {
        params: quick(&plan),
        plan,
        inputs: Json::of(&inputs),
        paused: false,
        deployment_id: None,
        triggered_by: "test".to_owned(),
        actor: "test".to_owned(),
        idempotency: None,
    };
    engine.start_saga(request).await.unwrap().saga
}

pub async fn rest(engine: &Arc<Engine>, saga: SagaId) -> SagaRow {
    engine.standing(saga, None, RESTS_IN).await.unwrap();
    let row = engine.store().saga(saga).await.unwrap().unwrap();
    assert!(
        row.status.is_final() || row.status.as_str() == "needs-attention",
        "not at rest: {row:?}"
    );
    row
}
