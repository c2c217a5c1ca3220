//! The control API: plain HTTP and JSON on a port of its own. See the [module above](super) for the shapes.

mod faults;
mod holds;
mod journal;
mod report;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use faults::Faults;
pub use holds::{HoldReport, Holds};
pub use journal::JournalPage;
pub use report::{ActionReport, DropletCount, DropletReport, SnapshotReport, StateReport};

use super::{options::Rules, provider::Provider, world::Drift};

pub(super) fn router(provider: Arc<Provider>) -> Router {
    Router::new()
        .route("/state", get(report::state))
        .route("/droplets/count", get(report::count))
        .route("/droplets/{id}/out-of-band", post(drift))
        .route("/journal", get(journal::read))
        .route(
            "/faults",
            get(faults::list).post(faults::add).delete(faults::clear),
        )
        .route("/faults/{id}", axum::routing::delete(faults::remove))
        .route("/holds", get(holds::list).post(holds::add))
        .route("/holds/{id}", get(holds::wait))
        .route("/holds/{id}/release", post(holds::release))
        .route("/options", get(rules).patch(patch_rules))
        .route("/clock", get(clock))
        .route("/clock/advance", post(advance))
        .fallback(nowhere)
        .with_state(provider)
}

/// Why the control API refuses.
#[derive(Debug)]
struct Objection(StatusCode, String);

impl Objection {
    fn unreadable(error: &serde_json::Error) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }

    fn unknown(what: &str, id: impl std::fmt::Display) -> Self {
        Self(StatusCode::NOT_FOUND, format!("no {what} {id}"))
    }
}

impl From<QueryRejection> for Objection {
    fn from(rejection: QueryRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

async fn nowhere(uri: axum::http::Uri) -> Objection {
    Objection::unknown("call", uri.path())
}

impl IntoResponse for Objection {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

type Controlled = State<Arc<Provider>>;

/// Reads JSON whatever the content type says, so that a bare `curl -d` works.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Objection> {
    serde_json::from_slice(body).map_err(|error| Objection::unreadable(&error))
}

/// The time by the simulator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReport {
    pub now_ms: u64,
}

async fn clock(State(provider): Controlled) -> Json<ClockReport> {
    let now_ms = provider.lock().clock.now_ms();
    Json(ClockReport { now_ms })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    ms: u64,
}

async fn advance(State(provider): Controlled, body: Bytes) -> Result<Json<ClockReport>, Objection> {
    let Advance { ms } = parse(&body)?;
    provider.lock().clock.advance(ms);
    let now_ms = provider.settled().1;
    Ok(Json(ClockReport { now_ms }))
}

async fn rules(State(provider): Controlled) -> Json<Rules> {
    Json(provider.lock().world.rules.clone())
}

/// RFC 7396: what the patch names is replaced, what it sets to null returns to its default.
async fn patch_rules(State(provider): Controlled, body: Bytes) -> Result<Json<Rules>, Objection> {
    let patch: Value = parse(&body)?;
    let (mut inner, _) = provider.settled();
    let unreadable = |error| Objection::unreadable(&error);
    let mut patched = serde_json::to_value(&inner.world.rules).map_err(unreadable)?;
    merge(&mut patched, &patch);
    let rules: Rules = serde_json::from_value(patched).map_err(unreadable)?;
    inner.journal.set_limit(rules.journal_limit);
    inner.world.rules = rules.clone();
    Ok(Json(rules))
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    target.remove(name);
                } else {
                    merge(target.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

async fn drift(
    State(provider): Controlled,
    Path(id): Path<i64>,
    body: Bytes,
) -> Result<StatusCode, Objection> {
    let drift: Drift = parse(&body)?;
    let (mut inner, now_ms) = provider.settled();
    let drifted = inner.world.drift(id, &drift, now_ms);
    drifted.map_err(|refusal| Objection(StatusCode::UNPROCESSABLE_ENTITY, refusal.message))?;
    Ok(StatusCode::NO_CONTENT)
}
