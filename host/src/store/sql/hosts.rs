//! Who owns the sagas: hosts, their leases, what they claim, and what is due.

use std::collections::BTreeSet;

use super::{
    clock::DatabaseClock,
    connection::{Connection, sql},
    error::store_error,
    round::json,
    value::Row,
    views::{corrupt, ids},
    writer::Fault,
};
use crate::{
    saga::SagaId,
    store::{Beat, HostId, HostRow, StoreError, Takeover, hosts::FORGET_MS},
};

/// Whoever has a file open is alone: no host that it knows lives any more.
pub(super) async fn lose_all(connection: &mut Connection, now_ms: i64) -> Result<(), sqlx::Error> {
    sql!(
        "update http_journal set ended_ms = ? where state = 'open' and ended_ms is null
         and (host is null or host in (select id from hosts where lost_ms is null))"
    )
    .bind(now_ms)
    .run(connection)
    .await?;
    sql!("update hosts set lost_ms = ? where lost_ms is null")
        .bind(now_ms)
        .run(connection)
        .await?;
    Ok(())
}

pub(super) async fn open_host(
    connection: &mut Connection,
    host: HostId,
    lease_ms: i64,
    clock: &DatabaseClock,
) -> Result<(), sqlx::Error> {
    let now_ms = clock.read(connection).await?;
    sql!(
        "delete from hosts where lost_ms <= ?
         and not exists (select 1 from saga_runs where owner = hosts.id and ended_ms is null)"
    )
    .bind(now_ms - FORGET_MS)
    .run(connection)
    .await?;
    sql!(
        "insert into hosts (id, started_ms, seen_ms, lease_until_ms, calling) values (?1, ?2, ?2, ?3, '[]')
         on conflict (id) do nothing"
    )
    .bind(host.to_string())
    .bind(now_ms)
    .bind(now_ms + lease_ms)
    .run(connection)
    .await?;
    Ok(())
}

pub(super) async fn heartbeat(
    connection: &mut Connection,
    host: HostId,
    calling: &[SagaId],
    lease_ms: i64,
    clock: &DatabaseClock,
) -> Result<Beat, Fault> {
    let calling: BTreeSet<String> = calling.iter().map(SagaId::to_string).collect();
    let calling = json(&calling);
    let now_ms = clock.read(connection).await?;
    let updated = sql!(
        "update hosts set seen_ms = ?, lease_until_ms = ?, calling = ? where id = ? and lost_ms is null"
    )
    .bind(now_ms)
    .bind(now_ms + lease_ms)
    .bind(&calling)
    .bind(host.to_string())
    .run(connection)
    .await?;
    if updated == 0 {
        return Ok(Beat::Lost);
    }
    let strangers = sql!("select id from saga_runs where id in {elements: ?} and owner <> ? order by id")
        .bind(&calling)
        .bind(host.to_string())
        .all(connection)
        .await?;
    let living = sql!("select id from hosts where lost_ms is null order by started_ms, id")
        .all(connection)
        .await?;
    let eldest: Option<&str> = living.first().map(|row| row.try_get(0)).transpose()?;
    Ok(Beat::Alive {
        strangers: ids(&strangers)?,
        hosts: u32::try_from(living.len()).unwrap_or(u32::MAX),
        eldest: eldest == Some(&*host.to_string()),
    })
}

pub(super) async fn leave(
    connection: &mut Connection,
    host: HostId,
    clock: &DatabaseClock,
) -> Result<(), sqlx::Error> {
    let now_ms = clock.read(connection).await?;
    sql!("update hosts set lost_ms = ? where lost_ms is null and id = ?")
        .bind(now_ms)
        .bind(host.to_string())
        .run(connection)
        .await?;
    end_exchanges(connection, &[host.to_string()], now_ms).await
}

/// The exchanges of these hosts end with them.
async fn end_exchanges(
    connection: &mut Connection,
    hosts: &[String],
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    sql!(
        "update http_journal set ended_ms = ? where state = 'open' and ended_ms is null
         and host in {elements: ?}"
    )
    .bind(now_ms)
    .bind(json(hosts))
    .run(connection)
    .await?;
    Ok(())
}

/// A host that has a heartbeat meanwhile is not lost: its lease is looked at once more when its row is written.
async fn lose_those_that_ran_out(
    connection: &mut Connection,
    host: HostId,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    // One whose row another host is at is left to that one.
    let run_out = sql!(
        "update hosts set lost_ms = ?1 where id in (
            select one.id from hosts as one
            where one.lost_ms is null and one.lease_until_ms <= ?1 and one.id <> ?2 {lock skip: one}
         ) returning id"
    )
    .bind(now_ms)
    .bind(host.to_string())
    .all(connection)
    .await?;
    if run_out.is_empty() {
        return Ok(());
    }
    let run_out: Result<Vec<String>, sqlx::Error> = run_out.iter().map(|row| row.try_get(0)).collect();
    end_exchanges(connection, &run_out?, now_ms).await
}

pub(super) async fn claim(
    connection: &mut Connection,
    host: HostId,
    limit: u32,
    clock: &DatabaseClock,
) -> Result<Takeover, sqlx::Error> {
    let now_ms = clock.read(connection).await?;
    lose_those_that_ran_out(connection, host, now_ms).await?;
    // Cross joins keep this order on SQLite: the lost hosts are few, the open sagas may be many. What another host claims at this
    // moment is left to it.
    let mut rows = sql!(
        "select runs.id, runs.id in {elements: hosts.calling} as called
         from hosts cross join saga_runs as runs
         where hosts.lost_ms is not null and runs.owner = hosts.id and runs.ended_ms is null
         order by runs.id limit ? {lock skip: runs}"
    )
    .bind(limit)
    .all(connection)
    .await?;
    let mut takeover = Takeover::default();
    if rows.is_empty() {
        return Ok(takeover);
    }
    let all: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    let all = json(&all?);
    sql!("update saga_runs set owner = ?, fence = fence + 1 where id in {elements: ?}")
        .bind(host.to_string())
        .bind(&all)
        .run(connection)
        .await?;
    end_what_the_lost_sent(connection, &all, now_ms).await?;
    for row in rows.drain(..) {
        // One whose id can't be read stays for a person to look at.
        if let Ok(id) = row.try_get::<&str>(0)?.parse() {
            takeover.taken.push(id);
            if row.try_get(1)? {
                takeover.called.push(id);
            }
        }
    }
    Ok(takeover)
}

pub(super) async fn take(
    connection: &mut Connection,
    saga: SagaId,
    host: HostId,
    clock: &DatabaseClock,
) -> Result<(), sqlx::Error> {
    let now_ms = clock.read(connection).await?;
    let taken = sql!("update saga_runs set owner = ?1, fence = fence + 1 where id = ?2 and owner <> ?1")
        .bind(host.to_string())
        .bind(saga.to_string())
        .run(connection)
        .await?;
    if taken > 0 {
        end_what_the_lost_sent(connection, &json(&[saga]), now_ms).await?;
    }
    Ok(())
}

/// Of sagas that have a new owner, what lost hosts had on the wire: one that doesn't know yet that it is lost may have written it
/// since.
async fn end_what_the_lost_sent(
    connection: &mut Connection,
    sagas: &str,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    sql!(
        "update http_journal set ended_ms = ? where state = 'open' and ended_ms is null
         and saga_id in {elements: ?} and host in (select id from hosts where lost_ms is not null)"
    )
    .bind(now_ms)
    .bind(sagas)
    .run(connection)
    .await?;
    Ok(())
}

pub(super) async fn hosts(connection: &mut Connection, limit: u32) -> Result<Vec<HostRow>, StoreError> {
    let rows = sql!(
        "select id, started_ms, seen_ms, lease_until_ms, lost_ms, calling from hosts
         order by lost_ms is not null, started_ms desc, id desc limit ?"
    )
    .bind(limit)
    .all(connection)
    .await
    .map_err(store_error)?;
    rows.iter()
        .map(|row| record(row).map_err(|error| corrupt("a host", &error)))
        .collect()
}

fn record(row: &Row) -> Result<HostRow, sqlx::Error> {
    let nonsense = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
    let id: &str = row.try_get(0)?;
    let calling: &str = row.try_get(5)?;
    Ok(HostRow {
        id: HostId(id.parse().map_err(|error: uuid::Error| nonsense(error.into()))?),
        started_ms: row.try_get(1)?,
        seen_ms: row.try_get(2)?,
        lease_until_ms: row.try_get(3)?,
        lost_ms: row.try_get(4)?,
        calling: serde_json::from_str(calling).map_err(|error| nonsense(error.into()))?,
    })
}

/// A saga whose id can't be read is left out: it stays where it is, for a person to look at.
pub(super) async fn due(
    connection: &mut Connection,
    host: HostId,
    until_ms: i64,
    limit: u32,
) -> Result<Vec<(SagaId, i64)>, StoreError> {
    let rows = sql!(
        "select id, wake_ms from saga_runs where owner = ? and wake_ms <= ? order by wake_ms, id limit ?"
    )
    .bind(host.to_string())
    .bind(until_ms)
    .bind(limit)
    .all(connection)
    .await
    .map_err(store_error)?;
    let read = |row: &Row| -> Result<Option<(SagaId, i64)>, sqlx::Error> {
        let wake_ms = row.try_get(1)?;
        Ok(row.try_get::<&str>(0)?.parse().ok().map(|id| (id, wake_ms)))
    };
    let due: Result<Vec<_>, sqlx::Error> = rows.iter().filter_map(|row| read(row).transpose()).collect();
    due.map_err(store_error)
}
