//! Stores to test, and sagas to put into them.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use arcadia::{
    saga::{
        CallEnd, CompensatePolicy, ComponentRef, DefinitionRef, Event, Intent, Json, Kind, Moment, Outcome,
        Phase, Plan, PlanStep, RunPolicy, Saga, SagaId, StepIndex, apply,
    },
    store::{
        Accept, Advance, Applied, Change, Fence, Header, HostId, MemoryStore, NewEvent, NewFinding, Page,
        SqlStore, Store, Takeover,
    },
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::postgres;

/// Runs the same test on every store.
macro_rules! on_every_store {
    ($($name:ident($store:ident) $body:block)*) => {
        $(async fn $name($store: &crate::store::fixture::Fixture) $body)*

        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&crate::store::fixture::Fixture::memory().await).await;
            })*
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&crate::store::fixture::Fixture::sqlite().await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(store) = crate::store::fixture::Fixture::postgres().await {
                    super::$name(&store).await;
                }
            })*
        }
    };
}
pub(crate) use on_every_store;

/// When everything in these tests begins.
pub const T0: i64 = 1_000;
/// Longer than any test.
pub const LEASE_MS: i64 = 3_600_000;

pub struct Fixture {
    pub store: Arc<dyn Store>,
    pub host: HostId,
    _folder: Option<TempDir>,
}

impl Fixture {
    pub async fn memory() -> Fixture {
        Fixture::on(Arc::new(MemoryStore::new(T0)), None).await
    }

    pub async fn sqlite() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let store = SqlStore::sqlite(&database(&folder)).await.unwrap();
        Fixture::on(Arc::new(store), Some(folder)).await
    }

    /// `None`: there is no PostgreSQL here.
    pub async fn postgres() -> Option<Fixture> {
        let url = postgres::shared()?.database();
        let store = SqlStore::postgres(&url).await.unwrap();
        Some(Fixture::on(Arc::new(store), None).await)
    }

    async fn on(store: Arc<dyn Store>, folder: Option<TempDir>) -> Fixture {
        let host = HostId(Uuid::from_u128(0xA));
        store.open_host(host, LEASE_MS).await.unwrap();
        Fixture {
            store,
            host,
            _folder: folder,
        }
    }

    pub fn fence(&self) -> Fence {
        Fence {
            owner: self.host,
            number: 1,
        }
    }

    /// The host leaves, and another one claims what it owned.
    pub async fn hand_over(&self, to: HostId) -> Takeover {
        self.store.leave(self.host).await.unwrap();
        self.store.open_host(to, LEASE_MS).await.unwrap();
        self.store.claim(to, 1_000).await.unwrap()
    }

    pub async fn commit(&self, changes: Vec<Change>) -> Vec<Applied> {
        self.store.commit(changes).await.unwrap()
    }

    /// Commits one change and answers what became of it.
    pub async fn one(&self, change: Change) -> Applied {
        self.commit(vec![change]).await.remove(0)
    }

    /// A saga of [`plan`] that is accepted by this host.
    pub async fn start(&self, number: u128) -> Saga {
        let saga = saga(number, plan());
        let applied = self
            .one(Change::Accept(Box::new(accept(&saga, self.fence()))))
            .await;
        assert_eq!(applied, Applied::Done);
        saga
    }

    /// Carries an event out and answers the next state.
    pub async fn go(&self, saga: &Saga, event: Event) -> Saga {
        let advance = advance(saga, event, self.fence());
        let next = (*advance.saga).clone();
        assert_eq!(self.one(Change::Advance(Box::new(advance))).await, Applied::Done);
        next
    }

    /// All that the store holds about these sagas, as text.
    pub async fn snapshot(&self, sagas: &[SagaId]) -> String {
        snapshot(&*self.store, sagas).await
    }
}

pub fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("arcadia.db")
}

pub fn page(limit: u32) -> Page {
    Page { limit, after: None }
}

pub fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

pub fn step(name: &str, after: &[StepIndex]) -> PlanStep {
    PlanStep {
        name: name.to_owned(),
        component: ComponentRef {
            name: "noop".to_owned(),
            version: "1.0.0".to_owned(),
            digest: "00".repeat(32),
        },
        params: json("{}"),
        scope: String::new(),
        after: after.to_vec(),
        compensated: true,
        pivot: false,
        run: RunPolicy::default(),
        compensate: CompensatePolicy::default(),
    }
}

/// Three steps in a row.
pub fn plan() -> Arc<Plan> {
    Arc::new(Plan {
        definition: Some(DefinitionRef {
            name: "provision_droplet".to_owned(),
            version: 1,
        }),
        kind: Kind::Provision,
        steps: vec![step("create", &[]), step("wait", &[0]), step("register", &[1])],
    })
}

pub fn saga(number: u128, plan: Arc<Plan>) -> Saga {
    Saga::accept(SagaId(Uuid::from_u128(number)), plan, BTreeSet::new(), T0)
}

pub fn accept(saga: &Saga, fence: Fence) -> Accept {
    Accept {
        saga: Arc::new(saga.clone()),
        plan_digest: Arc::from(saga.plan.digest()),
        header: Header {
            deployment_id: None,
            triggered_by: "test".to_owned(),
            inputs: json(r#"{"droplet_name": "web-1"}"#),
            created_ms: T0,
        },
        fence,
        idempotency: None,
        events: vec![event("accepted", None)],
    }
}

pub fn event(kind: &'static str, step: Option<StepIndex>) -> NewEvent {
    NewEvent {
        kind,
        actor: "host".to_owned(),
        step,
        phase: step.map(|_| Phase::Run),
        detail: json("{}"),
    }
}

/// What the writer is handed for an event at [`T0`] + the new revision.
pub fn advance(saga: &Saga, event: Event, fence: Fence) -> Advance {
    let at_ms = T0 + i64::try_from(saga.revision).unwrap();
    let moment = Moment {
        now_ms: at_ms,
        dice: 0,
    };
    let (next, _) = apply(saga, event, moment).unwrap();
    let changed_steps = (0..next.steps.len())
        .filter(|step| next.steps[*step] != saga.steps[*step])
        .collect();
    Advance {
        fence,
        from_revision: saga.revision,
        repinned: (next.plan != saga.plan).then(|| Arc::from(next.plan.digest())),
        saga: Arc::new(next),
        changed_steps,
        writes: None,
        events: vec![self::event("moved", Some(0))],
        free_keys: Vec::new(),
        findings: Vec::new(),
        resolved_codes: Vec::new(),
        intent: None,
        watch: None,
        at_ms,
    }
}

pub fn done(step: StepIndex) -> Event {
    ended(step, Outcome::Done(json(r#"{"id": 5}"#)))
}

pub fn ended(step: StepIndex, outcome: Outcome) -> Event {
    Event::RunReturned {
        step,
        end: CallEnd {
            outcome,
            starved: false,
        },
    }
}

pub fn cancel() -> Event {
    Event::CancelRequested {
        actor: "ann".to_owned(),
        reason: None,
    }
}

pub fn finding(code: &str, step: Option<StepIndex>) -> NewFinding {
    NewFinding {
        code: code.to_owned(),
        step,
        resource: None,
        message: "the undo is stuck".to_owned(),
        advice: "retry or abandon".to_owned(),
    }
}

pub fn intent(number: u128, saga: SagaId, step: StepIndex, phase: Phase) -> Intent {
    Intent {
        id: Uuid::from_u128(number),
        saga,
        step,
        phase,
        once_key: Some("create".to_owned()),
        service: "digitalocean".to_owned(),
        identity: Some("https://api.example.com#a".to_owned()),
        method: "POST".to_owned(),
        path: "/v2/droplets".to_owned(),
        request_hash: "hash".to_owned(),
        redacted_body: Some(r#"{"name": "web-1"}"#.to_owned()),
        at_ms: T0,
    }
}

/// Everything that the trait shows about these sagas and the inventory. Event ids are left out (their order across sagas is
/// free), and so is the time at which a takeover ended an exchange (it is the clock's).
pub async fn snapshot(store: &dyn Store, sagas: &[SagaId]) -> String {
    use std::fmt::Write as _;

    let mut text = String::new();
    for &saga in sagas {
        let mut events = store.events(saga, 0, 10_000).await.unwrap();
        events.iter_mut().for_each(|event| event.id = 0);
        let mut journal = store.journal(saga).await.unwrap();
        for record in &mut journal {
            if let arcadia::saga::RecordState::Open {
                ended_at_ms: Some(at_ms),
            } = &mut record.state
                && *at_ms > T0 + 1_000_000
            {
                *at_ms = i64::MAX;
            }
        }
        writeln!(
            text,
            "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
            store.watch(saga).await.unwrap(),
            store.load(saga).await.unwrap(),
            store.saga(saga).await.unwrap(),
            store.steps(saga).await.unwrap(),
            store.context(saga).await.unwrap(),
            events,
            journal,
        )
        .unwrap();
    }
    let all = arcadia::store::ResourceFilter {
        with_deleted: true,
        ..Default::default()
    };
    for resource in store.resources(&all, page(1_000)).await.unwrap() {
        let provisioned = store.provisioned(&resource.resource_id).await.unwrap();
        writeln!(text, "{resource:#?}\n{provisioned:#?}").unwrap();
    }
    let findings = store.findings(None, false, page(1_000)).await.unwrap();
    writeln!(text, "{findings:#?}").unwrap();
    text
}
