//! Findings: what needs a person.

use axum::{Json, extract::State};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    cursor::PageParams,
    dto::{Finding, Page},
    problem::Problem,
    query::Query,
    view,
};
use crate::engine::{Cursor, FindingRow};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list_findings))
}

/// Which findings.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Query` reads")]
struct Which {
    /// Id of the saga that it is about.
    saga: Option<String>,
    /// `true`: also those that are resolved.
    all: Option<bool>,
}

/// List findings, newest first.
#[utoipa::path(
    get, path = "/findings", tag = "findings", operation_id = "list_findings", params(Which, PageParams),
    responses(
        (status = 200, description = "One page.", body = Page<Finding>),
        (status = 400, description = "`invalid-query`, `invalid-cursor`"),
    ),
)]
async fn list_findings(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<Page<Finding>>, Problem> {
    let saga = query.saga("saga");
    let all = query.flag("all");
    let window = query.window()?;
    query.finish()?;
    let rows = state.store().findings(saga, !all, window.page()).await?;
    let position = |row: &FindingRow| Cursor {
        at_ms: row.created_ms,
        id: row.id.clone(),
    };
    Ok(Json(window.close(rows, position, view::finding)))
}
