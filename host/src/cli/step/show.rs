//! `arcadia step list | show`

use clap::Args;

use crate::{
    api::dto::{Component, Page, Step},
    cli::{
        client::Client,
        exit::Exit,
        failure::CliError,
        output::{self, or_dash},
    },
};

#[derive(Debug, Args)]
pub struct Show {
    /// Name of the step
    name: String,
}

/// Every step, over all pages.
pub(super) async fn steps(client: &Client) -> Result<Vec<Step>, CliError> {
    let mut steps = Vec::new();
    let mut query = Vec::new();
    loop {
        let page: Page<Step> = client.get("/v1/steps", &query).await?;
        steps.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query = vec![("cursor", cursor)],
            None => return Ok(steps),
        }
    }
}

pub async fn list(client: &Client, json: bool) -> Result<Exit, CliError> {
    let steps = steps(client).await?;
    if json {
        output::json(&steps)?;
        return Ok(Exit::Success);
    }
    let row = |step: &Step| {
        let channels: Vec<String> = step
            .channels
            .iter()
            .map(|channel| format!("{}={}", channel.channel, channel.version))
            .collect();
        let newest = step.versions.first();
        let status = newest.map(|newest| newest.status.clone());
        let newest = newest.map(|newest| newest.version.clone());
        let channels = channels.join(" ");
        vec![step.name.clone(), or_dash(newest), or_dash(status), channels]
    };
    output::table(
        &["step", "newest", "status", "channels"],
        steps.iter().map(row).collect(),
        "no steps; `arcadia step new` makes one",
    )?;
    Ok(Exit::Success)
}

impl Show {
    pub async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let steps = steps(client).await?;
        let Some(step) = steps.into_iter().find(|step| step.name == self.name) else {
            return Err(CliError::Failed {
                what: format!("there is no step {:?}", self.name),
                next: Some("`arcadia step list` names those that are there".into()),
            });
        };
        if json {
            output::json(&step)?;
            return Ok(Exit::Success);
        }
        let rows = step
            .versions
            .iter()
            .map(|version| {
                let channels: Vec<&str> = step
                    .channels
                    .iter()
                    .filter(|channel| channel.digest == version.digest)
                    .map(|channel| channel.channel.as_str())
                    .collect();
                vec![
                    version.version.clone(),
                    version.status.clone(),
                    channels.join(" "),
                    version.uploaded_at.to_string(),
                    version.digest.clone(),
                ]
            })
            .collect();
        output::table(
            &["version", "status", "channels", "uploaded", "sha256"],
            rows,
            "no versions",
        )?;
        let current = step
            .channels
            .iter()
            .find(|channel| channel.channel == "stable")
            .map(|channel| channel.digest.clone())
            .or_else(|| step.versions.first().map(|version| version.digest.clone()));
        if let Some(digest) = current {
            let component: Component = client.get(&format!("/v1/components/{digest}"), &[]).await?;
            output::line("\nmanifest of the version that new sagas run:")?;
            let manifest: serde_json::Value = serde_json::from_str(component.manifest.as_str())
                .map_err(|error| CliError::failed(format!("its manifest is no JSON: {error}")))?;
            output::json(&manifest)?;
        }
        Ok(Exit::Success)
    }
}
