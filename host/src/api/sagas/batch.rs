//! Many starts at once: each is decided for itself, and all that are accepted are written together.

use axum::{Extension, Json as JsonAnswer, extract::State};
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::start::{accept, request_of};
use crate::{
    api::{
        ApiState,
        auth::Actor,
        body::{LongBody, checked, shaped},
        dto::{BatchResult, BatchStart, BatchStarted, SagaLinks, StartBatch, Started},
        headers::is_key,
        mapped::unknown_saga,
        problem::{Code, Problem},
        query::NoQuery,
    },
    saga::Status,
};

/// Most sagas of one request.
const MAX_SAGAS: usize = 500;
/// Largest body, in bytes; each item has the limit of a single start.
const MAX_BODY_BYTES: usize = 8 << 20;

/// The body, with its items as they came: one that makes no sense must not fail its neighbours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Items {
    sagas: Vec<Box<RawValue>>,
}

/// Start up to 500 sagas.
///
/// Each is decided for itself: the answer has one item per saga, in the order of the request, with the status and the
/// problem that a request for it alone would have got. What is accepted is durable when the answer comes. When no answer
/// comes, some may have been accepted: send the same request again, with an `idempotency_key` for each.
#[utoipa::path(
    post, path = "/sagas/batch", tag = "sagas", operation_id = "start_sagas",
    request_body(content = StartBatch, description = "At most 8 MiB, each item at most 256 KiB."),
    responses(
        (status = 200, description = "What became of each.", body = BatchStarted),
        (status = 400, description = "`invalid-json`"),
        (status = 422, description = "`invalid-request`: not 1 to 500 sagas; nothing was started"),
    ),
)]
pub(super) async fn start_sagas(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    LongBody(text): LongBody<MAX_BODY_BYTES>,
) -> Result<JsonAnswer<BatchStarted>, Problem> {
    let Items { sagas } = shaped(&text)?;
    if !(1..=MAX_SAGAS).contains(&sagas.len()) {
        return Err(Problem::at_pointer(
            Code::InvalidRequest,
            "/sagas",
            "length",
            format!("a batch has 1 to {MAX_SAGAS} sagas, this one has {}", sagas.len()),
        ));
    }
    let starts = sagas
        .iter()
        .enumerate()
        .map(|(index, item)| started(&state, &actor, index, item));
    let items = join_all(starts).await;
    Ok(JsonAnswer(BatchStarted { items }))
}

async fn started(state: &ApiState, actor: &Actor, index: usize, item: &RawValue) -> BatchResult {
    match start(state, actor, index, item).await {
        Ok((started, created)) => BatchResult {
            status: 202,
            started: Some(started),
            replayed: !created,
            problem: None,
        },
        Err(problem) => {
            let problem = problem.document();
            BatchResult {
                status: problem.status,
                started: None,
                replayed: false,
                problem: Some(problem),
            }
        }
    }
}

/// The saga, and whether this start is the one that made it.
async fn start(
    state: &ApiState,
    actor: &Actor,
    index: usize,
    item: &RawValue,
) -> Result<(Started, bool), Problem> {
    let place = format!("/sagas/{index}");
    let item: BatchStart = checked(item.get())
        .and_then(|json| shaped(json.as_str()))
        .map_err(|problem| problem.below(&place))?;
    if item.idempotency_key.as_ref().is_some_and(|key| !is_key(key)) {
        return Err(Problem::at_pointer(
            Code::InvalidRequest,
            &format!("{place}/idempotency_key"),
            "invalid",
            "it has 1 to 255 visible ASCII characters",
        ));
    }
    let below = |problem: Problem| problem.below(&format!("{place}/start"));
    let request = request_of(item.start).map_err(below)?;
    let accepted = accept(state, actor, request, item.idempotency_key)
        .await
        .map_err(below)?;
    let id = accepted.saga;
    let status = if accepted.created {
        Status::Running
    } else {
        let row = state.store().saga(id).await?;
        row.ok_or_else(|| unknown_saga(id))?.status
    };
    let links = SagaLinks::of(id);
    Ok((Started { id, status, links }, accepted.created))
}
