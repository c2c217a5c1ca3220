//! The stream of one saga.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response, sse::Event},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{BREATH, answer, message};
use crate::{
    api::{
        ApiState,
        dto::SagaChange,
        headers::LastEventId,
        mapped::{unknown_saga, without_plan},
        path::SagaInPath,
        problem::Problem,
        query::NoQuery,
        sagas::watched_until_ms,
        view,
    },
    engine::{NEWS, SagaNews, StoreError},
    saga::{Plan, SagaId},
};

struct Feed {
    state: ApiState,
    saga: SagaId,
    plan: Arc<Plan>,
    /// The newest event that was told.
    after: i64,
    /// The revision that was told.
    revision: Option<u64>,
    /// What the next message is.
    name: &'static str,
    /// The last look may have left something to be read at once.
    hurry: bool,
    _permit: OwnedSemaphorePermit,
}

/// Follow a saga.
///
/// Server-sent events: `snapshot` first, then a `change` whenever the saga's revision or events do. Quick changes may come
/// together. The id of a message is that of the newest event in it; with `Last-Event-ID` the stream begins with a `change`
/// that has the events after that one, all of them and none twice. An id that the host never gave, as after a restore, is
/// answered by a `snapshot`.
///
/// The stream ends when everything of an ended saga was told; asked for again with the last id, it is answered 204, which
/// tells an `EventSource` to stop. It stays open on a saga that needs attention. An idle stream has a comment every 15 s.
#[utoipa::path(
    get, path = "/sagas/{id}/stream", tag = "sagas", operation_id = "stream_saga",
    params(
        ("id" = String, Path, description = "The saga's id, a UUID."),
        ("Last-Event-ID" = Option<String>, Header, description = "Go on after this message."),
    ),
    responses(
        (status = 200, description = "Messages, until the saga has ended.", body = SagaChange, content_type = "text/event-stream"),
        (status = 204, description = "The saga has ended, and everything was told before."),
        (status = 400, description = "`invalid-path`, `invalid-header`"),
        (status = 404, description = "`unknown-saga`"),
        (status = 503, description = "`overloaded`: too many streams are open; with `Retry-After`"),
    ),
)]
pub(super) async fn stream_saga(
    State(state): State<ApiState>,
    SagaInPath(saga): SagaInPath,
    LastEventId(last): LastEventId,
    _: NoQuery,
) -> Result<Response, Problem> {
    let permit = state.stream_permit()?;
    let store = state.store();
    // Before the row: what happens in between is told by the stream.
    let newest = store.newest_event().await?;
    let row = store.saga(saga).await?.ok_or_else(|| unknown_saga(saga))?;
    let plan = store.plan(&row.plan_digest).await?;
    let plan = plan.ok_or_else(|| without_plan(&row))?;
    let last = last.filter(|last| *last <= newest);
    if let Some(last) = last
        && row.status.is_final()
        && store.events(saga, last, 1).await?.is_empty()
    {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let feed = Feed {
        saga,
        plan,
        after: last.unwrap_or(newest),
        revision: None,
        name: if last.is_some() { "change" } else { "snapshot" },
        hurry: true,
        _permit: permit,
        state,
    };
    Ok(answer(feed, next))
}

async fn next(mut feed: Feed) -> Option<(Event, Feed)> {
    let closing = feed.state.closing().clone();
    let news = tokio::select! {
        news = feed.read() => news?,
        () = closing.cancelled() => return None,
    };
    let SagaNews { events, row, steps } = news;
    if events.is_empty() && feed.revision == Some(row.revision) {
        return None;
    }
    feed.hurry = events.len() == NEWS as usize || row.status.is_final();
    feed.revision = Some(row.revision);
    if let Some(event) = events.last() {
        feed.after = event.id;
    }
    let plan = &*feed.plan;
    let watched_until_ms = match watched_until_ms(&feed.state, &row).await {
        Ok(watched_until_ms) => watched_until_ms,
        Err(error) => {
            feed.unreadable(&error);
            return None;
        }
    };
    let change = SagaChange {
        saga: view::saga(row, Some(plan), watched_until_ms).ok()?,
        steps: view::saga_steps(plan, steps),
        events: events
            .into_iter()
            .map(|event| view::event(event, Some(plan)))
            .collect(),
    };
    let event = message(feed.name, feed.after, &change);
    feed.name = "change";
    Some((event, feed))
}

impl Feed {
    /// `None` ends the stream: its reader asks again, and goes on where it was.
    async fn read(&self) -> Option<SagaNews> {
        if !self.hurry {
            tokio::time::sleep(BREATH).await;
        }
        let engine = self.state.engine();
        match engine.saga_news(self.saga, self.after, self.revision).await {
            Ok(news) => news,
            Err(error) => {
                self.unreadable(&error);
                None
            }
        }
    }

    fn unreadable(&self, error: &StoreError) {
        tracing::warn!(saga = %self.saga, %error, "a stream ends, since the saga can't be read");
    }
}
