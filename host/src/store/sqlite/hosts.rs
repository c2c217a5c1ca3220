//! Who owns the sagas: hosts, their heartbeats, and what is due.

use std::collections::BTreeSet;

use sqlx::{Connection as _, SqliteConnection, SqlitePool};

use super::{
    error::{commit_error, store_error},
    round::json,
};
use crate::{
    saga::SagaId,
    store::{HostId, StoreError, Takeover},
};

pub(super) async fn open_host(
    writer: &mut SqliteConnection,
    host: HostId,
    now_ms: i64,
) -> Result<Takeover, StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let takeover = take_over(&mut transaction, host, now_ms)
        .await
        .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(takeover)
}

async fn take_over(
    connection: &mut SqliteConnection,
    host: HostId,
    now_ms: i64,
) -> Result<Takeover, sqlx::Error> {
    // Cross joins keep this order: the other way round, every open saga would be looked for in the whole list.
    let called: Vec<String> = sqlx::query_scalar(
        "select distinct runs.id
         from hosts cross join json_each(hosts.calling) as calling cross join saga_runs as runs
         where runs.id = calling.value and hosts.id <> ?1 and runs.owner = hosts.id and runs.ended_ms is null
         order by runs.id",
    )
    .bind(host.to_string())
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query("update hosts set calling = '[]' where calling <> '[]'")
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into hosts (id, started_ms, seen_ms, calling) values (?1, ?2, ?2, '[]')
         on conflict (id) do update set seen_ms = excluded.seen_ms",
    )
    .bind(host.to_string())
    .bind(now_ms)
    .execute(&mut *connection)
    .await?;
    let taken = sqlx::query("update saga_runs set owner = ?, fence = fence + 1 where ended_ms is null")
        .bind(host.to_string())
        .execute(&mut *connection)
        .await?
        .rows_affected();
    sqlx::query("update http_journal set ended_ms = ? where state = 'open' and ended_ms is null")
        .bind(now_ms)
        .execute(&mut *connection)
        .await?;
    Ok(Takeover {
        taken,
        called: called.iter().filter_map(|id| id.parse::<SagaId>().ok()).collect(),
    })
}

pub(super) async fn claim_ended(
    writer: &mut SqliteConnection,
    saga: SagaId,
    host: HostId,
) -> Result<(), StoreError> {
    sqlx::query(
        "update saga_runs set owner = ?1, fence = fence + 1
         where id = ?2 and owner <> ?1 and ended_ms is not null",
    )
    .bind(host.to_string())
    .bind(saga.to_string())
    .execute(writer)
    .await
    .map_err(commit_error)?;
    Ok(())
}

pub(super) async fn heartbeat(
    writer: &mut SqliteConnection,
    host: HostId,
    calling: &[SagaId],
    now_ms: i64,
) -> Result<(), StoreError> {
    let calling: BTreeSet<String> = calling.iter().map(SagaId::to_string).collect();
    let updated = sqlx::query("update hosts set seen_ms = ?, calling = ? where id = ?")
        .bind(now_ms)
        .bind(json(&calling))
        .bind(host.to_string())
        .execute(writer)
        .await
        .map_err(commit_error)?
        .rows_affected();
    if updated == 1 {
        Ok(())
    } else {
        Err(StoreError::Refused(format!(
            "host {host} has never opened this database"
        )))
    }
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
