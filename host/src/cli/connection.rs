//! Which server a command talks to, and as whom: `--url`, `--token`, `--token-file` and their variables.

use std::{fs, path::PathBuf};

use clap::Args;
use reqwest::Url;

use super::{
    client::{Client, is_loopback},
    data_folder::{home, token_file_of},
    failure::CliError,
};

/// Where `serve` and `dev` listen when nobody says otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7270";
const DEFAULT_URL: &str = "http://127.0.0.1:7270";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct Connection {
    /// The server that the command talks to
    #[arg(long, global = true, env = "ARCADIA_URL", default_value = DEFAULT_URL, value_name = "URL")]
    url: String,

    /// The token to talk to it with; better in a file or the environment than here, where every process can read it
    #[arg(
        long,
        global = true,
        env = "ARCADIA_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        conflicts_with = "token_file"
    )]
    token: Option<String>,

    /// A file with the token [default: the token of the server that runs on this machine at that URL]
    #[arg(long, global = true, env = "ARCADIA_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Answer in JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
}

impl Connection {
    pub fn client(&self) -> Result<Client, CliError> {
        let url = Url::parse(&self.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                CliError::usage(
                    format!("{:?} is no URL of a server", self.url),
                    format!("write it like {DEFAULT_URL}"),
                )
            })?;
        let token = self.token_for(&url)?;
        Client::new(url, token.as_deref())
    }

    /// A token of this machine is only ever sent to this machine.
    fn token_for(&self, url: &Url) -> Result<Option<String>, CliError> {
        if let Some(token) = self.token.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(token.trim().to_owned()));
        }
        let file = match &self.token_file {
            Some(file) => Some(file.clone()),
            None if is_loopback(url) => token_file_of(&self.url, &known_folders()),
            None => None,
        };
        file.map(|file| {
            fs::read_to_string(&file)
                .map(|text| text.trim().to_owned())
                .map_err(CliError::reading(&file))
        })
        .transpose()
    }
}

/// Folders that a host on this machine uses by default, or that the environment names.
fn known_folders() -> Vec<PathBuf> {
    let named = std::env::var_os("ARCADIA_DATA").map(PathBuf::from);
    named.into_iter().chain([serve_folder(), dev_folder()]).collect()
}

/// Where `serve` keeps its data by default.
pub fn serve_folder() -> PathBuf {
    home().join("serve")
}

/// Where `dev` keeps its data by default: apart, because its cloud is a simulated one.
pub fn dev_folder() -> PathBuf {
    home().join("dev")
}
