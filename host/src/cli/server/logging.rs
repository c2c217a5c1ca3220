//! Logs: on standard error, or in a file.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::Path,
};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt, fmt::writer::BoxMakeWriter};

use crate::cli::failure::CliError;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct Logging {
    /// What is logged: a level, or targets with levels (`info,arcadia::engine=debug`)
    #[arg(long, env = "ARCADIA_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How it is written
    #[arg(long, env = "ARCADIA_LOG_FORMAT", value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

impl Logging {
    /// Starts to log to standard error, for the life of the process.
    pub fn start(&self, default_filter: &str) -> Result<(), CliError> {
        self.start_to(BoxMakeWriter::new(io::stderr), default_filter)
    }

    /// The same, into a file.
    pub fn start_in(&self, file: &Path, default_filter: &str) -> Result<(), CliError> {
        let log = fs::File::create(file).map_err(CliError::writing(file))?;
        self.start_to(BoxMakeWriter::new(log), default_filter)
    }

    fn start_to(&self, writer: BoxMakeWriter, default_filter: &str) -> Result<(), CliError> {
        let text = self.log.as_deref().unwrap_or(default_filter);
        let filter = EnvFilter::try_new(text).map_err(|error| {
            CliError::usage(
                format!("{text:?} is no log filter: {error}"),
                "write it like info, or warn,arcadia::engine=debug",
            )
        })?;
        let logs = fmt()
            .with_env_filter(filter)
            .with_writer(writer)
            .with_ansi(io::stderr().is_terminal());
        let started = match self.log_format {
            Format::Text => logs.try_init(),
            Format::Json => logs.json().flatten_event(true).try_init(),
        };
        started.map_err(|error| CliError::failed(format!("can't start logging: {error}")))
    }
}
