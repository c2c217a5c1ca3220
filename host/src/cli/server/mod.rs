//! Commands that start a server: `serve` and `dev`, and what `demo` shares with them.

mod account;
mod cloud;
mod compiling;
mod database;
mod dev;
mod logging;
mod node;
mod serve;

use std::net::SocketAddr;

use clap::Args;

pub use compiling::Compiling;
pub use database::{Database, WhichDatabase};
pub use dev::Dev;
pub use logging::Logging;
pub use node::{Node, NodeOptions, Prepared, failed};
pub use serve::Serve;

use super::connection::DEFAULT_LISTEN;
use crate::cloud::{Secret, ServiceConfig};

#[derive(Debug, Args)]
pub struct Listening {
    /// Where the HTTP API listens; port 0 takes a free one
    #[arg(long, env = "ARCADIA_LISTEN", default_value = DEFAULT_LISTEN, value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// The service `digitalocean` at another address than DigitalOcean's, with the same rights and budget.
pub fn digitalocean_at(base_url: &str, token: &str) -> ServiceConfig {
    ServiceConfig {
        base_url: base_url.to_owned(),
        ..ServiceConfig::digitalocean(Some(Secret::new(token)))
    }
}
