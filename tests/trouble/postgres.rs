//! Servers that restart, are away, take no more sessions or refuse what the host asks of them, under sagas in flight.

use std::time::{Duration, Instant};

use reqwest::Method;
use sqlx::{Connection as _, PgConnection};

use super::{
    Stage,
    database::{Database, SHORT_LEASE_MS},
    sagas::{napper, provision, sleeper},
};

/// What a host exits with that has lost its lease.
const LEASE_LOST: Option<i32> = Some(8);

/// Off the test's own thread: what it starts meanwhile goes on.
async fn aside(work: impl FnOnce() + Send + 'static) {
    tokio::task::spawn_blocking(work).await.unwrap();
}

async fn a_server_that_restarts(mode: &'static str, times: u32) {
    let Some(mut database) = Database::alone(&[]) else {
        return;
    };
    // A server that has crashed may take its time on a busy disk.
    database.lease_ms *= 6;
    let server = database.server.clone();
    let mut stage = Stage::on(database).await;
    stage.load().await;
    let process = stage.host.pid();
    let trouble = async {
        for _ in 0..times {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let server = server.clone();
            aside(move || server.restart(mode)).await;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    };
    stage.starting_during(trouble).await;
    stage.wait_ready().await;
    stage.check(mode).await;
    assert_eq!(stage.host.pid(), process, "the host came back by itself");
    assert_eq!(stage.base.sql("select count(*) from hosts"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_goes_on_by_itself_when_its_server_is_restarted() {
    a_server_that_restarts("fast", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_goes_on_by_itself_when_its_server_has_crashed() {
    a_server_that_restarts("immediate", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_server_is_away_for_longer_than_its_lease_ends_and_another_takes_over() {
    let Some(mut database) = Database::alone(&[]) else {
        return;
    };
    database.lease_ms = SHORT_LEASE_MS;
    let mut stage = Stage::on(database).await;
    for number in 0..4 {
        stage.accept(provision(number)).await;
    }
    for _ in 0..20 {
        stage.accept(napper(60)).await;
    }
    // Answers that are on the wire would be waited for.
    let answered = "select count(*) from http_journal where method = 'POST' and state = 'answered'";
    while stage.base.sql(answered) != "4" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.base.server.stop("fast");
    let (request, _) = sleeper(1);
    stage
        .refused(Method::POST, "/v1/sagas", Some(request), "store-unavailable")
        .await;
    assert_eq!(stage.host.ends_within(Duration::from_secs(40)).await, LEASE_LOST);
    stage.base.server.go_on();
    stage.host.restart().await;
    stage.check("away").await;
    let living = stage.base.sql("select count(*) from hosts where lost_ms is null");
    assert_eq!(living, "1");
}

/// Idle sessions that take every place of the server that the host could have.
async fn crowd(stage: &Stage<Database>) -> Vec<PgConnection> {
    let url = stage.base.server.url_of("crowd", "postgres");
    let mut crowd = Vec::new();
    loop {
        match PgConnection::connect(&url).await {
            Ok(session) => crowd.push(session),
            Err(error) => {
                let state = error.as_database_error().and_then(|error| error.code());
                assert_eq!(state.as_deref(), Some("53300"), "{error}");
                return crowd;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_session_nothing_is_accepted_and_sagas_go_on_once_there_is_one() {
    let Some(mut database) = Database::alone(&["max_connections=16"]) else {
        return;
    };
    database.lease_ms *= 4;
    let mut stage = Stage::on(database).await;
    stage.base.sql("create role crowd login");
    stage.load().await;
    stage.base.sql("alter role app connection limit 0");
    stage.base.end_sessions();
    let crowd = crowd(&stage).await;
    stage.base.sql("alter role app connection limit -1");
    for _ in 0..3 {
        let (request, _) = sleeper(1);
        stage
            .refused(Method::POST, "/v1/sagas", Some(request), "store-unavailable")
            .await;
    }
    stage.refused(Method::GET, "/readyz", None, "not-ready").await;
    stage
        .refused(Method::GET, "/v1/sagas", None, "store-unavailable")
        .await;
    let mut second = stage.second();
    let status = second.ended().await;
    let said = second.log();
    assert_eq!(status.code(), Some(1), "{said}");
    let said = said.lines().last().unwrap_or_default();
    for part in ["can't be opened", "no session is free", "max_connections"] {
        assert!(said.contains(part), "{said}");
    }
    drop(crowd);
    stage.wait_ready().await;
    stage.check("no free session").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_goes_on_with_the_sessions_that_it_has() {
    let Some(database) = Database::alone(&["max_connections=16"]) else {
        return;
    };
    let mut stage = Stage::on(database).await;
    stage.base.sql("create role crowd login");
    let crowd = crowd(&stage).await;
    stage.load().await;
    stage
        .starting_during(tokio::time::sleep(Duration::from_secs(5)))
        .await;
    // A request that could use one more session waits in vain, and says so.
    drop(crowd);
    stage.wait_ready().await;
    stage.check("few sessions").await;
}

/// The sessions of the host are hit again and again: by what a statement timeout does, or by an administrator who ends them.
async fn sessions_that_are_hit(with: &'static str) {
    let Some(database) = Database::alone(&[]) else {
        return;
    };
    let mut stage = Stage::on(database).await;
    stage.load().await;
    let by = stage.base.server.url("app");
    let trouble = async {
        let mut hitter = PgConnection::connect(&by).await.unwrap();
        let hit =
            format!("select {with}(pid) from pg_stat_activity where usename = 'app' and state <> 'idle'");
        let mut hits = 0;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(6) || hits < 30 {
            let hit = sqlx::query(sqlx::AssertSqlSafe(hit.clone()));
            hits += hit.fetch_all(&mut hitter).await.unwrap().len();
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
    };
    stage.starting_during(trouble).await;
    stage.wait_ready().await;
    stage.check(with).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_statements_take_too_long_for_the_server() {
    sessions_that_are_hit("pg_cancel_backend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_sessions_are_ended() {
    sessions_that_are_hit("pg_terminate_backend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_another_session_keeps_locked_hold_sagas_up_until_they_are_free() {
    let Some(mut database) = Database::alone(&[]) else {
        return;
    };
    database.lease_ms *= 3;
    let mut stage = Stage::on(database).await;
    stage.load().await;
    let by = stage.base.server.url("app");
    let trouble = async {
        let mut session = PgConnection::connect(&by).await.unwrap();
        let mut transaction = session.begin().await.unwrap();
        sqlx::query("select 1 from saga_runs for update")
            .fetch_all(&mut *transaction)
            .await
            .unwrap();
        // Longer than the host waits for a lock.
        tokio::time::sleep(Duration::from_secs(12)).await;
        transaction.rollback().await.unwrap();
    };
    let refused = stage.starting_during(trouble).await;
    assert!(refused > 0);
    let log = stage.host.log();
    assert!(log.contains("canceling statement due to lock timeout"), "{log}");
    stage.wait_ready().await;
    stage.check("locked rows").await;
}

/// Holds what the writer takes last, and asks for what it has taken first. The server ends the one that began to wait first.
async fn deadlock(session: &mut PgConnection) {
    let mut transaction = session.begin().await.unwrap();
    let run = |statement: &'static str| sqlx::query(statement);
    run("select 1 from event_head for update")
        .execute(&mut *transaction)
        .await
        .unwrap();
    loop {
        // What a transaction has seen of the activity it sees again, unless it forgets that.
        run("select pg_stat_clear_snapshot()")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where usename = 'app' and wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
        if waiting > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    run("select 1 from saga_runs for update")
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_meets_a_deadlock_is_tried_again_and_nobody_is_told() {
    let Some(database) = Database::alone(&["deadlock_timeout=200ms"]) else {
        return;
    };
    let mut stage = Stage::on(database).await;
    stage.load().await;
    let by = stage.base.server.url("app");
    let trouble = async {
        let mut session = PgConnection::connect(&by).await.unwrap();
        // Never the one that is ended.
        sqlx::query("set deadlock_timeout = '1h'")
            .execute(&mut session)
            .await
            .unwrap();
        let began = Instant::now();
        loop {
            deadlock(&mut session).await;
            let met: i64 = sqlx::query_scalar("select deadlocks from pg_stat_database where datname = 'app'")
                .fetch_one(&mut session)
                .await
                .unwrap();
            if met >= 5 {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "only {met} deadlocks");
        }
    };
    let refused = stage.starting_during(trouble).await;
    assert_eq!(refused, 0);
    stage.check("deadlocks").await;
}

/// Of the transactions that write an event every second fails at that, and of those that go on every third at its commit.
const CONFLICTS: &str = "
    create sequence written; create sequence committed; grant usage on written, committed to app;
    create function conflict() returns trigger language plpgsql as $$
    begin
        if nextval(tg_argv[0]) % tg_argv[1]::bigint = 0 then
            raise exception 'could not serialize access' using errcode = tg_argv[2];
        end if;
        return null;
    end $$;
    create trigger at_once before insert on saga_events for each statement
        execute function conflict('written', '2', '40P01');
    create constraint trigger at_commit after update on commit_marks deferrable initially deferred for each row
        execute function conflict('committed', '3', '40001')";

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_can_not_be_serialized_is_tried_again_and_nobody_is_told() {
    let Some(database) = Database::alone(&[]) else {
        return;
    };
    let mut stage = Stage::on(database).await;
    stage.base.sql(CONFLICTS);
    stage.load().await;
    let refused = stage
        .starting_during(tokio::time::sleep(Duration::from_secs(4)))
        .await;
    assert_eq!(refused, 0);
    stage.check("conflicts").await;
    let met = stage
        .base
        .sql("select written.last_value > 50 and committed.last_value > 50 from written, committed");
    assert_eq!(met, "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_or_a_database_is_set_to_does_not_reach_a_host() {
    let Some(database) = Database::alone(&[]) else {
        return;
    };
    database.sql(
        "alter role app set statement_timeout = '20ms'; alter role app set lock_timeout = '1ms';
         alter role app set idle_in_transaction_session_timeout = '1ms';
         alter database app set default_transaction_isolation = 'serializable';
         alter database app set default_transaction_read_only = on",
    );
    let mut stage = Stage::on(database).await;
    stage.load().await;
    let refused = stage
        .starting_during(tokio::time::sleep(Duration::from_secs(2)))
        .await;
    assert_eq!(refused, 0);
    stage.check("settings").await;
}
