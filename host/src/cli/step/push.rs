//! `arcadia step push | promote`

use std::{fs, path::PathBuf};

use clap::Args;

use super::{Folder, build};
use crate::{
    api::dto::{Channel, MoveChannel, Uploaded},
    cli::{client::Client, exit::Exit, failure::CliError, output},
};

#[derive(Debug, Args)]
pub struct Push {
    /// The component [default: what `step build` left in the folder]
    file: Option<PathBuf>,
    #[command(flatten)]
    folder: Folder,
    /// Also let the channel point to it
    #[arg(long)]
    promote: bool,
    /// Which channel
    #[arg(long, default_value = "stable", requires = "promote", value_name = "CHANNEL")]
    channel: String,
}

#[derive(Debug, Args)]
pub struct Promote {
    /// Name of the step
    name: String,
    /// Its version, or the sha256 of the component
    version: String,
    /// Which channel
    #[arg(long, default_value = "stable", value_name = "CHANNEL")]
    channel: String,
}

impl Push {
    pub async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let file = match self.file {
            Some(file) => file,
            None => build::component_file(&self.folder.dir)?,
        };
        let bytes = fs::read(&file).map_err(|error| {
            CliError::usage(
                format!("can't read {}: {error}", file.display()),
                "build it first: arcadia step build",
            )
        })?;
        let query: Vec<(&str, String)> = self
            .promote
            .then_some(("channel", self.channel))
            .into_iter()
            .collect();
        let (new, uploaded): (bool, Uploaded) = client.upload("/v1/components", &query, bytes).await?;
        if json {
            output::json(&uploaded)?;
            return Ok(Exit::Success);
        }
        let component = &uploaded.component;
        let what = format!(
            "{} {} (sha256:{})",
            component.name, component.version, component.digest
        );
        output::line(&if new {
            format!("{what} is uploaded")
        } else {
            format!("{what} was there already")
        })?;
        match &uploaded.moved {
            _ if component.status != "approved" => output::line(&format!(
                "  it is {}; next, with an administrator's token: arcadia step approve {} {}",
                component.status, component.name, component.version
            ))?,
            Some(channel) => output::line(&pointed(channel))?,
            None => output::line(&format!(
                "  next: arcadia step promote {} {}",
                component.name, component.version
            ))?,
        }
        Ok(Exit::Success)
    }
}

impl Promote {
    pub async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let bare = self.version.strip_prefix("sha256:").unwrap_or(&self.version);
        let is_digest = bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let body = MoveChannel {
            version: (!is_digest).then(|| self.version.clone()),
            digest: is_digest.then(|| bare.to_ascii_lowercase()),
        };
        let path = format!("/v1/steps/{}/channels/{}", self.name, self.channel);
        let channel: Channel = client.put(&path, &body).await?;
        if json {
            output::json(&channel)?;
        } else {
            output::line(&pointed(&channel))?;
        }
        Ok(Exit::Success)
    }
}

fn pointed(channel: &Channel) -> String {
    format!(
        "{}#{} is {}: sagas that start from now on run it",
        channel.step, channel.channel, channel.version
    )
}
