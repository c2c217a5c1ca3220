//! A PostgreSQL server: connecting, its settings, its schema, and what became of a commit whose answer is lost.
//!
//! Each transaction writes a number of its own into the row that its writer has in `commit_marks`. When the connection
//! breaks in a commit, that row says whether it happened: it is read with a lock, so that nobody else holds it any more.

use std::{
    str::FromStr as _,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Executor as _, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

use super::{
    SqlStore,
    clock::DatabaseClock,
    connection::{Connection, Readers, in_time, sql},
    error::store_error,
    installation,
    plans::Plans,
    sqlite::migrate_error,
    writer::{Fault, Source, Writer},
};
use crate::store::StoreError;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

const OLDEST_VERSION: i64 = 15;
pub(super) const READERS: u32 = 8;
const CONNECTION_WITHIN: Duration = Duration::from_secs(10);
const SETTLE_PAUSE: Duration = Duration::from_millis(200);
/// Marks of writers that have been gone for so long are forgotten: a week.
const FORGET_MARKS_MS: i64 = 7 * 86_400_000;
/// Whatever the user or the database is set to. A host that is stopped in the middle of a transaction must not keep the others
/// waiting: the server ends it soon.
const SETTINGS: &str = "
    set statement_timeout = '30s';
    set lock_timeout = '10s';
    set idle_in_transaction_session_timeout = '5s';
    set default_transaction_read_only = off";
/// Hosts that start together wait for the one that is first, and that one for the size of the tables.
const MIGRATION_SETTINGS: &str = "
    set statement_timeout = 0;
    set lock_timeout = 0;
    set idle_in_transaction_session_timeout = 0;
    set default_transaction_isolation = 'read committed';
    set default_transaction_read_only = off";
/// The server has no session left for this user.
const TOO_MANY_CONNECTIONS: &str = "53300";

pub(super) struct Server {
    options: PgConnectOptions,
    /// Names this writer in `commit_marks`, and its connections to the server.
    writer: String,
    last_number: AtomicI64,
}

/// Tells a transaction of a writer from all its others.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub writer: String,
    pub number: i64,
    /// Of the server's process that was sent the commit.
    pid: i64,
}

pub(super) async fn open(url: &str) -> Result<SqlStore, StoreError> {
    let options = options_of(url)?;
    let writer = format!("arcadia-{}", Uuid::new_v4());
    let server = Server {
        options: options.application_name(&writer),
        writer,
        last_number: AtomicI64::new(0),
    };
    server.migrate().await?;
    let mut connection = server.open().await?;
    let clock = DatabaseClock::of_server(&mut connection)
        .await
        .map_err(store_error)?;
    let now_ms = clock.now_ms();
    let installation = installation(&mut connection, now_ms).await?;
    server.enter(&mut connection, now_ms).await.map_err(store_error)?;
    // The next heartbeat comes soon: it is as good as a question whether the connection is still there.
    let beats = server.pool(1, |pool| pool.test_before_acquire(false));
    let readers = server.pool(READERS, |pool| pool);
    Ok(SqlStore {
        clock,
        installation,
        is_shared: true,
        writer: Writer::new(Source::Postgres(server), connection),
        readers: Readers::Postgres(readers),
        beats: Some(Readers::Postgres(beats)),
        plans: Plans::default(),
    })
}

/// What a URL says. One in which a password isn't written as it must be is refused, before a part of it is taken for something
/// that is shown.
pub(super) fn options_of(url: &str) -> Result<PgConnectOptions, StoreError> {
    let refused = |reason: &dyn std::fmt::Display| {
        StoreError::Refused(format!(
            "the database's URL can't be read: {reason}; write it like postgres://USER:PASSWORD@HOST/NAME"
        ))
    };
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"));
    let rest = rest.ok_or_else(|| refused(&"it doesn't begin with postgres://"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let path = rest.split('?').next().unwrap_or_default();
    if path.contains(['@', '#']) || (rest.contains('@') && !authority.contains('@')) {
        return Err(refused(
            &"a user or password with /, ?, # or @ in it has %2F, %3F, %23 or %40 there",
        ));
    }
    PgConnectOptions::from_str(url).map_err(|error| refused(&error))
}

impl Server {
    /// Brings the schema up to date: one host at a time, however many start together.
    async fn migrate(&self) -> Result<(), StoreError> {
        let mut connection = self
            .options
            .connect()
            .await
            .map_err(|error| self.cannot_open(&error))?;
        connection
            .execute(MIGRATION_SETTINGS)
            .await
            .map_err(store_error)?;
        check(&found(&mut connection).await.map_err(store_error)?)?;
        MIGRATIONS.run(&mut connection).await.map_err(migrate_error)
    }

    fn cannot_open(&self, error: &sqlx::Error) -> StoreError {
        let state = error.as_database_error().and_then(|error| error.code());
        let advice = if state.as_deref() == Some(TOO_MANY_CONNECTIONS) {
            format!(
                "; no session is free: a host takes up to {}, so raise max_connections or the user's connection limit, or end others",
                READERS + 1
            )
        } else {
            String::new()
        };
        StoreError::Refused(format!(
            "the database {} on {}:{} can't be opened: {error}{advice}",
            self.options.get_database().unwrap_or("of the user's name"),
            self.options.get_host(),
            self.options.get_port(),
        ))
    }

    /// One more connection that writes.
    pub(super) async fn open(&self) -> Result<Connection, StoreError> {
        self.connect().await.map(Connection::from).map_err(store_error)
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        in_time(async {
            let mut connection = self.options.connect().await?;
            connection.execute(SETTINGS).await?;
            Ok(connection)
        })
        .await
    }

    /// Connections that are made when they are needed.
    fn pool(&self, most: u32, options: impl FnOnce(PgPoolOptions) -> PgPoolOptions) -> PgPool {
        let pool = PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(CONNECTION_WITHIN)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(SETTINGS).await.map(|_| ()) })
            });
        options(pool).connect_lazy_with(self.options.clone())
    }

    /// From now on this writer's row is there to be read with a lock.
    async fn enter(&self, connection: &mut Connection, now_ms: i64) -> Result<(), sqlx::Error> {
        sql!("delete from commit_marks where at_ms < ?")
            .bind(now_ms - FORGET_MARKS_MS)
            .run(connection)
            .await?;
        sql!("insert into commit_marks (writer, number, at_ms) values (?, 0, ?)")
            .bind(&self.writer)
            .bind(now_ms)
            .run(connection)
            .await?;
        Ok(())
    }

    /// For the transaction that is begun next.
    pub(super) async fn next_mark(&self, connection: &mut Connection) -> Result<Mark, Fault> {
        let pid = match &connection.mark {
            Some(mark) => mark.pid,
            None => {
                let row = sql!("select pg_backend_pid()::bigint").one(connection).await?;
                row.try_get(0)?
            }
        };
        Ok(Mark {
            writer: self.writer.clone(),
            number: self.last_number.fetch_add(1, Ordering::SeqCst) + 1,
            pid,
        })
    }

    /// Whether the transaction with this mark was committed: nobody may be answered before that is known, however long the server is
    /// away. The lease of a host runs out meanwhile, and it ends. An error, [`StoreError::Durability`], when the row is not there.
    pub(super) async fn happened(&self, mark: &Mark) -> Result<bool, StoreError> {
        loop {
            match self.marked(mark).await {
                Ok(Some(number)) => return Ok(number == mark.number),
                Ok(None) => {
                    return Err(StoreError::Durability(
                        "the answer to a commit is lost, and so is the row that tells whether it happened"
                            .to_owned(),
                    ));
                }
                Err(error) => {
                    tracing::debug!(%error, "the database can't be asked what became of a commit");
                    tokio::time::sleep(SETTLE_PAUSE).await;
                }
            }
        }
    }

    /// The number that this writer's row has once no process of the server is at it any more.
    async fn marked(&self, mark: &Mark) -> Result<Option<i64>, sqlx::Error> {
        let mut connection = Connection::from(self.connect().await?);
        sql!("select pg_terminate_backend(pid) from pg_stat_activity where pid = ? and application_name = ?")
            .bind(mark.pid)
            .bind(&mark.writer)
            .all(&mut connection)
            .await?;
        let row = sql!("select number from commit_marks where writer = ? for update")
            .bind(&mark.writer)
            .optional(&mut connection)
            .await?;
        row.map(|row| row.try_get(0)).transpose()
    }
}

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub version: i64,
    pub fsync: String,
    pub synchronous_commit: String,
    pub full_page_writes: String,
    is_standby: bool,
}

pub(super) async fn found(connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
    let (version, fsync, synchronous_commit, full_page_writes, is_standby) = sqlx::query_as(
        "select current_setting('server_version_num')::bigint / 10000, coalesce(current_setting('fsync', true), 'on'),
            coalesce(current_setting('synchronous_commit', true), 'on'),
            coalesce(current_setting('full_page_writes', true), 'on'), pg_is_in_recovery()",
    )
    .fetch_one(connection)
    .await?;
    Ok(Found {
        version,
        fsync,
        synchronous_commit,
        full_page_writes,
        is_standby,
    })
}

impl Found {
    pub(super) fn version_refused(&self) -> Option<String> {
        (self.version < OLDEST_VERSION).then(|| {
            format!(
                "the database server is PostgreSQL {}, and only {OLDEST_VERSION} or later will do",
                self.version
            )
        })
    }

    /// Without these settings, a commit that was answered may be gone after a power cut, or there is none.
    pub(super) fn settings_refused(&self) -> Option<String> {
        if self.is_standby {
            return Some(
                "the database server is a standby that takes no writes; name its primary".to_owned(),
            );
        }
        let settings = [
            ("fsync", &self.fsync),
            ("synchronous_commit", &self.synchronous_commit),
        ];
        let (setting, _) = settings.into_iter().find(|(_, value)| *value == "off")?;
        Some(format!(
            "the database works with {setting} = off, which loses what was committed; set it to on, for the server, the \
             database and the user"
        ))
    }
}

fn check(found: &Found) -> Result<(), StoreError> {
    match found.version_refused().or_else(|| found.settings_refused()) {
        Some(text) => Err(StoreError::Refused(text)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_or_loses_commits_is_refused_by_name() {
        let good = Found {
            version: 15,
            fsync: "on".to_owned(),
            synchronous_commit: "remote_apply".to_owned(),
            full_page_writes: "on".to_owned(),
            is_standby: false,
        };
        check(&good).unwrap();
        let off = || "off".to_owned();
        for (found, text) in [
            (
                Found {
                    version: 14,
                    ..good.clone()
                },
                "PostgreSQL 14",
            ),
            (
                Found {
                    fsync: off(),
                    ..good.clone()
                },
                "fsync = off",
            ),
            (
                Found {
                    synchronous_commit: off(),
                    ..good.clone()
                },
                "synchronous_commit = off",
            ),
            (
                Found {
                    is_standby: true,
                    ..good.clone()
                },
                "standby",
            ),
        ] {
            match check(&found) {
                Err(StoreError::Refused(reason)) => assert!(reason.contains(text), "{reason}"),
                other => panic!("{found:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_url_with_a_password_that_is_taken_for_something_else_is_refused_without_showing_it() {
        for wrong in [
            "postgres://arcadia:secret/word@host/arcadia",
            "postgres://arcadia:12/secret@host/arcadia",
            "postgres://arcadia:12?secret@host/arcadia",
            "postgres://arcadia:12#secret@host/arcadia",
            "postgres://arcadia:a@12/secret@host/arcadia",
            "arcadia:secret@host",
            "secret",
        ] {
            match options_of(wrong) {
                Err(StoreError::Refused(reason)) => assert!(!reason.contains("secret"), "{reason}"),
                other => panic!("{wrong}: {other:?}"),
            }
        }
        for right in [
            "postgres://arcadia:12%2Fsecret%40@host:5433/arcadia?sslmode=require",
            "postgres://host/arcadia",
            "postgres://a@host/arcadia?application_name=me@here",
            "postgresql:///arcadia?host=/run/postgresql",
        ] {
            options_of(right).unwrap();
        }
    }
}
