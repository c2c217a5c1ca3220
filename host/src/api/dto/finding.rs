//! Findings: what needs a person.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;
use crate::saga::SagaId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    pub id: String,
    /// Stable, machine readable.
    pub code: String,
    #[schema(value_type = Option<String>, format = "uuid")]
    pub saga_id: Option<SagaId>,
    pub step: Option<String>,
    pub resource: Option<FindingResource>,
    pub message: String,
    /// What to do next.
    pub advice: String,
    pub created_at: Time,
    /// Null while it is open.
    pub resolved_at: Option<Time>,
}

/// The thing in the cloud that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingResource {
    pub provider: String,
    pub kind: String,
    pub provider_id: String,
}
