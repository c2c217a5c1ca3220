//! A problem document (RFC 9457) as it travels.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What every answer that is not a success carries, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemDocument {
    /// Names the kind of problem; built from `code`.
    #[serde(rename = "type")]
    #[schema(example = "urn:arcadia:problem:invalid-request")]
    pub kind: String,
    /// The same for every problem of this kind.
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What happened here, and what to do next.
    pub detail: String,
    /// Stable, machine readable.
    #[schema(example = "invalid-request")]
    pub code: String,
    /// Everything that is wrong, each with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The saga that stands in the way, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga_id: Option<String>,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where in the body: a JSON Pointer (RFC 6901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/inputs/droplet_name")]
    pub pointer: Option<String>,
    /// Which parameter of the path, the query or the headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "limit")]
    pub parameter: Option<String>,
    /// Stable, machine readable.
    #[schema(example = "required")]
    pub code: String,
    pub message: String,
}
