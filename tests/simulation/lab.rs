//! What all runs share: the shipped components, compiled once, in a catalogue of their own. And a host made of it.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use arcadia::{
    cloud::{Secret, ServiceConfig, Services},
    engine::{
        Engine, EngineOptions, LeaseOptions, WatchOptions,
        catalog::{BuiltIn, Catalog},
    },
    simulator::{ClockMode, GivenClock, InProcess, Options, Rules},
    step::{Runtime, RuntimeOptions},
    store::{MemoryStore, Store},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    clock::Clock,
    points::{MortalStore, MortalTransport, Points},
    scenario::Sharing,
};
use crate::support::around::Wrapped;

const SCRIPTED: &[u8] = include_bytes!("../../steps-wasm/examples/components/scripted.wasm");

/// Of the hosts that share a store.
const LEASE: LeaseOptions = LeaseOptions {
    lease: Duration::from_secs(15),
    heartbeat: Duration::from_secs(5),
};

struct Lab {
    runtime: Arc<Runtime>,
    catalog: Arc<Catalog>,
}

static LAB: LazyLock<Lab> = LazyLock::new(|| {
    // The guests run where their host does: its time must not pass while they are at work.
    let runtime = Runtime::new(RuntimeOptions {
        threads: 0,
        // They compute too little to need it, and when one is interrupted is nobody's choice.
        tick: Duration::from_secs(60),
        max_calls: 64,
        ..crate::support::runtime::options()
    })
    .unwrap();
    let mut built_in = BuiltIn::shipped();
    built_in
        .components
        .push(("scripted".to_owned(), Arc::from(SCRIPTED)));
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let catalog = tokio.block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(0));
        let catalog = Catalog::open(store.clone(), runtime.clone(), &built_in)
            .await
            .unwrap();
        for row in store.components().await.unwrap() {
            catalog.pinned(&row.digest).await.unwrap();
        }
        Arc::new(catalog)
    });
    Lab { runtime, catalog }
});

/// What survives a host.
#[derive(Clone)]
pub struct World {
    pub clock: Arc<Clock>,
    pub store: Arc<MemoryStore>,
    pub cloud: InProcess,
}

impl World {
    pub fn new(rules: Rules, sharing: Sharing) -> World {
        let clock = Clock::new();
        let given = clock.clone();
        let cloud = InProcess::new(&Options {
            clock: ClockMode::Given(GivenClock::new(move || given.now_ms().unsigned_abs())),
            rules,
            ..Options::default()
        });
        World {
            store: Arc::new(match sharing {
                Sharing::Alone => MemoryStore::alone(clock.now_ms()),
                Sharing::Leased => MemoryStore::new(clock.now_ms()),
            }),
            clock,
            cloud,
        }
    }

    /// A host that begins to live, within its own runtime.
    pub async fn host(&self, points: &Arc<Points>, watching: WatchOptions) -> Arc<Engine> {
        let lab = &*LAB;
        self.store.set_now_ms(self.clock.now_ms());
        if !self.store.is_shared() {
            self.store.reopen();
        }
        let store = Wrapped::of(
            self.store.clone(),
            MortalStore {
                memory: self.store.clone(),
                clock: self.clock.clone(),
                points: points.clone(),
                took: false.into(),
            },
        );
        let config = ServiceConfig {
            base_url: "http://localhost".to_owned(),
            per_minute: 100_000,
            per_hour: 1_000_000,
            ..ServiceConfig::digitalocean(Some(Secret::new("sim-token")))
        };
        let transport = MortalTransport {
            cloud: self.cloud.clone(),
            points: points.clone(),
        };
        let dice = std::sync::Mutex::new(StdRng::seed_from_u64(7));
        Engine::start(EngineOptions {
            store,
            services: Services::carried_by(vec![(config, Arc::new(transport))]).unwrap(),
            runtime: lab.runtime.clone(),
            catalog: lab.catalog.clone(),
            watching,
            lease: LEASE,
            dice: Arc::new(move || dice.lock().unwrap().random()),
        })
        .await
        .unwrap()
    }
}

/// Compiles what runs share, so that the first run takes no longer than the others.
pub fn warm() {
    LazyLock::force(&LAB);
}
