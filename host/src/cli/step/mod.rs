//! `arcadia step …`: writing steps, and which of their versions sagas run.

mod approve;
mod build;
mod push;
mod scaffold;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{connection::Connection, exit::Exit, failure::CliError, output};

#[derive(Debug, Subcommand)]
pub enum StepCommand {
    /// Make a folder with a new step that builds
    #[command(
        after_help = "Examples:\n  arcadia step new greet --lang rust\n  arcadia step new greet --dir steps/greet"
    )]
    New(New),
    /// Build the step in a folder into a WebAssembly component
    #[command(after_help = "\
Needs Rust's wasm32-unknown-unknown target; exits with 2 and says how to get it when it is missing.
Leaves the component beside Cargo.toml, as <name>.wasm.

Examples:
  arcadia step build
  arcadia step build --dir greet")]
    Build(Folder),
    /// Upload a component; sagas that run keep the one that they started with
    #[command(after_help = "\
The first component of a name becomes `stable`. Later ones are run only once a channel points to them. With a token of scope
operate it waits for an administrator's `arcadia step approve` first.

Examples:
  arcadia step push --promote
  arcadia step push greet.wasm
  arcadia step push greet.wasm --promote --channel next")]
    Push(push::Push),
    /// Let a channel point to a version that was uploaded: sagas that start from now on run it
    #[command(after_help = "\
Examples:
  arcadia step promote greet 0.2.0
  arcadia step promote create-droplet sha256:3f1c… --channel next")]
    Promote(push::Promote),
    /// Let new sagas use a version that waits for approval, or that was retired or revoked
    #[command(after_help = "\
Needs a token with the scope admin. Says first what the component asks for. When the step has no channel `stable` yet, that one
points to it afterwards; otherwise `arcadia step promote` moves a channel.

Examples:
  arcadia step approve greet 0.2.0
  arcadia step approve create-droplet sha256:3f1c…")]
    Approve(approve::Which),
    /// Keep new sagas from using a version; those in flight finish, or go back, with it
    #[command(
        after_help = "Needs a token with the scope admin.\n\nExample:\n  arcadia step retire greet 0.1.0"
    )]
    Retire(approve::Which),
    /// Have a version called no more, also not by sagas in flight
    #[command(after_help = "\
Needs a token with the scope admin. For a component that does harm: the calls of it that sagas in flight still want fail, also
those that would undo something, until somebody approves it again.

Example:
  arcadia step revoke greet 0.1.0")]
    Revoke(approve::Which),
    /// List the steps that sagas can be made of
    #[command(after_help = "Example:\n  arcadia step list")]
    List,
    /// Show one step: its versions, its channels, what it asks for
    #[command(after_help = "Example:\n  arcadia step show create-droplet")]
    Show(show::Show),
}

#[derive(Debug, Args)]
pub struct New {
    /// Name of the step and of its package
    name: String,
    /// Language of the step
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// Where to put it [default: a folder of that name here]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
}

/// Which step is meant.
#[derive(Debug, Args)]
pub struct Folder {
    /// The step's folder
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
}

impl StepCommand {
    pub async fn run(self, connection: &Connection) -> Result<Exit, CliError> {
        let json = connection.json;
        match self {
            StepCommand::New(new) => new.run(json),
            StepCommand::Build(folder) => build_in(&folder, json),
            StepCommand::Push(push) => push.run(&connection.client()?, json).await,
            StepCommand::Promote(promote) => promote.run(&connection.client()?, json).await,
            StepCommand::Approve(which) => approve::approve(which, &connection.client()?, json).await,
            StepCommand::Retire(which) => {
                approve::take_back(which, "retire", &connection.client()?, json).await
            }
            StepCommand::Revoke(which) => {
                approve::take_back(which, "revoke", &connection.client()?, json).await
            }
            StepCommand::List => show::list(&connection.client()?, json).await,
            StepCommand::Show(show) => show.run(&connection.client()?, json).await,
        }
    }
}

impl New {
    fn run(self, json: bool) -> Result<Exit, CliError> {
        let folder = self.dir.unwrap_or_else(|| PathBuf::from(&self.name));
        let files = match self.lang {
            Language::Rust => scaffold::write_rust_step(&self.name, &folder)?,
        };
        if json {
            output::json(&json!({ "name": self.name, "folder": folder, "files": files }))?;
        } else {
            let place = folder.display();
            output::line(&format!("{place}: {}", files.join(", ")))?;
            output::line(&format!("  next: cd {place} && arcadia step build"))?;
        }
        Ok(Exit::Success)
    }
}

fn build_in(folder: &Folder, json: bool) -> Result<Exit, CliError> {
    let built = build::build(&folder.dir)?;
    if json {
        output::json(&json!({ "file": built.file, "size_bytes": built.size_bytes }))?;
    } else {
        let kilobytes = built.size_bytes.div_ceil(1024);
        output::line(&format!("{}: {kilobytes} KiB", built.file.display()))?;
        output::line("  next: arcadia step push --promote")?;
    }
    Ok(Exit::Success)
}
