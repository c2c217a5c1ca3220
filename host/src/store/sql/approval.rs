//! Whether a component may be used.

use super::{
    connection::{Connection, sql},
    record,
    views::corrupt,
    writer::Fault,
};
use crate::{
    saga::Json,
    store::{ComponentRow, SetStatus},
};

pub(super) async fn set_component_status(
    connection: &mut Connection,
    set: &SetStatus,
    now_ms: i64,
) -> Result<Option<ComponentRow>, Fault> {
    sql!(
        "update step_components
         set status = ?, status_by = ?, status_ms = ?, granted = coalesce(?, granted)
         where digest = ?"
    )
    .bind(set.status.as_str())
    .bind(&set.by)
    .bind(now_ms)
    .bind(set.granted.as_ref().map(Json::as_str))
    .bind(&set.digest)
    .run(connection)
    .await?;
    let row = sql!("select * from step_components where digest = ?")
        .bind(&set.digest)
        .optional(connection)
        .await?;
    let row = row.map(|row| record::component(&row).map_err(|error| corrupt(&set.digest, &error)));
    Ok(row.transpose()?)
}
