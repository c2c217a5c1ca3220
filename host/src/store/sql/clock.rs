//! The database's clock: the machine's own for a file, the server's for a server.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use super::{
    connection::{Connection, sql},
    statement::Dialect,
};
use crate::store::clock::Clock;

/// Counts from the last reading by this process's own clock, which no setting of the time changes, and never goes back.
pub(super) struct DatabaseClock {
    read: Mutex<Clock>,
    newest_ms: AtomicI64,
}

impl DatabaseClock {
    /// At this machine's time, and no earlier than what a file already knows: a machine whose clock was set back meanwhile must
    /// neither write times before those of earlier events, nor keep what sleeps waiting for the difference.
    pub(super) fn start(newest_ms: i64) -> DatabaseClock {
        let machine = Clock::start();
        let behind_ms = newest_ms.saturating_sub(machine.now_ms());
        if behind_ms <= 0 {
            return DatabaseClock::of(machine);
        }
        tracing::warn!(
            behind_ms,
            "the machine's clock is behind the newest time in the database: time goes on from there"
        );
        DatabaseClock::of(Clock::at(newest_ms))
    }

    /// At what the server's clock says.
    pub(super) async fn of_server(connection: &mut Connection) -> Result<DatabaseClock, sqlx::Error> {
        Ok(DatabaseClock::of(Clock::at(server_ms(connection).await?)))
    }

    fn of(clock: Clock) -> DatabaseClock {
        DatabaseClock {
            newest_ms: AtomicI64::new(clock.now_ms()),
            read: Mutex::new(clock),
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        let read = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = read.now_ms();
        self.newest_ms.fetch_max(now_ms, Ordering::SeqCst).max(now_ms)
    }

    /// The time of the database as it says itself. What is decided by it is decided late rather than early: it was read before.
    pub(super) async fn read(&self, connection: &mut Connection) -> Result<i64, sqlx::Error> {
        match connection.dialect() {
            Dialect::Sqlite => Ok(self.now_ms()),
            Dialect::Postgres => {
                let now_ms = server_ms(connection).await?;
                *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Clock::at(now_ms);
                Ok(now_ms)
            }
        }
    }
}

pub(super) async fn server_ms(connection: &mut Connection) -> Result<i64, sqlx::Error> {
    let row = sql!("select floor(extract(epoch from clock_timestamp()) * 1000)::bigint")
        .one(connection)
        .await?;
    row.try_get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_knows_a_later_time_than_the_machine_is_believed() {
        let machine_ms = Clock::start().now_ms();
        let hour_ms = 3_600_000;
        let back = DatabaseClock::start(machine_ms + hour_ms).now_ms();
        assert!((machine_ms + hour_ms..machine_ms + hour_ms + 60_000).contains(&back));
        let on = DatabaseClock::start(machine_ms - hour_ms).now_ms();
        assert!((machine_ms..machine_ms + 60_000).contains(&on));
    }
}
