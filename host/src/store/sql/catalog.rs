//! Components, channels, definitions: few writes, each a transaction of its own.

use std::sync::Arc;

use super::{
    connection::{Connection, sql},
    error::store_error,
    record,
    views::corrupt,
};
use crate::{
    saga::Json,
    store::{ChannelRow, ComponentRow, DefinitionRow, NewComponent, PutComponent, StoreError},
};

/// What is decided by looking at rows that may not be there yet is decided by one host at a time.
pub(super) async fn alone(connection: &mut Connection) -> Result<(), sqlx::Error> {
    sql!("select only_row from installation {lock}")
        .all(connection)
        .await?;
    Ok(())
}

pub(super) async fn put_component(
    connection: &mut Connection,
    component: &NewComponent,
    replace: bool,
    now_ms: i64,
) -> Result<PutComponent, sqlx::Error> {
    alone(connection).await?;
    let same = sql!("select * from step_components where digest = ?")
        .bind(&component.digest)
        .optional(connection)
        .await?;
    if let Some(row) = same {
        return Ok(PutComponent::Same(record::component(&row)?));
    }
    let namesake = sql!(
        "select * from step_components where name = ? and version = ? order by uploaded_ms desc, digest desc limit 1"
    )
    .bind(&component.name)
    .bind(&component.version)
    .optional(connection)
    .await?;
    if let Some(row) = namesake
        && !replace
    {
        return Ok(PutComponent::VersionExists(record::component(&row)?));
    }
    let row = ComponentRow {
        digest: component.digest.clone(),
        name: component.name.clone(),
        version: component.version.clone(),
        manifest: component.manifest.clone(),
        size_bytes: component.bytes.len() as u64,
        built_in: component.built_in,
        status: component.status,
        status_by: component.uploaded_by.clone(),
        status_ms: now_ms,
        granted: component.granted.clone(),
        uploaded_by: component.uploaded_by.clone(),
        uploaded_ms: now_ms,
    };
    insert_component(connection, &row).await?;
    sql!("insert into step_component_blobs (digest, bytes) values (?, ?)")
        .bind(&row.digest)
        .bind(&*component.bytes)
        .run(connection)
        .await?;
    Ok(PutComponent::Added(row))
}

async fn insert_component(connection: &mut Connection, row: &ComponentRow) -> Result<(), sqlx::Error> {
    sql!(
        "insert into step_components (
            digest, name, version, manifest, size_bytes, built_in, uploaded_by, uploaded_ms, status, granted
         ) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    .bind(&row.digest)
    .bind(&row.name)
    .bind(&row.version)
    .bind(row.manifest.as_str())
    .bind(i64::try_from(row.size_bytes).unwrap_or(i64::MAX))
    .bind(row.built_in)
    .bind(&row.uploaded_by)
    .bind(row.uploaded_ms)
    .bind(row.status.as_str())
    .bind(row.granted.as_ref().map(Json::as_str))
    .run(connection)
    .await?;
    Ok(())
}

pub(super) async fn component(
    connection: &mut Connection,
    digest: &str,
) -> Result<Option<ComponentRow>, StoreError> {
    let row = sql!("select * from step_components where digest = ?")
        .bind(digest)
        .optional(connection)
        .await
        .map_err(store_error)?;
    row.map(|row| record::component(&row).map_err(|error| corrupt(digest, &error)))
        .transpose()
}

pub(super) async fn component_bytes(
    connection: &mut Connection,
    digest: &str,
) -> Result<Option<Arc<[u8]>>, StoreError> {
    let row = sql!("select bytes from step_component_blobs where digest = ?")
        .bind(digest)
        .optional(connection)
        .await
        .map_err(store_error)?;
    let bytes: Option<&[u8]> = match &row {
        Some(row) => Some(row.try_get(0).map_err(store_error)?),
        None => None,
    };
    Ok(bytes.map(Arc::from))
}

pub(super) async fn components(connection: &mut Connection) -> Result<Vec<ComponentRow>, StoreError> {
    let rows = sql!("select * from step_components order by name, uploaded_ms desc, digest desc")
        .all(connection)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record::component(row).map_err(|error| corrupt("a component", &error)))
        .collect()
}

pub(super) async fn channels(connection: &mut Connection) -> Result<Vec<ChannelRow>, StoreError> {
    let rows = sql!("select * from step_channels order by step, channel")
        .all(connection)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record::channel(row).map_err(|error| corrupt("a channel", &error)))
        .collect()
}

pub(super) async fn set_channel(
    connection: &mut Connection,
    channel: &ChannelRow,
) -> Result<(), sqlx::Error> {
    sql!(
        "insert into step_channels (step, channel, digest, built_in, moved_by, moved_ms) values (?, ?, ?, ?, ?, ?)
         on conflict (step, channel) do update set
            digest = excluded.digest, built_in = excluded.built_in, moved_by = excluded.moved_by,
            moved_ms = excluded.moved_ms"
    )
    .bind(&channel.step)
    .bind(&channel.channel)
    .bind(&channel.digest)
    .bind(channel.built_in)
    .bind(&channel.moved_by)
    .bind(channel.moved_ms)
    .run(connection)
    .await?;
    Ok(())
}

const NEWEST_DEFINITION: &str = "select * from saga_definitions where name = ? order by version desc limit 1";

pub(super) async fn definition(
    connection: &mut Connection,
    name: &str,
) -> Result<Option<DefinitionRow>, StoreError> {
    let row = sql!(NEWEST_DEFINITION)
        .bind(name)
        .optional(connection)
        .await
        .map_err(store_error)?;
    row.map(|row| record::definition(&row).map_err(|error| corrupt(name, &error)))
        .transpose()
}

pub(super) async fn definitions(connection: &mut Connection) -> Result<Vec<DefinitionRow>, StoreError> {
    let rows = sql!(
        "select * from saga_definitions as one
         where version = (select max(version) from saga_definitions as other where other.name = one.name)
         order by name",
    )
    .all(connection)
    .await
    .map_err(store_error)?;
    rows.iter()
        .map(|row| record::definition(row).map_err(|error| corrupt("a definition", &error)))
        .collect()
}

pub(super) async fn put_definition(
    connection: &mut Connection,
    name: &str,
    body: &Json,
    built_in: bool,
    created_by: &str,
    now_ms: i64,
) -> Result<DefinitionRow, sqlx::Error> {
    alone(connection).await?;
    let newest = sql!(NEWEST_DEFINITION)
        .bind(name)
        .optional(connection)
        .await?
        .map(|row| record::definition(&row))
        .transpose()?;
    let version = match newest {
        Some(row) if row.body == *body => return Ok(row),
        Some(row) => row.version + 1,
        None => 1,
    };
    sql!(
        "insert into saga_definitions (name, version, body, built_in, created_by, created_ms) values (?, ?, ?, ?, ?, ?)"
    )
    .bind(name)
    .bind(version)
    .bind(body.as_str())
    .bind(built_in)
    .bind(created_by)
    .bind(now_ms)
    .run(connection)
    .await?;
    Ok(DefinitionRow {
        name: name.to_owned(),
        version,
        body: body.clone(),
        built_in,
        created_by: created_by.to_owned(),
        created_ms: now_ms,
    })
}
