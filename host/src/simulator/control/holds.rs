//! Setting holds, waiting until one has caught its request, and letting go.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Controlled, Objection, parse};
use crate::simulator::{
    hold::{Hold, HoldState},
    journal::Entry,
    provider::Provider,
};

/// No call waits longer, whatever it asks for.
const MAX_WAIT_MS: u64 = 60_000;

/// A hold, where it stands, and the request that it caught.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoldReport {
    pub id: u64,
    #[serde(flatten)]
    pub state: HoldState,
    pub request: Option<Entry>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holds {
    pub holds: Vec<HoldReport>,
}

pub(super) async fn add(
    State(provider): Controlled,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Objection> {
    let hold: Hold = parse(&body)?;
    if hold.nth == 0 {
        let words = "nth counts from 1".into();
        return Err(Objection(StatusCode::UNPROCESSABLE_ENTITY, words));
    }
    let id = provider.lock().holds.post(hold);
    Ok((StatusCode::CREATED, Json(json!({"id": id}))))
}

pub(super) async fn list(State(provider): Controlled) -> Json<Holds> {
    let states: Vec<(u64, HoldState)> = provider.lock().holds.all().collect();
    let holds = states.into_iter().map(|(id, state)| report(&provider, id, state));
    Json(Holds {
        holds: holds.collect(),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Patience {
    wait_ms: u64,
}

/// Answers once a request is held, or was let go or lost, or when the time is over: the state tells which.
pub(super) async fn wait(
    State(provider): Controlled,
    Path(id): Path<u64>,
    patience: Result<Query<Patience>, QueryRejection>,
) -> Result<Json<HoldReport>, Objection> {
    let Query(patience) = patience?;
    let watched = provider.lock().holds.watch(id);
    let mut watched = watched.ok_or_else(|| Objection::unknown("hold", id))?;
    let settled = |state: &HoldState| !matches!(state, HoldState::Waiting | HoldState::Claimed { .. });
    let patience = Duration::from_millis(patience.wait_ms.min(MAX_WAIT_MS));
    let in_time = tokio::time::timeout(patience, watched.wait_for(settled)).await;
    let in_time = in_time.ok().and_then(Result::ok).map(|state| *state);
    let state = in_time.unwrap_or_else(|| *watched.borrow());
    Ok(Json(report(&provider, id, state)))
}

pub(super) async fn release(
    State(provider): Controlled,
    Path(id): Path<u64>,
) -> Result<Json<HoldReport>, Objection> {
    let state = provider.lock().holds.release(id);
    let state = state.ok_or_else(|| Objection::unknown("hold", id))?;
    Ok(Json(report(&provider, id, state)))
}

fn report(provider: &Provider, id: u64, state: HoldState) -> HoldReport {
    let seq = match state {
        HoldState::Waiting | HoldState::Released { seq: None } => None,
        HoldState::Claimed { seq }
        | HoldState::Held { seq }
        | HoldState::Released { seq: Some(seq) }
        | HoldState::ClientGone { seq } => Some(seq),
    };
    let inner = provider.lock();
    HoldReport {
        id,
        state,
        request: seq.and_then(|seq| inner.journal.find(seq).cloned()),
    }
}
