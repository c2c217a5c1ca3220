//! Definitions: reading them, and putting new versions.

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    auth::Actor,
    body::RawBody,
    cursor::PageParams,
    dto::{Definition, DefinitionSummary, Page, Time},
    mapped::unknown_definition,
    path::Name,
    problem::Problem,
    query::{NoQuery, Query},
    view,
};
use crate::engine::DefinitionRow;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_definitions))
        .routes(routes!(get_definition, put_definition))
}

/// List definitions by name.
#[utoipa::path(
    get, path = "/definitions", tag = "definitions", operation_id = "list_definitions", params(PageParams),
    responses(
        (status = 200, description = "One page.", body = Page<DefinitionSummary>),
        (status = 400, description = "`invalid-query`, `invalid-cursor`"),
    ),
)]
async fn list_definitions(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<Page<DefinitionSummary>>, Problem> {
    let window = query.window()?;
    query.finish()?;
    let rows = state.engine().catalog().definitions();
    let page = window.slice(
        rows,
        |row: &DefinitionRow| row.name.clone(),
        view::definition_summary,
    )?;
    Ok(Json(page))
}

/// Get the newest version of a definition.
#[utoipa::path(
    get, path = "/definitions/{name}", tag = "definitions", operation_id = "get_definition",
    params(("name" = String, Path, description = "The definition.")),
    responses(
        (status = 200, description = "The definition.", body = Definition),
        (status = 404, description = "`unknown-definition`"),
    ),
)]
async fn get_definition(
    State(state): State<ApiState>,
    Name(name): Name,
    _: NoQuery,
) -> Result<Json<Definition>, Problem> {
    let row = state.engine().catalog().definition(&name);
    let row = row.ok_or_else(|| unknown_definition(&name))?;
    Ok(Json(shown(row)))
}

/// Put a definition.
///
/// It is checked against the steps that it names and their schemas. Another body than the newest version's becomes the
/// next version, which sagas that start afterwards run.
///
/// A step starts once the steps named in its `after` are done: the step listed before it when `after` is left out, none when
/// it is an empty list. Steps that don't depend on each other run, and are undone, at the same time. `scope` (1 to 64 of
/// A-Z, a-z, 0-9, _, . and -) names the part of the context that a step reads and writes; left out, it is the one that the
/// whole saga shares. Refused with a code of their own: `cycle`; `pivot-not-a-cut`, an irreversible step that is neither before nor after
/// another one; `unordered-writers`, two steps that may write the same key of a scope at the same time.
#[utoipa::path(
    put, path = "/definitions/{name}", tag = "definitions", operation_id = "put_definition",
    params(("name" = String, Path, description = "1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit.")),
    request_body(
        content = Object,
        description = "`kind`, `steps` (1 to 64 of `name`, `component`, `params`, `after`, `scope`, `run`, `compensate`), `summary`, `inputs_schema`",
    ),
    responses(
        (status = 201, description = "The first version of this name.", body = Definition),
        (status = 200, description = "The version that is in force now.", body = Definition),
        (status = 400, description = "`invalid-json`, `invalid-path`"),
        (status = 409, description = "`component-pending`, `component-retired`, `component-revoked`: names the call that approves it"),
        (status = 413, description = "`body-too-large`: over 256 KiB"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-request`: each problem with its place"),
    ),
)]
async fn put_definition(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    Name(name): Name,
    _: NoQuery,
    RawBody(body): RawBody,
) -> Result<Response, Problem> {
    let catalog = state.engine().catalog();
    let known = catalog.definition(&name).is_some();
    let row = catalog.put_definition(&name, &body, &actor.0).await?;
    let status = if known {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, Json(shown(row))).into_response())
}

fn shown(row: DefinitionRow) -> Definition {
    Definition {
        name: row.name,
        version: row.version,
        built_in: row.built_in,
        created_by: row.created_by,
        created_at: Time::from_ms(row.created_ms),
        body: row.body,
    }
}
