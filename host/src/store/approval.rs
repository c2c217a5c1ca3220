//! Whether a component may be used, as it stands in its row.

use crate::saga::Json;

/// Where a component stands with the administrators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentStatus {
    /// Uploaded by somebody who may not approve it: nothing runs it.
    Pending,
    Approved,
    /// New sagas can't use it; those that were pinned to it go on.
    Retired,
    /// It is called no more, not even to undo what it did.
    Revoked,
}

impl ComponentStatus {
    pub const ALL: [ComponentStatus; 4] = [
        ComponentStatus::Pending,
        ComponentStatus::Approved,
        ComponentStatus::Retired,
        ComponentStatus::Revoked,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            ComponentStatus::Pending => "pending",
            ComponentStatus::Approved => "approved",
            ComponentStatus::Retired => "retired",
            ComponentStatus::Revoked => "revoked",
        }
    }

    pub fn parse(text: &str) -> Option<ComponentStatus> {
        ComponentStatus::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// A component's new standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetStatus {
    pub digest: String,
    pub status: ComponentStatus,
    pub by: String,
    /// What it may ask for from now on; none: as before.
    pub granted: Option<Json>,
}
