//! Looking at a database without changing it: no migration, no write, and no lock that a host waits for.
//!
//! | file | noun |
//! |---|---|
//! | `file`, `server` | each database: getting at it without a trace, and the checks that only it has |
//! | `reach` | why a server can't be reached, in words |
//! | `schema` | the migrations that were applied against those that this program knows |
//! | `clock`, `hosts`, `sagas` | clocks; who lives; what becomes of the sagas |
//! | `rows` | rows that can't be read back, or belong to nothing |
//! | `report` | checks as they are carried out, one after the other |
//!
//! A file is never opened here while the same process has it open otherwise: SQLite's locks belong to the process, and end when any
//! of its handles of the file is closed.

mod clock;
mod file;
mod hosts;
mod reach;
mod report;
mod rows;
mod sagas;
mod schema;
mod server;

pub use file::examine_file;
pub use server::examine_server;

use self::{clock::Moment, report::Report, schema::Standing};
use super::{connection::Connection, plans::Plans};
use crate::store::doctor::{Code, Depth};

/// Ids that are named before the rest is only counted.
const NAMED: usize = 5;
/// What others do every second or so is late after this.
const LATE_MS: i64 = 60_000;

/// Everything that is the same for both databases, once its tables are there.
async fn examine_tables(report: &mut Report, connection: &mut Connection, moment: &mut Moment, depth: Depth) {
    report
        .look(Code::Installation, schema::installation(connection))
        .await;
    report.look(Code::Clock, clock::clock(connection, moment)).await;
    report.look(Code::Hosts, hosts::hosts(connection, moment)).await;
    report.look(Code::Sagas, sagas::by_status(connection)).await;
    report
        .look(Code::Ownership, hosts::ownership(connection, moment))
        .await;
    report
        .look(Code::Overdue, sagas::overdue(connection, moment))
        .await;
    report.look(Code::Attention, sagas::attention(connection)).await;
    report.look(Code::Paused, sagas::paused(connection)).await;
    let plans = Plans::default();
    report
        .look(Code::Unreadable, rows::unreadable(connection, &plans, depth))
        .await;
    report
        .look(Code::Requests, hosts::requests(connection, moment))
        .await;
    report
        .look(Code::Watches, sagas::watches(connection, moment))
        .await;
    report.look(Code::Findings, sagas::findings(connection)).await;
    report.look(Code::Orphans, rows::orphans(connection)).await;
    report
        .look(Code::Components, rows::components(connection, &plans, depth))
        .await;
}

/// The schema, and whether there are tables to go on with.
async fn examine_schema(report: &mut Report, connection: &mut Connection, known: &[schema::Known]) -> bool {
    match schema::standing(connection, known).await {
        Ok(standing) => {
            let there = standing != Standing::Absent;
            report.schema_is_another = !standing.is_same();
            report.say(Code::Schema, standing.verdict());
            there
        }
        Err(error) => {
            report.failed(Code::Schema, &error);
            true
        }
    }
}

/// `3 ms`, `12 s`, `5 min`, `4 h`, `9 d`.
fn span(ms: i64) -> String {
    match ms.max(0) {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..120_000 => format!("{} s", ms / 1_000),
        ms @ 120_000..7_200_000 => format!("{} min", ms / 60_000),
        ms @ 7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        ms => format!("{} d", ms / 86_400_000),
    }
}

/// `1 saga`, `2 sagas`.
fn counted(number: i64, one: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {one}{end}")
}

/// The first few by name, the rest counted.
fn named(names: &[String], all: usize) -> String {
    let first = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match all.saturating_sub(names.len().min(NAMED)) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Bytes for people: `12 KiB`, `3.4 GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(amount < 10.0 && unit > 0);
    format!("{amount:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_counts_names_and_sizes_are_told_in_one_unit() {
        let spans = [-5, 999, 1_000, 119_999, 120_000, 7_200_000, 172_800_000].map(span);
        assert_eq!(spans, ["0 ms", "999 ms", "1 s", "119 s", "2 min", "2 h", "2 d"]);
        assert_eq!(
            [counted(0, "saga"), counted(1, "saga")],
            ["0 sagas".to_owned(), "1 saga".to_owned()]
        );
        let names: Vec<String> = (1..=6).map(|number| number.to_string()).collect();
        assert_eq!(named(&names[..2], 2), "1, 2");
        assert_eq!(named(&names, 40), "1, 2, 3, 4, 5 and 35 more");
        assert_eq!([size(12_288), size(3_650_722_202)], ["12 KiB", "3.4 GiB"]);
    }
}
