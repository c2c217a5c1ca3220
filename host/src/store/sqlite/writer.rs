//! The one connection that writes.
//!
//! A statement that fails for want of space or memory rolls its transaction back by itself, and the driver goes on to
//! count it as open: such a connection can never begin another one. So a connection is given back only after a success;
//! after a failure, or when the one who had it was cancelled, it is closed and the next writer opens a new one.

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{Mutex, MutexGuard};

use super::{error::store_error, open::check_settings};
use crate::store::StoreError;

pub(super) struct Writer {
    options: SqliteConnectOptions,
    idle: Mutex<Option<SqliteConnection>>,
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Writer {
        Writer {
            options,
            idle: Mutex::new(Some(connection)),
        }
    }

    /// Waits until nobody else writes.
    pub(super) async fn hold(&self) -> Result<Held<'_>, StoreError> {
        let mut idle = self.idle.lock().await;
        let connection = match idle.take() {
            Some(connection) => connection,
            None => {
                let mut connection = SqliteConnection::connect_with(&self.options)
                    .await
                    .map_err(store_error)?;
                check_settings(&mut connection).await?;
                connection
            }
        };
        Ok(Held { idle, connection })
    }
}

/// The right to write, until it is released or dropped.
pub(super) struct Held<'a> {
    idle: MutexGuard<'a, Option<SqliteConnection>>,
    connection: SqliteConnection,
}

impl Held<'_> {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Gives the connection back when what was done with it has succeeded.
    pub(super) fn release<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_ok() {
            *self.idle = Some(self.connection);
        }
        result
    }
}
