//! Which components may be used: an administrator approves them, and can take that back in two ways.
//!
//! | status | new sagas | sagas that were pinned to it | channels |
//! |---|---|---|---|
//! | pending | 409 | there are none | none points to it |
//! | approved | use it | go on | may point to it |
//! | retired | 409 | go on, and are undone with it | stay where they are; none is moved to it |
//! | revoked | 409 | their calls of it fail, also those that undo | as retired |
//!
//! `approve` leads from each of them back to approved. A call is granted what the manifest asks and what was approved, both.

use std::{fmt, sync::Arc};

use super::{Catalog, STABLE, entry::Entry, index::Index, pinned::CatalogError};
use crate::{
    cloud::{Grant, grants},
    saga::Json,
    store::{ComponentRow, ComponentStatus, SetStatus, StoreError},
};

/// A component that is there and may not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotApproved {
    pub name: String,
    pub version: String,
    pub digest: String,
    pub status: ComponentStatus,
}

impl fmt::Display for NotApproved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotApproved {
            name,
            version,
            digest,
            ..
        } = self;
        let what = match self.status {
            ComponentStatus::Pending => "waits for approval",
            ComponentStatus::Approved => "is approved",
            ComponentStatus::Retired => "is retired",
            ComponentStatus::Revoked => "is revoked",
        };
        write!(
            f,
            "the component {name} {version} (sha256:{digest}) {what}; an administrator approves it with \
             POST /v1/components/{digest}/approve"
        )
    }
}

impl std::error::Error for NotApproved {}

#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    #[error("there is no component with digest {0}")]
    Unknown(String),
    /// The place in what was to be approved.
    #[error("the component doesn't ask for this: only what it asks for can be approved")]
    Beyond(usize),
    /// While it waited, other bytes were approved under its name and version.
    #[error("{name} {version} is there with other bytes (sha256 {digest}): give the component a new version")]
    VersionExists {
        name: String,
        version: String,
        digest: String,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a component asks for, and what it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asks {
    pub http: Vec<Grant>,
    pub granted: Vec<Grant>,
    pub reads: Vec<String>,
    pub writes: Vec<String>,
    pub memory_bytes: Option<u64>,
    pub irreversible: bool,
}

impl Catalog {
    /// Lets new sagas use the component, with all that it asks for or with `http`, a part of it. When its name has no channel
    /// `stable` yet, that one points to it now. Again with the same changes nothing.
    ///
    /// After a crash it is approved or not; a channel that is still missing is made by the same call again.
    pub async fn approve(
        &self,
        digest: &str,
        http: Option<Vec<Grant>>,
        actor: &str,
    ) -> Result<ComponentRow, ApprovalError> {
        let _changing = self.changing.lock().await;
        let entry = self.known(digest)?;
        let asked = &entry.manifest.grants;
        if let Some(place) = http.as_ref().and_then(|http| grants::first_beyond(asked, http)) {
            return Err(ApprovalError::Beyond(place));
        }
        if entry.row.status == ComponentStatus::Pending {
            self.has_its_version(&entry.row)?;
        }
        let granted = Json::of(http.as_ref().unwrap_or(asked));
        let same = entry.row.status == ComponentStatus::Approved
            && (http.is_none() || entry.row.granted.as_ref() == Some(&granted));
        let row = if same {
            entry.row.clone()
        } else {
            self.stand(digest, ComponentStatus::Approved, Some(granted), actor)
                .await?
        };
        if self.store_channel(&row.name, STABLE).await?.is_none() {
            self.point(&row, STABLE, actor, false).await?;
        }
        self.reload().await?;
        Ok(row)
    }

    fn has_its_version(&self, pending: &ComponentRow) -> Result<(), ApprovalError> {
        let taken = self.step(&pending.name).and_then(|step| {
            step.components.into_iter().find(|row| {
                row.version == pending.version
                    && row.digest != pending.digest
                    && row.status != ComponentStatus::Pending
            })
        });
        match taken {
            None => Ok(()),
            Some(row) => Err(ApprovalError::VersionExists {
                name: row.name,
                version: row.version,
                digest: row.digest,
            }),
        }
    }

    /// New sagas can't use it; those in flight finish, or go back, with it.
    pub async fn retire(&self, digest: &str, actor: &str) -> Result<ComponentRow, ApprovalError> {
        self.take_back(digest, ComponentStatus::Retired, actor).await
    }

    /// It isn't called any more. A call in progress is not cut off.
    pub async fn revoke(&self, digest: &str, actor: &str) -> Result<ComponentRow, ApprovalError> {
        self.take_back(digest, ComponentStatus::Revoked, actor).await
    }

    async fn take_back(
        &self,
        digest: &str,
        status: ComponentStatus,
        actor: &str,
    ) -> Result<ComponentRow, ApprovalError> {
        let _changing = self.changing.lock().await;
        let entry = self.known(digest)?;
        if entry.row.status == status {
            return Ok(entry.row.clone());
        }
        let row = self.stand(digest, status, None, actor).await?;
        self.reload().await?;
        Ok(row)
    }

    pub(super) async fn stand(
        &self,
        digest: &str,
        status: ComponentStatus,
        granted: Option<Json>,
        actor: &str,
    ) -> Result<ComponentRow, ApprovalError> {
        let set = SetStatus {
            digest: digest.to_owned(),
            status,
            by: actor.to_owned(),
            granted,
        };
        let row = self.store.set_component_status(set).await?;
        let row = row.ok_or_else(|| ApprovalError::Unknown(digest.to_owned()))?;
        let status = status.as_str();
        tracing::info!(
            component = row.name,
            version = row.version,
            digest,
            status,
            actor,
            "component"
        );
        Ok(row)
    }

    fn known(&self, digest: &str) -> Result<Arc<Entry>, ApprovalError> {
        let index: Arc<Index> = self.index();
        let entry = index.component(digest).cloned();
        entry.ok_or_else(|| ApprovalError::Unknown(digest.to_owned()))
    }

    pub fn asks(&self, digest: &str) -> Option<Asks> {
        let index = self.index();
        let entry = index.component(digest)?;
        let manifest = &entry.manifest;
        Some(Asks {
            http: manifest.grants.clone(),
            granted: entry.granted.to_vec(),
            reads: manifest.reads.clone(),
            writes: manifest.writes.clone(),
            memory_bytes: manifest.memory_bytes,
            irreversible: manifest.irreversible,
        })
    }

    /// What a call of the component may ask services for, as it stands now.
    pub fn granted(&self, digest: &str) -> Result<Arc<[Grant]>, CatalogError> {
        let index = self.index();
        let unknown = || CatalogError::Unknown(digest.to_owned());
        let entry = index.component(digest).ok_or_else(unknown)?;
        match entry.row.status {
            ComponentStatus::Revoked => Err(CatalogError::Revoked(digest.to_owned())),
            ComponentStatus::Pending | ComponentStatus::Approved | ComponentStatus::Retired => {
                Ok(entry.granted.clone())
            }
        }
    }
}

impl Entry {
    /// `Err`: why new sagas can't use it.
    pub fn approved(&self) -> Result<(), NotApproved> {
        match self.row.status {
            ComponentStatus::Approved => Ok(()),
            ComponentStatus::Pending | ComponentStatus::Retired | ComponentStatus::Revoked => {
                Err(self.row.not_approved())
            }
        }
    }
}

impl ComponentRow {
    pub(super) fn not_approved(&self) -> NotApproved {
        NotApproved {
            name: self.name.clone(),
            version: self.version.clone(),
            digest: self.digest.clone(),
            status: self.status,
        }
    }
}

/// What the row grants of what is asked.
pub(super) fn granted(row: &ComponentRow, asked: &[Grant]) -> Arc<[Grant]> {
    if row.status == ComponentStatus::Pending {
        return Arc::from([]);
    }
    let Some(approved) = &row.granted else {
        return Arc::from(asked);
    };
    match serde_json::from_str::<Vec<Grant>>(approved.as_str()) {
        Ok(approved) => grants::common(asked, &approved).into(),
        Err(error) => {
            tracing::error!(digest = row.digest, %error, "what was approved is unreadable: nothing is granted");
            Arc::from([])
        }
    }
}
