//! Whether a component may be used: a transaction of its own.

use sqlx::{Connection as _, SqliteConnection};

use super::{
    error::{commit_error, store_error},
    record,
    views::corrupt,
};
use crate::{
    saga::Json,
    store::{ComponentRow, SetStatus, StoreError},
};

pub(super) async fn set_component_status(
    writer: &mut SqliteConnection,
    set: SetStatus,
    now_ms: i64,
) -> Result<Option<ComponentRow>, StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    sqlx::query(
        "update step_components
         set status = ?, status_by = ?, status_ms = ?, granted = coalesce(?, granted)
         where digest = ?",
    )
    .bind(set.status.as_str())
    .bind(set.by)
    .bind(now_ms)
    .bind(set.granted.as_ref().map(Json::as_str))
    .bind(&set.digest)
    .execute(&mut *transaction)
    .await
    .map_err(store_error)?;
    let row = sqlx::query("select * from step_components where digest = ?")
        .bind(&set.digest)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    row.map(|row| record::component(&row).map_err(|error| corrupt(&set.digest, &error)))
        .transpose()
}
