//! Steps: by name with their versions and channels, and inside a saga with their results.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, schema};
use crate::saga::{ComponentRef, Json};

/// A step by its name: what can be run under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    pub name: String,
    /// By name.
    pub channels: Vec<Channel>,
    /// Newest upload first.
    pub versions: Vec<StepVersion>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepVersion {
    pub version: String,
    pub digest: String,
    pub uploaded_at: Time,
    /// Whether new sagas may use it: `approved`; else `pending`, `retired` or `revoked`.
    #[schema(schema_with = schema::component_status)]
    pub status: String,
}

/// A movable pointer: sagas that start from now on run what it points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    pub step: String,
    #[schema(example = "stable")]
    pub channel: String,
    pub version: String,
    /// sha256 of the component, 64 hex digits.
    pub digest: String,
    /// Set by the host's own start: a later start may move it again. False: a person's choice, which stays.
    pub built_in: bool,
    pub moved_by: String,
    pub moved_at: Time,
}

/// Names what the channel shall point to: either a version or a digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveChannel {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "0.2.0")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// One step of a saga's plan, and how its two phases stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SagaStep {
    pub name: String,
    /// What is called, whatever a channel says meanwhile.
    #[schema(value_type = PinnedComponent)]
    pub component: ComponentRef,
    /// Names of the steps that must be done before this one starts; it is undone before any of them is.
    pub after: Vec<String>,
    /// The part of the context that it reads and writes. Empty: shared by the whole saga.
    pub scope: String,
    /// Irreversible once it may have taken effect.
    pub pivot: bool,
    /// False: there is nothing to undo.
    pub compensated: bool,
    /// Null: certainly never called.
    pub run: Option<PhaseResult>,
    /// Null: not being undone.
    pub compensate: Option<PhaseResult>,
}

/// The component that a saga's step was pinned to.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `saga::ComponentRef`, which knows no OpenAPI")]
pub(super) struct PinnedComponent {
    name: String,
    version: String,
    digest: String,
}

/// How one phase of a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseResult {
    /// `running`, `succeeded`, `failed`, `unfinished` or `stuck` for `run`; `running`, `done` or `stuck` for `compensate`.
    #[schema(example = "succeeded")]
    pub state: String,
    pub attempt: u32,
    pub polls: u32,
    pub began_at: Option<Time>,
    /// When it is called next; null when it isn't.
    pub wake_at: Option<Time>,
    pub ended_at: Option<Time>,
    /// What it last told people.
    pub progress: Option<String>,
    /// What it saved for its next call.
    #[schema(value_type = serde_json::Value)]
    pub saved: Option<Json>,
    #[schema(value_type = serde_json::Value)]
    pub output: Option<Json>,
    /// `{code, message, detail}`: the last one while it is tried again, the final one afterwards.
    #[schema(value_type = Object)]
    pub failure: Option<Json>,
}
