//! The router with its layers, and the server.

use std::{future::Future, io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderValue, Method, Uri, header::CONTENT_TYPE},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::get,
    serve::ListenerExt as _,
};
use tokio::net::TcpListener;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::{
    ApiState,
    access::Needs,
    approval,
    auth::{self, Door},
    components, definitions, droplets, findings, health, hosts, inventory, mapped, openapi,
    problem::{Code, Problem},
    sagas, services, steps, stream, tokens,
};

/// How long requests in progress may go on once the server ends.
const ENDING: Duration = Duration::from_secs(10);

/// Everything that the API answers, with its layers.
pub fn router(state: ApiState) -> Router {
    let (open, closed, document) = parts();
    let needs = Arc::new(Needs::of(&document));
    let document = Bytes::from(document.to_json().expect("the document has string keys only"));
    let shown = get(move || async move {
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        (headers, document).into_response()
    });
    open.nest("/v1", guarded(closed, &state, needs))
        .route("/openapi.json", shown)
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(mapped::panicked))
        .layer(TraceLayer::new_for_http().on_failure(()))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .with_state(state)
}

/// What is open to everybody, what belongs below `/v1`, and the document of both.
fn parts() -> (Router<ApiState>, Router<ApiState>, OpenApi) {
    let closed = OpenApiRouter::new()
        .merge(components::routes())
        .merge(approval::routes())
        .merge(steps::routes())
        .merge(definitions::routes())
        .merge(sagas::routes())
        .merge(stream::routes())
        .merge(droplets::routes())
        .merge(inventory::routes())
        .merge(findings::routes())
        .merge(hosts::routes())
        .merge(services::routes())
        .merge(tokens::routes());
    let open = OpenApiRouter::with_openapi(openapi::frame()).merge(health::routes());
    let (closed, closed_document) = closed.split_for_parts();
    let (open, document) = open.split_for_parts();
    let document = openapi::complete(document.nest("/v1", closed_document));
    (open, closed, document)
}

#[cfg(test)]
pub(super) fn document() -> OpenApi {
    parts().2
}

/// Routes that need a token, their unknown neighbours included. Who has none takes nobody's place.
fn guarded(routes: Router<ApiState>, state: &ApiState, needs: Arc<Needs>) -> Router<ApiState> {
    let door = Door {
        state: state.clone(),
        needs,
    };
    routes
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(state.clone(), shed))
        .layer(from_fn_with_state(door, auth::require_token))
}

/// Bounds what is worked on at once: who comes too many is told so before anything is kept in memory.
async fn shed(State(state): State<ApiState>, request: Request, next: Next) -> Result<Response, Problem> {
    let permit = state.request_permit()?;
    let response = next.run(request).await;
    drop(permit);
    Ok(response)
}

async fn unknown_route(method: Method, uri: Uri) -> Problem {
    let path = uri.path();
    Problem::new(
        Code::UnknownRoute,
        format!("{method} {path}: there is nothing at this path; /openapi.json has what there is"),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let path = uri.path();
    Problem::new(
        Code::MethodNotAllowed,
        format!("{method} is not for {path}; the header allow names what is"),
    )
}

/// Serves until `shutdown` comes true; then waiting requests are answered, and others have 10 s.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = router(state.clone());
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    let (told, ending) = tokio::sync::oneshot::channel::<()>();
    let closing = async move {
        shutdown.await;
        state.close();
        // Nobody listens any more when the server has ended by itself.
        let _ = told.send(());
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(closing);
    let cut = async move {
        if ending.await.is_ok() {
            tokio::time::sleep(ENDING).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = server => ended,
        () = cut => Ok(()),
    }
}
