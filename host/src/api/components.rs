//! Components: uploading, looking, and reading the bytes and the interface back.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, LOCATION},
    },
    response::{IntoResponse as _, Response},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    auth::Actor,
    body::{collect, media_type, unsupported},
    cursor::PageParams,
    dto::{Asks, ChannelName, Component, ComponentSummary, Grant, Page, Time, Uploaded},
    path::Name,
    problem::{Code, Problem},
    query::{NoQuery, Query},
    view,
};
use crate::{
    cloud,
    engine::{
        ComponentRow, Scope,
        catalog::{CatalogError, MAX_COMPONENT_BYTES},
    },
};

/// How long an upload may wait for its turn, and then take to arrive.
const TURN_WITHIN: Duration = Duration::from_secs(30);
const UPLOAD_WITHIN: Duration = Duration::from_secs(120);

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(upload_component, list_components))
        .routes(routes!(get_component))
        .routes(routes!(get_component_wasm))
        .routes(routes!(get_component_wit))
}

/// Where the channel goes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Query` reads")]
struct UploadParams {
    /// Moves this channel to the component. The first approved component of a name always becomes `stable`.
    channel: Option<String>,
}

/// Upload a component.
///
/// The body is the component itself, at most 64 MiB. It is checked, compiled (in a process of its own, with limits of
/// memory and time) and asked to describe itself before it is there for anybody; a refused upload leaves no trace. The same
/// bytes twice are the same component.
///
/// With a token of scope `admin` it is approved with all that it asks for. With `operate` it is `pending` until an
/// administrator approves it: no saga can use it, and no channel points to it.
#[utoipa::path(
    post, path = "/components", tag = "components", operation_id = "upload_component", params(UploadParams),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "At most 64 MiB."),
    responses(
        (status = 201, description = "It is new.", body = Uploaded, headers(("Location" = String, description = "The component."))),
        (status = 200, description = "The same bytes were there already.", body = Uploaded),
        (status = 400, description = "`invalid-query`, `body-interrupted`"),
        (status = 408, description = "`body-timeout`: it has to arrive within 120 s"),
        (status = 409, description = "`version-exists`: the same name and version with other bytes; `component-pending`, `component-retired`, `component-revoked`: it can be in no channel"),
        (status = 413, description = "`body-too-large`: over 64 MiB"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`not-a-component`, `core-module`, `foreign-import`, `wrong-world`, `invalid-component`, `compile-limit`, `compile-failed`, `invalid-manifest`"),
        (status = 503, description = "`overloaded`: two uploads are being taken, or the process that compiles can't be started or was ended from outside; with `Retry-After`"),
    ),
)]
async fn upload_component(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    Extension(scope): Extension<Scope>,
    mut query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let channel = query.text("channel");
    query.finish()?;
    let media_type = media_type(request.headers());
    if media_type.as_deref() != Some("application/wasm") {
        return Err(unsupported(media_type.as_deref(), "application/wasm"));
    }
    let permit = state.upload_permit(TURN_WITHIN).await?;
    let bytes: Arc<[u8]> = collect(request, MAX_COMPONENT_BYTES, UPLOAD_WITHIN).await?.into();
    let catalog = state.engine().catalog();
    let (channel, replaces) = (channel.as_deref(), state.replaces());
    let uploaded = if scope == Scope::Admin {
        catalog.upload(bytes, channel, &actor.0, replaces).await?
    } else {
        catalog.propose(bytes, channel, &actor.0, replaces).await?
    };
    drop(permit);
    let moved = uploaded.channel_moved.and_then(|channel| {
        let step = catalog.step(&uploaded.row.name)?;
        let row = step.channels.into_iter().find(|row| row.channel == channel)?;
        Some(view::channel(row, &step.components))
    });
    let location = format!("/v1/components/{}", uploaded.row.digest);
    let status = if uploaded.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let answer = Uploaded {
        component: view::component_summary(uploaded.row),
        moved,
    };
    let mut response = (status, Json(answer)).into_response();
    let location = HeaderValue::from_str(&location).expect("a path of our own is legal in a header");
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// Which components.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Query` reads")]
struct Which {
    /// Name of the step.
    name: Option<String>,
}

/// List components by name, of each name the newest upload first.
#[utoipa::path(
    get, path = "/components", tag = "components", operation_id = "list_components", params(Which, PageParams),
    responses(
        (status = 200, description = "One page.", body = Page<ComponentSummary>),
        (status = 400, description = "`invalid-query`, `invalid-cursor`"),
    ),
)]
async fn list_components(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<Page<ComponentSummary>>, Problem> {
    let name = query.text("name");
    let window = query.window()?;
    query.finish()?;
    let steps = state.engine().catalog().steps().into_iter();
    let rows = steps
        .filter(|step| name.as_ref().is_none_or(|name| *name == step.name))
        .flat_map(|step| step.components)
        .collect();
    let page = window.slice(
        rows,
        |row: &ComponentRow| row.digest.clone(),
        view::component_summary,
    )?;
    Ok(Json(page))
}

/// Get a component.
#[utoipa::path(
    get, path = "/components/{digest}", tag = "components", operation_id = "get_component",
    params(("digest" = String, Path, description = "sha256 of its bytes, 64 lower-case hex digits.")),
    responses(
        (status = 200, description = "The component.", body = Component),
        (status = 404, description = "`unknown-component`"),
    ),
)]
async fn get_component(
    State(state): State<ApiState>,
    Name(digest): Name,
    _: NoQuery,
) -> Result<Json<Component>, Problem> {
    answer(&state, &digest)
}

/// The component as it is now.
pub(super) fn answer(state: &ApiState, digest: &str) -> Result<Json<Component>, Problem> {
    let catalog = state.engine().catalog();
    let row = catalog.component(digest).ok_or_else(|| unknown(digest))?;
    let asks = catalog.asks(digest).ok_or_else(|| unknown(digest))?;
    let channels = catalog
        .step(&row.name)
        .map_or_else(Vec::new, |step| step.channels);
    let channels = channels
        .into_iter()
        .filter(|channel| channel.digest == row.digest)
        .map(|channel| ChannelName {
            step: channel.step,
            channel: channel.channel,
        })
        .collect();
    Ok(Json(Component {
        digest: row.digest,
        name: row.name,
        version: row.version,
        manifest: row.manifest,
        size_bytes: row.size_bytes,
        built_in: row.built_in,
        uploaded_by: row.uploaded_by,
        uploaded_at: Time::from_ms(row.uploaded_ms),
        status: row.status.as_str().to_owned(),
        status_by: row.status_by,
        status_at: Time::from_ms(row.status_ms),
        asks: Asks {
            http: asks.http.into_iter().map(grant).collect(),
            reads: asks.reads,
            writes: asks.writes,
            memory_bytes: asks.memory_bytes,
            irreversible: asks.irreversible,
        },
        granted: asks.granted.into_iter().map(grant).collect(),
        channels,
    }))
}

fn grant(grant: cloud::Grant) -> Grant {
    Grant {
        service: grant.service,
        methods: grant.methods,
        path_prefixes: grant.path_prefixes,
    }
}

/// Read a component's bytes back.
#[utoipa::path(
    get, path = "/components/{digest}/wasm", tag = "components", operation_id = "get_component_wasm",
    params(("digest" = String, Path, description = "sha256 of its bytes, 64 lower-case hex digits.")),
    responses(
        (status = 200, description = "The bytes as they were uploaded.", body = Vec<u8>, content_type = "application/wasm"),
        (status = 404, description = "`unknown-component`"),
    ),
)]
async fn get_component_wasm(
    State(state): State<ApiState>,
    Name(digest): Name,
    _: NoQuery,
) -> Result<Response, Problem> {
    let bytes = state.store().component_bytes(&digest).await?;
    let bytes = bytes.ok_or_else(|| unknown(&digest))?;
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/wasm"))];
    Ok((headers, bytes::Bytes::from_owner(bytes)).into_response())
}

/// Read the interface of a component.
#[utoipa::path(
    get, path = "/components/{digest}/wit", tag = "components", operation_id = "get_component_wit",
    params(("digest" = String, Path, description = "sha256 of its bytes, 64 lower-case hex digits.")),
    responses(
        (status = 200, description = "What it imports and exports, as WIT.", body = String, content_type = "text/plain"),
        (status = 404, description = "`unknown-component`"),
        (status = 503, description = "`overloaded`: the process that compiles can't be started or was ended from outside; with `Retry-After`"),
    ),
)]
async fn get_component_wit(
    State(state): State<ApiState>,
    Name(digest): Name,
    _: NoQuery,
) -> Result<String, Problem> {
    match state.engine().catalog().pinned(&digest).await {
        Ok(pinned) => pinned.component.wit().map(str::to_owned).ok_or_else(|| {
            let detail = "the component carries no interface that can be printed";
            Problem::new(Code::InvalidComponent, detail)
        }),
        Err(CatalogError::Unknown(_)) => Err(unknown(&digest)),
        Err(CatalogError::Unusable { reason, .. }) => Err(Problem::new(
            Code::InvalidComponent,
            format!("this version of the host can't use the component: {reason}"),
        )),
        Err(error @ CatalogError::Revoked(_)) => Err(Problem::new(Code::ComponentRevoked, error.to_string())),
        Err(CatalogError::NotNow { reason, .. }) => {
            tracing::error!(digest, reason, "a component can't be compiled now");
            let detail = "the host can't compile the component now; ask again";
            Err(Problem::new(Code::Overloaded, detail).retry_after(5))
        }
        Err(CatalogError::Store(error)) => Err(error.into()),
    }
}

pub(super) fn unknown(digest: &str) -> Problem {
    Problem::new(
        Code::UnknownComponent,
        format!(
            "there is no component {digest:?}; a digest is 64 lower-case hex digits, GET /v1/components lists them"
        ),
    )
}
