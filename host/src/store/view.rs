//! What is read back: the whole saga for the engine, rows for people.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Fence;
use crate::saga::{
    CloudResource, DefinitionRef, Json, Kind, Phase, ResourceKey, Saga, SagaId, Status, StepIndex,
};

/// What a saga was started with; never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub deployment_id: Option<String>,
    pub triggered_by: String,
    /// One JSON object.
    pub inputs: Json,
    pub created_ms: i64,
}

#[derive(Debug, Clone)]
pub struct LoadedSaga {
    pub saga: Saga,
    pub header: Header,
    pub fence: Fence,
    /// `(scope, key)` to value.
    pub context: BTreeMap<(String, String), Json>,
    /// Services that its journal has requests to which may have done something, each with the identities that these carry.
    pub identities: BTreeMap<String, BTreeSet<String>>,
    /// Codes of its findings that are open.
    pub open_findings: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
pub struct SagaFilter {
    pub status: Option<Status>,
    pub kind: Option<Kind>,
    pub deployment_id: Option<String>,
    pub definition: Option<String>,
}

impl SagaFilter {
    pub fn matches(&self, row: &SagaRow) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none_or(|wanted| found == Some(wanted))
        }
        let definition = row.definition.as_ref().map(|definition| &definition.name);
        fits(self.status.as_ref(), Some(&row.status))
            && fits(self.kind.as_ref(), Some(&row.kind))
            && fits(self.deployment_id.as_ref(), row.deployment_id.as_ref())
            && fits(self.definition.as_ref(), definition)
    }
}

#[derive(Debug, Clone, Default)]
pub struct ResourceFilter {
    pub provider: Option<String>,
    pub kind: Option<String>,
    pub provider_id: Option<String>,
    pub saga: Option<SagaId>,
    /// Also rows whose thing is confirmed gone.
    pub with_deleted: bool,
}

/// Keyset paging: at most `limit` rows that come after `after` in the listing's order.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub limit: u32,
    pub after: Option<Cursor>,
}

/// Position of a row: its time and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub at_ms: i64,
    pub id: String,
}

#[derive(Debug, Clone)]
pub struct SagaRow {
    pub id: SagaId,
    pub kind: Kind,
    pub definition: Option<DefinitionRef>,
    pub plan_digest: String,
    pub status: Status,
    pub cancel_requested: bool,
    pub pivot_passed: bool,
    /// Why it goes back, as JSON (`saga::Turning`).
    pub turning: Option<Json>,
    /// What holds it, as JSON (`saga::Pause`).
    pub paused: Option<Json>,
    pub deployment_id: Option<String>,
    pub triggered_by: String,
    pub inputs: Json,
    pub revision: u64,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub ended_ms: Option<i64>,
    /// Steps done or undone, and all: what a list shows.
    pub steps_done: u32,
    pub steps_total: u32,
}

/// One phase of one step as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    pub step: usize,
    pub name: String,
    pub phase: Phase,
    /// `running | succeeded | failed | unfinished | stuck | skipped` for run, `running | done | stuck | skipped` for compensate.
    pub state: String,
    pub attempt: u32,
    pub polls: u32,
    pub began_ms: Option<i64>,
    /// When it is called next; none when it isn't.
    pub wake_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    pub saved: Option<Json>,
    pub progress: Option<String>,
    pub output: Option<Json>,
    /// `saga::Failure` as JSON: the last one while it is tried again, the final one afterwards.
    pub failure: Option<Json>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Grows with time over all sagas.
    pub id: i64,
    pub saga: SagaId,
    pub at_ms: i64,
    pub kind: String,
    pub actor: String,
    pub step: Option<usize>,
    pub phase: Option<Phase>,
    pub detail: Json,
}

/// Lines that are kept of each saga: the newest.
pub const MAX_LOG_ROWS: u32 = 1_000;

/// A line that a step said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLog {
    pub saga: SagaId,
    pub at_ms: i64,
    pub step: StepIndex,
    pub phase: Phase,
    /// `trace | debug | info | warn | error`
    pub level: &'static str,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Grows with time over all sagas.
    pub id: i64,
    pub at_ms: i64,
    pub step: StepIndex,
    pub phase: Phase,
    pub level: String,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRow {
    pub resource_id: String,
    pub resource: CloudResource,
    /// The saga and the name of the step that made it.
    pub saga: SagaId,
    pub step: String,
    pub first_seen_ms: i64,
    pub last_seen_ms: i64,
    pub deleted_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionedRow {
    pub resource_id: String,
    pub spec_version: u32,
    pub spec: Json,
    pub saga: SagaId,
    pub step: String,
    pub recorded_ms: i64,
    pub withdrawn_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingRow {
    pub id: String,
    pub code: String,
    pub saga: Option<SagaId>,
    pub step: Option<String>,
    pub resource: Option<ResourceKey>,
    pub message: String,
    pub advice: String,
    pub created_ms: i64,
    pub resolved_ms: Option<i64>,
}
