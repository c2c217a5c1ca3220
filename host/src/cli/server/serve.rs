//! `arcadia serve`

use std::{env, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    Compiling, Listening, Logging, NodeOptions,
    account::RealAccount,
    cloud::{CloudArgs, TOKEN_VARIABLE},
    database::DatabaseArgs,
    node::Prepared,
};
use crate::{
    cli::{client::is_loopback, connection::serve_folder, exit::Exit, failure::CliError, output, stop::Stop},
    cloud::{DIGITALOCEAN, ServiceConfig},
};

/// Run a host
#[derive(Debug, Args)]
#[command(after_help = "\
Steps reach DigitalOcean with the token in DIGITALOCEAN_TOKEN, and only then: its account and droplet limit are shown
before the first saga is accepted. If they can't be read, that is said, and the host starts all the same: sagas that
were accepted earlier have to go on. Without a token, and without --cloud or --services, every request of a step to
`digitalocean` is denied.

The first start makes the data folder (mode 0700) and in it the administrator's token (`token`, mode 0600), which makes others: `arcadia token create`.
SIGTERM or ctrl-c ends it in order; a saga survives any other end as well. Once its disk has failed to keep a write (a failed
fsync) it ends itself with SIGABRT: start it again when the disk is well.

Hosts that share a PostgreSQL database share its sagas: one that ends hands them over at once, one that dies or hangs loses them to
the others when its lease runs out. A host that finds itself lost exits with 8, to be started again.

Examples:
  arcadia serve
  DIGITALOCEAN_TOKEN=… arcadia serve --data /var/lib/arcadia --listen 127.0.0.1:7270
  arcadia serve --cloud http://127.0.0.1:7280
  arcadia serve --services services.toml --log-format json
  ARCADIA_DATABASE=postgres://arcadia:…@db/arcadia arcadia serve     # as many hosts as you like")]
pub struct Serve {
    #[command(flatten)]
    listening: Listening,
    /// Where everything is kept [default: ~/.local/share/arcadia/serve]
    #[arg(long, env = "ARCADIA_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    cloud: CloudArgs,
    #[command(flatten)]
    compiling: Compiling,
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
            lease: self.database.lease()?,
            database: self.database.database(),
            services: services.clone(),
            allow_replace: false,
            compiling: self.compiling,
        })
        .await?;
        let account = tell_services(&prepared, &services).await;
        if let (Some(account), false) = (&account, json) {
            output::line(&account.to_string())?;
        }
        let stop = Stop::listen()?;
        let node = prepared.start().await?;
        tracing::info!(
            url = node.url,
            data = %node.folder().path().display(),
            "ready"
        );
        if json {
            output::json_line(&json!({
                "url": node.url,
                "token_file": node.token.here().map(|token| &token.file),
                "token_is_new": node.token.here().is_some_and(|token| token.new),
                "account": account,
            }))?;
        } else {
            output::line(&format!(
                "arcadia is ready at {}\n  administrator's token: {}",
                node.url, node.token
            ))?;
        }
        let exit = tokio::select! {
            () = stop.asked() => Exit::Success,
            () = node.lost() => Exit::LeaseLost,
        };
        tracing::info!("ending");
        node.shutdown().await?;
        Ok(exit)
    }
}

/// Says in the log what steps can reach; answers the real account among it.
async fn tell_services(prepared: &Prepared, services: &[ServiceConfig]) -> Option<RealAccount> {
    if services.is_empty() {
        tracing::warn!(
            "no service is configured, so steps reach no cloud; give a token in {TOKEN_VARIABLE}, or --cloud, or --services"
        );
    }
    let mut account = None;
    for config in services {
        let local = reqwest::Url::parse(&config.base_url).is_ok_and(|url| is_loopback(&url));
        let (service, base_url) = (&config.name, &config.base_url);
        tracing::info!(service, base_url, "service");
        if !local && service == DIGITALOCEAN {
            let read = RealAccount::read(prepared.services(), config).await;
            match &read {
                RealAccount::Known(_) => tracing::info!("{read}"),
                RealAccount::Unreadable { .. } => tracing::warn!("{read}; starting all the same"),
            }
            account = Some(read);
        }
    }
    account
}
