//! A PostgreSQL server for tests: the installed programs, a folder, a port and a socket of its own.
//!
//! It ends with the process that started it, however that ends: a shell waits for the end of its standard input, which is a
//! pipe that nobody else holds, and then stops the server and removes the folder.
//!
//! Without the packages (`apt-get install postgresql`) tests that need them say that they are skipped. With
//! `ARCADIA_REQUIRE_POSTGRES=1` they fail.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

const USER: &str = "arcadia";

pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    pub port: u16,
    /// Of the server program.
    options: String,
    databases: AtomicU32,
    /// Its standard input is what the shell waits for.
    _shell: Child,
}

/// The server that all tests of this process share; `None`, and a line that says so, when there are no packages.
pub fn shared() -> Option<&'static Server> {
    static SHARED: LazyLock<Option<Server>> = LazyLock::new(|| Server::start(&[]));
    SHARED.as_ref()
}

/// The newest installed version's.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            programs.join("initdb").exists().then_some((version, programs))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, programs)| programs)
}

impl Server {
    /// One of its own, with these settings (`name=value`).
    pub fn start(settings: &[&str]) -> Option<Server> {
        let Some(programs) = programs() else {
            let required = std::env::var("ARCADIA_REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
            assert!(
                !required,
                "PostgreSQL is not installed: apt-get install postgresql"
            );
            eprintln!("skipped: PostgreSQL is not installed (apt-get install postgresql)");
            return None;
        };
        let folder = tempfile::Builder::new()
            .prefix("arcadia-postgres-")
            .tempdir()
            .unwrap()
            .keep();
        let data = folder.join("data");
        if is_root() {
            run(Command::new("chown").arg("postgres:postgres").arg(&folder));
        }
        let program = |name: &str| as_server(&programs.join(name));
        run(program("initdb")
            .args([
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--username",
                USER,
            ])
            .arg("--pgdata")
            .arg(&data));
        let port = free_port();
        let mut options = format!(
            "-h 127.0.0.1 -p {port} -k '{}' -c max_connections=200 -c shared_buffers=64MB",
            folder.display()
        );
        for setting in settings {
            options.push_str(&format!(" -c {setting}"));
        }
        let server = Server {
            port,
            options,
            databases: AtomicU32::new(0),
            _shell: janitor(&programs, &folder),
            programs,
            folder,
        };
        server.go_on();
        Some(server)
    }

    /// Starts it again after `stop`.
    pub fn go_on(&self) {
        self.control(&["start", "-w", "-o", &self.options]);
    }

    /// `fast` or `immediate` (as after kill -9).
    pub fn stop(&self, mode: &str) {
        self.control(&["stop", "-w", "-m", mode]);
    }

    /// The log is a file: a server that had our pipes would keep us waiting for their end.
    fn control(&self, arguments: &[&str]) {
        run(as_server(&self.programs.join("pg_ctl"))
            .args(arguments)
            .arg("-l")
            .arg(self.folder.join("log"))
            .arg("-D")
            .arg(self.folder.join("data")));
    }

    /// `fast` or `immediate` (as after kill -9), and started again with the same settings.
    pub fn restart(&self, mode: &str) {
        self.control(&["restart", "-w", "-m", mode]);
    }

    /// From now on this user is asked for a password. The server is restarted.
    pub fn ask_for_password(&self, user: &str) {
        let file = self.folder.join("data/pg_hba.conf");
        let rules = fs::read_to_string(&file).unwrap();
        fs::write(
            &file,
            format!("host all {user} 127.0.0.1/32 scram-sha-256\n{rules}"),
        )
        .unwrap();
        self.restart("fast");
    }

    /// Restarted as one that follows a primary (there is none) and takes no writes.
    pub fn become_standby(&self) {
        fs::write(self.folder.join("data/standby.signal"), "").unwrap();
        self.restart("fast");
    }

    /// Everything in a database, as statements that make it.
    pub fn dump(&self, database: &str) -> String {
        let output = Command::new(self.programs.join("pg_dump"))
            .args(["--inserts", "-d"])
            .arg(self.url(database))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{database}: {errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        // Newer versions put a random word into the first and the last line.
        let lines = text.lines().filter(|line| !line.starts_with('\\'));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// The address of a new, empty database.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        self.url(&name)
    }

    /// The address of a new, empty database that belongs to a user of its own, `app`, who may no more than that.
    pub fn database_of_app(&self) -> String {
        self.sql("postgres", "create role app login");
        self.sql("postgres", "create database app owner app");
        self.url_of("app", "app")
    }

    pub fn url(&self, database: &str) -> String {
        self.url_of(USER, database)
    }

    pub fn url_of(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs a statement as the superuser, and answers its rows, a line each with `|` between columns.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(self.url(database))
            .args(["-c", statement])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statement}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

/// Stops the server and removes the folder once this process is gone, or the server is dropped. Ctrl-c is for the tests.
fn janitor(programs: &Path, folder: &Path) -> Child {
    let stop = as_server(&programs.join("pg_ctl"));
    let mut words: Vec<String> = vec![stop.get_program().to_string_lossy().into_owned()];
    words.extend(stop.get_args().map(|word| word.to_string_lossy().into_owned()));
    let script = format!(
        "trap '' INT TERM HUP; read -r _; {} stop -m immediate -D '{data}' >/dev/null 2>&1; rm -rf '{folder}'",
        words.join(" "),
        data = folder.join("data").display(),
        folder = folder.display(),
    );
    Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub fn is_root() -> bool {
    let me = Command::new("id").arg("-u").output().unwrap();
    me.stdout == b"0\n"
}

/// A program of the server, as a user that it doesn't refuse.
fn as_server(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn each_database_of_the_shared_server_is_empty_and_its_server_keeps_what_is_committed() {
    let Some(server) = shared() else { return };
    let (one, other) = (server.database(), server.database());
    assert_ne!(one, other);
    let name = one.rsplit('/').next().unwrap();
    assert_eq!(
        server.sql(name, "select count(*) from pg_tables where schemaname = 'public'"),
        "0"
    );
    assert_eq!(server.sql(name, "show fsync"), "on");
    assert_eq!(server.sql(name, "show synchronous_commit"), "on");
}

#[test]
fn a_server_can_be_restarted_as_after_a_crash_and_is_gone_when_it_is_dropped() {
    let Some(server) = Server::start(&["max_connections=20"]) else {
        return;
    };
    server.sql(
        "postgres",
        "create table kept (n bigint); insert into kept values (7)",
    );
    server.restart("immediate");
    assert_eq!(server.sql("postgres", "select n from kept"), "7");
    assert_eq!(server.sql("postgres", "show max_connections"), "20");
    let folder = server.folder.clone();
    drop(server);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while folder.exists() {
        assert!(
            std::time::Instant::now() < deadline,
            "{} is still there",
            folder.display()
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
