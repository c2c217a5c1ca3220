//! `arcadia doctor`: what is wrong with a database.
//!
//! It works whether hosts run or not, talks to none, and changes nothing. With `--json` the answer is one document:
//!
//! ```json
//! {
//!   "database": "sqlite",
//!   "at": "/var/lib/arcadia/arcadia.db",
//!   "state": "warning",
//!   "checks": [
//!     { "code": "reachable", "state": "ok", "seen": "it is there, and was read in 2 ms", "next": null },
//!     { "code": "findings", "state": "warning", "seen": "open: 1 undo-stuck", "next": "`arcadia findings` says …" }
//!   ]
//! }
//! ```
//!
//! - `database`: `sqlite` or `postgresql`; `at`: the file, or `host:port/database`.
//! - `state`: `ok`; `warning`: nothing is broken, and somebody should know; `unknown`: the check could not be carried out; `problem`:
//!   something is broken, or no host can work. That of the document is the worst of its checks', in this order.
//! - `code`: one of [`Code`](crate::store::doctor::Code), and stable. A check that makes no sense is left out: those of the other kind of
//!   database, and all that need tables when there are none.
//! - `seen` and `next` are for people, and change. `next` is null when the state is `ok`.

mod folder;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{
    connection::serve_folder,
    exit::Exit,
    failure::CliError,
    output,
    server::{Database, WhichDatabase},
};
use crate::store::doctor::{Check, Code, Depth, Examination, State};

/// Say what is wrong with a database, without changing it
#[derive(Debug, Args)]
#[command(after_help = "\
It looks at the database itself, whether hosts run or not, and writes nothing: settings, schema, room, connections, hosts and their
leases, sagas that nobody owns or that can't be read, and what is left of requests. What isn't in order comes with what to do next.

Ends with 0 when no problem was found (there may be warnings), 9 when there is one, and 1 when there is none, but something could
not be looked at.

Examples:
  arcadia doctor --data /var/lib/arcadia
  ARCADIA_DATABASE=postgres://arcadia:…@db/arcadia arcadia doctor --json")]
pub struct Doctor {
    /// The data folder of the host [default: ~/.local/share/arcadia/serve]
    #[arg(long, env = "ARCADIA_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Read every saga that ever was, the bytes of every step, and every index: as long as it takes
    #[arg(long)]
    thorough: bool,
    #[command(flatten)]
    database: WhichDatabase,
}

impl Doctor {
    pub async fn run(self, json: bool) -> Result<Exit, CliError> {
        let data = self.data.unwrap_or_else(serve_folder);
        let depth = if self.thorough {
            Depth::Thorough
        } else {
            Depth::Usual
        };
        let database = self.database.database();
        let is_file = matches!(database, Database::File);
        let mut examination = database.examine(&data.join("arcadia.db"), depth).await?;
        if is_file {
            examination.checks.push(Check {
                code: Code::Folder,
                verdict: folder::folder(&data),
            });
        }
        examination.checks.sort_by_key(|check| check.code);
        let report = Report::of(&examination);
        if json {
            output::json(&report)?;
        } else {
            report.print()?;
        }
        Ok(report.exit())
    }
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    database: &'static str,
    at: &'a str,
    state: Level,
    checks: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    code: &'static str,
    state: Level,
    seen: &'a str,
    next: Option<&'a str>,
}

/// A state by its name; the worst is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Unknown,
    Problem,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Unknown => "unknown",
            Level::Problem => "problem",
        }
    }
}

impl<'a> Row<'a> {
    fn of(check: &'a Check) -> Row<'a> {
        let (state, next) = match &check.verdict.state {
            State::Ok => (Level::Ok, None),
            State::Warning { next } => (Level::Warning, Some(next.as_str())),
            State::Unknown { next } => (Level::Unknown, Some(next.as_str())),
            State::Problem { next } => (Level::Problem, Some(next.as_str())),
        };
        Row {
            code: check.code.as_str(),
            state,
            seen: &check.verdict.seen,
            next,
        }
    }
}

impl<'a> Report<'a> {
    fn of(examination: &'a Examination) -> Report<'a> {
        let checks: Vec<Row<'a>> = examination.checks.iter().map(Row::of).collect();
        Report {
            database: examination.kind.as_str(),
            at: &examination.at,
            state: checks.iter().map(|row| row.state).max().unwrap_or(Level::Ok),
            checks,
        }
    }

    fn exit(&self) -> Exit {
        match self.state {
            Level::Ok | Level::Warning => Exit::Success,
            Level::Unknown => Exit::Failure,
            Level::Problem => Exit::ProblemFound,
        }
    }

    fn print(&self) -> Result<(), CliError> {
        let mut rows = Vec::new();
        for row in &self.checks {
            let state = row.state.as_str();
            rows.push(vec![row.code.to_owned(), state.to_owned(), row.seen.to_owned()]);
            if let Some(next) = row.next {
                rows.push(vec![String::new(), String::new(), format!("next: {next}")]);
            }
        }
        output::table(&["check", "state", "seen"], rows, "nothing was looked at")?;
        output::line(&format!("\n{}: {}", self.at, self.summary()))
    }

    /// `1 problem, 2 warnings`
    fn summary(&self) -> String {
        let told = [
            (Level::Problem, "problem", "problems"),
            (
                Level::Unknown,
                "check could not be carried out",
                "checks could not be carried out",
            ),
            (Level::Warning, "warning", "warnings"),
        ]
        .map(|(level, one, many)| {
            match self.checks.iter().filter(|row| row.state == level).count() {
                0 => None,
                1 => Some(format!("1 {one}")),
                number => Some(format!("{number} {many}")),
            }
        });
        let told: Vec<String> = told.into_iter().flatten().collect();
        if told.is_empty() {
            "nothing is wrong".to_owned()
        } else {
            told.join(", ")
        }
    }
}
