//! The engine: owns sagas, changes them through the writer, calls their steps, wakes them, and recovers them at start.
//!
//! | file | noun |
//! |---|---|
//! | `request` | what people ask, and what they are told |
//! | `start`, `verbs` | accepting a saga; what operators ask of one; waiting for a change |
//! | `repin`, `retry_all` | another version of a component for sagas in flight; beginning many stuck ones anew |
//! | `holds` | pausing everything, a definition, a service |
//! | `services` | services that are paused, by people or for a 401 |
//! | `drive` | every event of a saga, and what its state then wants |
//! | `call` | one call of a step, from its pinned component to what it brought |
//! | `journal` | intents and answers of a call, made durable |
//! | `late` | the watch over ended sagas of which something may show up, and the audit |
//! | `writer` | group commit |
//! | `timers` | the near wakes; the far ones are rows |
//! | `accounts` | which accounts a saga's requests went to |
//! | `lease`, `peers` | whether this host may act; living beside other hosts on one database |
//! | `health`, `unreadable` | whether the database can be written; sagas whose rows make no sense |
//! | `live`, `calls`, `watch` | sagas in memory; calls in progress; who waits for a change |
//! | `news`, `logs` | following what happens; what steps say |
//! | `history`, `findings` | what goes into a saga's events; what it leaves for people |
//! | [`tokens`] | who may ask for how much |
//! | [`catalog`] | components, channels, definitions, plans |
//!
//! # Recovery
//!
//! There is no recovery code besides taking over: rows say what every saga wants, the next scan of the timers finds those
//! that want it now, and a call that a dead host had begun is simply called again, with the same attempt and the same keys.
//!
//! # Several hosts
//!
//! A saga belongs to the host that accepted it, until that host is lost, or until somebody asks another one for a change of it: that
//! one then takes it over, and the database decides. Whatever a host believes, what it writes counts only under the saga's
//! present fence; what it sends leaves only while its [lease](lease) has margin.

mod accounts;
mod call;
mod calls;
pub mod catalog;
mod drive;
mod findings;
mod health;
mod history;
mod holds;
mod journal;
mod late;
mod lease;
mod live;
mod logs;
mod news;
mod peers;
mod repin;
mod request;
mod retry_all;
mod services;
mod start;
mod timers;
pub mod tokens;
mod unreadable;
mod verbs;
mod watch;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinHandle};
use uuid::Uuid;

pub use crate::store::{
    ChannelRow, ComponentRow, ComponentStatus, Cursor, DefinitionRow, EventRow, FindingRow, HoldRow,
    HoldTarget, HostRow, Idempotency, LogRow, Page, ProvisionedRow, ResourceFilter, ResourceRow, SagaFilter,
    SagaRow, Scope, StepRow, Store, StoreError, TokenRow,
};
pub use holds::HoldChange;
pub use late::WatchOptions;
pub use lease::LeaseOptions;
pub use news::{NEWS, SagaNews};
pub use repin::{MAX_REPINNED, Repin, RepinProblem, Repinned, RepinnedAll, RepinnedStep};
pub use request::{Asked, PlanSource, Problem, StartError, StartSaga, Started, Verb, VerbError};
pub use retry_all::{MAX_RETRIED, Retried, RetriedAll};
pub use services::{ServiceError, ServiceStatus};
pub use watch::Standing;

use crate::{cloud::Services, saga::ResourceKey, step::Runtime, store::HostId};
use catalog::Catalog;

/// Sagas that are loaded at the same time when many wake at once.
const WAKING: usize = 64;
/// How long a host that ends tries to tell its database.
const LEAVES_IN: Duration = Duration::from_secs(10);
/// The lease of a host that has its database alone: a hundred years.
const FOR_EVER_MS: i64 = 100 * 365 * 86_400_000;

/// Throws a die: any number, each as likely as the others.
pub type Dice = Arc<dyn Fn() -> u64 + Send + Sync>;

pub struct EngineOptions {
    pub store: Arc<dyn Store>,
    pub services: Services,
    pub runtime: Arc<Runtime>,
    /// May be shared by engines of one process: on stores with one catalogue, that is.
    pub catalog: Arc<Catalog>,
    pub watching: WatchOptions,
    /// The dice of retries' jitter.
    pub dice: Dice,
    pub lease: LeaseOptions,
}

pub struct Engine {
    host: HostId,
    store: Arc<dyn Store>,
    services: Services,
    runtime: Arc<Runtime>,
    catalog: Arc<Catalog>,
    dice: Dice,
    watching: WatchOptions,
    lease_options: LeaseOptions,
    lease: Arc<lease::Lease>,
    /// No host that lives is older.
    eldest: AtomicBool,
    writer: writer::Writer,
    health: Arc<health::Health>,
    unreadable: unreadable::Unreadable,
    timers: Arc<timers::Timers>,
    table: live::Table,
    calls: Arc<calls::Calls>,
    watchers: watch::Watchers,
    logs: logs::Logs,
    holds: holds::Holds,
    waking: Arc<Semaphore>,
    draining: AtomicBool,
    tasks: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// Takes over every saga that no living host owns, and lets them go on.
    pub async fn start(options: EngineOptions) -> Result<Arc<Engine>, StoreError> {
        let host = HostId(Uuid::now_v7());
        let holds = holds::Holds::load(options.store.as_ref()).await?;
        let asked = tokio::time::Instant::now();
        let lease = if options.store.is_shared() {
            lease::Lease::held(options.lease, asked)
        } else {
            lease::Lease::for_ever()
        };
        let health = Arc::<health::Health>::default();
        let (writer, writing) = writer::Writer::start(options.store.clone(), health.clone());
        let (logs, saying) = logs::Logs::start(options.store.clone());
        let engine = Arc::new(Engine {
            host,
            store: options.store,
            services: options.services,
            runtime: options.runtime,
            catalog: options.catalog,
            dice: options.dice,
            watching: options.watching,
            lease_options: options.lease,
            lease: Arc::new(lease),
            eldest: AtomicBool::new(true),
            writer,
            health,
            unreadable: unreadable::Unreadable::default(),
            timers: Arc::default(),
            table: live::Table::default(),
            calls: Arc::default(),
            watchers: watch::Watchers::default(),
            logs,
            holds,
            waking: Arc::new(Semaphore::new(WAKING)),
            draining: AtomicBool::new(false),
            tasks: std::sync::Mutex::new(vec![writing, saying]),
        });
        engine.store.open_host(host, engine.lease_ms()).await?;
        let lease = engine.lease.clone();
        engine.services.only_while(Arc::new(move || lease.is_usable()));
        engine.close_paused();
        engine.claim_all().await?;
        engine.spawn_background();
        Ok(engine)
    }

    fn lease_ms(&self) -> i64 {
        if self.store.is_shared() {
            i64::try_from(self.lease_options.lease.as_millis()).unwrap_or(i64::MAX)
        } else {
            FOR_EVER_MS
        }
    }

    fn spawn_background(self: &Arc<Self>) {
        let engine = Arc::downgrade(self);
        let wake = move |saga| {
            let Some(engine) = engine.upgrade() else { return };
            if engine.is_ending() {
                return;
            }
            tokio::spawn(async move {
                let waking = engine.waking.clone().acquire_owned().await;
                engine.wake(saga).await;
                drop(waking);
            });
        };
        let timing = tokio::spawn(self.timers.clone().run(self.store.clone(), self.host, wake));
        let beating = tokio::spawn(self.clone().beat());
        let watching = tokio::spawn(late::watch_over(Arc::downgrade(self), self.watching));
        let probing = tokio::spawn(self.clone().watch_services());
        let engine = self.clone();
        let following = tokio::spawn(async move {
            if let Err(error) = engine.follow_all_holds().await {
                tracing::warn!(%error, "not every saga follows the pauses yet; each does when it is due");
            }
        });
        let mut tasks = vec![timing, beating, watching, probing, following];
        if self.store.is_shared() {
            let lease = self.lease.clone();
            tasks.push(tokio::spawn(async move { lease.watch().await }));
            tasks.push(tokio::spawn(Engine::claim_for_ever(Arc::downgrade(self))));
            tasks.push(tokio::spawn(Engine::follow_peers(Arc::downgrade(self))));
            tasks.push(tokio::spawn(Engine::listen_to_peers(Arc::downgrade(self))));
        }
        self.tasks
            .lock()
            .expect("no code panics under this lock")
            .extend(tasks);
    }

    /// Whether it begins nothing any more.
    fn is_ending(&self) -> bool {
        self.draining.load(Ordering::Acquire) || self.lease.is_lost()
    }

    /// For reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whether a thing with this key is where its service reaches now, as far as accounts can be told apart.
    pub fn may_be_reached(&self, key: &ResourceKey) -> bool {
        match self.services.known_identity(&key.provider) {
            Some(identity) if !identity.account().is_empty() => {
                key.account.is_empty() || key.account == identity.account()
            }
            Some(_) | None => true,
        }
    }

    /// Sagas that are being changed, called, or about to be; those that sleep are rows.
    pub fn in_memory(&self) -> usize {
        self.table.len()
    }

    /// Why the host takes no sagas, when it doesn't.
    pub fn ready(&self) -> Result<(), String> {
        if self.lease.is_lost() {
            Err("the host has lost its lease on the database, and ends".to_owned())
        } else if self.draining.load(Ordering::Acquire) {
            Err("the host is shutting down".to_owned())
        } else if !self.health.is_well() {
            Err("the database can't be written; sagas wait, and go on by themselves once it can".to_owned())
        } else {
            Ok(())
        }
    }

    /// Starts no more calls, and lets those in progress, and what they have on the wire, end for at most `grace`. Then other hosts may
    /// take over at once. What is cut off here is called again, as after a crash.
    ///
    /// A host that is lost has ended its calls already; it only reads what is on the wire to its end.
    pub async fn shutdown(&self, grace: Duration) {
        self.draining.store(true, Ordering::Release);
        let quiet = async {
            // Of a lost host's nothing can be stored: only answers that are on the wire count, as evidence.
            if !self.lease.is_lost() {
                self.calls.none_left().await;
            }
            self.services.all_idle().await;
        };
        if tokio::time::timeout(grace, quiet).await.is_err() {
            tracing::info!("calls are still in progress; they are called again at the next start");
        }
        let left = async {
            self.logs.flush().await;
            if self.lease.is_lost() {
                return;
            }
            if let Err(error) = self.store.leave(self.host).await {
                tracing::warn!(%error, "other hosts can't be told that this one ends; they notice when its lease runs out");
            }
        };
        if tokio::time::timeout(LEAVES_IN, left).await.is_err() {
            tracing::warn!(
                "the database does not answer; other hosts notice this one's end when its lease runs out"
            );
        }
        let tasks = std::mem::take(&mut *self.tasks.lock().expect("no code panics under this lock"));
        for task in tasks.into_iter().skip(1) {
            task.abort();
            // What it holds of the engine is let go of by then.
            let _ = task.await;
        }
    }
}
