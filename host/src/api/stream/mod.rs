//! Streams of server-sent events: first how things stand, then every change, until the reader goes away.
//!
//! A message is made from rows when its reader is ready for it, so that a slow reader costs nothing but its connection, and
//! only what is durable is told. Its id is the newest event in it: a reader that comes back with `Last-Event-ID` goes on
//! right after it.

mod all;
mod one;

use std::{convert::Infallible, future::Future, time::Duration};

use axum::{
    http::HeaderValue,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::ApiState;

/// Between two messages on an idle stream comes a comment, so that both sides notice when the other is gone.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Between two looks, so that a saga with many quick changes is not looked at for each of them.
const BREATH: Duration = Duration::from_millis(50);

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(one::stream_saga))
        .routes(routes!(all::stream_sagas))
}

/// Reads on whenever the connection takes more; the stream ends with `None`.
fn answer<F, N>(feed: F, next: impl Fn(F) -> N + Send + 'static) -> Response
where
    F: Send + 'static,
    N: Future<Output = Option<(Event, F)>> + Send + 'static,
{
    let messages = stream::unfold(feed, move |feed| {
        let message = next(feed);
        async move {
            let (event, feed) = message.await?;
            Some((Ok::<_, Infallible>(event), feed))
        }
    });
    let beat = KeepAlive::new().interval(HEARTBEAT).text("still here");
    let mut response = Sse::new(messages).keep_alive(beat).into_response();
    // Proxies that gather answers would hold messages back.
    let headers = response.headers_mut();
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn message(name: &str, id: i64, data: &impl Serialize) -> Event {
    Event::default()
        .event(name)
        .id(id.to_string())
        .json_data(data)
        .expect("what travels has string keys only")
}
