//! Many stuck sagas begun anew at once.

use axum::{Extension, Json, extract::State};

use super::repin::asked;
use crate::{
    api::{
        ApiState,
        auth::Actor,
        body::Body,
        cursor,
        dto::{RetriedSagas, RetrySagas, SagaRetried, StuckStep},
        problem::Problem,
        query::NoQuery,
    },
    engine::{Retried, SagaFilter},
};

/// Begin anew all sagas that need attention and match.
///
/// As `retry` for each of them; each is decided for itself. At most 200 are looked at by one request, newest first; `next_cursor` tells
/// where to go on. What is retried is durable when the answer comes.
#[utoipa::path(
    post, path = "/sagas/retry", tag = "sagas", operation_id = "retry_sagas", request_body = RetrySagas,
    responses(
        (status = 200, description = "What became of each that matched.", body = RetriedSagas),
        (status = 400, description = "`invalid-json`, `invalid-cursor`"),
        (status = 422, description = "`invalid-request`: a reason is needed, unless it is a dry run"),
    ),
)]
pub(super) async fn retry_sagas(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    Body(body): Body<RetrySagas>,
) -> Result<Json<RetriedSagas>, Problem> {
    let asked = asked(actor, body.reason, body.dry_run)?;
    let after = body.cursor.as_deref().map(cursor::decode).transpose()?;
    let filter = SagaFilter {
        status: None,
        kind: body.kind,
        deployment_id: body.deployment_id,
        definition: body.definition,
    };
    let asked = (!body.dry_run).then_some(asked);
    let all = state
        .engine()
        .retry_all(filter, body.code.as_deref(), after, asked)
        .await?;
    Ok(Json(RetriedSagas {
        items: all.sagas.into_iter().map(shown).collect(),
        next_cursor: all.next.as_ref().map(cursor::encode),
    }))
}

fn shown(retried: Retried) -> SagaRetried {
    let stuck = retried.stuck.into_iter().map(|(step, failure)| StuckStep {
        step,
        code: failure.code,
        message: failure.message,
    });
    let (status, done, problem) = match retried.result {
        None => (retried.row.status, false, None),
        Some(Ok(row)) => (row.status, true, None),
        Some(Err(error)) => (retried.row.status, false, Some(Problem::from(error).document())),
    };
    SagaRetried {
        id: retried.row.id,
        stuck: stuck.collect(),
        status,
        retried: done,
        problem,
    }
}
