//! The databases against the model: the same changes, the same answers, the same whole state after every commit.

use std::sync::Arc;

use arcadia::{
    saga::{Kind, SagaId, Status},
    store::{Applied, Cursor, Fence, HostId, MemoryStore, Page, SagaFilter, SqlStore, Store, Takeover},
};
use uuid::Uuid;

use crate::support::postgres;

use super::{
    fixture::{LEASE_MS, T0, database, page, snapshot},
    generator::Generator,
};

const SEEDS: u64 = 10;
const COMMITS: usize = 30;

/// The text of a failure is for the log and each store's own.
fn without_texts(applied: Vec<Applied>) -> Vec<Applied> {
    applied
        .into_iter()
        .map(|one| match one {
            Applied::Failed(_) => Applied::Failed(String::new()),
            other => other,
        })
        .collect()
}

/// Where a database is.
enum Place {
    File(tempfile::TempDir),
    Server(String),
}

impl Place {
    async fn open(&self) -> Arc<dyn Store> {
        match self {
            Place::File(folder) => Arc::new(SqlStore::sqlite(&database(folder)).await.unwrap()),
            Place::Server(url) => Arc::new(SqlStore::postgres(url).await.unwrap()),
        }
    }
}

#[tokio::test]
async fn sqlite_answers_and_holds_what_the_model_does() {
    answers_and_holds_what_the_model_does(|| Place::File(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn postgresql_answers_and_holds_what_the_model_does() {
    if let Some(server) = postgres::shared() {
        answers_and_holds_what_the_model_does(|| Place::Server(server.database())).await;
    }
}

/// Set `ARCADIA_STORE_SEED` to run one seed alone.
async fn answers_and_holds_what_the_model_does(place: impl Fn() -> Place) {
    let seeds = match std::env::var("ARCADIA_STORE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect(),
    };
    let mut seen = Seen::default();
    for seed in seeds {
        println!("seed {seed}");
        run(&place(), seed, &mut seen).await;
    }
    println!("{seen:?}");
}

/// What the run has met: a generator that only makes refusals proves nothing.
#[derive(Debug, Default)]
struct Seen {
    done: usize,
    fenced: usize,
    turned: usize,
    duplicate: usize,
    failed: usize,
}

impl Seen {
    fn count(&mut self, applied: &[Applied]) {
        for one in applied {
            match one {
                Applied::Done => self.done += 1,
                Applied::Fenced => self.fenced += 1,
                Applied::Turned => self.turned += 1,
                Applied::Duplicate { .. } => self.duplicate += 1,
                Applied::Failed(_) => self.failed += 1,
            }
        }
    }
}

async fn run(at: &Place, seed: u64, seen: &mut Seen) {
    let mut tested = at.open().await;
    let memory = MemoryStore::new(T0);
    let mut host = HostId(Uuid::from_u128(1));
    let mut generator = Generator::new(seed, host);
    take_over(&memory, &*tested, host).await;
    for commit in 0..COMMITS {
        let place = format!("seed {seed}, commit {commit}");
        let changes = generator.changes();
        let expected = without_texts(memory.commit(changes.clone()).await.unwrap());
        let found = without_texts(tested.commit(changes.clone()).await.unwrap());
        assert_eq!(found, expected, "{place}: {changes:#?}");
        seen.count(&found);
        if generator.dice.percent(10) {
            let calling: Vec<SagaId> = generator.sagas.keys().take(3).copied().collect();
            let expected = memory.heartbeat(host, &calling, LEASE_MS).await.unwrap();
            assert_eq!(
                tested.heartbeat(host, &calling, LEASE_MS).await.unwrap(),
                expected,
                "{place}"
            );
        }
        let lost = generator.dice.percent(5);
        if lost {
            // Opening a file loses every host in it, at a time of its own.
            lose(&memory, &*tested, host).await;
            drop(tested);
            tested = at.open().await;
        }
        if lost || generator.dice.percent(8) {
            let before = std::mem::replace(
                &mut host,
                HostId(Uuid::from_u128(u128::from(generator.dice.next()))),
            );
            lose(&memory, &*tested, before).await;
            take_over(&memory, &*tested, host).await;
            generator.fence = Fence {
                owner: host,
                number: 1,
            };
        }
        compare(&memory, &*tested, &generator, host, &place).await;
        for id in Generator::ids() {
            match memory.load(id).await.unwrap() {
                Some(loaded) => generator.sagas.insert(id, (loaded.saga, loaded.fence)),
                None => generator.sagas.remove(&id),
            };
        }
    }
}

async fn lose(memory: &MemoryStore, tested: &dyn Store, host: HostId) {
    memory.set_now_ms(tested.now_ms());
    memory.leave(host).await.unwrap();
    tested.leave(host).await.unwrap();
}

async fn take_over(memory: &MemoryStore, tested: &dyn Store, host: HostId) {
    memory.set_now_ms(tested.now_ms());
    for store in [memory as &dyn Store, tested] {
        store.open_host(host, LEASE_MS).await.unwrap();
    }
    // In two portions, the first a small one.
    for limit in [2, 1_000] {
        let expected: Takeover = memory.claim(host, limit).await.unwrap();
        assert_eq!(tested.claim(host, limit).await.unwrap(), expected);
    }
}

async fn compare(memory: &MemoryStore, tested: &dyn Store, generator: &Generator, host: HostId, place: &str) {
    let ids = Generator::ids();
    let (expected, found) = (snapshot(memory, &ids).await, snapshot(tested, &ids).await);
    if expected != found {
        let line = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
        let around = |text: &str| {
            let from = line.unwrap_or(0).saturating_sub(12);
            text.lines().skip(from).take(24).collect::<Vec<_>>().join("\n")
        };
        panic!(
            "{place}: the model has\n{}\nthe database has\n{}",
            around(&expected),
            around(&found)
        );
    }
    let until_ms = generator.now_ms() + 200;
    for limit in [2, 100] {
        assert_eq!(
            tested.due(host, until_ms, limit).await.unwrap(),
            memory.due(host, until_ms, limit).await.unwrap(),
            "{place}"
        );
    }
    assert_eq!(
        tested.due_watches(until_ms, 100).await.unwrap(),
        memory.due_watches(until_ms, 100).await.unwrap(),
        "{place}"
    );
    for filter in filters() {
        assert_eq!(
            walk(tested, &filter).await,
            walk(memory, &filter).await,
            "{place}: {filter:?}"
        );
    }
}

fn filters() -> Vec<SagaFilter> {
    let any = SagaFilter::default;
    vec![
        any(),
        SagaFilter {
            status: Some(Status::Compensating),
            ..any()
        },
        SagaFilter {
            kind: Some(Kind::Provision),
            deployment_id: Some("blue".to_owned()),
            ..any()
        },
        SagaFilter {
            definition: Some("provision_droplet".to_owned()),
            ..any()
        },
    ]
}

/// All pages of three, as text.
async fn walk(store: &dyn Store, filter: &SagaFilter) -> Vec<String> {
    let mut rows = Vec::new();
    let mut next = page(3);
    loop {
        let found = store.sagas(filter, next).await.unwrap();
        let Some(last) = found.last() else {
            return rows;
        };
        next = Page {
            limit: 3,
            after: Some(Cursor {
                at_ms: last.created_ms,
                id: last.id.to_string(),
            }),
        };
        rows.extend(found.iter().map(|row| format!("{row:?}")));
    }
}
