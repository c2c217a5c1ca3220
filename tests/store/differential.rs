//! SQLite against the model: the same changes, the same answers, the same whole state after every commit.

use std::sync::Arc;

use arcadia::{
    saga::{Kind, SagaId, Status},
    store::{Applied, Cursor, Fence, HostId, MemoryStore, Page, SagaFilter, SqliteStore, Store, Takeover},
};
use uuid::Uuid;

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

/// Set `ARCADIA_STORE_SEED` to run one seed alone.
#[tokio::test]
async fn sqlite_answers_and_holds_what_the_model_does() {
    let seeds = match std::env::var("ARCADIA_STORE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect(),
    };
    let mut seen = Seen::default();
    for seed in seeds {
        println!("seed {seed}");
        run(seed, &mut seen).await;
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

async fn run(seed: u64, seen: &mut Seen) {
    let folder = tempfile::tempdir().unwrap();
    let mut sqlite: Arc<dyn Store> = Arc::new(SqliteStore::open(&database(&folder)).await.unwrap());
    let memory = MemoryStore::new(T0);
    let mut host = HostId(Uuid::from_u128(1));
    let mut generator = Generator::new(seed, host);
    take_over(&memory, &*sqlite, host).await;
    for commit in 0..COMMITS {
        let place = format!("seed {seed}, commit {commit}");
        let changes = generator.changes();
        let expected = without_texts(memory.commit(changes.clone()).await.unwrap());
        let found = without_texts(sqlite.commit(changes.clone()).await.unwrap());
        assert_eq!(found, expected, "{place}: {changes:#?}");
        seen.count(&found);
        if generator.dice.percent(10) {
            let calling: Vec<SagaId> = generator.sagas.keys().take(3).copied().collect();
            let expected = memory.heartbeat(host, &calling, LEASE_MS).await.unwrap();
            assert_eq!(
                sqlite.heartbeat(host, &calling, LEASE_MS).await.unwrap(),
                expected,
                "{place}"
            );
        }
        let lost = generator.dice.percent(5);
        if lost {
            // Opening the file loses every host in it, at a time of its own.
            lose(&memory, &*sqlite, host).await;
            drop(sqlite);
            sqlite = Arc::new(SqliteStore::open(&database(&folder)).await.unwrap());
        }
        if lost || generator.dice.percent(8) {
            let before = std::mem::replace(
                &mut host,
                HostId(Uuid::from_u128(u128::from(generator.dice.next()))),
            );
            lose(&memory, &*sqlite, before).await;
            take_over(&memory, &*sqlite, host).await;
            generator.fence = Fence {
                owner: host,
                number: 1,
            };
        }
        compare(&memory, &*sqlite, &generator, host, &place).await;
        for id in Generator::ids() {
            match memory.load(id).await.unwrap() {
                Some(loaded) => generator.sagas.insert(id, (loaded.saga, loaded.fence)),
                None => generator.sagas.remove(&id),
            };
        }
    }
}

async fn lose(memory: &MemoryStore, sqlite: &dyn Store, host: HostId) {
    memory.set_now_ms(sqlite.now_ms());
    memory.leave(host).await.unwrap();
    sqlite.leave(host).await.unwrap();
}

async fn take_over(memory: &MemoryStore, sqlite: &dyn Store, host: HostId) {
    memory.set_now_ms(sqlite.now_ms());
    for store in [memory as &dyn Store, sqlite] {
        store.open_host(host, LEASE_MS).await.unwrap();
    }
    // In two portions, the first a small one.
    for limit in [2, 1_000] {
        let expected: Takeover = memory.claim(host, limit).await.unwrap();
        assert_eq!(sqlite.claim(host, limit).await.unwrap(), expected);
    }
}

async fn compare(memory: &MemoryStore, sqlite: &dyn Store, generator: &Generator, host: HostId, place: &str) {
    let ids = Generator::ids();
    let (expected, found) = (snapshot(memory, &ids).await, snapshot(sqlite, &ids).await);
    if expected != found {
        let line = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
        let around = |text: &str| {
            let from = line.unwrap_or(0).saturating_sub(12);
            text.lines().skip(from).take(24).collect::<Vec<_>>().join("\n")
        };
        panic!(
            "{place}: the model has\n{}\nSQLite has\n{}",
            around(&expected),
            around(&found)
        );
    }
    let until_ms = generator.now_ms() + 200;
    for limit in [2, 100] {
        assert_eq!(
            sqlite.due(host, until_ms, limit).await.unwrap(),
            memory.due(host, until_ms, limit).await.unwrap(),
            "{place}"
        );
    }
    assert_eq!(
        sqlite.due_watches(until_ms, 100).await.unwrap(),
        memory.due_watches(until_ms, 100).await.unwrap(),
        "{place}"
    );
    for filter in filters() {
        assert_eq!(
            walk(sqlite, &filter).await,
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
