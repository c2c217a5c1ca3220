//! What operators ask of sagas beyond a reason.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ProblemDocument, schema, step::PinnedComponent};
use crate::saga::{ComponentRef, Kind, SagaId, Status};

/// Which component the calls to come are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepinSaga {
    /// A component as in definitions: `NAME@VERSION`, `NAME@sha256:DIGEST`, `NAME#CHANNEL`, or `NAME` for its channel `stable` as it
    /// points now.
    #[schema(example = "create-droplet@0.2.0")]
    pub to: String,
    /// Only this step, which has to be made of a component of that name. Left out: every such step that has a call to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Say what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// At most 1,000 characters; goes into the saga's events. Needed unless it is a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The same for all sagas that haven't ended and are pinned to some bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepinSagas {
    /// sha256 of the component that is left: 64 hex digits, `sha256:` before them is fine.
    pub from: String,
    /// The component that takes over, of the same name: `NAME@VERSION`, `NAME@sha256:DIGEST`, `NAME#CHANNEL` or `NAME`.
    #[schema(example = "create-droplet@0.2.0")]
    pub to: String,
    /// Say what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// At most 1,000 characters; goes into each saga's events. Needed unless it is a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `next` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub after: Option<SagaId>,
}

/// What was changed, or would be. What is stuck stays so until it is retried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Repinned {
    #[schema(value_type = String, format = "uuid")]
    pub id: SagaId,
    /// False: nothing was changed. It was a dry run, something speaks against it, or there is nothing to change.
    pub applied: bool,
    /// Steps that have the component already are left out.
    pub steps: Vec<RepinnedStep>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepinnedStep {
    pub step: String,
    #[schema(value_type = PinnedComponent)]
    pub from: ComponentRef,
    #[schema(value_type = PinnedComponent)]
    pub to: ComponentRef,
    /// What speaks against it. All steps of a saga change, or none does.
    pub problems: Vec<RepinProblem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepinProblem {
    /// `step-over`, `open-intent`, `call-in-progress`, `other-contract`, `params-misfit`, `inputs-misfit`, `component-pending`,
    /// `component-retired`, `component-revoked`
    #[schema(example = "open-intent")]
    pub code: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepinnedSagas {
    /// By id, which is by age. Sagas without a step that changes are left out.
    pub items: Vec<SagaRepinned>,
    /// More may follow: ask again with this as `after`. Null: that was all.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub next: Option<SagaId>,
}

/// What became of one saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SagaRepinned {
    #[schema(value_type = String, format = "uuid")]
    pub id: SagaId,
    /// It has changed.
    pub applied: bool,
    pub steps: Vec<RepinnedStep>,
    /// It couldn't be asked: what a request for this saga alone would have been answered.
    pub problem: Option<ProblemDocument>,
}

/// Which of the sagas that need attention are begun anew, and why. Without a filter: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrySagas {
    /// Name of the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::kind)]
    pub kind: Option<Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// Code with which a step of the saga is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "connect")]
    pub code: Option<String>,
    /// Say which match, and retry none.
    #[serde(default)]
    pub dry_run: bool,
    /// At most 1,000 characters; goes into each saga's events. Needed unless it is a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `next_cursor` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What became of those that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetriedSagas {
    /// Those that match, newest first.
    pub items: Vec<SagaRetried>,
    /// At most 200 sagas are looked at by one request: ask again with this as `cursor`. Null: that was all.
    pub next_cursor: Option<String>,
}

/// What became of one saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SagaRetried {
    #[schema(value_type = String, format = "uuid")]
    pub id: SagaId,
    /// The steps that are stuck.
    pub stuck: Vec<StuckStep>,
    /// Its status now.
    #[schema(schema_with = schema::status)]
    pub status: Status,
    /// It goes on.
    pub retried: bool,
    pub problem: Option<ProblemDocument>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StuckStep {
    pub step: String,
    pub code: String,
    pub message: String,
}
