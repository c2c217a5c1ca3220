//! The stream of all sagas.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use axum::{
    extract::State,
    response::{Response, sse::Event},
};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::{BREATH, answer, message};
use crate::{
    api::{
        ApiState, cursor::MAX_LIMIT, dto::SagasChange, headers::LastEventId, problem::Problem, query::Query,
        view,
    },
    engine::{EventRow, NEWS, Page, SagaFilter, SagaRow, StoreError},
    saga::{Kind, Plan, SagaId},
};

/// Which sagas: by what never changes of them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Query` reads")]
pub(super) struct Which {
    /// `provision`, `suspend`, `offboard`, `update`, `rollback` or `test`.
    kind: Option<String>,
    deployment_id: Option<String>,
    /// Name of the definition.
    definition: Option<String>,
}

struct Feed {
    state: ApiState,
    filter: SagaFilter,
    /// Messages that were read and not yet taken: those of one reading.
    ready: VecDeque<Event>,
    /// The newest event that was read.
    after: i64,
    /// The last look may have left something to be read at once.
    hurry: bool,
    _permit: OwnedSemaphorePermit,
}

/// Follow all sagas.
///
/// Server-sent events: `snapshot` first, with the newest sagas, then a `change` for everything that happens to one, in the
/// order in which it happens. The id of a message is that of the newest event in it; with `Last-Event-ID` the stream goes on
/// after that event without a snapshot, with all events and none twice. An id that the host never gave, as after a
/// restore, is answered by a `snapshot`. An idle stream has a comment every 15 s. It ends with the server only.
#[utoipa::path(
    get, path = "/stream", tag = "sagas", operation_id = "stream_sagas",
    params(Which, ("Last-Event-ID" = Option<String>, Header, description = "Go on after this message.")),
    responses(
        (status = 200, description = "Messages without end.", body = SagasChange, content_type = "text/event-stream"),
        (status = 400, description = "`invalid-query`, `invalid-header`"),
        (status = 503, description = "`overloaded`: too many streams are open; with `Retry-After`"),
    ),
)]
pub(super) async fn stream_sagas(
    State(state): State<ApiState>,
    LastEventId(last): LastEventId,
    mut query: Query,
) -> Result<Response, Problem> {
    let kinds = Kind::ALL.map(Kind::as_str).join(", ");
    let filter = SagaFilter {
        status: None,
        kind: query.read("kind", &format!("one of {kinds}"), Kind::parse),
        deployment_id: query.text("deployment_id"),
        definition: query.text("definition"),
    };
    query.finish()?;
    let permit = state.stream_permit()?;
    // Before the rows: what happens in between is told by the stream.
    let newest = state.store().newest_event().await?;
    let last = last.filter(|last| *last <= newest);
    let ready = match last {
        Some(_) => VecDeque::new(),
        None => VecDeque::from([snapshot(&state, &filter, newest).await?]),
    };
    let feed = Feed {
        filter,
        ready,
        after: last.unwrap_or(newest),
        hurry: true,
        _permit: permit,
        state,
    };
    Ok(answer(feed, next))
}

async fn snapshot(state: &ApiState, filter: &SagaFilter, newest: i64) -> Result<Event, StoreError> {
    let page = Page {
        limit: MAX_LIMIT + 1,
        after: None,
    };
    let mut rows = state.store().sagas(filter, page).await?;
    let more = rows.len() > MAX_LIMIT as usize;
    rows.truncate(MAX_LIMIT as usize);
    let sagas = rows.into_iter().map(view::saga_summary).collect();
    Ok(message(
        "snapshot",
        newest,
        &SagasChange::Snapshot { sagas, more },
    ))
}

async fn next(mut feed: Feed) -> Option<(Event, Feed)> {
    let closing = feed.state.closing().clone();
    while feed.ready.is_empty() {
        let events = tokio::select! {
            events = feed.read() => events?,
            () = closing.cancelled() => return None,
        };
        feed.hurry = events.len() == NEWS as usize;
        feed.after = events.last()?.id;
        match messages(&feed.state, &feed.filter, events).await {
            Ok(ready) => feed.ready = ready,
            Err(error) => {
                tracing::warn!(%error, "a stream ends, since sagas can't be read");
                return None;
            }
        }
    }
    let event = feed.ready.pop_front()?;
    Some((event, feed))
}

impl Feed {
    /// `None` ends the stream: its reader asks again, and goes on where it was.
    async fn read(&self) -> Option<Vec<EventRow>> {
        if !self.hurry {
            tokio::time::sleep(BREATH).await;
        }
        match self.state.engine().news(self.after).await {
            Ok(events) => Some(events),
            Err(error) => {
                tracing::warn!(%error, "a stream ends, since events can't be read");
                None
            }
        }
    }
}

/// One message for events of one saga that follow each other: ids keep their order.
async fn messages(
    state: &ApiState,
    filter: &SagaFilter,
    events: Vec<EventRow>,
) -> Result<VecDeque<Event>, StoreError> {
    let mut ids: Vec<SagaId> = events.iter().map(|event| event.saga).collect();
    ids.sort();
    ids.dedup();
    let rows = state.store().sagas_of(&ids).await?;
    let rows: HashMap<SagaId, SagaRow> = rows
        .into_iter()
        .filter(|row| filter.matches(row))
        .map(|row| (row.id, row))
        .collect();
    let mut plans: HashMap<&str, Option<Arc<Plan>>> = HashMap::new();
    for row in rows.values() {
        if !plans.contains_key(row.plan_digest.as_str()) {
            plans.insert(&row.plan_digest, state.store().plan(&row.plan_digest).await?);
        }
    }
    let mut messages = VecDeque::new();
    for group in events.chunk_by(|one, next| one.saga == next.saga) {
        let (Some(row), Some(last)) = (rows.get(&group[0].saga), group.last()) else {
            continue;
        };
        let plan = plans.get(row.plan_digest.as_str()).cloned().flatten();
        let change = SagasChange::One {
            saga: view::saga_summary(row.clone()),
            events: group
                .iter()
                .map(|event| view::event(event.clone(), plan.as_deref()))
                .collect(),
        };
        messages.push_back(message("change", last.id, &change));
    }
    Ok(messages)
}
