//! The watch over a saga of which something may yet show up: a row, so that it outlives the host.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{NewEvent, NewFinding};
use crate::saga::{Plan, SagaId, StepIndex};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    pub began_ms: i64,
    /// It ends with the first look from then on that could be made.
    pub until_ms: i64,
    pub next_look_ms: i64,
    pub looks: u32,
    /// One per step and service.
    pub intents: Vec<WatchedIntent>,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedIntent {
    pub step: StepIndex,
    pub service: String,
    /// Where the request went: only there does an absence prove something.
    pub identity: Option<String>,
    pub path: String,
    /// The step's resource tag.
    pub tag: String,
    /// The name in the request's body.
    pub name: Option<String>,
    pub sent_ms: i64,
    /// Something has shown up, and the step was undone again.
    pub found: bool,
    /// The request was answered clearly before the watch began: that answer is no news, only what shows up is.
    #[serde(default)]
    pub answered: bool,
}

/// What a look came to, for one saga.
#[derive(Debug, Clone)]
pub struct Looked {
    pub saga: SagaId,
    /// The saga's plan: findings and events name steps by position.
    pub plan: Arc<Plan>,
    /// How often the saga was looked at before; none: it is not watched, and is from now on.
    pub from_looks: Option<u32>,
    /// None: the watch is over.
    pub watch: Option<Watch>,
    /// Open findings with one of these codes end, before the new ones are added.
    pub resolved_codes: Vec<&'static str>,
    pub findings: Vec<NewFinding>,
    pub events: Vec<NewEvent>,
    pub at_ms: i64,
}
