//! What only a file can show: reopening, the lock, the schema, rows that make no sense.

use arcadia::{
    saga::{InventoryWrite, Phase, ResourceKey, SagaId, Writes},
    store::{Applied, Change, Fence, HostId, SqlStore, Store, StoreError},
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    fixture::{LEASE_MS, accept, advance, database, done, json, plan, saga, snapshot},
    watches::watch,
};

const HOST: HostId = HostId(Uuid::from_u128(0xA));
const FENCE: Fence = Fence {
    owner: HOST,
    number: 1,
};

async fn open(folder: &TempDir) -> SqlStore {
    SqlStore::sqlite(&database(folder)).await.unwrap()
}

async fn started(folder: &TempDir, numbers: &[u128]) -> (SqlStore, Vec<SagaId>) {
    let store = open(folder).await;
    store.open_host(HOST, LEASE_MS).await.unwrap();
    let sagas: Vec<_> = numbers.iter().map(|number| saga(*number, plan())).collect();
    let accepts = sagas
        .iter()
        .map(|saga| Change::Accept(Box::new(accept(saga, FENCE))))
        .collect();
    let applied = store.commit(accepts).await.unwrap();
    assert_eq!(applied, vec![Applied::Done; numbers.len()]);
    (store, sagas.iter().map(|saga| saga.id).collect())
}

/// Past the lock file: as a person with a shell would.
async fn by_hand(folder: &TempDir, statement: &'static str) {
    let options = SqliteConnectOptions::new().filename(database(folder));
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn everything_is_there_after_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ids) = started(&folder, &[1, 2]).await;
    let mut change = advance(&saga(1, plan()), done(0), FENCE);
    let key = ResourceKey {
        provider: "digitalocean".to_owned(),
        account: String::new(),
        kind: "droplet".to_owned(),
        provider_id: "7".to_owned(),
    };
    let mut writes = Writes::default();
    writes.context.insert("id".to_owned(), Some(json("7")));
    writes.inventory.push(InventoryWrite::Report {
        code: "untagged".to_owned(),
        resource: key,
        message: "no tag".to_owned(),
    });
    change.writes = Some((0, Phase::Run, writes));
    store
        .commit(vec![Change::Advance(Box::new(change))])
        .await
        .unwrap();
    let installation = store.installation();
    let before = snapshot(&store, &ids).await;
    drop(store);
    let store = open(&folder).await;
    assert_eq!(store.installation(), installation);
    assert_eq!(snapshot(&store, &ids).await, before);
}

#[tokio::test]
async fn two_databases_are_two_installations() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_ne!(
        open(&first).await.installation(),
        open(&second).await.installation()
    );
}

#[tokio::test]
async fn a_second_host_on_the_same_file_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&folder).await;
    let Err(StoreError::Refused(text)) = SqlStore::sqlite(&database(&folder)).await else {
        panic!("two hosts must not have one file");
    };
    assert!(text.contains("another host has the database"), "{text}");
    drop(first);
    open(&folder).await;
}

#[tokio::test]
async fn a_folder_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("a.db");
    let Err(StoreError::Refused(text)) = SqlStore::sqlite(&path).await else {
        panic!("there is no such folder");
    };
    assert!(text.contains("missing"), "{text}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        database(&folder),
        "a shopping list, and long enough to be read as a header of a file\n".repeat(20),
    )
    .unwrap();
    let refused = SqlStore::sqlite(&database(&folder)).await.err();
    assert!(matches!(refused, Some(StoreError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn the_schema_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder).await);
    by_hand(
        &folder,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', true, x'00', 0)",
    )
    .await;
    let Err(StoreError::Refused(text)) = SqlStore::sqlite(&database(&folder)).await else {
        panic!("the schema is unknown");
    };
    assert!(text.contains("9999"), "{text}");
}

#[tokio::test]
async fn a_row_that_makes_no_sense_stops_its_saga_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ids) = started(&folder, &[1, 2, 3, 4]).await;
    by_hand(
        &folder,
        "update saga_runs set status = 'dancing' where id like '%1';
         update saga_step_results set state = 'succeeded', output = null where saga_id like '%2';
         update saga_runs set turning = '{' where id like '%3'",
    )
    .await;
    for id in &ids[..3] {
        let corrupt = store.load(*id).await;
        let Err(StoreError::Corrupt { what, .. }) = &corrupt else {
            panic!("expected a corrupt saga, got {corrupt:?}");
        };
        assert!(what.contains(&id.to_string()), "{what}");
    }
    let change = advance(&saga(4, plan()), done(0), FENCE);
    let applied = store
        .commit(vec![Change::Advance(Box::new(change))])
        .await
        .unwrap();
    assert_eq!(applied, [Applied::Done]);
    store.load(ids[3]).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_watch_that_makes_no_sense_is_left_out_and_others_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ids) = started(&folder, &[1, 2]).await;
    let changes = [1, 2].map(|number| {
        let mut change = advance(&saga(number, plan()), done(0), FENCE);
        change.watch = Some(watch(10, 0));
        Change::Advance(Box::new(change))
    });
    assert_eq!(
        store.commit(changes.into()).await.unwrap(),
        [Applied::Done, Applied::Done]
    );
    by_hand(
        &folder,
        "update saga_watches set intents = '{' where saga_id like '%1'",
    )
    .await;
    let due = store.due_watches(10, 9).await.unwrap();
    assert_eq!(due, [(ids[1], watch(10, 0))]);
    assert!(matches!(
        store.watch(ids[0]).await,
        Err(StoreError::Corrupt { .. })
    ));
}
