//! Moving channels, and what people see of steps.

use super::{
    Catalog, NotApproved, Pick, Selector,
    selector::{CHANNEL_RULE, is_channel_name},
};
use crate::store::{ChannelRow, ComponentRow, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("{0:?} is no channel name: {CHANNEL_RULE}")]
    Name(String),
    #[error("there is no step component {0:?}")]
    UnknownStep(String),
    /// Says which version or digest.
    #[error("{0}")]
    UnknownComponent(String),
    #[error(transparent)]
    NotApproved(NotApproved),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One step by name: its components, newest upload first, and its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepView {
    pub name: String,
    pub components: Vec<ComponentRow>,
    pub channels: Vec<ChannelRow>,
}

impl Catalog {
    /// Points a channel to a version (`0.2.0`) or to bytes (`sha256:<digest>`). Only sagas started afterwards see it.
    pub async fn set_channel(
        &self,
        step: &str,
        channel: &str,
        to: &str,
        actor: &str,
    ) -> Result<ChannelRow, ChannelError> {
        if !is_channel_name(channel) {
            return Err(ChannelError::Name(channel.to_owned()));
        }
        let _changing = self.changing.lock().await;
        let index = self.index();
        if !index.components().any(|(name, _)| name == step) {
            return Err(ChannelError::UnknownStep(step.to_owned()));
        }
        let selector = Selector {
            name: step.to_owned(),
            pick: Pick::parse(to).map_err(ChannelError::UnknownComponent)?,
        };
        let entry = index.select(&selector).map_err(ChannelError::UnknownComponent)?;
        entry.approved().map_err(ChannelError::NotApproved)?;
        self.point(&entry.row, channel, actor, false).await?;
        self.reload().await?;
        let row = self.index().channel(step, channel).cloned();
        tracing::info!(step, channel, digest = entry.row.digest, actor, "channel set");
        row.ok_or_else(|| ChannelError::UnknownStep(step.to_owned()))
    }

    pub fn steps(&self) -> Vec<StepView> {
        let index = self.index();
        let names: Vec<&str> = index.components().map(|(name, _)| name).collect();
        names.into_iter().filter_map(|name| index.view(name)).collect()
    }

    pub fn step(&self, name: &str) -> Option<StepView> {
        self.index().view(name)
    }

    pub fn component(&self, digest: &str) -> Option<ComponentRow> {
        self.index().component(digest).map(|entry| entry.row.clone())
    }

    /// Writes the channel's row unless it says the same already; whether the channel points elsewhere now.
    pub(super) async fn point(
        &self,
        row: &ComponentRow,
        channel: &str,
        actor: &str,
        built_in: bool,
    ) -> Result<bool, StoreError> {
        let before = self.store_channel(&row.name, channel).await?;
        let same = before.as_ref().is_some_and(|before| before.digest == row.digest);
        if same && before.is_some_and(|before| before.built_in == built_in) {
            return Ok(false);
        }
        self.store
            .set_channel(ChannelRow {
                step: row.name.clone(),
                channel: channel.to_owned(),
                digest: row.digest.clone(),
                built_in,
                moved_by: actor.to_owned(),
                moved_ms: self.store.now_ms(),
            })
            .await?;
        Ok(!same)
    }
}
