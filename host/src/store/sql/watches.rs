//! Watches: how they are written in a round, and read.

use serde::Serialize;

use super::{
    connection::{Connection, sql},
    error::store_error,
    round::json,
    statement::Statement,
    value::Row,
    views::corrupt,
};
use crate::{
    saga::SagaId,
    store::{StoreError, Watch},
};

pub(super) static WATCHED: Statement = Statement::new(
    "
    insert into saga_watches (saga_id, began_ms, until_ms, next_look_ms, looks, intents)
    select saga_id, began_ms, until_ms, next_look_ms, looks, intents
    from {rows added:
        saga_id text, began_ms bigint, until_ms bigint, next_look_ms bigint, looks bigint, intents text}
    where true
    on conflict (saga_id) do update set
        began_ms = excluded.began_ms, until_ms = excluded.until_ms, next_look_ms = excluded.next_look_ms,
        looks = excluded.looks, intents = excluded.intents",
);

pub(super) static UNWATCHED: Statement = Statement::new(
    "
    delete from saga_watches where saga_id in {elements: ?}",
);

/// How often each of these watched sagas was looked at.
pub(super) static LOOKS: Statement = Statement::new(
    "
    select saga_id as id, looks from saga_watches where saga_id in {elements: ?} {lock by id}",
);

#[derive(Serialize)]
pub(super) struct WatchCells {
    saga_id: SagaId,
    began_ms: i64,
    until_ms: i64,
    next_look_ms: i64,
    looks: u32,
    intents: String,
}

impl WatchCells {
    pub(super) fn new(saga_id: SagaId, watch: &Watch) -> WatchCells {
        WatchCells {
            saga_id,
            began_ms: watch.began_ms,
            until_ms: watch.until_ms,
            next_look_ms: watch.next_look_ms,
            looks: watch.looks,
            intents: json(&watch.intents),
        }
    }
}

pub(super) async fn watch(connection: &mut Connection, saga: SagaId) -> Result<Option<Watch>, StoreError> {
    let row = sql!("select * from saga_watches where saga_id = ?")
        .bind(saga.to_string())
        .optional(connection)
        .await
        .map_err(store_error)?;
    row.map(|row| record(&row).map_err(|error| corrupt("a watch", &error)))
        .transpose()
        .map(|row| row.map(|(_, watch)| watch))
}

pub(super) async fn due_watches(
    connection: &mut Connection,
    until_ms: i64,
    limit: u32,
) -> Result<Vec<(SagaId, Watch)>, StoreError> {
    let rows =
        sql!("select * from saga_watches where next_look_ms <= ? order by next_look_ms, saga_id limit ?",)
            .bind(until_ms)
            .bind(limit)
            .all(connection)
            .await
            .map_err(store_error)?;
    let read = |row: &Row| match record(row) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::error!(%error, "a watch is not readable: its saga is not looked at, others are");
            None
        }
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// An error names one that isn't.
pub(super) async fn all_readable(connection: &mut Connection) -> Result<(), StoreError> {
    let rows = sql!("select * from saga_watches").all(connection).await;
    for row in rows.map_err(store_error)? {
        record(&row).map_err(|error| corrupt("a watch", &error))?;
    }
    Ok(())
}

fn record(row: &Row) -> Result<(SagaId, Watch), sqlx::Error> {
    let nonsense = |reason: String| sqlx::Error::Decode(reason.into());
    let saga: &str = row.try_get("saga_id")?;
    let looks: i64 = row.try_get("looks")?;
    let intents: &str = row.try_get("intents")?;
    let watch = Watch {
        began_ms: row.try_get("began_ms")?,
        until_ms: row.try_get("until_ms")?,
        next_look_ms: row.try_get("next_look_ms")?,
        looks: u32::try_from(looks).map_err(|_| nonsense(format!("looks: {looks}")))?,
        intents: serde_json::from_str(intents).map_err(|error| nonsense(format!("intents: {error}")))?,
    };
    let saga = saga
        .parse()
        .map_err(|error| nonsense(format!("saga_id: {error}")))?;
    Ok((saga, watch))
}
