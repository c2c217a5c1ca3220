//! Listings: newest first, by keyset, never by offset.
//!
//! A row that makes no sense is left out of a listing over sagas, and said in the log: it must not hide all others.

use super::{
    connection::{Connection, Query, sql},
    error::store_error,
    record,
    round::json,
    value::{Row, Value},
};
use crate::{
    saga::{IntentId, JournalRecord, ResourceKey, SagaId},
    store::{
        Cursor, FindingRow, Page, ProvisionedRow, ResourceFilter, ResourceRow, SagaFilter, SagaRow,
        StoreError,
    },
};

/// A listing that is being put together: `select … where true`, then conditions, then the page.
struct Listing {
    text: String,
    values: Vec<Value>,
    /// Of one saga: whoever asks relies on every row.
    is_whole: bool,
}

impl Listing {
    fn of(table: &'static str) -> Listing {
        Listing {
            text: format!("select * from {table} where true"),
            values: Vec::new(),
            is_whole: false,
        }
    }

    fn equal(&mut self, column: &'static str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.text.push_str(&format!(" and {column} = ?"));
            self.values.push(value.into().into());
        }
    }

    fn missing(&mut self, column: &'static str) {
        self.text.push_str(&format!(" and {column} is null"));
    }

    /// Reads on until the page is full or nothing is left, so that a short page is the last one.
    async fn page<T>(
        &self,
        connection: &mut Connection,
        what: &str,
        read: fn(&Row) -> Result<T, sqlx::Error>,
        (time, id): (&'static str, &'static str),
        page: Page,
    ) -> Result<Vec<T>, StoreError> {
        let mut after = page.after;
        let mut listed = Vec::new();
        loop {
            let wanted = page
                .limit
                .saturating_sub(u32::try_from(listed.len()).unwrap_or(u32::MAX));
            let (mut text, mut values) = (self.text.clone(), self.values.clone());
            if let Some(after) = after {
                text.push_str(&format!(" and ({time}, {id}) < (?, ?)"));
                values.extend([after.at_ms.into(), after.id.into()]);
            }
            text.push_str(&format!(" order by {time} desc, {id} desc limit ?"));
            values.push(wanted.into());
            let query = Query::put_together(text, values);
            let rows = query.all(connection).await.map_err(store_error)?;
            let before = listed.len();
            if self.is_whole {
                listed.extend(all(what, &rows, read)?);
            } else {
                listed.extend(readable(what, &rows, read));
            }
            let is_last = rows.len() < wanted as usize;
            match rows.last() {
                Some(last) if !is_last && listed.len() - before < rows.len() => {
                    after = Some(Cursor {
                        at_ms: last.try_get(time).map_err(store_error)?,
                        id: last.try_get(id).map_err(store_error)?,
                    });
                }
                Some(_) | None => return Ok(listed),
            }
        }
    }
}

/// Those that can be read.
pub(super) fn readable<T>(what: &str, rows: &[Row], read: fn(&Row) -> Result<T, sqlx::Error>) -> Vec<T> {
    let listed = rows.iter().filter_map(|row| match read(row) {
        Ok(row) => Some(row),
        Err(error) => {
            tracing::error!(what, id = row.id(), %error, "a row can't be read; it is left out of a listing");
            None
        }
    });
    listed.collect()
}

/// Ids of sagas, the first column of these rows. One that can't be read is left out: it stays where it is, for a person to look
/// at.
pub(super) fn ids(rows: &[Row]) -> Result<Vec<SagaId>, StoreError> {
    let texts: Result<Vec<&str>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    let texts = texts.map_err(store_error)?;
    Ok(texts.iter().filter_map(|id| id.parse().ok()).collect())
}

fn all<T>(what: &str, rows: &[Row], read: fn(&Row) -> Result<T, sqlx::Error>) -> Result<Vec<T>, StoreError> {
    rows.iter()
        .map(|row| read(row).map_err(|error| corrupt(what, &error)))
        .collect()
}

pub(super) fn corrupt(what: &str, error: &sqlx::Error) -> StoreError {
    StoreError::Corrupt {
        what: what.to_owned(),
        reason: error.to_string(),
    }
}

pub(super) async fn sagas(
    connection: &mut Connection,
    filter: &SagaFilter,
    page: Page,
) -> Result<Vec<SagaRow>, StoreError> {
    let mut listing = Listing::of("saga_runs");
    listing.equal("status", filter.status.map(crate::saga::Status::as_str));
    listing.equal("kind", filter.kind.map(crate::saga::Kind::as_str));
    listing.equal("deployment_id", filter.deployment_id.as_deref());
    listing.equal("definition_name", filter.definition.as_deref());
    let order = ("created_ms", "id");
    listing
        .page(connection, "a saga", record::saga, order, page)
        .await
}

pub(super) async fn open_plans(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let rows = sql!("select distinct plan_digest from saga_runs where ended_ms is null")
        .all(connection)
        .await
        .map_err(store_error)?;
    let digests: Result<_, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    digests.map_err(store_error)
}

pub(super) async fn open_sagas_of_plans(
    connection: &mut Connection,
    plans: &[String],
    after: Option<SagaId>,
    limit: u32,
) -> Result<Vec<SagaId>, StoreError> {
    let rows = sql!(
        "select id from saga_runs
         where ended_ms is null and plan_digest in {elements: ?} and id > ?
         order by id limit ?"
    )
    .bind(json(plans))
    .bind(after.map_or_else(String::new, |after| after.to_string()))
    .bind(limit)
    .all(connection)
    .await
    .map_err(store_error)?;
    ids(&rows)
}

pub(super) async fn sagas_of(
    connection: &mut Connection,
    ids: &[SagaId],
) -> Result<Vec<SagaRow>, StoreError> {
    let rows = sql!("select * from saga_runs where id in {elements: ?}")
        .bind(json(ids))
        .all(connection)
        .await
        .map_err(store_error)?;
    Ok(readable("a saga", &rows, record::saga))
}

pub(super) async fn requests(
    connection: &mut Connection,
    saga: SagaId,
    after: Option<IntentId>,
    limit: u32,
) -> Result<Vec<JournalRecord>, StoreError> {
    let rows = sql!(
        "select
            id, saga_id, step, phase, once_key, service, identity, method, path, request_hash, redacted_body, at_ms,
            state, ended_ms, conclusive, status, headers, ? as body
         from http_journal where saga_id = ? and id > ? order by id limit ?"
    )
    .bind([].as_slice())
    .bind(saga.to_string())
    .bind(after.map_or_else(String::new, |after| after.to_string()))
    .bind(limit)
    .all(connection)
    .await
    .map_err(store_error)?;
    all("a request", &rows, record::journal)
}

pub(super) async fn creates(
    connection: &mut Connection,
    after: Option<IntentId>,
    limit: u32,
) -> Result<Vec<JournalRecord>, StoreError> {
    let rows = sql!(
        "select
            id, saga_id, step, phase, once_key, service, identity, method, path, request_hash, redacted_body, at_ms,
            state, ended_ms, conclusive, status, headers, ? as body
         from http_journal where phase = 'run' and method = 'POST' and id > ? order by id limit ?"
    )
    .bind([].as_slice())
    .bind(after.map_or_else(String::new, |after| after.to_string()))
    .bind(limit)
    .all(connection)
    .await
    .map_err(store_error)?;
    Ok(readable("a request", &rows, record::journal))
}

pub(super) async fn resources(
    connection: &mut Connection,
    filter: &ResourceFilter,
    page: Page,
) -> Result<Vec<ResourceRow>, StoreError> {
    let mut listing = Listing::of("cloud_resources");
    listing.equal("provider", filter.provider.as_deref());
    listing.equal("kind", filter.kind.as_deref());
    listing.equal("provider_id", filter.provider_id.as_deref());
    listing.equal("saga_id", filter.saga.map(|saga| saga.to_string()));
    if !filter.with_deleted {
        listing.missing("deleted_ms");
    }
    listing.is_whole = filter.saga.is_some();
    let order = ("first_seen_ms", "resource_id");
    listing
        .page(connection, "a resource", record::resource, order, page)
        .await
}

pub(super) async fn resource(
    connection: &mut Connection,
    key: &ResourceKey,
) -> Result<Option<ResourceRow>, StoreError> {
    resource_by_id(connection, &key.resource_id()).await
}

pub(super) async fn resource_by_id(
    connection: &mut Connection,
    resource_id: &str,
) -> Result<Option<ResourceRow>, StoreError> {
    let row = sql!("select * from cloud_resources where resource_id = ?")
        .bind(resource_id)
        .optional(connection)
        .await
        .map_err(store_error)?;
    row.map(|row| record::resource(&row).map_err(|error| corrupt(resource_id, &error)))
        .transpose()
}

pub(super) async fn provisioned(
    connection: &mut Connection,
    resource_id: &str,
) -> Result<Vec<ProvisionedRow>, StoreError> {
    let rows = sql!("select * from cloud_provisioned where resource_id = ? order by spec_version desc")
        .bind(resource_id)
        .all(connection)
        .await
        .map_err(store_error)?;
    all(resource_id, &rows, record::provisioned)
}

pub(super) async fn findings(
    connection: &mut Connection,
    saga: Option<SagaId>,
    open_only: bool,
    page: Page,
) -> Result<Vec<FindingRow>, StoreError> {
    let mut listing = Listing::of("findings");
    listing.equal("saga_id", saga.map(|saga| saga.to_string()));
    if open_only {
        listing.missing("resolved_ms");
    }
    let order = ("created_ms", "id");
    listing
        .page(connection, "a finding", record::finding, order, page)
        .await
}
