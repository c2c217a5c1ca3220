//! Which database a host works on, alone or with others.

use std::{convert::Infallible, fmt, path::Path, str::FromStr, sync::Arc, time::Duration};

use clap::Args;

use super::failed;
use crate::{
    cli::failure::CliError,
    engine::{LeaseOptions, Store},
    store::{
        SqlStore,
        doctor::{Depth, Examination},
        examine_file, examine_server,
    },
};

/// Which database.
#[derive(Debug, Args)]
#[command(next_help_heading = "Database")]
pub struct WhichDatabase {
    /// A PostgreSQL database (15 or later) that hosts may share, instead of a SQLite file in the data folder:
    /// postgres://USER:PASSWORD@HOST/NAME. Better given in the variable than where everybody sees it
    #[arg(long, env = "ARCADIA_DATABASE", value_name = "URL", hide_env_values = true)]
    database: Option<DatabaseUrl>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    #[command(flatten)]
    which: WhichDatabase,
    /// How long a host that isn't heard of keeps its sagas before others take them over, in milliseconds
    #[arg(long, env = "ARCADIA_LEASE_MS", value_name = "MS", default_value_t = 30_000,
        value_parser = clap::value_parser!(u64).range(1_000..=3_600_000))]
    lease_ms: u64,
    /// Time between two heartbeats, in milliseconds; at most a third of the lease
    #[arg(long, env = "ARCADIA_HEARTBEAT_MS", value_name = "MS", default_value_t = 5_000,
        value_parser = clap::value_parser!(u64).range(50..=1_200_000))]
    heartbeat_ms: u64,
}

/// It may hold a password, so it is never shown.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[database URL]")
    }
}

impl FromStr for DatabaseUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<DatabaseUrl, Infallible> {
        Ok(DatabaseUrl(text.trim().to_owned()))
    }
}

/// What a host works on.
#[derive(Debug, Clone, Default)]
pub enum Database {
    /// `arcadia.db` in the data folder: this host alone.
    #[default]
    File,
    Postgres(DatabaseUrl),
}

impl DatabaseArgs {
    pub fn lease(&self) -> Result<LeaseOptions, CliError> {
        if self.heartbeat_ms * 3 > self.lease_ms {
            return Err(CliError::usage(
                format!(
                    "a heartbeat every {} ms is too seldom for a lease of {} ms",
                    self.heartbeat_ms, self.lease_ms
                ),
                "give a lease of at least three heartbeats: --lease-ms, --heartbeat-ms",
            ));
        }
        Ok(LeaseOptions {
            lease: Duration::from_millis(self.lease_ms),
            heartbeat: Duration::from_millis(self.heartbeat_ms),
        })
    }

    pub fn database(self) -> Database {
        self.which.database()
    }
}

impl WhichDatabase {
    pub fn database(self) -> Database {
        match self.database {
            Some(url) if !url.0.is_empty() => Database::Postgres(url),
            Some(_) | None => Database::File,
        }
    }
}

impl Database {
    /// Opens it, and brings its tables up to date. `file`: where a SQLite database is.
    pub async fn open(&self, file: &Path) -> Result<Arc<dyn Store>, CliError> {
        match self {
            Database::File => match SqlStore::sqlite(file).await {
                Ok(store) => Ok(Arc::new(store)),
                Err(error) => Err(failed("can't open the database", &error)),
            },
            Database::Postgres(url) => match SqlStore::postgres(&url.0).await {
                Ok(store) => Ok(Arc::new(store)),
                Err(error) => Err(failed("can't open the database", &error)),
            },
        }
    }
    /// Looks at it, and changes nothing. `file`: where a SQLite database is.
    pub async fn examine(self, file: &Path, depth: Depth) -> Result<Examination, CliError> {
        match self {
            Database::File => Ok(examine_file(file, depth).await),
            Database::Postgres(url) => match examine_server(&url.0, depth).await {
                Ok(examination) => Ok(examination),
                Err(error) => Err(CliError::usage(
                    error.to_string(),
                    "check --database and ARCADIA_DATABASE",
                )),
            },
        }
    }
}
