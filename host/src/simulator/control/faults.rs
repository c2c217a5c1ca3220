//! Setting and withdrawing faults.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Controlled, Objection, parse};
use crate::simulator::fault::{Fault, PostedFault};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    pub faults: Vec<PostedFault>,
}

pub(super) async fn add(
    State(provider): Controlled,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Objection> {
    let fault: Fault = parse(&body)?;
    let id = provider.lock().faults.post(fault);
    Ok((StatusCode::CREATED, Json(json!({"id": id}))))
}

pub(super) async fn list(State(provider): Controlled) -> Json<Faults> {
    let faults = provider.lock().faults.posted().to_vec();
    Json(Faults { faults })
}

pub(super) async fn clear(State(provider): Controlled) -> StatusCode {
    provider.lock().faults.withdraw(None);
    StatusCode::NO_CONTENT
}

pub(super) async fn remove(
    State(provider): Controlled,
    Path(id): Path<u64>,
) -> Result<StatusCode, Objection> {
    match provider.lock().faults.withdraw(Some(id)) {
        0 => Err(Objection::unknown("fault", id)),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}
