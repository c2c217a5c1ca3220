//! `arcadia token …`: who may ask for how much.

mod reset;

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use jiff::{Span, SpanRelativeTo, Unit};

use super::{
    client::Client,
    connection::Connection,
    exit::Exit,
    failure::CliError,
    output::{self, or_dash},
};
use crate::{
    api::dto::{CreateToken, CreatedToken, Page, Token, TokenStatus},
    engine::Scope,
};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is printed this once
    #[command(after_help = "\
Scopes, each including those before it:
  read      look at everything but tokens
  run       start sagas, and ask one to go back
  operate   everything that changes what sagas do: verbs, channels, definitions, uploads
  admin     tokens

The token alone goes to standard output; its name stands in the events of what it did, for ever.

Examples:
  arcadia token create --name ci --scope run --expires-in 30d > ci.token
  arcadia token create --name ann@example.com --scope operate --json")]
    Create(Create),
    /// List the tokens, also those that have ended
    #[command(after_help = "Example:\n  arcadia token list")]
    List,
    /// Take a token back: it opens nothing from then on
    #[command(after_help = "\
The last valid token with the scope admin can't be revoked.

Example:
  arcadia token revoke ci")]
    Revoke(Revoke),
    /// Make the administrator's token of a data folder anew, while no host runs on it
    #[command(after_help = "\
For when the file `token` in the data folder is lost, or somebody else may have read it. Who can write to the folder is the
administrator, so no token is needed; the host must be stopped. The old token opens nothing afterwards; others stay.

Example:
  arcadia token reset-admin --data /var/lib/arcadia")]
    ResetAdmin(reset::ResetAdmin),
}

#[derive(Debug, Args)]
pub struct Create {
    /// Its own for ever: 1 to 64 of a-z, 0-9, _, ., @ and -
    #[arg(long, value_name = "NAME")]
    name: String,
    /// How much it may do
    #[arg(long, value_name = "SCOPE", value_parser = scope())]
    scope: Scope,
    /// How long it is valid, such as 30d, 12h or 90m [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    expires_in: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Revoke {
    /// The token's name
    name: String,
}

fn scope() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.map(Scope::as_str))
        .map(|text| Scope::parse(&text).expect("the possible values are the scopes"))
}

fn seconds(text: &str) -> Result<u64, String> {
    let told = |reason: String| format!("write it like 30d, 12h or 90m: {reason}");
    let span: Span = text
        .parse()
        .map_err(|error: jiff::Error| told(error.to_string()))?;
    let seconds = span
        .total((Unit::Second, SpanRelativeTo::days_are_24_hours()))
        .map_err(|error| told(error.to_string()))?;
    if seconds < 1.0 {
        return Err("it is at least a second".to_owned());
    }
    Ok(seconds as u64)
}

impl TokenCommand {
    pub async fn run(self, connection: &Connection) -> Result<Exit, CliError> {
        let json = connection.json;
        match self {
            TokenCommand::Create(create) => create.run(&connection.client()?, json).await,
            TokenCommand::List => list(&connection.client()?, json).await,
            TokenCommand::Revoke(revoke) => revoke.run(&connection.client()?, json).await,
            TokenCommand::ResetAdmin(reset) => reset.run(json).await,
        }
    }
}

impl Create {
    async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let body = CreateToken {
            name: self.name,
            scope: self.scope,
            expires_in_s: self.expires_in,
        };
        let created: CreatedToken = client.post("/v1/tokens", &body).await?;
        if json {
            output::json(&created)?;
            return Ok(Exit::Success);
        }
        output::line(&created.secret)?;
        let Token {
            name,
            scope,
            expires_at,
            ..
        } = &created.token;
        let until = expires_at.map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {at}"));
        eprintln!(
            "{name} has the scope {} {until}; keep the token, nobody can show it again",
            scope.as_str()
        );
        Ok(Exit::Success)
    }
}

async fn list(client: &Client, json: bool) -> Result<Exit, CliError> {
    let mut tokens = Vec::new();
    let mut query = Vec::new();
    loop {
        let page: Page<Token> = client.get("/v1/tokens", &query).await?;
        tokens.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query = vec![("cursor", cursor)],
            None => break,
        }
    }
    if json {
        output::json(&tokens)?;
        return Ok(Exit::Success);
    }
    let row = |token: &Token| {
        let status = match token.status {
            TokenStatus::Valid => "valid",
            TokenStatus::Expired => "expired",
            TokenStatus::Revoked => "revoked",
        };
        let end = Some(&token.hint).filter(|hint| !hint.is_empty());
        vec![
            token.name.clone(),
            token.scope.as_str().to_owned(),
            status.to_owned(),
            or_dash(end.map(|hint| format!("…{hint}"))),
            or_dash(token.expires_at),
            token.created_at.to_string(),
            token.created_by.clone(),
        ]
    };
    output::table(
        &["name", "scope", "status", "ends in", "expires", "created", "by"],
        tokens.iter().map(row).collect(),
        "no tokens",
    )?;
    Ok(Exit::Success)
}

impl Revoke {
    async fn run(self, client: &Client, json: bool) -> Result<Exit, CliError> {
        let token: Token = client.delete(&format!("/v1/tokens/{}", self.name)).await?;
        if json {
            output::json(&token)?;
        } else {
            output::line(&format!("{} is revoked: it opens nothing any more", token.name))?;
        }
        Ok(Exit::Success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_written_with_its_units() {
        for (text, expected) in [
            ("30d", 2_592_000),
            ("12h", 43_200),
            ("90m", 5_400),
            ("1d 1s", 86_401),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for wrong in ["", "30", "1mo", "-1d", "0s", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
