//! What only a server can have.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use arcadia::store::{SqlStore, StoreError};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::place::{Place, Said};
use crate::support::postgres::{self, Server};

fn as_user(server: &Server, user: &str, database: &str) -> String {
    format!("postgres://{user}:s3cret@127.0.0.1:{}/{database}", server.port)
}

/// A user of its own in a database of its own, that may do everything there.
fn owner(server: &Server, user: &str) -> String {
    let database = format!("of_{user}");
    server.sql("postgres", &format!("create role {user} login password 's3cret'"));
    server.sql("postgres", &format!("create database {database} owner {user}"));
    as_user(server, user, &database)
}

fn database_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

#[test]
fn a_server_that_does_not_let_anybody_in_says_why() {
    let Some(server) = postgres::shared() else { return };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let missing = server.url("missing");
    server.sql("postgres", "create role limited login connection limit 0");
    server.sql("postgres", "create role stranger login");
    server.sql("postgres", "create database closed");
    server.sql("postgres", "revoke connect on database closed from public");
    for (url, part) in [
        (
            format!("postgres://arcadia:s3cret@{free}/arcadia"),
            "connection refused",
        ),
        (missing, "there is no database missing"),
        (
            as_user(server, "nobody_knows", "postgres"),
            "doesn't let the user nobody_knows in",
        ),
        (
            as_user(server, "limited", "postgres"),
            "takes no more connections",
        ),
        (
            as_user(server, "stranger", "closed"),
            "may not enter the database closed",
        ),
        (
            "postgres://arcadia:s3cret@nowhere.invalid/x".to_owned(),
            "nowhere.invalid:5432 can't be reached",
        ),
        (
            format!("{}?sslmode=require", as_user(server, "arcadia", "postgres")),
            "no TLS",
        ),
    ] {
        let said = Said::of_server(&url);
        said.shows("reachable", "problem", part);
        assert_eq!((said.exit, said.codes()), (9, vec!["reachable"]));
        assert!(!said.all.contains("s3cret"), "{}", said.all);
    }
}

#[tokio::test]
async fn a_database_that_no_host_has_opened_is_one() {
    let Some(server) = postgres::shared() else { return };
    let said = Said::of_server(&server.database());
    said.shows("schema", "warning", "no host has ever opened");
    said.is_well_but_for(&["schema"]);
    assert_eq!((said.exit, said.state_of("sagas")), (0, "left out"));
}

#[tokio::test]
async fn settings_with_which_no_host_starts_are_a_problem() {
    let Some(place) = Place::server().await else {
        return;
    };
    let server = postgres::shared().unwrap();
    let name = database_of(place.url());
    let setting = "synchronous_commit = off";
    server.sql("postgres", &format!("alter database {name} set {setting}"));
    let said = place.examined();
    said.shows("settings", "problem", setting);
    said.is_well_but_for(&["settings"]);
    let refused = SqlStore::postgres(place.url()).await.err();
    let Some(StoreError::Refused(text)) = refused else {
        panic!("{refused:?}")
    };
    assert!(text.contains(setting), "{text}");
}

#[tokio::test]
async fn what_its_user_may_not_do_is_a_problem() {
    let Some(server) = postgres::shared() else { return };
    let url = owner(server, "landlord");
    drop(SqlStore::postgres(&url).await.unwrap());
    let said = Said::of_server(&url);
    said.is_well_but_for(&[]);
    assert_eq!(said.exit, 0, "{}", said.all);
    assert!(!said.all.contains("s3cret"), "{}", said.all);

    let name = database_of(&url);
    server.sql("postgres", "create role tenant login");
    let tenant = as_user(server, "tenant", name);
    Said::of_server(&tenant).shows(
        "privileges",
        "problem",
        "may not read and write _sqlx_migrations, ",
    );
    server.sql(
        name,
        "grant select, insert, update, delete on all tables in schema public to tenant",
    );
    let said = Said::of_server(&tenant);
    said.shows("privileges", "problem", "may not make tables");
    said.is_well_but_for(&["privileges"]);
    assert!(
        SqlStore::postgres(&tenant).await.is_err(),
        "it says that no host starts"
    );
    server.sql(name, "grant create on schema public to tenant");
    Said::of_server(&tenant).is_well_but_for(&[]);
    drop(SqlStore::postgres(&tenant).await.unwrap());
    server.sql(name, "revoke update on holds from tenant");
    Said::of_server(&tenant).shows("privileges", "problem", "may not read and write holds");
}

#[tokio::test]
async fn every_table_that_a_host_makes_is_asked_for() {
    let Some(place) = Place::server().await else {
        return;
    };
    let server = postgres::shared().unwrap();
    let name = database_of(place.url());
    let tables = server.sql(name, "select count(*) from pg_tables where schemaname = 'public'");
    server.sql("postgres", "create role nothing login");
    let url = as_user(server, "nothing", name);
    let said = Said::of_server(&url);
    // Five by name.
    let more = tables.parse::<usize>().unwrap() - 5;
    said.shows("privileges", "problem", &format!("and {more} more"));
}

/// Waits, in transactions of others, until doctor says so.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn who_waits_for_whom_is_named_and_looking_waits_for_a_lock_only_so_long() {
    let Some(place) = Place::server().await else {
        return;
    };
    let mut holder = PgConnection::connect(place.url()).await.unwrap();
    holder.execute("set application_name = 'a shell'; begin; select * from holds for update; lock table holds in access exclusive mode").await.unwrap();
    let url = place.url().to_owned();
    let waiter = tokio::spawn(async move {
        let mut waiter = PgConnection::connect(&url).await.unwrap();
        waiter
            .execute("set application_name = 'a host'; delete from holds")
            .await
            .unwrap();
    });
    until("a host waits for a shell", || {
        place.examined().state_of("transactions") == "warning"
    })
    .await;
    let said = place.examined();
    said.shows("transactions", "warning", "a host (pid ");
    said.shows("paused", "unknown", "lock timeout");
    said.is_well_but_for(&["transactions", "paused"]);
    assert_eq!(said.exit, 1);
    holder.execute("rollback").await.unwrap();
    waiter.await.unwrap();
    place.examined().is_well_but_for(&[]);
}

/// One server is enough for all that a whole server has to be wrong for.
#[tokio::test]
async fn what_a_whole_server_has_is_told() {
    let Some(server) = Server::start(&[
        "full_page_writes=off",
        "max_connections=13",
        "superuser_reserved_connections=0",
        "synchronous_commit=local",
        "synchronous_standby_names=nobody",
    ]) else {
        return;
    };
    let url = owner(&server, "owner");
    drop(SqlStore::postgres(&url).await.unwrap());
    let said = Said::of_server(&url);
    said.shows("settings", "warning", "full_page_writes = off");
    said.shows("replication", "ok", "no commit waits for one");
    said.is_well_but_for(&["settings"]);
    assert_eq!(said.exit, 0);

    let mut guests = Vec::new();
    for _ in 0..3 {
        guests.push(PgConnection::connect(&url).await.unwrap());
    }
    Said::of_server(&url).shows("connections", "warning", "4 of 13 used");
    drop(guests);

    let name = database_of(&url);
    server.sql(
        "postgres",
        &format!("alter database {name} set synchronous_commit = on"),
    );
    let said = Said::of_server(&url);
    said.shows("replication", "problem", "\"nobody\", which isn't there");
    assert_eq!(said.exit, 9);
    server.sql(
        "postgres",
        &format!("alter database {name} reset synchronous_commit"),
    );

    // 1,200 million before the present.
    server.sql(
        name,
        &format!(
            "update pg_database set datfrozenxid = ((txid_current() - 1200000000 + 4294967296) % 4294967296)::text::xid
             where datname = '{name}'"
        ),
    );
    Said::of_server(&url).shows("wraparound", "warning", "1200 million");
    server.sql(
        name,
        &format!("update pg_database set datfrozenxid = txid_current()::text::xid where datname = '{name}'"),
    );

    server.ask_for_password("owner");
    Said::of_server(&url).shows("reachable", "ok", "connected in");
    let wrong = url.replace("s3cret", "0ther");
    let said = Said::of_server(&wrong);
    said.shows("reachable", "problem", "refuses the password of the user owner");
    assert!(!said.all.contains("0ther"), "{}", said.all);
    let said = Said::of_server(&url.replace(":s3cret", ""));
    assert_eq!(said.state_of("reachable"), "problem", "{}", said.all);

    server.become_standby();
    let said = Said::of_server(&url);
    said.shows("settings", "problem", "standby");
    said.shows("sagas", "ok", "none yet");
    assert_eq!(said.exit, 9);
}
