//! `arcadia serve`

use std::{env, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    Listening, Logging, NodeOptions,
    account::{self, Account},
    cloud::{CloudArgs, TOKEN_VARIABLE},
    node::Prepared,
};
use crate::{
    cli::{client::is_loopback, connection::serve_folder, exit::Exit, failure::CliError, output, stop},
    cloud::ServiceConfig,
};

/// Run a host
#[derive(Debug, Args)]
#[command(after_help = "\
Steps reach DigitalOcean with the token in DIGITALOCEAN_TOKEN, and only then: its account and droplet limit are shown
before the first saga is accepted. If they can't be read, that is said, and the host starts all the same: sagas that
were accepted earlier have to go on. Without a token, and without --cloud or --services, every request of a step to
`digitalocean` is denied.

The first start makes the data folder (mode 0700) and in it the administrator's token (`token`, mode 0600).
SIGTERM or ctrl-c ends it in order; a saga survives any other end as well.

Examples:
  arcadia serve
  DIGITALOCEAN_TOKEN=… arcadia serve --data /var/lib/arcadia --listen 127.0.0.1:7270
  arcadia serve --cloud http://127.0.0.1:7280
  arcadia serve --services services.toml --log-format json")]
pub struct Serve {
    #[command(flatten)]
    listening: Listening,
    /// Where everything is kept [default: ~/.local/share/arcadia/serve]
    #[arg(long, env = "ARCADIA_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    #[command(flatten)]
    cloud: CloudArgs,
    #[command(flatten)]
    logging: Logging,
}

impl Serve {
    pub async fn run(self, json: bool) -> Result<Exit, CliError> {
        self.logging.start("info")?;
        let services = self.cloud.services(|name| env::var(name).ok())?;
        let prepared = Prepared::open(NodeOptions {
            listen: self.listening.listen,
            data: self.data.unwrap_or_else(serve_folder),
            services: services.clone(),
            allow_replace: false,
        })
        .await?;
        tell_services(&prepared, &services).await;
        let node = prepared.start().await?;
        tracing::info!(
            url = node.url,
            data = %node.folder().path().display(),
            "ready"
        );
        tell_ready(
            &node.url,
            &node.token.file.display().to_string(),
            node.token.new,
            json,
        )?;
        stop::asked().await?;
        tracing::info!("ending");
        node.shutdown().await?;
        Ok(Exit::Success)
    }
}

fn tell_ready(url: &str, token_file: &str, new: bool, json: bool) -> Result<(), CliError> {
    if json {
        return output::json_line(&json!({ "url": url, "token_file": token_file, "token_is_new": new }));
    }
    let made = if new { " (made just now)" } else { "" };
    output::line(&format!(
        "arcadia is ready at {url}\n  administrator's token: {token_file}{made}"
    ))
}

/// Says in the log what steps can reach, and as whom.
async fn tell_services(prepared: &Prepared, services: &[ServiceConfig]) {
    if services.is_empty() {
        tracing::warn!(
            "no service is configured, so steps reach no cloud; give a token in {TOKEN_VARIABLE}, or --cloud, or --services"
        );
    }
    for config in services {
        let local = reqwest::Url::parse(&config.base_url).is_ok_and(|url| is_loopback(&url));
        let (service, base_url) = (&config.name, &config.base_url);
        tracing::info!(service, base_url, "service");
        if local || service != crate::cloud::DIGITALOCEAN {
            continue;
        }
        match account::read(prepared.services(), config).await {
            Ok(Account {
                droplet_limit,
                email,
                status,
            }) => tracing::info!(
                email,
                status,
                droplet_limit,
                "steps use this real DigitalOcean account"
            ),
            Err(reason) => tracing::warn!(
                reason,
                "steps use a real DigitalOcean account, which can't be read now; starting all the same"
            ),
        }
    }
}
