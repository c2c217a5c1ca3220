//! Who owns the sagas: hosts, their leases, what they claim, and what is due.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Connection as _, Row as _, SqliteConnection, SqlitePool};

use super::{
    error::{commit_error, store_error},
    round::json,
    views::corrupt,
};
use crate::{
    saga::SagaId,
    store::{Beat, HostId, HostRow, StoreError, Takeover, hosts::FORGET_MS},
};

/// Whoever has the file open is alone: no host that it knows lives any more.
pub(super) async fn lose_all(writer: &mut SqliteConnection, now_ms: i64) -> Result<(), StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let lost = async {
        sqlx::query(
            "update http_journal set ended_ms = ? where state = 'open' and ended_ms is null
             and (host is null or host in (select id from hosts where lost_ms is null))",
        )
        .bind(now_ms)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("update hosts set lost_ms = ? where lost_ms is null")
            .bind(now_ms)
            .execute(&mut *transaction)
            .await
    };
    lost.await.map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)
}

pub(super) async fn open_host(
    writer: &mut SqliteConnection,
    host: HostId,
    lease_ms: i64,
    now_ms: i64,
) -> Result<(), StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let opened = async {
        sqlx::query(
            "delete from hosts where lost_ms <= ?
             and not exists (select 1 from saga_runs where owner = hosts.id and ended_ms is null)",
        )
        .bind(now_ms - FORGET_MS)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "insert into hosts (id, started_ms, seen_ms, lease_until_ms, calling) values (?1, ?2, ?2, ?3, '[]')
             on conflict (id) do nothing",
        )
        .bind(host.to_string())
        .bind(now_ms)
        .bind(now_ms + lease_ms)
        .execute(&mut *transaction)
        .await
    };
    opened.await.map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)
}

pub(super) async fn heartbeat(
    writer: &mut SqliteConnection,
    host: HostId,
    calling: &[SagaId],
    lease_ms: i64,
    now_ms: i64,
) -> Result<Beat, StoreError> {
    let calling: BTreeSet<String> = calling.iter().map(SagaId::to_string).collect();
    let calling = json(&calling);
    let updated = sqlx::query(
        "update hosts set seen_ms = ?, lease_until_ms = ?, calling = ? where id = ? and lost_ms is null",
    )
    .bind(now_ms)
    .bind(now_ms + lease_ms)
    .bind(&calling)
    .bind(host.to_string())
    .execute(&mut *writer)
    .await
    .map_err(commit_error)?
    .rows_affected();
    if updated == 0 {
        return Ok(Beat::Lost);
    }
    let strangers: Vec<String> = sqlx::query_scalar(
        "select id from saga_runs where id in (select value from json_each(?)) and owner <> ? order by id",
    )
    .bind(&calling)
    .bind(host.to_string())
    .fetch_all(&mut *writer)
    .await
    .map_err(store_error)?;
    let living: Vec<String> =
        sqlx::query_scalar("select id from hosts where lost_ms is null order by started_ms, id")
            .fetch_all(writer)
            .await
            .map_err(store_error)?;
    Ok(Beat::Alive {
        strangers: ids(&strangers),
        hosts: u32::try_from(living.len()).unwrap_or(u32::MAX),
        eldest: living.first() == Some(&host.to_string()),
    })
}

pub(super) async fn leave(
    writer: &mut SqliteConnection,
    host: HostId,
    now_ms: i64,
) -> Result<(), StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let left = lose(&mut transaction, &[host.to_string()], now_ms).await;
    left.map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)
}

/// The exchanges of these hosts end with them.
async fn lose(connection: &mut SqliteConnection, hosts: &[String], now_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update hosts set lost_ms = ? where lost_ms is null and id in (select value from json_each(?))",
    )
    .bind(now_ms)
    .bind(json(hosts))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "update http_journal set ended_ms = ? where state = 'open' and ended_ms is null
         and host in (select value from json_each(?))",
    )
    .bind(now_ms)
    .bind(json(hosts))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn claim(
    writer: &mut SqliteConnection,
    host: HostId,
    limit: u32,
    now_ms: i64,
) -> Result<Takeover, StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let takeover = claim_in(&mut transaction, host, limit, now_ms)
        .await
        .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(takeover)
}

async fn claim_in(
    connection: &mut SqliteConnection,
    host: HostId,
    limit: u32,
    now_ms: i64,
) -> Result<Takeover, sqlx::Error> {
    let run_out: Vec<String> =
        sqlx::query_scalar("select id from hosts where lost_ms is null and lease_until_ms <= ? and id <> ?")
            .bind(now_ms)
            .bind(host.to_string())
            .fetch_all(&mut *connection)
            .await?;
    if !run_out.is_empty() {
        lose(connection, &run_out, now_ms).await?;
    }
    // Cross joins keep this order: the lost hosts are few, the open sagas may be many.
    let rows = sqlx::query(
        "select runs.id, runs.id in (select value from json_each(hosts.calling)) as called
         from hosts cross join saga_runs as runs
         where hosts.lost_ms is not null and runs.owner = hosts.id and runs.ended_ms is null
         order by runs.id limit ?",
    )
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    let mut takeover = Takeover::default();
    let mut taken: BTreeMap<String, bool> = BTreeMap::new();
    for row in &rows {
        taken.insert(row.try_get(0)?, row.try_get(1)?);
    }
    if taken.is_empty() {
        return Ok(takeover);
    }
    let all: Vec<&String> = taken.keys().collect();
    sqlx::query(
        "update saga_runs set owner = ?, fence = fence + 1 where id in (select value from json_each(?))",
    )
    .bind(host.to_string())
    .bind(json(&all))
    .execute(&mut *connection)
    .await?;
    end_exchanges(connection, &all, now_ms).await?;
    for (id, called) in taken {
        // One whose id can't be read stays for a person to look at.
        if let Ok(id) = id.parse() {
            takeover.taken.push(id);
            if called {
                takeover.called.push(id);
            }
        }
    }
    Ok(takeover)
}

pub(super) async fn take(
    writer: &mut SqliteConnection,
    saga: SagaId,
    host: HostId,
    now_ms: i64,
) -> Result<(), StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let taken = async {
        let taken =
            sqlx::query("update saga_runs set owner = ?1, fence = fence + 1 where id = ?2 and owner <> ?1")
                .bind(host.to_string())
                .bind(saga.to_string())
                .execute(&mut *transaction)
                .await?
                .rows_affected();
        if taken > 0 {
            end_exchanges(&mut transaction, &[saga.to_string()], now_ms).await?;
        }
        Ok(())
    };
    taken.await.map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)
}

/// Of taken sagas, what lost hosts had on the wire: one that doesn't know yet that it is lost may have written it since.
async fn end_exchanges<T: serde::Serialize>(
    connection: &mut SqliteConnection,
    sagas: &[T],
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update http_journal set ended_ms = ? where state = 'open' and ended_ms is null
         and saga_id in (select value from json_each(?))
         and host in (select id from hosts where lost_ms is not null)",
    )
    .bind(now_ms)
    .bind(json(sagas))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn hosts(readers: &SqlitePool, limit: u32) -> Result<Vec<HostRow>, StoreError> {
    let rows = sqlx::query(
        "select id, started_ms, seen_ms, lease_until_ms, lost_ms, calling from hosts
         order by lost_ms is not null, started_ms desc, id desc limit ?",
    )
    .bind(limit)
    .fetch_all(readers)
    .await
    .map_err(store_error)?;
    let read = |row: &sqlx::sqlite::SqliteRow| {
        let decode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
        let id: String = row.try_get(0)?;
        let calling: String = row.try_get(5)?;
        Ok(HostRow {
            id: HostId(id.parse().map_err(|error: uuid::Error| decode(error.into()))?),
            started_ms: row.try_get(1)?,
            seen_ms: row.try_get(2)?,
            lease_until_ms: row.try_get(3)?,
            lost_ms: row.try_get(4)?,
            calling: serde_json::from_str(&calling).map_err(|error| decode(error.into()))?,
        })
    };
    rows.iter()
        .map(|row| read(row).map_err(|error: sqlx::Error| corrupt("a host", &error)))
        .collect()
}

/// A saga whose id can't be read is left out: it stays where it is, for a person to look at.
pub(super) async fn due(
    readers: &SqlitePool,
    host: HostId,
    until_ms: i64,
    limit: u32,
) -> Result<Vec<(SagaId, i64)>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select id, wake_ms from saga_runs where owner = ? and wake_ms <= ? order by wake_ms, id limit ?",
    )
    .bind(host.to_string())
    .bind(until_ms)
    .bind(limit)
    .fetch_all(readers)
    .await
    .map_err(store_error)?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, wake_ms)| id.parse().ok().map(|id| (id, wake_ms)))
        .collect())
}

fn ids(texts: &[String]) -> Vec<SagaId> {
    texts.iter().filter_map(|id| id.parse().ok()).collect()
}
