//! `arcadia step approve | retire | revoke`

use clap::Args;
use serde_json::json;

use super::show::steps;
use crate::{
    api::dto::{Asks, Component},
    cli::{client::Client, exit::Exit, failure::CliError, output},
};

/// One version of a step.
#[derive(Debug, Args)]
pub struct Which {
    /// Name of the step
    name: String,
    /// Its version, or the sha256 of the component
    version: String,
}

impl Which {
    async fn path(&self, client: &Client) -> Result<String, CliError> {
        let bare = self.version.strip_prefix("sha256:").unwrap_or(&self.version);
        let steps = steps(client).await?;
        let step = steps.iter().find(|step| step.name == self.name);
        let version = step.and_then(|step| {
            step.versions
                .iter()
                .find(|version| version.version == self.version || version.digest == bare)
        });
        match version {
            Some(version) => Ok(format!("/v1/components/{}", version.digest)),
            None => Err(CliError::Failed {
                what: format!("there is no version {:?} of a step {:?}", self.version, self.name),
                next: Some(
                    "`arcadia step list` and `arcadia step show NAME` name those that are there".into(),
                ),
            }),
        }
    }
}

pub async fn approve(which: Which, client: &Client, json: bool) -> Result<Exit, CliError> {
    let path = which.path(client).await?;
    if !json {
        let component: Component = client.get(&path, &[]).await?;
        output::print(&asked(&component.asks))?;
    }
    let component: Component = client.post(&format!("{path}/approve"), &json!({})).await?;
    if json {
        output::json(&component)?;
        return Ok(Exit::Success);
    }
    output::line(&format!("{} {} is approved", component.name, component.version))?;
    if component.channels.is_empty() {
        output::line(&format!(
            "  next: arcadia step promote {} {}",
            component.name, component.version
        ))?;
    }
    for channel in &component.channels {
        output::line(&format!(
            "{}#{} points to it: sagas that start from now on run it",
            channel.step, channel.channel
        ))?;
    }
    Ok(Exit::Success)
}

pub async fn take_back(which: Which, verb: &str, client: &Client, json: bool) -> Result<Exit, CliError> {
    let path = which.path(client).await?;
    let component: Component = client.post(&format!("{path}/{verb}"), &json!({})).await?;
    if json {
        output::json(&component)?;
        return Ok(Exit::Success);
    }
    let Component {
        name,
        version,
        status,
        ..
    } = &component;
    output::line(&format!("{name} {version} is {status}"))?;
    for channel in &component.channels {
        output::line(&format!(
            "  {}#{} points to it: new sagas through it are refused until the channel is moved",
            channel.step, channel.channel
        ))?;
    }
    Ok(Exit::Success)
}

/// What is being approved, for people.
fn asked(asks: &Asks) -> String {
    let mut text = String::from("it asks for\n");
    let mut tell = |line: String| text.push_str(&format!("  {line}\n"));
    for grant in &asks.http {
        let (methods, prefixes) = (grant.methods.join(" "), grant.path_prefixes.join(" "));
        tell(format!("{}: {methods} below {prefixes}", grant.service));
    }
    if asks.http.is_empty() {
        tell("no service".to_owned());
    }
    if let Some(bytes) = asks.memory_bytes {
        tell(format!("{} MiB of memory", bytes.div_ceil(1 << 20)));
    }
    if asks.irreversible {
        tell("what it does can't be undone".to_owned());
    }
    text
}
