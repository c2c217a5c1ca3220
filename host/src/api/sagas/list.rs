//! The list of sagas.

use axum::{Json, extract::State};
use utoipa::IntoParams;

use crate::{
    api::{
        ApiState,
        cursor::PageParams,
        dto::{Page, SagaSummary},
        problem::Problem,
        query::Query,
        view,
    },
    engine::{Cursor, SagaFilter},
    saga::{Kind, Status},
};

/// Which sagas.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Query` reads")]
pub(super) struct Which {
    /// `running`, `completed`, `compensating`, `compensated`, `cancelled`, `needs-attention` or `abandoned`.
    status: Option<String>,
    /// `provision`, `suspend`, `offboard`, `update`, `rollback` or `test`.
    kind: Option<String>,
    deployment_id: Option<String>,
    /// Name of the definition.
    definition: Option<String>,
}

/// List sagas, newest first.
#[utoipa::path(
    get, path = "/sagas", tag = "sagas", operation_id = "list_sagas", params(Which, PageParams),
    responses(
        (status = 200, description = "One page.", body = Page<SagaSummary>),
        (status = 400, description = "`invalid-query`, `invalid-cursor`"),
    ),
)]
pub(super) async fn list_sagas(
    State(state): State<ApiState>,
    mut query: Query,
) -> Result<Json<Page<SagaSummary>>, Problem> {
    let statuses = Status::ALL.map(Status::as_str).join(", ");
    let kinds = Kind::ALL.map(Kind::as_str).join(", ");
    let filter = SagaFilter {
        status: query.read("status", &format!("one of {statuses}"), Status::parse),
        kind: query.read("kind", &format!("one of {kinds}"), Kind::parse),
        deployment_id: query.text("deployment_id"),
        definition: query.text("definition"),
    };
    let window = query.window()?;
    query.finish()?;
    let rows = state.store().sagas(&filter, window.page()).await?;
    let position = |row: &crate::engine::SagaRow| Cursor {
        at_ms: row.created_ms,
        id: row.id.to_string(),
    };
    Ok(Json(window.close(rows, position, view::saga_summary)))
}
