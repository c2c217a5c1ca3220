//! Definitions: named, versioned recipes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;
use crate::saga::Json;

/// A definition as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DefinitionSummary {
    pub name: String,
    /// The newest: 1, 2, 3, …
    pub version: u32,
    /// Comes with the binary.
    pub built_in: bool,
    /// Name of the token that put it; `host` for what comes with the binary.
    pub created_by: String,
    pub created_at: Time,
}

/// The newest version of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Definition {
    pub name: String,
    /// 1, 2, 3, …
    pub version: u32,
    /// Comes with the binary.
    pub built_in: bool,
    /// Name of the token that put it; `host` for what comes with the binary.
    pub created_by: String,
    pub created_at: Time,
    /// As it was put.
    #[schema(value_type = Object)]
    pub body: Json,
}
