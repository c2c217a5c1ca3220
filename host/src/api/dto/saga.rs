//! Sagas: how they are started, and what is shown of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, schema};
use crate::saga::{Json, Kind, Phase, SagaId, Status};

/// Names either a definition, or a kind and its steps.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSaga {
    /// Name of a definition; its newest version is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "provision_droplet")]
    pub definition: Option<String>,
    /// With `steps`, instead of `definition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::kind)]
    pub kind: Option<Kind>,
    /// With `kind`, instead of `definition`: steps in the shape of a definition's `steps`, at most 64. They run one after the
    /// other, unless `after` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Object>)]
    pub steps: Option<serde_json::Value>,
    /// Checked against the JSON Schemas of the definition and of its steps. Default: an empty object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub inputs: Option<serde_json::Map<String, serde_json::Value>>,
    /// By step name: laid over the definition's parameters key by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Object>)]
    pub params: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    /// Accept it, and begin only once it is resumed. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Yours, for filtering. At most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// Yours, for the record. At most 255 characters. Default: the name of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggered_by: Option<String>,
}

/// A saga was accepted: it survives a crash from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Started {
    #[schema(value_type = String, format = "uuid")]
    pub id: SagaId,
    #[schema(schema_with = schema::status)]
    pub status: Status,
    pub links: SagaLinks,
}

/// Paths below this server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SagaLinks {
    #[serde(rename = "self")]
    pub itself: String,
    pub steps: String,
    pub events: String,
    pub context: String,
    pub logs: String,
    pub requests: String,
    pub stream: String,
}

impl SagaLinks {
    pub fn of(saga: SagaId) -> SagaLinks {
        SagaLinks {
            itself: format!("/v1/sagas/{saga}"),
            steps: format!("/v1/sagas/{saga}/steps"),
            events: format!("/v1/sagas/{saga}/events"),
            context: format!("/v1/sagas/{saga}/context"),
            logs: format!("/v1/sagas/{saga}/logs"),
            requests: format!("/v1/sagas/{saga}/requests"),
            stream: format!("/v1/sagas/{saga}/stream"),
        }
    }
}

/// A saga as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SagaSummary {
    #[schema(value_type = String, format = "uuid")]
    pub id: SagaId,
    #[schema(schema_with = schema::kind)]
    pub kind: Kind,
    /// Null when its steps came with the request.
    pub definition: Option<DefinitionVersion>,
    #[schema(schema_with = schema::status)]
    pub status: Status,
    pub cancel_requested: bool,
    /// Nothing of it begins for now.
    pub paused: bool,
    pub deployment_id: Option<String>,
    pub triggered_by: String,
    /// Steps that are done while it goes forward, undone while it goes back.
    pub steps_done: u32,
    pub steps_total: u32,
    /// Grows with every change.
    pub revision: u64,
    pub created_at: Time,
    pub updated_at: Time,
    pub ended_at: Option<Time>,
}

/// One saga. Its `ETag` is its revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Saga {
    #[schema(value_type = String, format = "uuid")]
    pub id: SagaId,
    #[schema(schema_with = schema::kind)]
    pub kind: Kind,
    /// Null when its steps came with the request.
    pub definition: Option<DefinitionVersion>,
    #[schema(schema_with = schema::status)]
    pub status: Status,
    pub cancel_requested: bool,
    /// Something irreversible may have happened: it can't be cancelled any more.
    pub pivot_passed: bool,
    /// Why it goes back, or went back.
    pub turning: Option<Turned>,
    /// Null while nothing holds it.
    pub paused: Option<Paused>,
    pub deployment_id: Option<String>,
    pub triggered_by: String,
    #[schema(value_type = Object)]
    pub inputs: Json,
    /// sha256 of the plan: steps, components, parameters, order, policies.
    pub plan_digest: String,
    pub steps_done: u32,
    pub steps_total: u32,
    /// Grows with every change.
    pub revision: u64,
    pub created_at: Time,
    pub updated_at: Time,
    pub ended_at: Option<Time>,
    /// It ended with requests whose fate is unknown: what shows up of them until then is undone, or becomes a finding. Null
    /// when nothing is looked for. That the looking is over changes neither the revision nor the `ETag`.
    pub watched_until: Option<Time>,
    pub links: SagaLinks,
}

/// Nothing of the saga begins, and no deadline comes nearer, until the last of these is lifted. Calls in progress come to
/// their end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paused {
    pub since: Time,
    /// What holds it: `saga` (it was paused itself), `definition`, `all`, or `service:<name>`.
    #[schema(example = json!(["saga"]))]
    pub by: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DefinitionVersion {
    pub name: String,
    pub version: u32,
}

/// The one event after which a saga only goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Turned {
    /// A step failed for good.
    Failure {
        step: String,
        code: String,
        message: String,
    },
    Cancel {
        actor: String,
        reason: Option<String>,
    },
    /// It had completed, and was taken back.
    Rollback {
        actor: String,
        reason: Option<String>,
    },
}

/// Who did what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Grows with time.
    pub id: String,
    pub at: Time,
    #[schema(example = "step-done")]
    pub kind: String,
    /// `host`, or who asked.
    pub actor: String,
    pub step: Option<String>,
    #[schema(schema_with = schema::phase)]
    pub phase: Option<Phase>,
    #[schema(value_type = Object)]
    pub detail: Json,
}

/// One key of a saga's context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContextEntry {
    /// Empty: shared by the whole saga.
    pub scope: String,
    pub key: String,
    #[schema(value_type = serde_json::Value)]
    pub value: Json,
}

/// Why a verb is asked for: it goes into the saga's events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// At most 1,000 characters. `rollback`, `retry` and `abandon` ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which step is let go, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SkipStep {
    /// Name of the step in the saga's plan; case is ignored.
    pub step: String,
    /// At most 1,000 characters; goes into the saga's events. It can't be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
