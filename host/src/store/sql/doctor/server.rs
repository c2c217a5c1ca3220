//! A PostgreSQL server: getting at it, and what only it has. The session is read-only by the server's own word, waits for a lock for
//! five seconds at most, and takes none that a host waits for.

use std::time::{Duration, Instant};

use sqlx::{ConnectOptions as _, Executor as _, PgConnection};

use super::{
    LATE_MS,
    clock::Moment,
    counted, examine_schema, examine_tables, named,
    reach::{place, unreachable},
    report::Report,
    schema, span,
};
use crate::store::{
    StoreError,
    doctor::{Code, DatabaseKind, Depth, Examination, Verdict},
    sql::{
        connection::{Connection, sql},
        error::store_error,
        postgres::{Found, MIGRATIONS, READERS, found, options_of},
        round::json,
        value::Row,
    },
};

const CONNECTS_IN: Duration = Duration::from_secs(10);
const SETTINGS: &str = "
    set default_transaction_read_only = on;
    set statement_timeout = '30s';
    set lock_timeout = '5s'";
/// A heartbeat, like a commit, takes about five round trips, and a host has three heartbeats to keep its lease.
const SLOW: Duration = Duration::from_millis(200);
/// Its readers, the one that writes, and one that settles what became of a commit.
const CONNECTIONS_OF_A_HOST: i64 = READERS as i64 + 2;
/// A statement that waits for others for so long.
const WAITS_MS: i64 = 5_000;
/// Transaction numbers since the oldest that is kept: the server vacuums from 200 million on, and stops at 2,100 million.
const OLD_TRANSACTIONS: i64 = 1_000_000_000;
const TOO_OLD_TRANSACTIONS: i64 = 1_800_000_000;
/// A host reads and writes all of these.
pub(super) const TABLES: [&str; 22] = [
    "_sqlx_migrations",
    "cloud_provisioned",
    "cloud_resources",
    "commit_marks",
    "event_head",
    "findings",
    "holds",
    "hosts",
    "http_journal",
    "installation",
    "saga_context",
    "saga_definitions",
    "saga_events",
    "saga_logs",
    "saga_plans",
    "saga_runs",
    "saga_step_results",
    "saga_watches",
    "step_channels",
    "step_component_blobs",
    "step_components",
    "tokens",
];

/// Looks at the database that the URL names. [`StoreError::Refused`] when the URL can't be read; everything else that is wrong is in
/// the examination.
pub async fn examine_server(url: &str, depth: Depth) -> Result<Examination, StoreError> {
    let options = options_of(url)?.application_name("arcadia-doctor");
    let mut report = Report::default();
    let began = Instant::now();
    match in_time(options.connect()).await {
        Ok(mut server) => {
            let connected = began.elapsed();
            match first_look(&mut server).await {
                Ok((found, round_trip)) => {
                    report.say(Code::Reachable, reachable(connected, round_trip));
                    let connection = &mut Connection::from(server);
                    examine_further(&mut report, connection, &found, depth).await;
                }
                Err(error) => report.say(Code::Reachable, unreachable(&options, &error)),
            }
        }
        Err(error) => report.say(Code::Reachable, unreachable(&options, &error)),
    }
    Ok(Examination {
        kind: DatabaseKind::Postgres,
        at: place(&options),
        checks: report.checks,
    })
}

async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(CONNECTS_IN, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer within {} s", CONNECTS_IN.as_secs()),
        ))),
    }
}

/// The settings as a host would find them, before this session has its own; and the middle one of three round trips.
async fn first_look(server: &mut PgConnection) -> Result<(Found, Duration), sqlx::Error> {
    in_time(async {
        let found = found(server).await?;
        let mut round_trips = [Duration::ZERO; 3];
        for round_trip in &mut round_trips {
            let began = Instant::now();
            server.execute("select 1").await?;
            *round_trip = began.elapsed();
        }
        server.execute(SETTINGS).await?;
        round_trips.sort();
        Ok((found, round_trips[1]))
    })
    .await
}

fn reachable(connected: Duration, round_trip: Duration) -> Verdict {
    let seen = format!(
        "connected in {} ms; a round trip takes {:.1} ms",
        connected.as_millis(),
        round_trip.as_secs_f64() * 1_000.0
    );
    if round_trip < SLOW {
        return Verdict::ok(seen);
    }
    Verdict::warning(
        format!("{seen}, and a heartbeat about five of them"),
        "bring hosts and database closer together, or give hosts a longer lease (--lease-ms, --heartbeat-ms), or they lose it",
    )
}

async fn examine_further(report: &mut Report, connection: &mut Connection, found: &Found, depth: Depth) {
    report.say(Code::Version, version(found));
    report.say(Code::Settings, settings(found));
    report.look(Code::Connections, connections(connection)).await;
    report.look(Code::Privileges, privileges(connection)).await;
    report.look(Code::Replication, replication(connection)).await;
    report.look(Code::Transactions, transactions(connection)).await;
    report.look(Code::Wraparound, wraparound(connection)).await;
    if examine_schema(report, connection, &schema::known(&MIGRATIONS)).await {
        examine_tables(report, connection, &mut Moment::here(true), depth).await;
    }
}

fn version(found: &Found) -> Verdict {
    match found.version_refused() {
        None => Verdict::ok(format!("PostgreSQL {}", found.version)),
        Some(text) => Verdict::problem(text, "upgrade the server, or use another one"),
    }
}

fn settings(found: &Found) -> Verdict {
    if let Some(text) = found.settings_refused() {
        return Verdict::problem(text, "no host starts until that is set right");
    }
    if found.full_page_writes == "off" {
        return Verdict::warning(
            "full_page_writes = off: after a power cut pages may be half written",
            "set it to on, unless the file system never writes half a page",
        );
    }
    Verdict::ok(format!(
        "fsync = {}, synchronous_commit = {}, full_page_writes = {}",
        found.fsync, found.synchronous_commit, found.full_page_writes
    ))
}

async fn connections(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let row = sql!(
        "select (select coalesce(sum(numbackends), 0)::bigint from pg_stat_database),
            current_setting('max_connections')::bigint,
            current_setting('superuser_reserved_connections')::bigint
                + coalesce(current_setting('reserved_connections', true), '0')::bigint"
    )
    .one(connection)
    .await
    .map_err(store_error)?;
    let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let (used, most, reserved): (i64, i64, i64) = read().map_err(store_error)?;
    Ok(room(used, most, reserved))
}

fn room(used: i64, most: i64, reserved: i64) -> Verdict {
    let seen = format!("{used} of {most} used, {reserved} reserved");
    if most - reserved - used >= CONNECTIONS_OF_A_HOST {
        return Verdict::ok(seen);
    }
    Verdict::warning(
        format!("{seen}: another host, which takes up to {CONNECTIONS_OF_A_HOST}, finds no room"),
        "raise max_connections, or see who has them (pg_stat_activity)",
    )
}

async fn privileges(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let rows = sql!(
        "select name from jsonb_array_elements_text(?::jsonb) as name
         where case when to_regclass(name) is null then false else not (
            has_table_privilege(name, 'select') and has_table_privilege(name, 'insert')
            and has_table_privilege(name, 'update') and has_table_privilege(name, 'delete')) end
         order by name"
    )
    .bind(json(&TABLES))
    .all(connection)
    .await
    .map_err(store_error)?;
    let closed: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    let closed = closed.map_err(store_error)?;
    let row = sql!(
        "select current_user::text, coalesce(current_schema(), '')::text,
            coalesce(has_schema_privilege(current_schema(), 'create'), false)"
    )
    .one(connection)
    .await
    .map_err(store_error)?;
    let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let (user, schema, creates): (String, String, bool) = read().map_err(store_error)?;
    Ok(if !closed.is_empty() {
        Verdict::problem(
            format!(
                "the user {user} may not read and write {}",
                named(&closed, closed.len())
            ),
            "grant select, insert, update, delete on all tables to it, or name the user that owns them",
        )
    } else if !creates {
        Verdict::problem(
            format!("the user {user} may not make tables in the schema {schema:?}, so no host starts"),
            "grant create on the schema to it",
        )
    } else {
        Verdict::ok(format!("the user {user} may do what a host does"))
    })
}

async fn replication(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let row = sql!(
        "select current_setting('synchronous_standby_names'), current_setting('synchronous_commit'),
            count(*), count(*) filter (where sync_state in ('sync', 'quorum')),
            count(*) filter (where sync_state is null)
         from pg_stat_replication"
    )
    .one(connection)
    .await
    .map_err(store_error)?;
    let read = || -> Result<Standbys, sqlx::Error> {
        Ok(Standbys {
            names: row.try_get(0)?,
            commit: row.try_get(1)?,
            connected: row.try_get(2)?,
            synchronous: row.try_get(3)?,
            hidden: row.try_get(4)?,
        })
    };
    Ok(read().map_err(store_error)?.verdict())
}

struct Standbys {
    names: String,
    commit: String,
    connected: i64,
    synchronous: i64,
    hidden: i64,
}

impl Standbys {
    fn verdict(&self) -> Verdict {
        let connected = counted(self.connected, "standby connection");
        if self.names.is_empty() || self.commit == "local" {
            return Verdict::ok(format!(
                "{connected}; no commit waits for one, so what was committed may be on this server alone"
            ));
        }
        if self.synchronous > 0 {
            return Verdict::ok(format!(
                "{connected}; commits wait for {} (synchronous_commit = {})",
                self.names, self.commit
            ));
        }
        if self.hidden > 0 {
            return Verdict::unknown(
                format!(
                    "commits wait for {:?}, and this user may not see whether it is there",
                    self.names
                ),
                "grant pg_monitor to the user, or look with another one",
            );
        }
        Verdict::problem(
            format!("commits wait for {:?}, which isn't there: none ends", self.names),
            "bring the standby back, or take it out of synchronous_standby_names",
        )
    }
}

async fn transactions(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let long = sql!(
        "select pid::bigint, coalesce(nullif(application_name, ''), usename, 'somebody')::text, coalesce(state, 'unknown')::text,
            floor(extract(epoch from clock_timestamp() - xact_start) * 1000)::bigint
         from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()
         and xact_start < clock_timestamp() - ? * interval '1 ms' and backend_type = 'client backend'
         union all
         select 0, 'prepared: ' || gid, 'prepared',
            floor(extract(epoch from clock_timestamp() - prepared) * 1000)::bigint
         from pg_prepared_xacts
         where database = current_database() and prepared < clock_timestamp() - ? * interval '1 ms'
         order by 4 desc"
    )
    .bind(LATE_MS)
    .bind(LATE_MS)
    .all(connection)
    .await
    .map_err(store_error)?;
    let waiting = sql!(
        "select pid::bigint, coalesce(nullif(application_name, ''), usename, 'somebody')::text,
            'waits for ' || array_to_string(pg_blocking_pids(pid), ', '),
            floor(extract(epoch from clock_timestamp() - query_start) * 1000)::bigint
         from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'
         and query_start < clock_timestamp() - ? * interval '1 ms'
         order by 4 desc"
    )
    .bind(WAITS_MS)
    .all(connection)
    .await
    .map_err(store_error)?;
    let told = |rows: &[Row]| -> Result<Vec<String>, sqlx::Error> { rows.iter().map(session).collect() };
    let sessions = [told(&long), told(&waiting)]
        .into_iter()
        .collect::<Result<Vec<_>, _>>();
    let sessions = sessions.map_err(store_error)?.concat();
    Ok(if sessions.is_empty() {
        Verdict::ok(format!(
            "none is older than {}, and none waits for another for more than {}",
            span(LATE_MS),
            span(WAITS_MS)
        ))
    } else {
        Verdict::warning(
            named(&sessions, sessions.len()),
            "end what doesn't belong here (pg_terminate_backend, rollback prepared): it may hold locks that hosts wait for",
        )
    })
}

fn session(row: &Row) -> Result<String, sqlx::Error> {
    let (pid, name, state, age_ms): (i64, String, String, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    Ok(format!("{name} (pid {pid}, {state}, for {})", span(age_ms)))
}

async fn wraparound(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let row = sql!(
        "select greatest(age(datfrozenxid), mxid_age(datminmxid))::bigint from pg_database
         where datname = current_database()"
    )
    .one(connection)
    .await;
    let age = row.and_then(|row| row.try_get(0)).map_err(store_error)?;
    Ok(worn(age))
}

fn worn(age: i64) -> Verdict {
    let seen = format!(
        "{} million transaction numbers since the oldest that is kept",
        age / 1_000_000
    );
    let next = "find out why vacuum doesn't get on: old transactions, prepared ones, replication slots";
    if age < OLD_TRANSACTIONS {
        Verdict::ok(seen)
    } else if age < TOO_OLD_TRANSACTIONS {
        Verdict::warning(format!("{seen}; at 2,100 million the server stops"), next)
    } else {
        Verdict::problem(format!("{seen}; at 2,100 million the server stops"), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::doctor::State;

    fn name(verdict: &Verdict) -> &'static str {
        match verdict.state {
            State::Ok => "ok",
            State::Warning { .. } => "warning",
            State::Unknown { .. } => "unknown",
            State::Problem { .. } => "problem",
        }
    }

    #[test]
    fn slowness_room_and_age_are_judged_by_what_a_host_needs() {
        let trip = |ms| name(&reachable(Duration::ZERO, Duration::from_millis(ms)));
        assert_eq!([trip(199), trip(200)], ["ok", "warning"]);
        let used = |used| name(&room(used, 100, 3));
        assert_eq!([used(87), used(88)], ["ok", "warning"]);
        let age = |age| name(&worn(age));
        assert_eq!(
            [age(999_999_999), age(1_000_000_000), age(1_800_000_000)],
            ["ok", "warning", "problem"]
        );
    }

    #[test]
    fn a_standby_that_commits_wait_for_must_be_there() {
        let of = |names: &str, commit: &str, synchronous, hidden| {
            let standbys = Standbys {
                names: names.to_owned(),
                commit: commit.to_owned(),
                connected: 1,
                synchronous,
                hidden,
            };
            name(&standbys.verdict())
        };
        assert_eq!(of("", "on", 0, 0), "ok");
        assert_eq!(of("one", "local", 0, 0), "ok");
        assert_eq!(of("one", "on", 1, 0), "ok");
        assert_eq!(of("one", "on", 0, 1), "unknown");
        assert_eq!(of("one", "remote_apply", 0, 0), "problem");
    }
}
