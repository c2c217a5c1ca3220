//! `step build`: cargo with the wasm target, and the component where the author finds it.

use std::{
    ffi::OsString,
    fs,
    io::BufRead as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::cli::failure::CliError;

const TARGET: &str = "wasm32-unknown-unknown";

/// A built component.
#[derive(Debug, Clone)]
pub struct Built {
    pub file: PathBuf,
    pub size_bytes: u64,
}

/// What the package in `folder` is called.
pub fn package_name(folder: &Path) -> Result<String, CliError> {
    #[derive(Deserialize)]
    struct Manifest {
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
    }
    let file = folder.join("Cargo.toml");
    let text = fs::read_to_string(&file).map_err(|error| {
        CliError::usage(
            format!("can't read {}: {error}", file.display()),
            "go to the folder of a step, or name it with --dir; `arcadia step new` makes one",
        )
    })?;
    let manifest: Manifest = toml::from_str(&text).map_err(|error| {
        CliError::usage(
            format!("{} isn't a package's: {}", file.display(), error.message()),
            "name the folder of one step with --dir",
        )
    })?;
    Ok(manifest.package.name)
}

/// Where `build` leaves the component of the package in `folder`.
pub fn component_file(folder: &Path) -> Result<PathBuf, CliError> {
    Ok(folder.join(format!("{}.wasm", package_name(folder)?)))
}

/// Builds the step in `folder` with the cargo on PATH.
pub fn build(folder: &Path) -> Result<Built, CliError> {
    let file = component_file(folder)?;
    require_target()?;
    let built = run_cargo(folder)?;
    fs::copy(&built, &file).map_err(CliError::writing(&file))?;
    let size_bytes = fs::metadata(&file).map_err(CliError::reading(&file))?.len();
    Ok(Built { file, size_bytes })
}

fn require_target() -> Result<(), CliError> {
    let libdir = ask_rustc(&["--print", "target-libdir", "--target", TARGET])?;
    let installed = fs::read_dir(&libdir).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    });
    if installed {
        return Ok(());
    }
    Err(CliError::usage(
        format!("this Rust toolchain can't build for {TARGET}: its standard library is missing"),
        format!("rustup target add {TARGET}"),
    ))
}

fn ask_rustc(arguments: &[&str]) -> Result<String, CliError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let answer = Command::new(&rustc)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            CliError::usage(
                format!("can't run {}: {error}", rustc.display()),
                "install Rust: https://rustup.rs",
            )
        })?;
    if !answer.status.success() {
        return Err(CliError::failed(format!(
            "{} {} failed",
            rustc.display(),
            arguments.join(" ")
        )));
    }
    Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}

/// What cargo prints for a finished artifact, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Answers the last .wasm that cargo made: that of the package itself.
fn run_cargo(folder: &Path) -> Result<PathBuf, CliError> {
    let cargo = OsString::from("cargo");
    let mut running = Command::new(&cargo)
        .current_dir(folder)
        .args(["build", "--release", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .arg("--config")
        .arg(format!("target.{TARGET}.linker=\"wasm-component-ld\""))
        .arg("--config")
        .arg(format!("target.{TARGET}.rustflags={}", path_free_flags(folder)?))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            CliError::usage(
                format!("can't run {}: {error}", cargo.display()),
                "install Rust: https://rustup.rs",
            )
        })?;
    let stdout = running.stdout.take().expect("it was asked for");
    let mut component = None;
    for line in std::io::BufReader::new(stdout).lines() {
        let line = line.map_err(CliError::io("can't read what cargo says"))?;
        let Ok(message) = serde_json::from_str::<Message>(&line) else {
            continue;
        };
        if message.reason == "compiler-artifact" {
            let wasm = message
                .filenames
                .into_iter()
                .find(|file| file.extension().is_some_and(|extension| extension == "wasm"));
            component = wasm.or(component);
        }
    }
    let status = running.wait().map_err(CliError::io("can't wait for cargo"))?;
    if !status.success() {
        return Err(CliError::failed("the step doesn't build; cargo says why above"));
    }
    component.ok_or_else(|| CliError::Failed {
        what: "cargo built no .wasm".into(),
        next: Some("give the package a library with crate-type = [\"cdylib\"]".into()),
    })
}

/// Compiler flags that keep this machine's folders out of the component, as a TOML array.
fn path_free_flags(folder: &Path) -> Result<String, CliError> {
    let here = folder.canonicalize().map_err(CliError::reading(folder))?;
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .unwrap_or_default();
    let flags: Vec<toml::Value> = [
        format!("--remap-path-prefix={}=/step", here.display()),
        format!(
            "--remap-path-prefix={}=/rust/deps",
            cargo_home.join("registry/src").display()
        ),
    ]
    .map(toml::Value::String)
    .into();
    Ok(toml::Value::Array(flags).to_string())
}
