//! Components: the code of steps.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Channel, Time};
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
