//! Components: the code of steps.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Channel, Time, schema};
use crate::saga::Json;

/// A component as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComponentSummary {
    /// sha256 of its bytes, 64 hex digits: its identity.
    pub digest: String,
    /// Name of the step that it is.
    pub name: String,
    /// Semantic version.
    pub version: String,
    pub size_bytes: u64,
    /// Comes with the binary.
    pub built_in: bool,
    pub uploaded_by: String,
    pub uploaded_at: Time,
    /// `pending`: it waits for approval, and nothing runs it. `retired`: new sagas can't use it. `revoked`: it is called no
    /// more.
    #[schema(schema_with = schema::component_status)]
    pub status: String,
    /// Who said so, and when.
    pub status_by: String,
    pub status_at: Time,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Component {
    /// sha256 of its bytes, 64 hex digits: its identity.
    pub digest: String,
    /// Name of the step that it is.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// As the component gave it.
    #[schema(value_type = Object)]
    pub manifest: Json,
    pub size_bytes: u64,
    /// Comes with the binary.
    pub built_in: bool,
    pub uploaded_by: String,
    pub uploaded_at: Time,
    /// `pending`: it waits for approval, and nothing runs it. `retired`: new sagas can't use it. `revoked`: it is called no
    /// more.
    #[schema(schema_with = schema::component_status)]
    pub status: String,
    /// Who said so, and when.
    pub status_by: String,
    pub status_at: Time,
    pub asks: Asks,
    /// What was approved of `asks.http`: what its calls may ask for, as far as the service's allow-list goes.
    pub granted: Vec<Grant>,
    /// Channels that point to it now.
    pub channels: Vec<ChannelName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelName {
    pub step: String,
    pub channel: String,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Uploaded {
    pub component: ComponentSummary,
    /// The channel that was moved to it: the one that was asked for, or `stable` for the first component of a name.
    pub moved: Option<Channel>,
}

/// What a component's manifest asks for: what an administrator approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Asks {
    pub http: Vec<Grant>,
    /// Context keys that it reads.
    pub reads: Vec<String>,
    /// Context keys that it may write.
    pub writes: Vec<String>,
    /// Null: what the host gives every call.
    pub memory_bytes: Option<u64>,
    /// What it does can't be undone: a saga doesn't go back past it.
    pub irreversible: bool,
}

/// Methods on paths of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    #[schema(example = "digitalocean")]
    pub service: String,
    #[schema(example = json!(["GET", "POST"]))]
    pub methods: Vec<String>,
    /// A path is granted when it equals a prefix, or goes on after it with `/`.
    #[schema(example = json!(["/v2/droplets"]))]
    pub path_prefixes: Vec<String>,
}

/// How much of what a component asks for is approved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// A part of `asks.http`; left out: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Vec<Grant>>,
}
