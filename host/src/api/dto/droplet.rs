//! Droplets: short ways to the three definitions that come with the binary.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Starts `provision_droplet`. The inputs are checked against that definition, so that every missing one is named.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDroplet {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, example = "web-1")]
    pub droplet_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, example = "fra1")]
    pub droplet_region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, example = "s-1vcpu-1gb")]
    pub droplet_size: Option<String>,
    /// A slug or the number of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, example = "ubuntu-24-04-x64")]
    pub droplet_image: Option<serde_json::Value>,
    /// Tags that begin with `arcadia-`, and `managed-by-arcadia-cloud`, are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub droplet_tags: Option<Vec<serde_json::Value>>,
    /// Ids or fingerprints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    pub droplet_ssh_keys: Option<Vec<serde_json::Value>>,
    /// By step name: laid over the definition's parameters key by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Object>)]
    pub params: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    /// At most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// At most 255 characters. Default: the name of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggered_by: Option<String>,
}

/// Starts `snapshot_droplet`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSnapshot {
    /// Beginning of the snapshot's name. Default: `snapshot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "before-upgrade")]
    pub snapshot_label: Option<String>,
    /// By step name: laid over the definition's parameters key by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Object>)]
    pub params: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    /// At most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// At most 255 characters. Default: the name of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggered_by: Option<String>,
}
