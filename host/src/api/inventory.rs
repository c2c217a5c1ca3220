//! The inventory: what is in the cloud because of us, and what each thing should be.

use axum::{Json, extract::State};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    cursor::{PageParams, Window},
    dto::{Page, Provisioned, Resource, ResourceSummary},
    path::Name,
    problem::{Code, Problem},
    query::{NoQuery, Query},
    view,
};
use crate::engine::{Cursor, ProvisionedRow, ResourceFilter, ResourceRow};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_resources))
        .routes(routes!(get_resource))
        .routes(routes!(list_provisioned))
}

/// Which resources.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Query` reads")]
struct Which {
    /// For example `digitalocean`.
    provider: Option<String>,
    /// For example `droplet` or `snapshot`.
    kind: Option<String>,
    /// Id of the saga that made it.
    saga: Option<String>,
    /// `true`: also those that are confirmed gone.
    deleted: Option<bool>,
}

/// List resources, newest first.
#[utoipa::path(
    get, path = "/inventory/resources", tag = "inventory", operation_id = "list_resources", params(Which, PageParams),
    responses(
        (status = 200, description = "One page.", body = Page<ResourceSummary>),
        (status = 400, description = "`invalid-query`, `invalid-cursor`"),
    ),
)]
async fn list_resources(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<Page<ResourceSummary>>, Problem> {
    let filter = ResourceFilter {
        provider: query.text("provider"),
        kind: query.text("kind"),
        provider_id: None,
        saga: query.saga("saga"),
        with_deleted: query.flag("deleted"),
    };
    let window = query.window()?;
    query.finish()?;
    page(&state, &filter, &window).await.map(Json)
}

pub(super) async fn page(
    state: &ApiState,
    filter: &ResourceFilter,
    window: &Window,
) -> Result<Page<ResourceSummary>, Problem> {
    let rows = state.store().resources(filter, window.page()).await?;
    let position = |row: &ResourceRow| Cursor {
        at_ms: row.first_seen_ms,
        id: row.resource_id.clone(),
    };
    Ok(window.close(rows, position, view::resource_summary))
}

/// Get a resource.
#[utoipa::path(
    get, path = "/inventory/resources/{id}", tag = "inventory", operation_id = "get_resource",
    params(("id" = String, Path, description = "Our id of it, `res-…`.")),
    responses(
        (status = 200, description = "The resource.", body = Resource),
        (status = 404, description = "`unknown-resource`"),
    ),
)]
async fn get_resource(
    State(state): State<ApiState>,
    Name(id): Name,
    _: NoQuery,
) -> Result<Json<Resource>, Problem> {
    Ok(Json(view::resource(known(&state, &id).await?)))
}

/// List what a resource should be, newest version first.
#[utoipa::path(
    get, path = "/inventory/resources/{id}/provisioned", tag = "inventory", operation_id = "list_provisioned",
    params(("id" = String, Path, description = "Our id of it, `res-…`."), PageParams),
    responses(
        (status = 200, description = "One page; the newest version that is not withdrawn holds.", body = Page<Provisioned>),
        (status = 400, description = "`invalid-query`, `invalid-cursor`"),
        (status = 404, description = "`unknown-resource`"),
    ),
)]
async fn list_provisioned(
    State(state): State<ApiState>,
    Name(id): Name,
    mut query: Query,
) -> Result<Json<Page<Provisioned>>, Problem> {
    let window = query.window()?;
    query.finish()?;
    known(&state, &id).await?;
    let rows = state.store().provisioned(&id).await?;
    let page = window.slice(
        rows,
        |row: &ProvisionedRow| row.spec_version.to_string(),
        view::provisioned,
    )?;
    Ok(Json(page))
}

async fn known(state: &ApiState, id: &str) -> Result<ResourceRow, Problem> {
    state.store().resource_by_id(id).await?.ok_or_else(|| {
        Problem::new(
            Code::UnknownResource,
            format!("there is no resource {id:?}; GET /v1/inventory/resources lists them"),
        )
    })
}
