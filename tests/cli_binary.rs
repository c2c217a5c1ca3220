//! The binary as tests start it: with nothing of the developer's environment, and never left behind.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

/// The binary, without the variables that change what it does.
pub fn arcadia() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arcadia"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let lower = name.to_lowercase();
        if name.starts_with("ARCADIA_") || lower.ends_with("_proxy") || name == "DIGITALOCEAN_TOKEN" {
            command.env_remove(name);
        }
    }
    command.env("XDG_DATA_HOME", "/nonexistent").env_remove("COLUMNS");
    command
}

/// A server command that has said it is ready; killed when dropped.
pub struct Host {
    pub child: Child,
    /// What it said on its first line, with `--json`.
    pub ready: Value,
}

impl Host {
    /// `command`: a server command with its arguments, without `--json`.
    pub fn start(mut command: Command) -> Host {
        let mut child = command
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Host { child, ready }
    }

    /// `serve` on a free port, with its data in `folder` and no cloud.
    pub fn serve(folder: &Path) -> Host {
        Host::serve_at("127.0.0.1:0", folder)
    }

    /// With more arguments.
    pub fn serve_with<const N: usize>(folder: &Path, more: [&str; N]) -> Host {
        let mut command = arcadia();
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(more)
            .arg("--data")
            .arg(folder);
        Host::start(command)
    }

    pub fn serve_at(listen: &str, folder: &Path) -> Host {
        let mut command = arcadia();
        command.args(["serve", "--listen", listen, "--data"]).arg(folder);
        Host::start(command)
    }

    pub fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    /// A command that talks to this host.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Command {
        let mut command = arcadia();
        command
            .env("ARCADIA_URL", self.url())
            .env("ARCADIA_TOKEN_FILE", self.ready["token_file"].as_str().unwrap())
            .args(arguments);
        command
    }

    pub fn run<const N: usize>(&self, arguments: [&str; N]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must work, and reads its answer.
    pub fn json<const N: usize>(&self, arguments: [&str; N]) -> Value {
        let output = self.command(arguments).arg("--json").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// SIGTERM; answers the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn exit_code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}
