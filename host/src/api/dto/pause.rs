//! Pauses of more than one saga.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// What to pause, or to resume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseMany {
    /// Only sagas of this definition. Left out: every saga.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "provision_droplet")]
    pub definition: Option<String>,
    /// Why: it goes into the events of every saga. At most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PausedMany {
    /// The pause in force, or the one that was lifted; null when there was none to lift.
    pub pause: Option<HoldInForce>,
    /// Sagas that are held now, or go on, because of this request.
    pub sagas: u64,
}

/// One pause that holds every saga which it concerns, those to come as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldInForce {
    pub target: HoldKind,
    /// Of the definition or service.
    pub name: Option<String>,
    /// Name of the token that asked, or `host`.
    pub by: String,
    pub reason: Option<String>,
    pub since: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HoldKind {
    All,
    Definition,
    Service,
}

/// All pauses in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pauses {
    pub items: Vec<HoldInForce>,
}
