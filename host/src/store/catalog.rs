//! Components, channels and definitions as rows.

use std::sync::Arc;

use super::ComponentStatus;
use crate::saga::Json;

#[derive(Debug, Clone)]
pub struct NewComponent {
    pub digest: String,
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// The manifest as the component gave it: unknown keys are kept.
    pub manifest: Json,
    pub bytes: Arc<[u8]>,
    /// Comes with the binary.
    pub built_in: bool,
    pub uploaded_by: String,
    pub status: ComponentStatus,
    /// What it may ask for, in the shape of the manifest's `http`; none: everything that the manifest asks.
    pub granted: Option<Json>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutComponent {
    Added(ComponentRow),
    /// The same bytes are there already.
    Same(ComponentRow),
    /// The same name and version are there with other bytes.
    VersionExists(ComponentRow),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRow {
    pub digest: String,
    pub name: String,
    pub version: String,
    pub manifest: Json,
    pub size_bytes: u64,
    pub built_in: bool,
    pub uploaded_by: String,
    pub uploaded_ms: i64,
    pub status: ComponentStatus,
    /// Who said so, and when: with the upload, or later.
    pub status_by: String,
    pub status_ms: i64,
    /// What it may ask for, in the shape of the manifest's `http`; none: everything that the manifest asks.
    pub granted: Option<Json>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRow {
    pub step: String,
    pub channel: String,
    pub digest: String,
    /// Set by the host's own start, not by a person: the next start may move it again.
    pub built_in: bool,
    pub moved_by: String,
    pub moved_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionRow {
    pub name: String,
    /// 1, 2, 3, …
    pub version: u32,
    pub body: Json,
    pub built_in: bool,
    pub created_by: String,
    pub created_ms: i64,
}
