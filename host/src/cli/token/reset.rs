//! `arcadia token reset-admin`: without a server, for who can write to the data folder.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        connection::serve_folder,
        data_folder::DataFolder,
        exit::Exit,
        failure::CliError,
        output,
        server::{Database, WhichDatabase, failed},
    },
    engine::tokens::TokenText,
};

#[derive(Debug, Args)]
pub struct ResetAdmin {
    /// The data folder of the host [default: ~/.local/share/arcadia/serve]
    #[arg(long, env = "ARCADIA_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    #[command(flatten)]
    database: WhichDatabase,
}

impl ResetAdmin {
    /// After a crash in the middle the file and the database may disagree: then no host starts, and the same command again
    /// makes them agree.
    pub async fn run(self, json: bool) -> Result<Exit, CliError> {
        let path = self.data.unwrap_or_else(serve_folder);
        let database = self.database.database();
        if matches!(database, Database::File) && !path.join("arcadia.db").exists() {
            return Err(CliError::usage(
                format!("there is no database in {}", path.display()),
                "name the host's data folder with --data",
            ));
        }
        let folder = DataFolder::open(&path)?;
        let store = database.open(&folder.database()).await?;
        let token = TokenText::of(rand::random());
        folder.keep_token(&token)?;
        store
            .admin_token(token.mark(), true)
            .await
            .map_err(|error| failed("can't write the token's hash", &error))?;
        let file = folder.token_file();
        if json {
            output::json(&json!({ "token_file": file }))?;
        } else {
            output::line(&format!(
                "{} holds a new token; the old one opens nothing",
                file.display()
            ))?;
        }
        Ok(Exit::Success)
    }
}
