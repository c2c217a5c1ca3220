//! Services: the named upstreams that steps may call.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// A named upstream. Its credential is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    #[schema(example = "digitalocean")]
    pub name: String,
    pub base_url: String,
    /// Its origin, `#`, and the id of the credential's account where that can be told. Null: not read yet.
    pub identity: Option<String>,
    /// Why the account can't be told, when it should be: then nobody notices when another one stands behind the credential.
    pub note: Option<String>,
    /// Requests in any 61 seconds, and those of them that may leave now.
    pub per_minute: u32,
    pub left_in_minute: u32,
    /// Requests in any 3,610 seconds, and those of them that may leave now.
    pub per_hour: u32,
    pub left_in_hour: u32,
    /// Null while it is used.
    pub paused: Option<ServicePause>,
}

/// Why nothing is sent to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServicePause {
    /// Name of the token that asked. `host`: the service refused the credential, and is used again by itself once it doesn't.
    pub by: String,
    pub reason: Option<String>,
    pub since: Time,
}

/// All services, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceList {
    pub items: Vec<Service>,
}
