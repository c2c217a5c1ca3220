//! This machine's clock against the database's, by which everything is measured.

use super::{LATE_MS, span};
use crate::store::{
    StoreError,
    clock::Clock,
    doctor::Verdict,
    sql::{
        clock::server_ms,
        connection::{Connection, sql},
        error::store_error,
        statement::Dialect,
    },
};

/// A difference that makes times in logs hard to compare with those of sagas.
const SKEW_MS: i64 = 5_000;

/// When it is by the database's clock, and who may live then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub now_ms: i64,
    /// Somebody may be at work: always on a server, and on a file if a process has it open.
    pub attended: bool,
    /// At least one host lives; known once the hosts were looked at.
    pub host_lives: bool,
}

impl Moment {
    pub(super) fn here(attended: bool) -> Moment {
        Moment {
            now_ms: Clock::start().now_ms(),
            attended,
            host_lives: false,
        }
    }

    /// A lease that ends later than this is in force. Nobody's is while nobody has the file open.
    pub(super) fn alive_after_ms(&self) -> i64 {
        if self.attended { self.now_ms } else { i64::MAX }
    }
}

pub(super) async fn clock(connection: &mut Connection, moment: &mut Moment) -> Result<Verdict, StoreError> {
    let read = match connection.dialect() {
        Dialect::Sqlite => Read {
            skew_ms: 0,
            within_ms: 0,
        },
        Dialect::Postgres => {
            let here = Clock::start();
            let began_ms = here.now_ms();
            let server_ms = server_ms(connection).await.map_err(store_error)?;
            let ended_ms = here.now_ms();
            moment.now_ms = server_ms;
            Read {
                skew_ms: server_ms - began_ms.midpoint(ended_ms),
                within_ms: (ended_ms - began_ms) / 2 + 1,
            }
        }
    };
    let newest_ms = newest(connection).await?;
    Ok(verdict(connection.dialect(), read, newest_ms, moment.now_ms))
}

struct Read {
    /// How much the database's clock is ahead of this machine's.
    skew_ms: i64,
    within_ms: i64,
}

/// The newest time that somebody wrote down as his present.
async fn newest(connection: &mut Connection) -> Result<i64, StoreError> {
    let row = sql!(
        "select coalesce(max(at_ms), 0) from (
            select max(seen_ms) as at_ms from hosts
            union all
            select max(at_ms) from saga_events where id = (select max(id) from saga_events)) as times"
    )
    .one(connection)
    .await;
    row.and_then(|row| row.try_get(0)).map_err(store_error)
}

fn verdict(dialect: Dialect, read: Read, newest_ms: i64, now_ms: i64) -> Verdict {
    if newest_ms > now_ms + SKEW_MS {
        return Verdict::warning(
            format!(
                "the newest row is of {} from now: a clock was set back",
                span(newest_ms - now_ms)
            ),
            "set the clock right; until then leases and wake times end later than they should",
        );
    }
    let Read { skew_ms, within_ms } = read;
    match dialect {
        Dialect::Sqlite => Verdict::ok("this machine's is the database's, and no row is from the future"),
        Dialect::Postgres if skew_ms.abs() > SKEW_MS => Verdict::warning(
            format!(
                "the server's is {} {} this machine's; leases follow the server's, so nothing breaks",
                span(skew_ms.abs()),
                if skew_ms > 0 { "ahead of" } else { "behind" }
            ),
            "let both follow the same time service (NTP), or times in logs and in sagas can't be compared",
        ),
        Dialect::Postgres => Verdict::ok(format!(
            "the server's is {skew_ms:+} ms from this machine's (to within {within_ms} ms)"
        )),
    }
}

/// Whether a time that others should have kept is past by too much.
pub(super) fn is_late(at_ms: i64, now_ms: i64) -> bool {
    at_ms < now_ms - LATE_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::doctor::State;

    #[test]
    fn a_clock_that_differs_by_more_than_five_seconds_is_a_warning_and_so_is_a_row_from_the_future() {
        let of = |skew_ms, newest_ms| {
            let read = Read {
                skew_ms,
                within_ms: 1,
            };
            verdict(Dialect::Postgres, read, newest_ms, 100_000)
        };
        assert_eq!(of(5_000, 105_000).state, State::Ok);
        for (skew_ms, newest_ms, text) in [
            (5_001, 0, "5 s ahead of"),
            (-60_000, 0, "60 s behind"),
            (0, 160_000, "60 s from now"),
        ] {
            let verdict = of(skew_ms, newest_ms);
            assert!(matches!(verdict.state, State::Warning { .. }), "{verdict:?}");
            assert!(verdict.seen.contains(text), "{verdict:?}");
        }
    }
}
