//! Listings: newest first, by keyset, never by offset.

use super::{
    connection::{Connection, Query, sql},
    error::store_error,
    record,
    round::json,
    value::{Row, Value},
};
use crate::{
    saga::{IntentId, JournalRecord, ResourceKey, SagaId},
    store::{FindingRow, Page, ProvisionedRow, ResourceFilter, ResourceRow, SagaFilter, SagaRow, StoreError},
};

/// A listing that is being put together: `select … where true`, then conditions, then the page.
struct Listing {
    text: String,
    values: Vec<Value>,
}

impl Listing {
    fn of(table: &'static str) -> Listing {
        Listing {
            text: format!("select * from {table} where true"),
            values: Vec::new(),
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

    async fn page(
        mut self,
        connection: &mut Connection,
        time: &'static str,
        id: &'static str,
        page: Page,
    ) -> Result<Vec<Row>, StoreError> {
        if let Some(after) = page.after {
            self.text.push_str(&format!(" and ({time}, {id}) < (?, ?)"));
            self.values.extend([after.at_ms.into(), after.id.into()]);
        }
        self.text
            .push_str(&format!(" order by {time} desc, {id} desc limit ?"));
        self.values.push(page.limit.into());
        let query = Query::put_together(self.text, self.values);
        query.all(connection).await.map_err(store_error)
    }
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
    let rows = listing.page(connection, "created_ms", "id", page).await?;
    all("a saga", &rows, record::saga)
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
    all("a saga", &rows, record::saga)
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
    let rows = listing
        .page(connection, "first_seen_ms", "resource_id", page)
        .await?;
    all("a resource", &rows, record::resource)
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
    let rows = listing.page(connection, "created_ms", "id", page).await?;
    all("a finding", &rows, record::finding)
}
