//! Hosts: who works on the database, and who did.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    dto::{Host, HostList, Time},
    problem::Problem,
    query::NoQuery,
};
use crate::engine::HostRow;

/// Hosts of one answer.
const MOST: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list_hosts))
}

/// List the hosts.
///
/// Those that work on the database, and those that did: a host that is lost is forgotten after a week.
#[utoipa::path(
    get, path = "/hosts", tag = "hosts", operation_id = "list_hosts",
    responses((status = 200, description = "The living ones first, each newest first.", body = HostList)),
)]
async fn list_hosts(State(state): State<ApiState>, _: NoQuery) -> Result<Json<HostList>, Problem> {
    let engine = state.engine();
    let shared = engine.store().is_shared();
    let rows = engine.hosts(MOST).await?;
    let shown = |row: HostRow| Host {
        this: engine.is_this(&row),
        id: row.id.to_string(),
        started: Time::from_ms(row.started_ms),
        seen: Time::from_ms(row.seen_ms),
        lease_until: shared.then(|| Time::from_ms(row.lease_until_ms)),
        lost: row.lost_ms.map(Time::from_ms),
        calling: row.calling.into_iter().map(|saga| saga.to_string()).collect(),
    };
    Ok(Json(HostList {
        items: rows.into_iter().map(shown).collect(),
    }))
}
