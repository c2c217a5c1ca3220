//! What becomes of the sagas, and of what is watched and found.

use super::{
    LATE_MS,
    clock::{Moment, is_late},
    counted, named, span,
};
use crate::{
    saga::Status,
    store::{
        StoreError,
        doctor::Verdict,
        sql::{
            connection::{Connection, Query, sql},
            error::store_error,
            holds,
            value::Row,
        },
    },
};

/// `(name, number)` of each row.
async fn numbers(connection: &mut Connection, query: Query) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = query.all(connection).await.map_err(store_error)?;
    let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    let numbers: Result<_, sqlx::Error> = rows.iter().map(read).collect();
    numbers.map_err(store_error)
}

fn told(numbers: &[(String, i64)]) -> String {
    let texts: Vec<String> = numbers
        .iter()
        .map(|(name, number)| format!("{number} {name}"))
        .collect();
    texts.join(", ")
}

pub(super) async fn by_status(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let query = sql!("select status, count(*) from saga_runs group by status order by status");
    let numbers = numbers(connection, query).await?;
    Ok(if numbers.is_empty() {
        Verdict::ok("none yet")
    } else {
        Verdict::ok(told(&numbers))
    })
}

/// Sagas of a living host whose time has come, which it isn't calling for, and which nothing holds.
pub(super) async fn overdue(connection: &mut Connection, moment: &Moment) -> Result<Verdict, StoreError> {
    if !moment.host_lives {
        return Ok(Verdict::ok("no host lives that could be late"));
    }
    let rows = sql!(
        "select runs.id, runs.wake_ms from saga_runs as runs join hosts on hosts.id = runs.owner
         where runs.ended_ms is null and runs.paused is null and runs.wake_ms < ?1
         and hosts.lost_ms is null and hosts.lease_until_ms > ?2
         and not (runs.id in {elements: hosts.calling})
         order by runs.wake_ms, runs.id"
    )
    .bind(moment.now_ms - LATE_MS)
    .bind(moment.now_ms)
    .all(connection)
    .await
    .map_err(store_error)?;
    let Some(first) = rows.first() else {
        return Ok(Verdict::ok(format!("none by more than {}", span(LATE_MS))));
    };
    let oldest_ms: i64 = first.try_get(1).map_err(store_error)?;
    let ids: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    Ok(Verdict::warning(
        format!(
            "{} should have gone on by up to {} ago: {}",
            counted(rows.len() as i64, "saga"),
            span(moment.now_ms - oldest_ms),
            named(&ids.map_err(store_error)?, rows.len())
        ),
        "look at the log of the host that owns them; if it has more to do than it can, add a host",
    ))
}

async fn ids(connection: &mut Connection, query: Query) -> Result<Vec<String>, StoreError> {
    let rows = query.all(connection).await.map_err(store_error)?;
    let ids: Result<_, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    ids.map_err(store_error)
}

pub(super) async fn attention(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let query = sql!("select id from saga_runs where status = ? order by created_ms desc, id desc")
        .bind(Status::NeedsAttention.as_str());
    let ids = ids(connection, query).await?;
    if ids.is_empty() {
        return Ok(Verdict::ok("no saga needs a person"));
    }
    Ok(Verdict::warning(
        format!(
            "{} in need of a person: {}",
            counted(ids.len() as i64, "saga"),
            named(&ids, ids.len())
        ),
        "`arcadia saga show ID` says what is stuck; then `saga retry`, `skip` or `abandon`",
    ))
}

pub(super) async fn paused(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let query = sql!("select id from saga_runs where ended_ms is null and paused is not null order by id");
    let ids = ids(connection, query).await?;
    let holds = holds::holds(connection).await?;
    if ids.is_empty() && holds.is_empty() {
        return Ok(Verdict::ok("nothing is"));
    }
    let mut seen = counted(ids.len() as i64, "saga");
    if !ids.is_empty() {
        seen = format!("{seen}: {}", named(&ids, ids.len()));
    }
    let targets: Vec<String> = holds.iter().map(|hold| hold.target.key()).collect();
    if !targets.is_empty() {
        seen = format!("{seen}; held: {}", named(&targets, targets.len()));
    }
    Ok(Verdict::warning(
        seen,
        "`arcadia saga pauses` says by whom and why; `saga resume` and `service resume` let them go on",
    ))
}

pub(super) async fn watches(connection: &mut Connection, moment: &Moment) -> Result<Verdict, StoreError> {
    let row = sql!("select count(*), coalesce(min(next_look_ms), 0) from saga_watches")
        .one(connection)
        .await
        .map_err(store_error)?;
    let read = || Ok((row.try_get(0)?, row.try_get(1)?));
    let (number, next_ms): (i64, i64) = read().map_err(store_error)?;
    let watched = counted(number, "saga");
    Ok(if number == 0 {
        Verdict::ok("nothing is watched")
    } else if !is_late(next_ms, moment.now_ms) {
        Verdict::ok(format!("{watched} watched after their end"))
    } else {
        let late = span(moment.now_ms - next_ms);
        Verdict::warning(
            format!("{watched} watched after their end, and a look is late by {late}"),
            if moment.host_lives {
                "look at the log of the eldest host, which looks; a paused service is not asked"
            } else {
                "start a host: what a saga left behind is found by looking"
            },
        )
    })
}

pub(super) async fn findings(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let query =
        sql!("select code, count(*) from findings where resolved_ms is null group by code order by code");
    let numbers = numbers(connection, query).await?;
    Ok(if numbers.is_empty() {
        Verdict::ok("none is open")
    } else {
        Verdict::warning(
            format!("open: {}", told(&numbers)),
            "`arcadia findings` says what each is about and what to do",
        )
    })
}
