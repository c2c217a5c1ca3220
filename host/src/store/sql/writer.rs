//! The one connection that writes.
//!
//! A connection is given back only after a success, or when the server itself has said that nothing of a transaction is
//! left. After any other failure, or when the one who had it was cancelled, it is closed and the next writer opens a new one.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use super::{
    batch::{Batch, Ended},
    connection::Connection,
    error::{Meaning, commit_error, meaning, store_error},
    postgres::Server,
    sqlite::File,
};
use crate::store::{StoreError, end_process};

/// How often a transaction is tried that met another one, or lost its connection before it was committed.
const TRIES: u32 = 5;
/// Before the second try; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Where new connections come from.
pub(super) enum Source {
    Sqlite(File),
    Postgres(Server),
}

pub(super) struct Writer {
    source: Source,
    idle: Mutex<Option<Connection>>,
}

/// Why a piece of work came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    Database(sqlx::Error),
    Store(StoreError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Fault {
        Fault::Database(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Store(error)
    }
}

impl Writer {
    pub(super) fn new(source: Source, connection: Connection) -> Writer {
        Writer {
            source,
            idle: Mutex::new(Some(connection)),
        }
    }

    /// Waits until nobody else of this process writes.
    pub(super) async fn hold(&self) -> Writing<'_> {
        let mut idle = self.idle.lock().await;
        let connection = idle.take();
        Writing {
            source: &self.source,
            idle,
            connection,
            tries: 0,
        }
    }
}

/// The right to write, until it is dropped.
pub(super) struct Writing<'a> {
    source: &'a Source,
    idle: MutexGuard<'a, Option<Connection>>,
    connection: Option<Connection>,
    tries: u32,
}

/// A transaction of `$work` on `$connection`, which is tried again as long as that can help.
macro_rules! write {
    ($store:expr, $connection:ident => $work:expr) => {{
        let mut writing = $store.writer.hold().await;
        loop {
            let worked = match writing.begin().await {
                Ok($connection) => $work.await.map_err($crate::store::sql::writer::Fault::from),
                Err(fault) => Err(fault),
            };
            if let Some(done) = writing.end(worked).await? {
                break Ok(done);
            }
        }
    }};
}
pub(super) use write;

impl Writing<'_> {
    /// A connection on which nothing is begun.
    pub(super) async fn open(&mut self) -> Result<&mut Connection, Fault> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match self.source {
                Source::Sqlite(file) => file.open().await?,
                Source::Postgres(server) => server.open().await?,
            },
        };
        if let Source::Postgres(server) = self.source {
            connection.mark = Some(server.next_mark(&mut connection).await?);
        }
        Ok(self.connection.insert(connection))
    }

    pub(super) async fn begin(&mut self) -> Result<&mut Connection, Fault> {
        let connection = self.open().await?;
        let begun = Batch::begin().run(connection).await;
        begun.map_err(|stopped| Fault::Database(stopped.error))?;
        Ok(connection)
    }

    /// Commits what was done. None: nothing of it is left, and it is to be done again.
    pub(super) async fn end<T>(&mut self, worked: Result<T, Fault>) -> Result<Option<T>, StoreError> {
        let ended = match (worked, &mut self.connection) {
            (Ok(done), Some(connection)) => match Batch::default().commit(connection).await {
                Ok(ended) => Ok((done, ended)),
                Err(error) => Err(Fault::Database(error)),
            },
            (Ok(_), None) => unreachable!("what was done was done on a connection"),
            (Err(fault), _) => Err(fault),
        };
        self.ended(ended).await
    }

    /// The same, for work that has sent its commit itself. A write of which nobody knows whether it will be there ends the process.
    pub(super) async fn ended<T>(
        &mut self,
        worked: Result<(T, Ended), Fault>,
    ) -> Result<Option<T>, StoreError> {
        match self.outcome(worked).await {
            Err(StoreError::Durability(reason)) => end_process(&reason),
            outcome => outcome,
        }
    }

    async fn outcome<T>(&mut self, worked: Result<(T, Ended), Fault>) -> Result<Option<T>, StoreError> {
        match worked {
            Ok((done, Ended::Durable)) => {
                *self.idle = self.connection.take();
                Ok(Some(done))
            }
            Ok((done, Ended::InCommit(error))) => match self.source {
                Source::Sqlite(_) => {
                    self.connection = None;
                    Err(commit_error(error))
                }
                Source::Postgres(server) => {
                    let happened = self.settle(server, error).await?;
                    Ok(happened.then_some(done))
                }
            },
            Err(Fault::Database(error)) => {
                self.again(error).await?;
                Ok(None)
            }
            Err(Fault::Store(error)) => {
                self.connection = None;
                Err(error)
            }
        }
    }

    /// Whether a transaction happened whose commit was answered with an error, or not at all.
    async fn settle(&mut self, server: &Server, error: sqlx::Error) -> Result<bool, StoreError> {
        let mark = self
            .connection
            .take()
            .and_then(|mut connection| connection.mark.take());
        match (meaning(&error), mark) {
            (Meaning::Lost, Some(mark)) => {
                tracing::warn!(%error, "the answer to a commit is lost: looking for what became of it");
                let happened = server.happened(&mark).await?;
                tracing::warn!(happened, "what became of the commit is known");
                Ok(happened || self.next_try(error).await.map(|()| false)?)
            }
            // The server has said that it rolled back.
            _ => {
                self.again(error).await?;
                Ok(false)
            }
        }
    }

    /// Nothing was committed: an error, unless it is worth another try.
    async fn again(&mut self, error: sqlx::Error) -> Result<(), StoreError> {
        let connection = self.connection.take();
        match meaning(&error) {
            Meaning::Conflict => {
                if let Some(mut connection) = connection
                    && Batch::rollback().run(&mut connection).await.is_ok()
                {
                    self.connection = Some(connection);
                }
                self.next_try(error).await
            }
            Meaning::Lost => self.next_try(error).await,
            Meaning::Duplicate | Meaning::Data | Meaning::Durability | Meaning::Trouble => {
                Err(store_error(error))
            }
        }
    }

    async fn next_try(&mut self, error: sqlx::Error) -> Result<(), StoreError> {
        self.tries += 1;
        if self.tries >= TRIES {
            return Err(store_error(error));
        }
        tracing::debug!(%error, tries = self.tries, "a transaction is tried again");
        tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(self.tries - 1)).await;
        Ok(())
    }
}
