//! Opening the file: one host at a time, known settings, the newest schema.

use std::{
    fmt,
    fs::{File as LockFile, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    Connection as _, SqliteConnection,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    SqlStore,
    batch::{Batch, Ended},
    clock::DatabaseClock,
    connection::{Connection, Readers, sql},
    error::{DiskTrouble, commit_error, store_error, trouble},
    hosts::lose_all,
    installation,
    plans::Plans,
    writer::{Source, Writer},
};
use crate::store::StoreError;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

const READERS: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// 64 MiB, in the pragma's unit of -KiB.
const WRITER_CACHE_KIB: &str = "-65536";
/// Pages in the log before a commit also has to copy it into the file.
const CHECKPOINT_PAGES: &str = "4000";
/// Rows that the driver hands over before it waits for their reader: all that one commit asks for.
const WRITER_ROWS: usize = 1_024;

/// The file, for this process alone.
pub(super) struct File {
    options: SqliteConnectOptions,
    /// Held for as long as the store lives; the system releases it however the process ends.
    _lock: LockFile,
}

impl File {
    /// One more connection that writes.
    pub(super) async fn open(&self) -> Result<Connection, StoreError> {
        let mut connection = SqliteConnection::connect_with(&self.options)
            .await
            .map_err(store_error)?;
        check_settings(&mut connection).await?;
        Ok(connection.into())
    }
}

pub(super) async fn open(path: &Path) -> Result<SqlStore, StoreError> {
    let file = File {
        _lock: lock(path)?,
        options: writer_options(path),
    };
    open_locked(path, file).await.map_err(|error| match error {
        StoreError::Unavailable(error) => unusable(path, error.as_ref()),
        error @ (StoreError::Corrupt { .. } | StoreError::Durability(_) | StoreError::Refused(_)) => error,
    })
}

async fn open_locked(path: &Path, file: File) -> Result<SqlStore, StoreError> {
    let mut connection = SqliteConnection::connect_with(&file.options)
        .await
        .map_err(|error| cannot_open(path, error))?;
    check_settings(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await.map_err(migrate_error)?;
    let mut connection = Connection::from(connection);
    let newest_ms = newest_ms(&mut connection).await.map_err(store_error)?;
    let clock = DatabaseClock::start(newest_ms);
    let now_ms = clock.now_ms();
    let installation = installation(&mut connection, now_ms).await?;
    alone(&mut connection, now_ms).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        // A file doesn't hang up, and asking costs as much as reading.
        .test_before_acquire(false)
        // One stays open for as long as the store lives, so that the log's index does: see `commit_error`.
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(base_options(path).read_only(true))
        .await
        .map_err(store_error)?;
    Ok(SqlStore {
        clock,
        installation,
        is_shared: false,
        writer: Writer::new(Source::Sqlite(file), connection),
        readers: Readers::Sqlite(readers),
        beats: None,
        plans: Plans::default(),
    })
}

/// The latest time that the file knows to have been.
async fn newest_ms(connection: &mut Connection) -> Result<i64, sqlx::Error> {
    let row = sql!(
        "select max(
            coalesce((select at_ms from saga_events order by id desc limit 1), 0),
            coalesce((select max(max(seen_ms, coalesce(lost_ms, 0))) from hosts), 0)
         )"
    )
    .one(connection)
    .await?;
    row.try_get(0)
}

/// No other host that the file knows lives any more.
async fn alone(connection: &mut Connection, now_ms: i64) -> Result<(), StoreError> {
    let begun = Batch::begin().run(connection).await;
    begun.map_err(|stopped| store_error(stopped.error))?;
    lose_all(connection, now_ms).await.map_err(store_error)?;
    match Batch::default().commit(connection).await.map_err(store_error)? {
        Ended::Durable => Ok(()),
        Ended::InCommit(error) => Err(commit_error(error)),
    }
}

fn lock(path: &Path) -> Result<LockFile, StoreError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let refuse = |error: &std::io::Error| {
        StoreError::Refused(format!(
            "the lock file {} can't be used: {error}; check that its folder exists and is writable",
            lock_path.display()
        ))
    };
    let file = LockFile::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|error| refuse(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Refused(format!(
            "another host has the database {} open; stop it first, or give this host a data folder of its own",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(refuse(&error)),
    }
}

pub(super) fn base_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
}

fn writer_options(path: &Path) -> SqliteConnectOptions {
    base_options(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .row_buffer_size(WRITER_ROWS)
        .pragma("cache_size", WRITER_CACHE_KIB)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
}

/// A setting that was asked for is not always one that is in force: a file system without shared memory has no WAL, and
/// the library may be built to ignore others. Without these, a commit that was answered may be gone after a power cut.
async fn check_settings(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    match Settings::of(connection).await.map_err(store_error)?.refused() {
        None => Ok(()),
        Some(text) => Err(StoreError::Refused(text)),
    }
}

/// What is in force on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub journal_mode: String,
    synchronous: i64,
    foreign_keys: i64,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            journal_mode,
            synchronous,
            foreign_keys,
        } = self;
        write!(
            f,
            "journal_mode={journal_mode}, synchronous={synchronous}, foreign_keys={foreign_keys}"
        )
    }
}

impl Settings {
    pub(super) async fn of(connection: &mut SqliteConnection) -> Result<Settings, sqlx::Error> {
        let (journal_mode, synchronous, foreign_keys) = sqlx::query_as(
            "select journal_mode, synchronous, foreign_keys
             from pragma_journal_mode, pragma_synchronous, pragma_foreign_keys",
        )
        .fetch_one(connection)
        .await?;
        Ok(Settings {
            journal_mode,
            synchronous,
            foreign_keys,
        })
    }

    pub(super) fn refused(&self) -> Option<String> {
        let found = self.to_string();
        (found != WANTED_SETTINGS).then(|| {
            format!(
                "the database works with {found}, but only {WANTED_SETTINGS} keeps what was promised; put it on a local file \
                 system"
            )
        })
    }
}

const WANTED_SETTINGS: &str = "journal_mode=wal, synchronous=2, foreign_keys=1";

fn cannot_open(path: &Path, error: sqlx::Error) -> StoreError {
    if trouble(&error).is_some() {
        return store_error(error);
    }
    StoreError::Refused(format!(
        "the database {} can't be opened: {error}",
        path.display()
    ))
}

/// Opening writes: a host that can't write would accept nothing, and could not go on with what it has.
fn unusable(path: &Path, error: &(dyn std::error::Error + Send + Sync + 'static)) -> StoreError {
    let advice = match error.downcast_ref().and_then(trouble) {
        Some(DiskTrouble::Full) => "make room on its disk",
        Some(DiskTrouble::ReadOnly) => "make the file, its folder and its file system writable",
        None => "check its disk",
    };
    StoreError::Refused(format!(
        "the database {} can't be written: {error}; {advice}, then start the host again: what was acknowledged is kept",
        path.display()
    ))
}

pub(super) fn migrate_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => store_error(error),
        MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
            StoreError::Refused(format!(
                "the database has schema version {version}, which this program doesn't know; use the newer program \
                 that made it"
            ))
        }
        other => StoreError::Refused(format!("the database's schema is not this program's: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(options: SqliteConnectOptions) -> String {
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        match check_settings(&mut connection).await {
            Err(StoreError::Refused(text)) => text,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn settings_that_lose_commits_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let options = |name: &str| writer_options(&folder.path().join(name));
        let weak = refusal(options("a.db").synchronous(SqliteSynchronous::Normal)).await;
        assert!(
            weak.contains("works with journal_mode=wal, synchronous=1"),
            "{weak}"
        );
        let no_keys = refusal(options("b.db").foreign_keys(false)).await;
        assert!(no_keys.contains("foreign_keys=0"), "{no_keys}");
        let no_log = refusal(options("c.db").journal_mode(SqliteJournalMode::Delete)).await;
        assert!(no_log.contains("journal_mode=delete"), "{no_log}");
        let mut connection = SqliteConnection::connect_with(&options("d.db")).await.unwrap();
        check_settings(&mut connection).await.unwrap();
    }
}
