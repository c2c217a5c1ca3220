//! Holds on many sagas: few rows, read whole; and the sagas that follow them.

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{
    error::{commit_error, store_error},
    views::corrupt,
};
use crate::{
    saga::SagaId,
    store::{HOST, HoldRow, HoldTarget, StoreError},
};

pub(super) async fn holds(readers: &SqlitePool) -> Result<Vec<HoldRow>, StoreError> {
    let rows = sqlx::query("select * from holds order by target")
        .fetch_all(readers)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record(row).map_err(|error| corrupt("a hold", &error)))
        .collect()
}

pub(super) async fn put_hold(writer: &mut SqliteConnection, hold: &HoldRow) -> Result<HoldRow, StoreError> {
    // Where nothing changes the update still makes `returning` tell of the row that is there.
    let row = sqlx::query(
        "insert into holds (target, by, reason, since_ms) values (?1, ?2, ?3, ?4)
         on conflict (target) do update set
            by = iif(holds.by = ?5, excluded.by, holds.by),
            reason = iif(holds.by = ?5, excluded.reason, holds.reason),
            since_ms = iif(holds.by = ?5, excluded.since_ms, holds.since_ms)
         returning *",
    )
    .bind(hold.target.key())
    .bind(&hold.by)
    .bind(hold.reason.as_deref())
    .bind(hold.since_ms)
    .bind(HOST)
    .fetch_one(writer)
    .await
    .map_err(commit_error)?;
    record(&row).map_err(|error| corrupt("a hold", &error))
}

pub(super) async fn remove_hold(
    writer: &mut SqliteConnection,
    target: &HoldTarget,
) -> Result<bool, StoreError> {
    let removed = sqlx::query("delete from holds where target = ?")
        .bind(target.key())
        .execute(writer)
        .await
        .map_err(commit_error)?;
    Ok(removed.rows_affected() > 0)
}

pub(super) async fn open_sagas(
    readers: &SqlitePool,
    definition: Option<&str>,
    after: Option<SagaId>,
    limit: u32,
) -> Result<Vec<SagaId>, StoreError> {
    let mut query = QueryBuilder::new("select id from saga_runs where ended_ms is null");
    if let Some(definition) = definition {
        query.push(" and definition_name = ").push_bind(definition);
    }
    page(readers, query, after, limit).await
}

pub(super) async fn paused_sagas(
    readers: &SqlitePool,
    after: Option<SagaId>,
    limit: u32,
) -> Result<Vec<SagaId>, StoreError> {
    let query = QueryBuilder::new("select id from saga_runs where ended_ms is null and paused is not null");
    page(readers, query, after, limit).await
}

/// A saga whose id can't be read is left out: it stays where it is, for a person to look at.
async fn page(
    readers: &SqlitePool,
    mut query: QueryBuilder<Sqlite>,
    after: Option<SagaId>,
    limit: u32,
) -> Result<Vec<SagaId>, StoreError> {
    if let Some(after) = after {
        query.push(" and id > ").push_bind(after.to_string());
    }
    query.push(" order by id limit ").push_bind(limit);
    let ids: Vec<String> = query
        .build_query_scalar()
        .fetch_all(readers)
        .await
        .map_err(store_error)?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

fn record(row: &SqliteRow) -> Result<HoldRow, sqlx::Error> {
    let key: &str = row.try_get("target")?;
    let target = HoldTarget::parse(key).ok_or_else(|| {
        sqlx::Error::Decode(format!("column target: {key:?} is no target of a hold").into())
    })?;
    Ok(HoldRow {
        target,
        by: row.try_get("by")?,
        reason: row.try_get("reason")?,
        since_ms: row.try_get("since_ms")?,
    })
}
