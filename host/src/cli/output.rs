//! Answers on standard output: JSON for programs, tables and lines for people.

use std::io::{self, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::failure::CliError;

/// Writes to standard output. A reader that has gone (`| head`) is no error.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::io("can't write to standard output")(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

pub fn line(text: &str) -> Result<(), CliError> {
    print(&format!("{text}\n"))
}

/// One JSON document, indented, and a line end.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::failed(format!("can't write the answer as JSON: {error}")))?;
    line(&text)
}

/// One JSON document on one line: for streams.
pub fn json_line<T: Serialize + ?Sized>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string(value)
        .map_err(|error| CliError::failed(format!("can't write the answer as JSON: {error}")))?;
    line(&text)
}

/// A table without frames; what it says when it is empty.
pub fn table(header: &[&str], rows: Vec<Vec<String>>, when_empty: &str) -> Result<(), CliError> {
    if rows.is_empty() {
        return line(when_empty);
    }
    line(&render(header, rows))
}

/// Two columns: names and values.
pub fn facts(rows: Vec<(&str, String)>) -> Result<(), CliError> {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        line(&format!("{name:width$}  {value}"))?;
    }
    Ok(())
}

pub fn render(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// An optional value in a table.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// How long ago, for people: `3s`, `12m`, `4h`, `9d`.
pub fn age(now_ms: i64, then_ms: i64) -> String {
    let seconds = (now_ms - then_ms).max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_plain_columns() {
        let rows = vec![
            vec!["a".into(), "running".into()],
            vec!["longer".into(), "-".into()],
        ];
        assert_eq!(
            render(&["name", "status"], rows),
            "NAME    STATUS\na       running\nlonger  -"
        );
    }

    #[test]
    fn an_age_has_one_unit() {
        let ages = [0, 59_999, 60_000, 3_600_000, 172_800_000].map(|ms| age(ms, 0));
        assert_eq!(ages, ["0s", "59s", "1m", "1h", "2d"]);
    }
}
