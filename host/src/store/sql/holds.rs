//! Holds on many sagas: few rows, read whole; and the sagas that follow them.

use super::{
    connection::{Connection, Query, sql},
    error::store_error,
    value::{Row, Value},
    views::{corrupt, ids},
    writer::Fault,
};
use crate::{
    saga::SagaId,
    store::{HOST, HoldRow, HoldTarget, StoreError},
};

pub(super) async fn holds(connection: &mut Connection) -> Result<Vec<HoldRow>, StoreError> {
    let rows = sql!("select * from holds order by target")
        .all(connection)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record(row).map_err(|error| corrupt("a hold", &error)))
        .collect()
}

pub(super) async fn put_hold(connection: &mut Connection, hold: &HoldRow) -> Result<HoldRow, Fault> {
    // Where nothing changes the update still makes `returning` tell of the row that is there.
    let row = sql!(
        "insert into holds (target, by, reason, since_ms) values (?1, ?2, ?3, ?4)
         on conflict (target) do update set
            by = case holds.by when ?5 then excluded.by else holds.by end,
            reason = case holds.by when ?5 then excluded.reason else holds.reason end,
            since_ms = case holds.by when ?5 then excluded.since_ms else holds.since_ms end
         returning *"
    )
    .bind(hold.target.key())
    .bind(&hold.by)
    .bind(hold.reason.as_deref())
    .bind(hold.since_ms)
    .bind(HOST)
    .one(connection)
    .await?;
    Ok(record(&row).map_err(|error| corrupt("a hold", &error))?)
}

pub(super) async fn remove_hold(
    connection: &mut Connection,
    target: &HoldTarget,
) -> Result<bool, sqlx::Error> {
    let removed = sql!("delete from holds where target = ?")
        .bind(target.key())
        .run(connection)
        .await?;
    Ok(removed > 0)
}

pub(super) async fn open_sagas(
    connection: &mut Connection,
    definition: Option<&str>,
    after: Option<SagaId>,
    limit: u32,
) -> Result<Vec<SagaId>, StoreError> {
    match definition {
        Some(definition) => {
            let of = " and definition_name = ?";
            page(connection, of, vec![definition.into()], after, limit).await
        }
        None => page(connection, "", Vec::new(), after, limit).await,
    }
}

pub(super) async fn paused_sagas(
    connection: &mut Connection,
    after: Option<SagaId>,
    limit: u32,
) -> Result<Vec<SagaId>, StoreError> {
    page(connection, " and paused is not null", Vec::new(), after, limit).await
}

/// A saga whose id can't be read is left out: it stays where it is, for a person to look at.
async fn page(
    connection: &mut Connection,
    condition: &'static str,
    mut values: Vec<Value>,
    after: Option<SagaId>,
    limit: u32,
) -> Result<Vec<SagaId>, StoreError> {
    let mut text = format!("select id from saga_runs where ended_ms is null{condition}");
    if let Some(after) = after {
        text.push_str(" and id > ?");
        values.push(after.to_string().into());
    }
    text.push_str(" order by id limit ?");
    values.push(limit.into());
    let rows = Query::put_together(text, values).all(connection).await;
    ids(&rows.map_err(store_error)?)
}

fn record(row: &Row) -> Result<HoldRow, sqlx::Error> {
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
