//! The inventory: what is in the cloud because of us, and what it should be.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;
use crate::saga::{Json, SagaId};

/// A resource as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResourceSummary {
    /// Ours: the same for the same thing, for ever.
    #[schema(example = "res-0123456789abcdef0123456789abcdef")]
    pub id: String,
    #[schema(example = "digitalocean")]
    pub provider: String,
    #[schema(example = "droplet")]
    pub kind: String,
    /// The provider's.
    pub provider_id: String,
    pub name: Option<String>,
    pub region: Option<String>,
    pub status: String,
    pub public_ip: Option<String>,
    pub tags: Vec<String>,
    /// The saga that made it, and the name of its step.
    #[schema(value_type = String, format = "uuid")]
    pub saga_id: SagaId,
    pub step: String,
    pub first_seen_at: Time,
    pub last_seen_at: Time,
    /// When it was confirmed gone; null while it lives.
    pub deleted_at: Option<Time>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resource {
    /// Ours: the same for the same thing, for ever.
    #[schema(example = "res-0123456789abcdef0123456789abcdef")]
    pub id: String,
    #[schema(example = "digitalocean")]
    pub provider: String,
    #[schema(example = "droplet")]
    pub kind: String,
    /// The provider's.
    pub provider_id: String,
    pub name: Option<String>,
    pub region: Option<String>,
    pub status: String,
    pub public_ip: Option<String>,
    pub tags: Vec<String>,
    /// The saga that made it, and the name of its step.
    #[schema(value_type = String, format = "uuid")]
    pub saga_id: SagaId,
    pub step: String,
    pub first_seen_at: Time,
    pub last_seen_at: Time,
    /// When it was confirmed gone; null while it lives.
    pub deleted_at: Option<Time>,
    /// The provider's own object as it was last seen.
    #[schema(value_type = Object)]
    pub raw: Json,
}

/// One version of what a resource should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provisioned {
    pub resource_id: String,
    /// 1, 2, 3, …
    pub spec_version: u32,
    /// Field to expected value.
    #[schema(value_type = Object)]
    pub spec: Json,
    /// The saga that recorded it, and the name of its step.
    #[schema(value_type = String, format = "uuid")]
    pub saga_id: SagaId,
    pub step: String,
    pub recorded_at: Time,
    /// When it was taken back; null while it holds.
    pub withdrawn_at: Option<Time>,
}
