//! How bytes become a component: size, compile and link check, `describe`, manifest, and only then a row.

use std::sync::Arc;

use super::{
    ApprovalError, BuiltIn, Catalog, NotApproved, Pinned, STABLE, entry,
    selector::{CHANNEL_RULE, is_channel_name},
};
use crate::{
    engine::Problem,
    saga::{Json, id::sha256_hex},
    step::{Asked, CompileError, DescribeError, Loaded, Violation, limits::MAX_COMPONENT_BYTES},
    store::{ChannelRow, ComponentRow, ComponentStatus, HOST, NewComponent, PutComponent, StoreError},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    pub row: ComponentRow,
    /// False: the same bytes were there already.
    pub created: bool,
    /// The channel that points to it now and did not before.
    pub channel_moved: Option<String>,
}

/// A refused upload leaves no trace.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("a component has at most {MAX_COMPONENT_BYTES} bytes; this one has {bytes}")]
    TooLarge { bytes: usize },
    #[error("{0:?} is no channel name: {CHANNEL_RULE}")]
    ChannelName(String),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Describe(DescribeError),
    /// Pointers go into the manifest.
    #[error("the component's manifest has {} problem(s)", .0.len())]
    Manifest(Vec<Problem>),
    /// Boxed: a row carries its manifest.
    #[error("{} {} is there with other bytes (sha256 {}): give the component a new version", .0.name, .0.version, .0.digest)]
    VersionExists(Box<ComponentRow>),
    /// Nothing was moved; a new component was not even taken.
    #[error(
        "a component that waits for approval is in no channel: upload it without one, then an administrator approves it"
    )]
    ChannelOfPending,
    /// It was there before; its channel was not moved.
    #[error(transparent)]
    NotApproved(NotApproved),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Catalog {
    /// Registers a component that waits for approval, unless it is there already. It gets no channel before that.
    pub async fn propose(
        &self,
        bytes: Arc<[u8]>,
        channel: Option<&str>,
        actor: &str,
        replace: bool,
    ) -> Result<Uploaded, UploadError> {
        self.take(bytes, channel, actor, replace, ComponentStatus::Pending)
            .await
    }

    /// Registers a component and approves it, with all that it asks for; one that is retired stays so. The first one of its name becomes `stable`; another moves `channel` only when asked.
    /// `replace`: the same name and version may come again with other bytes (development only).
    ///
    /// After a crash the component is either whole or not there at all; the channel may not have moved yet, and does when the
    /// same bytes come again.
    pub async fn upload(
        &self,
        bytes: Arc<[u8]>,
        channel: Option<&str>,
        actor: &str,
        replace: bool,
    ) -> Result<Uploaded, UploadError> {
        self.take(bytes, channel, actor, replace, ComponentStatus::Approved)
            .await
    }

    /// `status`: of a component that is new.
    async fn take(
        &self,
        bytes: Arc<[u8]>,
        channel: Option<&str>,
        actor: &str,
        replace: bool,
        status: ComponentStatus,
    ) -> Result<Uploaded, UploadError> {
        if let Some(name) = channel.filter(|name| !is_channel_name(name)) {
            return Err(UploadError::ChannelName(name.to_owned()));
        }
        if bytes.len() > MAX_COMPONENT_BYTES {
            return Err(UploadError::TooLarge { bytes: bytes.len() });
        }
        if status == ComponentStatus::Pending && channel.is_some() && !self.is_approved(&bytes).await? {
            return Err(UploadError::ChannelOfPending);
        }
        let (row, created) = self.put(bytes, actor, replace, false, status).await?;
        let _changing = self.changing.lock().await;
        let row = match status {
            ComponentStatus::Approved => self.approved_if_pending(row, actor).await?,
            ComponentStatus::Pending | ComponentStatus::Retired | ComponentStatus::Revoked => row,
        };
        let usable = row.status == ComponentStatus::Approved;
        if channel.is_some() && !usable {
            return Err(UploadError::NotApproved(row.not_approved()));
        }
        let missing = usable && self.store_channel(&row.name, STABLE).await?.is_none();
        let channel = channel.or(missing.then_some(STABLE));
        let mut channel_moved = None;
        if let Some(channel) = channel {
            let moved = self.point(&row, channel, actor, false).await?;
            channel_moved = moved.then(|| channel.to_owned());
        }
        self.reload().await?;
        tracing::info!(
            component = row.name,
            version = row.version,
            digest = row.digest,
            actor,
            created,
            "component uploaded"
        );
        Ok(Uploaded {
            row,
            created,
            channel_moved,
        })
    }

    /// What comes with the binary. An operator's choice stays: a channel is moved only when it is missing or still where a
    /// start put it, a definition only when nobody else has put one of its name.
    pub(super) async fn register(&self, built_in: &BuiltIn) -> Result<(), StoreError> {
        for (file, bytes) in &built_in.components {
            if let Err(error) = self.register_component(Arc::clone(bytes)).await {
                match error {
                    UploadError::Store(error) => return Err(error),
                    error => tracing::error!(file, %error, "a built-in component is not registered"),
                }
            }
        }
        for (name, body) in &built_in.definitions {
            let known = self.store.definition(name).await?;
            let value = body.to_value();
            if known.is_none_or(|row| row.built_in && row.body.to_value() != value) {
                self.store
                    .put_definition(name, &Json::of(&value), true, HOST)
                    .await?;
            }
        }
        self.reload().await
    }

    async fn register_component(&self, bytes: Arc<[u8]>) -> Result<(), UploadError> {
        let status = ComponentStatus::Approved;
        let (row, _) = self.put(bytes, HOST, false, true, status).await?;
        let row = self.approved_if_pending(row, HOST).await?;
        let channel = self.store_channel(&row.name, STABLE).await?;
        if row.status == status && channel.is_none_or(|channel| channel.built_in) {
            self.point(&row, STABLE, HOST, true).await?;
        }
        Ok(())
    }

    /// Adds the bytes unless they are there; whether it did.
    async fn put(
        &self,
        bytes: Arc<[u8]>,
        actor: &str,
        replace: bool,
        built_in: bool,
        status: ComponentStatus,
    ) -> Result<(ComponentRow, bool), UploadError> {
        let digest = sha256_hex(&bytes);
        if let Some(row) = self.store.component(&digest).await? {
            return Ok((row, false));
        }
        let size_bytes = bytes.len() as u64;
        // A start waits for what comes with the binary.
        let asked = if built_in { Asked::ByCall } else { Asked::ByUpload };
        let Loaded { component, fresh } = self.runtime.load(Arc::clone(&bytes), asked).await?;
        let manifest = self.runtime.describe(&component).await.map_err(undescribed)?;
        let problems = entry::refused(&manifest);
        if !problems.is_empty() {
            return Err(UploadError::Manifest(problems));
        }
        let new = NewComponent {
            digest: digest.clone(),
            name: manifest.name.clone(),
            version: manifest.version.to_string(),
            manifest: manifest.json.clone(),
            bytes,
            built_in,
            uploaded_by: actor.to_owned(),
            status,
            granted: Some(Json::of(&manifest.grants)),
        };
        let replace = replace || self.gives_way(&new).await?;
        match self.store.put_component(new, replace).await? {
            PutComponent::Added(row) => {
                if let Some(fresh) = fresh {
                    self.runtime.keep(fresh).await;
                }
                self.pinned
                    .insert(&digest, size_bytes, Pinned { component, manifest });
                Ok((row, true))
            }
            PutComponent::Same(row) => Ok((row, false)),
            PutComponent::VersionExists(row) => Err(UploadError::VersionExists(Box::new(row))),
        }
    }

    async fn is_approved(&self, bytes: &[u8]) -> Result<bool, StoreError> {
        let row = self.store.component(&sha256_hex(bytes)).await?;
        Ok(row.is_some_and(|row| row.status == ComponentStatus::Approved))
    }

    /// The same bytes from somebody who may approve them. What was retired or revoked was somebody's decision, and stays.
    async fn approved_if_pending(&self, row: ComponentRow, actor: &str) -> Result<ComponentRow, UploadError> {
        if row.status != ComponentStatus::Pending {
            return Ok(row);
        }
        let stands = self
            .stand(&row.digest, ComponentStatus::Approved, None, actor)
            .await;
        stands.map_err(|error| match error {
            ApprovalError::Store(error) => error.into(),
            error @ (ApprovalError::Unknown(_)
            | ApprovalError::Beyond(_)
            | ApprovalError::VersionExists { .. }) => StoreError::Unavailable(Box::new(error)).into(),
        })
    }

    /// Whether what has the same name and version gives way. A newer binary brings other bytes under the same version only
    /// while that version is being developed; and what nobody approved keeps nobody's version.
    async fn gives_way(&self, new: &NewComponent) -> Result<bool, StoreError> {
        let rows = self.store.components().await?;
        let mut namesakes = rows
            .iter()
            .filter(|row| row.name == new.name && row.version == new.version);
        let approved = new.status == ComponentStatus::Approved;
        if approved
            && namesakes
                .clone()
                .all(|row| row.status == ComponentStatus::Pending)
        {
            return Ok(true);
        }
        Ok(new.built_in && namesakes.any(|row| row.built_in))
    }

    pub(super) async fn store_channel(
        &self,
        step: &str,
        channel: &str,
    ) -> Result<Option<ChannelRow>, StoreError> {
        let rows = self.store.channels().await?;
        Ok(rows
            .into_iter()
            .find(|row| row.step == step && row.channel == channel))
    }
}

/// A manifest's own violations are problems with a place, like those that the catalogue finds.
fn undescribed(error: DescribeError) -> UploadError {
    let DescribeError::Manifest(violations) = error else {
        return UploadError::Describe(error);
    };
    let problem = |found: Violation| Problem {
        message: format!("expected {}", found.expected),
        pointer: found.pointer,
        code: "manifest",
    };
    UploadError::Manifest(violations.into_iter().map(problem).collect())
}
