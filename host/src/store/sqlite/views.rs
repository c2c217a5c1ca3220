//! Listings: newest first, by keyset, never by offset.

use sqlx::{QueryBuilder, Sqlite, SqlitePool, sqlite::SqliteRow};

use super::{error::store_error, record, round::json};
use crate::{
    saga::{IntentId, JournalRecord, ResourceKey, SagaId},
    store::{FindingRow, Page, ProvisionedRow, ResourceFilter, ResourceRow, SagaFilter, SagaRow, StoreError},
};

/// A listing that is being put together: `select … where true`, then conditions, then the page.
struct Listing(QueryBuilder<Sqlite>);

impl Listing {
    fn of(table: &str) -> Listing {
        Listing(QueryBuilder::new(format!("select * from {table} where true")))
    }

    fn equal(&mut self, column: &str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.0.push(format!(" and {column} = ")).push_bind(value.into());
        }
    }

    fn missing(&mut self, column: &str) {
        self.0.push(format!(" and {column} is null"));
    }

    async fn page(
        mut self,
        readers: &SqlitePool,
        time: &str,
        id: &str,
        page: Page,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        if let Some(after) = page.after {
            self.0
                .push(format!(" and ({time}, {id}) < ("))
                .push_bind(after.at_ms)
                .push(", ")
                .push_bind(after.id)
                .push(")");
        }
        self.0
            .push(format!(" order by {time} desc, {id} desc limit "))
            .push_bind(page.limit);
        self.0.build().fetch_all(readers).await.map_err(store_error)
    }
}

fn all<T>(
    what: &str,
    rows: &[SqliteRow],
    read: fn(&SqliteRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, StoreError> {
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
    readers: &SqlitePool,
    filter: &SagaFilter,
    page: Page,
) -> Result<Vec<SagaRow>, StoreError> {
    let mut listing = Listing::of("saga_runs");
    listing.equal("status", filter.status.map(crate::saga::Status::as_str));
    listing.equal("kind", filter.kind.map(crate::saga::Kind::as_str));
    listing.equal("deployment_id", filter.deployment_id.as_deref());
    listing.equal("definition_name", filter.definition.as_deref());
    let rows = listing.page(readers, "created_ms", "id", page).await?;
    all("a saga", &rows, record::saga)
}

pub(super) async fn open_plans(readers: &SqlitePool) -> Result<Vec<String>, StoreError> {
    sqlx::query_scalar("select distinct plan_digest from saga_runs where ended_ms is null")
        .fetch_all(readers)
        .await
        .map_err(store_error)
}

/// A saga whose id can't be read is left out, as when sagas are due.
pub(super) async fn open_sagas_of_plans(
    readers: &SqlitePool,
    plans: &[String],
    after: Option<SagaId>,
    limit: u32,
) -> Result<Vec<SagaId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select id from saga_runs
         where ended_ms is null and plan_digest in (select value from json_each(?)) and id > ?
         order by id limit ?",
    )
    .bind(json(plans))
    .bind(after.map_or_else(String::new, |after| after.to_string()))
    .bind(limit)
    .fetch_all(readers)
    .await
    .map_err(store_error)?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

pub(super) async fn sagas_of(readers: &SqlitePool, ids: &[SagaId]) -> Result<Vec<SagaRow>, StoreError> {
    let rows = sqlx::query("select * from saga_runs where id in (select value from json_each(?))")
        .bind(json(ids))
        .fetch_all(readers)
        .await
        .map_err(store_error)?;
    all("a saga", &rows, record::saga)
}

pub(super) async fn requests(
    readers: &SqlitePool,
    saga: SagaId,
    after: Option<IntentId>,
    limit: u32,
) -> Result<Vec<JournalRecord>, StoreError> {
    let rows = sqlx::query(
        "select
            id, saga_id, step, phase, once_key, service, identity, method, path, request_hash, redacted_body, at_ms,
            state, ended_ms, conclusive, status, headers, x'' as body
         from http_journal where saga_id = ? and id > ? order by id limit ?",
    )
    .bind(saga.to_string())
    .bind(after.map_or_else(String::new, |after| after.to_string()))
    .bind(limit)
    .fetch_all(readers)
    .await
    .map_err(store_error)?;
    all("a request", &rows, record::journal)
}

pub(super) async fn resources(
    readers: &SqlitePool,
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
        .page(readers, "first_seen_ms", "resource_id", page)
        .await?;
    all("a resource", &rows, record::resource)
}

pub(super) async fn resource(
    readers: &SqlitePool,
    key: &ResourceKey,
) -> Result<Option<ResourceRow>, StoreError> {
    resource_by_id(readers, &key.resource_id()).await
}

pub(super) async fn resource_by_id(
    readers: &SqlitePool,
    resource_id: &str,
) -> Result<Option<ResourceRow>, StoreError> {
    let row = sqlx::query("select * from cloud_resources where resource_id = ?")
        .bind(resource_id)
        .fetch_optional(readers)
        .await
        .map_err(store_error)?;
    row.map(|row| record::resource(&row).map_err(|error| corrupt(resource_id, &error)))
        .transpose()
}

pub(super) async fn provisioned(
    readers: &SqlitePool,
    resource_id: &str,
) -> Result<Vec<ProvisionedRow>, StoreError> {
    let rows =
        sqlx::query("select * from cloud_provisioned where resource_id = ? order by spec_version desc")
            .bind(resource_id)
            .fetch_all(readers)
            .await
            .map_err(store_error)?;
    all(resource_id, &rows, record::provisioned)
}

pub(super) async fn findings(
    readers: &SqlitePool,
    saga: Option<SagaId>,
    open_only: bool,
    page: Page,
) -> Result<Vec<FindingRow>, StoreError> {
    let mut listing = Listing::of("findings");
    listing.equal("saga_id", saga.map(|saga| saga.to_string()));
    if open_only {
        listing.missing("resolved_ms");
    }
    let rows = listing.page(readers, "created_ms", "id", page).await?;
    all("a finding", &rows, record::finding)
}
