//! Components, channels, definitions: few writes, each a transaction of its own.

use std::sync::Arc;

use sqlx::{Connection as _, SqliteConnection, SqlitePool};

use super::{
    error::{commit_error, store_error},
    record,
    views::corrupt,
};
use crate::{
    saga::Json,
    store::{ChannelRow, ComponentRow, DefinitionRow, NewComponent, PutComponent, StoreError},
};

pub(super) async fn put_component(
    writer: &mut SqliteConnection,
    component: NewComponent,
    replace: bool,
    now_ms: i64,
) -> Result<PutComponent, StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let put = insert_component(&mut transaction, component, replace, now_ms)
        .await
        .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(put)
}

async fn insert_component(
    connection: &mut SqliteConnection,
    component: NewComponent,
    replace: bool,
    now_ms: i64,
) -> Result<PutComponent, sqlx::Error> {
    let same = sqlx::query("select * from step_components where digest = ?")
        .bind(&component.digest)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = same {
        return Ok(PutComponent::Same(record::component(&row)?));
    }
    let namesake = sqlx::query(
        "select * from step_components where name = ? and version = ? order by uploaded_ms desc, digest desc limit 1",
    )
    .bind(&component.name)
    .bind(&component.version)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = namesake
        && !replace
    {
        return Ok(PutComponent::VersionExists(record::component(&row)?));
    }
    let row = ComponentRow {
        digest: component.digest,
        name: component.name,
        version: component.version,
        manifest: component.manifest,
        size_bytes: component.bytes.len() as u64,
        built_in: component.built_in,
        status: component.status,
        status_by: component.uploaded_by.clone(),
        status_ms: now_ms,
        granted: component.granted,
        uploaded_by: component.uploaded_by,
        uploaded_ms: now_ms,
    };
    sqlx::query(
        "insert into step_components (
            digest, name, version, manifest, size_bytes, built_in, uploaded_by, uploaded_ms, status, granted
         ) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    .execute(&mut *connection)
    .await?;
    sqlx::query("insert into step_component_blobs (digest, bytes) values (?, ?)")
        .bind(&row.digest)
        .bind(&*component.bytes)
        .execute(&mut *connection)
        .await?;
    Ok(PutComponent::Added(row))
}

pub(super) async fn component(
    readers: &SqlitePool,
    digest: &str,
) -> Result<Option<ComponentRow>, StoreError> {
    let row = sqlx::query("select * from step_components where digest = ?")
        .bind(digest)
        .fetch_optional(readers)
        .await
        .map_err(store_error)?;
    row.map(|row| record::component(&row).map_err(|error| corrupt(digest, &error)))
        .transpose()
}

pub(super) async fn component_bytes(
    readers: &SqlitePool,
    digest: &str,
) -> Result<Option<Arc<[u8]>>, StoreError> {
    let bytes: Option<Vec<u8>> =
        sqlx::query_scalar("select bytes from step_component_blobs where digest = ?")
            .bind(digest)
            .fetch_optional(readers)
            .await
            .map_err(store_error)?;
    Ok(bytes.map(Arc::from))
}

pub(super) async fn components(readers: &SqlitePool) -> Result<Vec<ComponentRow>, StoreError> {
    let rows = sqlx::query("select * from step_components order by name, uploaded_ms desc, digest desc")
        .fetch_all(readers)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record::component(row).map_err(|error| corrupt("a component", &error)))
        .collect()
}

pub(super) async fn channels(readers: &SqlitePool) -> Result<Vec<ChannelRow>, StoreError> {
    let rows = sqlx::query("select * from step_channels order by step, channel")
        .fetch_all(readers)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record::channel(row).map_err(|error| corrupt("a channel", &error)))
        .collect()
}

pub(super) async fn set_channel(
    writer: &mut SqliteConnection,
    channel: ChannelRow,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into step_channels (step, channel, digest, built_in, moved_by, moved_ms) values (?, ?, ?, ?, ?, ?)
         on conflict (step, channel) do update set
            digest = excluded.digest, built_in = excluded.built_in, moved_by = excluded.moved_by,
            moved_ms = excluded.moved_ms",
    )
    .bind(channel.step)
    .bind(channel.channel)
    .bind(channel.digest)
    .bind(channel.built_in)
    .bind(channel.moved_by)
    .bind(channel.moved_ms)
    .execute(writer)
    .await
    .map_err(commit_error)?;
    Ok(())
}

const NEWEST_DEFINITION: &str = "select * from saga_definitions where name = ? order by version desc limit 1";

pub(super) async fn definition(
    readers: &SqlitePool,
    name: &str,
) -> Result<Option<DefinitionRow>, StoreError> {
    let row = sqlx::query(NEWEST_DEFINITION)
        .bind(name)
        .fetch_optional(readers)
        .await
        .map_err(store_error)?;
    row.map(|row| record::definition(&row).map_err(|error| corrupt(name, &error)))
        .transpose()
}

pub(super) async fn definitions(readers: &SqlitePool) -> Result<Vec<DefinitionRow>, StoreError> {
    let rows = sqlx::query(
        "select * from saga_definitions as one
         where version = (select max(version) from saga_definitions as other where other.name = one.name)
         order by name",
    )
    .fetch_all(readers)
    .await
    .map_err(store_error)?;
    rows.iter()
        .map(|row| record::definition(row).map_err(|error| corrupt("a definition", &error)))
        .collect()
}

pub(super) async fn put_definition(
    writer: &mut SqliteConnection,
    name: &str,
    body: &Json,
    built_in: bool,
    created_by: &str,
    now_ms: i64,
) -> Result<DefinitionRow, StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let row = insert_definition(&mut transaction, name, body, built_in, created_by, now_ms)
        .await
        .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(row)
}

async fn insert_definition(
    connection: &mut SqliteConnection,
    name: &str,
    body: &Json,
    built_in: bool,
    created_by: &str,
    now_ms: i64,
) -> Result<DefinitionRow, sqlx::Error> {
    let newest = sqlx::query(NEWEST_DEFINITION)
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?
        .map(|row| record::definition(&row))
        .transpose()?;
    let version = match newest {
        Some(row) if row.body == *body => return Ok(row),
        Some(row) => row.version + 1,
        None => 1,
    };
    sqlx::query(
        "insert into saga_definitions (name, version, body, built_in, created_by, created_ms) values (?, ?, ?, ?, ?, ?)",
    )
    .bind(name)
    .bind(version)
    .bind(body.as_str())
    .bind(built_in)
    .bind(created_by)
    .bind(now_ms)
    .execute(connection)
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
