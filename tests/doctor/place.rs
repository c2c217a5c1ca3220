//! Databases to look at, and what is said of them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use arcadia::store::{Applied, Change, Fence, HostId, SqlStore, Store};
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    cli_binary::{arcadia, exit_code, text},
    store::fixture::{LEASE_MS, accept, plan, saga},
    support::postgres::{self, Server},
};

pub const HOST: HostId = HostId(Uuid::from_u128(0xA));
const FENCE: Fence = Fence {
    owner: HOST,
    number: 1,
};

/// What doctor said.
#[derive(Debug)]
pub struct Said {
    pub exit: i32,
    pub state: String,
    pub at: String,
    /// `(state, seen, next)` by code.
    checks: BTreeMap<String, (String, String, String)>,
    /// Everything that it wrote.
    pub all: String,
}

impl Said {
    pub fn by(mut command: Command) -> Said {
        let output = command.arg("--json").output().unwrap();
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        let document: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {all}"));
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let checks = document["checks"].as_array().unwrap().iter();
        Said {
            exit: exit_code(&output),
            state: word(&document["state"]),
            at: word(&document["at"]),
            checks: checks
                .map(|check| {
                    let told = (word(&check["state"]), word(&check["seen"]), word(&check["next"]));
                    (word(&check["code"]), told)
                })
                .collect(),
            all,
        }
    }

    /// Of the database in a data folder.
    pub fn of_folder(folder: &Path) -> Said {
        let mut command = arcadia();
        command.args(["doctor", "--data"]).arg(folder);
        Said::by(command)
    }

    pub fn of_server(url: &str) -> Said {
        let mut command = arcadia();
        command.arg("doctor").env("ARCADIA_DATABASE", url);
        Said::by(command)
    }

    pub fn codes(&self) -> Vec<&str> {
        self.checks.keys().map(String::as_str).collect()
    }

    pub fn state_of(&self, code: &str) -> &str {
        self.checks.get(code).map_or("left out", |(state, _, _)| state)
    }

    /// That a check came to this state, and says this; whatever isn't ok says what to do next.
    #[track_caller]
    pub fn shows(&self, code: &str, state: &str, part: &str) {
        let (is, seen, next) = &self.checks[code];
        assert_eq!(is, state, "{code}: {seen}\n{}", self.all);
        assert!(seen.contains(part), "{code} says {seen:?}, not {part:?}");
        assert_eq!(next.is_empty(), is == "ok", "{code}: {next:?}");
    }

    /// That nothing but these is otherwise than ok.
    #[track_caller]
    pub fn is_well_but_for(&self, codes: &[&str]) {
        for (code, (state, seen, _)) in &self.checks {
            assert!(
                state == "ok" || codes.contains(&code.as_str()),
                "{code} is {state}: {seen}"
            );
        }
    }
}

/// Whether this process has anything in the folder open.
fn is_open(folder: &Path) -> bool {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let mut targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.any(|target| target.starts_with(folder))
}

/// A database with four sagas of a host that lives, and nothing wrong with it.
pub struct Place {
    store: Option<SqlStore>,
    kind: Kind,
}

enum Kind {
    File(TempDir),
    Server { server: &'static Server, url: String },
}

impl Place {
    pub async fn file() -> Place {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let token = folder.path().join("token");
        fs::write(&token, "arc_x").unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        let store = SqlStore::sqlite(&folder.path().join("arcadia.db")).await.unwrap();
        Place::with(store, Kind::File(folder)).await
    }

    /// `None`: there is no PostgreSQL here.
    pub async fn server() -> Option<Place> {
        let server = postgres::shared()?;
        let url = server.database();
        let store = SqlStore::postgres(&url).await.unwrap();
        Some(Place::with(store, Kind::Server { server, url }).await)
    }

    async fn with(store: SqlStore, kind: Kind) -> Place {
        store.open_host(HOST, LEASE_MS).await.unwrap();
        let accepts = (1..=4).map(|number| Change::Accept(Box::new(accept(&saga(number, plan()), FENCE))));
        let applied = store.commit(accepts.collect()).await.unwrap();
        assert_eq!(applied, vec![Applied::Done; 4]);
        let place = Place {
            store: Some(store),
            kind,
        };
        let yes = if place.is_file() { "1" } else { "true" };
        let digest = "00".repeat(32);
        place
            .run(&format!(
                "update saga_runs set wake_ms = 99999999999999;
                 insert into step_components
                    (digest, name, version, manifest, size_bytes, built_in, uploaded_by, uploaded_ms, status)
                 values ('{digest}', 'noop', '1.0.0', '{{}}', 1, {yes}, 'host', 1, 'approved');
                 insert into step_component_blobs (digest, bytes) values ('{digest}', {bytes})",
                bytes = if place.is_file() { "x'00'" } else { r"'\x00'" }
            ))
            .await;
        place
    }

    pub fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File(_))
    }

    pub fn folder(&self) -> &Path {
        match &self.kind {
            Kind::File(folder) => folder.path(),
            Kind::Server { .. } => panic!("it is no file"),
        }
    }

    pub fn url(&self) -> &str {
        match &self.kind {
            Kind::Server { url, .. } => url,
            Kind::File(_) => panic!("it is on no server"),
        }
    }

    /// As a person with a shell would, past the keys that tie rows together.
    pub async fn run(&self, statements: &str) {
        match &self.kind {
            Kind::File(folder) => {
                let options = SqliteConnectOptions::new()
                    .filename(folder.path().join("arcadia.db"))
                    .foreign_keys(false);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))
                    .execute(&mut connection)
                    .await
                    .unwrap_or_else(|error| panic!("{error}: {statements}"));
                connection.close().await.unwrap();
            }
            Kind::Server { server, url } => {
                let name = url.rsplit('/').next().unwrap();
                server.sql(
                    name,
                    &format!("set session_replication_role = replica; {statements}"),
                );
            }
        }
    }

    /// The process with the database open is gone.
    pub fn leave(&mut self) {
        self.store = None;
        let Kind::File(folder) = &self.kind else { return };
        // Connections are closed by threads of their own.
        let folder = fs::canonicalize(folder.path()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while is_open(&folder) {
            assert!(Instant::now() < deadline, "{} is never closed", folder.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn examined(&self) -> Said {
        self.examined_with(&[])
    }

    pub fn examined_with(&self, arguments: &[&str]) -> Said {
        let mut command = arcadia();
        command.arg("doctor").args(arguments);
        match &self.kind {
            Kind::File(folder) => command.arg("--data").arg(folder.path()),
            Kind::Server { url, .. } => command.args(["--database", url]),
        };
        Said::by(command)
    }
}
