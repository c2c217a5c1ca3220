//! Droplets: short ways to the three definitions that come with the binary, and to their part of the inventory.

use axum::{Extension, Json, extract::State, response::Response};
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    auth::Actor,
    body::Body,
    cursor::PageParams,
    dto::{CreateDroplet, CreateSnapshot, Page, ResourceSummary, Started},
    headers::{IdempotencyKey, Wait},
    inventory,
    path::Name,
    problem::{Code, Problem},
    query::{NoQuery, Query},
    sagas::{self, Request},
};
use crate::engine::{self, PlanSource, ResourceFilter, ResourceRow};

const PROVIDER: &str = "digitalocean";
const DROPLET: &str = "droplet";
/// Accounts in which the same id is looked for.
const MAX_ACCOUNTS: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_droplets, create_droplet))
        .routes(routes!(destroy_droplet))
        .routes(routes!(snapshot_droplet))
}

/// List the droplets that are not known to be gone, newest first.
#[utoipa::path(
    get, path = "/droplets", tag = "droplets", operation_id = "list_droplets", params(PageParams),
    responses(
        (status = 200, description = "One page of the inventory.", body = Page<ResourceSummary>),
        (status = 400, description = "`invalid-query`, `invalid-cursor`"),
    ),
)]
async fn list_droplets(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<Page<ResourceSummary>>, Problem> {
    let window = query.window()?;
    query.finish()?;
    let filter = ResourceFilter {
        provider: Some(PROVIDER.to_owned()),
        kind: Some(DROPLET.to_owned()),
        ..ResourceFilter::default()
    };
    inventory::page(&state, &filter, &window).await.map(Json)
}

/// Provision a droplet: starts a saga of `provision_droplet`.
#[utoipa::path(
    post, path = "/droplets", tag = "droplets", operation_id = "create_droplet", request_body = CreateDroplet,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "At most 255 characters; kept for as long as the saga."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer when the saga rests, after N seconds (at most 60) at the latest."),
    ),
    responses(
        (status = 202, description = "Accepted.", body = Started, headers(("Location" = String, description = "The saga."))),
        (status = 200, description = "It came to rest within the time to wait.", body = Started),
        (status = 400, description = "`invalid-json`, `invalid-header`"),
        (status = 409, description = "`component-pending`, `component-retired`, `component-revoked`: names the call that approves it"),
        (status = 413, description = "`body-too-large`: over 256 KiB"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-request`, `idempotency-key-reused`"),
        (status = 503, description = "`overloaded`, `store-unavailable`; with `Retry-After`"),
    ),
)]
async fn create_droplet(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    IdempotencyKey(key): IdempotencyKey,
    wait: Wait,
    _: NoQuery,
    Body(body): Body<CreateDroplet>,
) -> Result<Response, Problem> {
    let inputs = inputs([
        ("droplet_name", body.droplet_name.map(Value::String)),
        ("droplet_region", body.droplet_region.map(Value::String)),
        ("droplet_size", body.droplet_size.map(Value::String)),
        ("droplet_image", body.droplet_image),
        ("droplet_tags", body.droplet_tags.map(Value::Array)),
        ("droplet_ssh_keys", body.droplet_ssh_keys.map(Value::Array)),
    ]);
    let request = Request {
        plan: definition("provision_droplet"),
        inputs,
        params: body.params,
        paused: false,
        deployment_id: body.deployment_id,
        triggered_by: body.triggered_by,
        inputs_at: "",
    };
    sagas::start(&state, &actor, request, key, wait).await
}

/// Destroy a droplet: starts a saga of `destroy_droplet`.
///
/// For droplets that are in the inventory; another one needs a saga of that definition by its own name.
#[utoipa::path(
    delete, path = "/droplets/{provider_id}", tag = "droplets", operation_id = "destroy_droplet",
    params(
        ("provider_id" = String, Path, description = "The provider's id of the droplet."),
        ("Idempotency-Key" = Option<String>, Header, description = "At most 255 characters; kept for as long as the saga."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer when the saga rests, after N seconds (at most 60) at the latest."),
    ),
    responses(
        (status = 202, description = "Accepted.", body = Started, headers(("Location" = String, description = "The saga."))),
        (status = 200, description = "It came to rest within the time to wait.", body = Started),
        (status = 400, description = "`invalid-header`, `invalid-path`"),
        (status = 404, description = "`unknown-droplet`"),
        (status = 409, description = "`component-pending`, `component-retired`, `component-revoked`: names the call that approves it"),
        (status = 422, description = "`idempotency-key-reused`"),
        (status = 503, description = "`overloaded`, `store-unavailable`; with `Retry-After`"),
    ),
)]
async fn destroy_droplet(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    Name(provider_id): Name,
    IdempotencyKey(key): IdempotencyKey,
    wait: Wait,
    _: NoQuery,
) -> Result<Response, Problem> {
    known(&state, &provider_id).await?;
    let request = Request {
        plan: definition("destroy_droplet"),
        inputs: inputs([("droplet_provider_id", Some(provider_id.into()))]),
        params: Default::default(),
        paused: false,
        deployment_id: None,
        triggered_by: None,
        inputs_at: "",
    };
    sagas::start(&state, &actor, request, key, wait).await
}

/// Take a snapshot of a droplet: starts a saga of `snapshot_droplet`.
#[utoipa::path(
    post, path = "/droplets/{provider_id}/snapshots", tag = "droplets", operation_id = "snapshot_droplet",
    request_body = CreateSnapshot,
    params(
        ("provider_id" = String, Path, description = "The provider's id of the droplet."),
        ("Idempotency-Key" = Option<String>, Header, description = "At most 255 characters; kept for as long as the saga."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer when the saga rests, after N seconds (at most 60) at the latest."),
    ),
    responses(
        (status = 202, description = "Accepted.", body = Started, headers(("Location" = String, description = "The saga."))),
        (status = 200, description = "It came to rest within the time to wait.", body = Started),
        (status = 400, description = "`invalid-json`, `invalid-header`, `invalid-path`"),
        (status = 404, description = "`unknown-droplet`"),
        (status = 409, description = "`component-pending`, `component-retired`, `component-revoked`: names the call that approves it"),
        (status = 413, description = "`body-too-large`: over 256 KiB"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-request`, `idempotency-key-reused`"),
        (status = 503, description = "`overloaded`, `store-unavailable`; with `Retry-After`"),
    ),
)]
async fn snapshot_droplet(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    Name(provider_id): Name,
    IdempotencyKey(key): IdempotencyKey,
    wait: Wait,
    _: NoQuery,
    Body(body): Body<CreateSnapshot>,
) -> Result<Response, Problem> {
    known(&state, &provider_id).await?;
    let request = Request {
        plan: definition("snapshot_droplet"),
        inputs: inputs([
            ("droplet_provider_id", Some(provider_id.into())),
            ("snapshot_label", body.snapshot_label.map(Value::String)),
        ]),
        params: body.params,
        paused: false,
        deployment_id: body.deployment_id,
        triggered_by: body.triggered_by,
        inputs_at: "",
    };
    sagas::start(&state, &actor, request, key, wait).await
}

fn definition(name: &str) -> PlanSource {
    PlanSource::Definition {
        name: name.to_owned(),
    }
}

fn inputs<const N: usize>(given: [(&str, Option<Value>); N]) -> Map<String, Value> {
    given
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// A droplet that was ever in the inventory. One that is gone counts: a repeated request has to find the saga of the
/// first one, and destroying what is gone ends at once.
async fn known(state: &ApiState, provider_id: &str) -> Result<(), Problem> {
    let filter = ResourceFilter {
        provider: Some(PROVIDER.to_owned()),
        kind: Some(DROPLET.to_owned()),
        provider_id: Some(provider_id.to_owned()),
        with_deleted: true,
        ..ResourceFilter::default()
    };
    let page = engine::Page {
        limit: MAX_ACCOUNTS,
        after: None,
    };
    let rows = state.store().resources(&filter, page).await?;
    let ours = |row: &ResourceRow| state.engine().may_be_reached(&row.resource.key);
    match rows.iter().any(ours) {
        true => Ok(()),
        false => Err(Problem::new(
            Code::UnknownDroplet,
            format!("there is no droplet {provider_id:?} in the inventory; GET /v1/droplets lists them"),
        )),
    }
}
