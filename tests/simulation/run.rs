//! One run of a scenario: hosts that live one after the other on the same store, before the same provider, and die where they
//! are told to.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arcadia::{
    engine::{Asked, Engine, StartSaga, Store as _, Verb, VerbError},
    saga::{SagaId, Status},
    store::{EventRow, Page, SagaFilter},
};
use futures_util::FutureExt as _;

use super::{
    lab::World,
    points::Points,
    scenario::{Before, Plan, Scenario, Then},
};

/// How long a saga may take to come to rest, by its own clock.
const PATIENCE_MS: i64 = 40 * 3_600_000;
/// How long it takes until somebody starts the next host.
const DOWN_MS: i64 = 2_000;

pub struct Run<'a> {
    pub scenario: &'a Scenario,
    pub world: World,
    /// What people know, whoever told them.
    told: Arc<Mutex<Told>>,
    /// The events of the saga when its hosts died.
    pub pasts: Vec<Vec<EventRow>>,
    target: Option<i64>,
    /// The saga that provisioned the target.
    earlier: Option<SagaId>,
}

#[derive(Default, Clone, Copy)]
struct Told {
    saga: Option<SagaId>,
    /// The verb was answered: carried out, or refused.
    verb: bool,
}

/// A life that has ended.
pub struct Life {
    pub died: bool,
    /// The points that were reached, in order.
    pub points: Vec<String>,
}

impl<'a> Run<'a> {
    pub fn new(scenario: &'a Scenario) -> Run<'a> {
        let mut run = Run {
            scenario,
            world: World::new(scenario.rules.clone(), scenario.sharing),
            told: Arc::default(),
            pasts: Vec::new(),
            target: None,
            earlier: None,
        };
        if scenario.before != Before::Nothing {
            run.provision();
        }
        for fault in &scenario.faults {
            run.world.cloud.add_fault(fault.clone());
        }
        run
    }

    /// A droplet, without any trouble.
    fn provision(&mut self) {
        let plain = Scenario::new("provision", Plan::Provision, &[Status::Completed]);
        let told = Arc::new(Mutex::default());
        let mut request = plain.request(None);
        if self.scenario.before == Before::Itself {
            self.told = told.clone();
        } else {
            request.idempotency = None;
        }
        let life = self.live(0, &told, request, Then::Nothing, 10_000);
        assert!(!life.died);
        if self.scenario.before == Before::Droplet {
            self.earlier = told.lock().unwrap().saga;
        }
        let state = self.world.cloud.state();
        self.target = state.droplets.first().map(|droplet| droplet.id);
    }

    /// A host begins, and dies at the point with this number, or once the saga rests (0).
    pub fn life(&mut self, deadly: u64) -> Life {
        let told = self.told.clone();
        let request = self.scenario.request(match self.scenario.before {
            Before::Droplet => self.target,
            Before::Nothing | Before::Itself => None,
        });
        let life = self.live(deadly, &told, request, self.scenario.then, self.scenario.after_ms);
        if life.died {
            let past = self.saga().map(|saga| self.events(saga)).unwrap_or_default();
            self.pasts.push(past);
            self.world.clock.pass_ms(DOWN_MS);
        }
        life
    }

    fn live(
        &self,
        deadly: u64,
        told: &Arc<Mutex<Told>>,
        request: StartSaga,
        then: Then,
        after_ms: u64,
    ) -> Life {
        let points = Points::new(deadly);
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let world = &self.world;
        tokio.block_on(async {
            world.clock.begin();
            let living = async {
                let host = world.host(&points, self.scenario.watching).await;
                drive(&host, told, request, then).await;
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                let saga = told.lock().unwrap().saga.unwrap();
                rest(&host, saga).await;
            };
            tokio::select! {
                biased;
                () = points.died() => {}
                () = living => {}
            }
            world.clock.end();
        });
        // All of the host goes at once.
        drop(tokio);
        Life {
            died: points.is_dead(),
            points: points.names(),
        }
    }

    /// The saga, if anybody was told of it or it is there.
    pub fn saga(&self) -> Option<SagaId> {
        if let Some(saga) = self.told.lock().unwrap().saga {
            return Some(saga);
        }
        let page = Page {
            limit: 2,
            after: None,
        };
        let rows = now(self.world.store.sagas(&SagaFilter::default(), page)).unwrap();
        let row = rows.into_iter().find(|row| Some(row.id) != self.earlier);
        row.map(|row| row.id)
    }

    pub fn events(&self, saga: SagaId) -> Vec<EventRow> {
        now(self.world.store.events(saga, 0, 1_000_000)).unwrap()
    }
}

/// Nothing of the memory store waits for anything.
pub fn now<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("the memory store answers at once")
}

/// What people do: they ask until they are answered, whichever host it is that answers.
async fn drive(host: &Arc<Engine>, told: &Mutex<Told>, request: StartSaga, then: Then) {
    let known = told.lock().unwrap().saga;
    let saga = match known {
        Some(saga) => saga,
        None => {
            let started = host.start_saga(request).await.unwrap();
            told.lock().unwrap().saga = Some(started.saga);
            started.saga
        }
    };
    let asked = told.lock().unwrap().verb;
    if let (Some(verb), false) = (then.verb(), asked) {
        if let Then::Cancel { after_ms } = then {
            let row = host.store().saga(saga).await.unwrap().unwrap();
            let wait_ms = row.created_ms + after_ms - host.store().now_ms();
            tokio::time::sleep(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0))).await;
        }
        ask(host, saga, verb).await;
        told.lock().unwrap().verb = true;
    }
    rest(host, saga).await;
}

async fn ask(host: &Arc<Engine>, saga: SagaId, verb: Verb) {
    let asked = Asked {
        actor: "simulation".to_owned(),
        reason: None,
    };
    match host.verb(saga, verb, asked).await {
        Ok(_) | Err(VerbError::Refused(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn rest(host: &Arc<Engine>, saga: SagaId) {
    let until_ms = host.store().now_ms() + PATIENCE_MS;
    loop {
        host.standing(saga, None, Duration::from_secs(3_600))
            .await
            .unwrap();
        let row = host.store().saga(saga).await.unwrap().unwrap();
        if row.status.is_final() || row.status == Status::NeedsAttention || host.store().now_ms() > until_ms {
            return;
        }
    }
}
