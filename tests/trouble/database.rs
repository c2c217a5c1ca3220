//! PostgreSQL under a host.

use std::{ffi::OsString, ops::Deref, sync::Arc};

use super::Base;
use crate::support::postgres::{self, Server};

/// The default of `serve`, where the trouble must not outlast it.
const LONG_LEASE_MS: u64 = 30_000;
/// One that can be waited for.
pub const SHORT_LEASE_MS: u64 = 3_000;

pub struct Database {
    pub server: Running,
    pub url: String,
    pub lease_ms: u64,
}

#[derive(Clone)]
pub enum Running {
    Shared(&'static Server),
    /// For tests that hurt more than one database.
    Own(Arc<Server>),
}

impl Deref for Running {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Running::Shared(server) => server,
            Running::Own(server) => server,
        }
    }
}

impl Database {
    /// One of the shared server. `None`, here and below: there is no PostgreSQL, and the test is skipped.
    pub fn new() -> Option<Database> {
        let server = postgres::shared()?;
        Some(Database {
            url: server.database(),
            server: Running::Shared(server),
            lease_ms: SHORT_LEASE_MS,
        })
    }

    /// The one database of a server of its own; the host is a user without privileges.
    pub fn alone(settings: &[&str]) -> Option<Database> {
        let server = Server::start(settings)?;
        Some(Database {
            url: server.database_of_app(),
            server: Running::Own(Arc::new(server)),
            lease_ms: LONG_LEASE_MS,
        })
    }

    /// Of whoever may no more than `app`.
    pub fn end_sessions(&self) {
        self.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'");
    }

    /// As the superuser.
    pub fn sql(&self, statement: &str) -> String {
        let name = self.url.rsplit('/').next().unwrap_or_default();
        self.server.sql(name, statement)
    }
}

impl Base for Database {
    fn arguments(&self) -> Vec<String> {
        let (lease, heartbeat) = (self.lease_ms.to_string(), (self.lease_ms / 6).to_string());
        [
            "--database",
            &self.url,
            "--lease-ms",
            &lease,
            "--heartbeat-ms",
            &heartbeat,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }
}
