//! Statements: written once, translated for each database.
//!
//! A parameter is `?`, or `?1` where one is used twice. What the dialects say differently is a fragment in braces:
//!
//! | fragment | SQLite | PostgreSQL |
//! |---|---|---|
//! | `{rows r: id text, at_ms bigint}` | the columns of a JSON array of objects, its one parameter | `jsonb_to_recordset` of the same |
//! | `{elements: ?}` | the texts in a JSON array, as a list for `in` | the same |
//! | `{unhex: r.body}` | bytes from hex | the same |
//! | `{lock}`, `{lock by id}`, `{lock skip: r}` | nothing: the writer holds the one lock | `for update`, in order, or skipping what is locked |

use std::{fmt::Write as _, sync::OnceLock};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// A fixed text. Translated once per database, so that the driver is always handed the same one.
#[derive(Debug)]
pub(super) struct Statement {
    text: &'static str,
    /// Another text for PostgreSQL, where the two have nothing in common.
    on_postgres: &'static str,
    sqlite: OnceLock<String>,
    postgres: OnceLock<String>,
}

impl Statement {
    pub(super) const fn new(text: &'static str) -> Statement {
        Statement::differing(text, text)
    }

    pub(super) const fn differing(on_sqlite: &'static str, on_postgres: &'static str) -> Statement {
        Statement {
            text: on_sqlite,
            on_postgres,
            sqlite: OnceLock::new(),
            postgres: OnceLock::new(),
        }
    }

    pub(super) fn on(&'static self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite.get_or_init(|| translated(self.text, dialect)),
            Dialect::Postgres => self
                .postgres
                .get_or_init(|| translated(self.on_postgres, dialect)),
        }
    }
}

/// The text for a database.
pub(super) fn translated(text: &str, dialect: Dialect) -> String {
    let mut translation = Translation {
        dialect,
        parameters: 0,
        text: String::with_capacity(text.len()),
    };
    translation.push(text);
    translation.text
}

struct Translation {
    dialect: Dialect,
    /// Without a number of their own, so far.
    parameters: u32,
    text: String,
}

impl Translation {
    fn push(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(['?', '{']) {
            self.text.push_str(&rest[..at]);
            rest = &rest[at..];
            rest = match rest.strip_prefix('?') {
                Some(after) => self.push_parameter(after),
                None => {
                    let end = rest.find('}').expect("a fragment ends with a brace");
                    self.push_fragment(&rest[1..end]);
                    &rest[end + 1..]
                }
            };
        }
        self.text.push_str(rest);
    }

    fn push_parameter<'a>(&mut self, after: &'a str) -> &'a str {
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, rest) = after.split_at(digits);
        match self.dialect {
            Dialect::Sqlite => {
                self.text.push('?');
                self.text.push_str(number);
            }
            Dialect::Postgres if number.is_empty() => {
                self.parameters += 1;
                write!(self.text, "${}", self.parameters).expect("a text takes what is written");
            }
            Dialect::Postgres => {
                self.text.push('$');
                self.text.push_str(number);
            }
        }
        rest
    }

    fn push_fragment(&mut self, fragment: &str) {
        let (name, argument) = fragment.split_once(':').unwrap_or((fragment, ""));
        let argument = argument.trim();
        match (name.trim(), self.dialect) {
            ("elements", Dialect::Sqlite) => self.push(&format!("(select value from json_each({argument}))")),
            ("elements", Dialect::Postgres) => self.push(&format!(
                "(select jsonb_array_elements_text(({argument})::jsonb))"
            )),
            ("unhex", Dialect::Sqlite) => self.push(&format!("unhex({argument})")),
            ("unhex", Dialect::Postgres) => self.push(&format!("decode({argument}, 'hex')")),
            ("lock" | "lock by id" | "lock skip", Dialect::Sqlite) => {}
            ("lock", Dialect::Postgres) => self.push("for update"),
            ("lock by id", Dialect::Postgres) => self.push("order by id for update"),
            ("lock skip", Dialect::Postgres) => self.push(&format!("for update of {argument} skip locked")),
            (name, dialect) => {
                let alias = name
                    .strip_prefix("rows ")
                    .unwrap_or_else(|| panic!("{name:?} is a fragment of no dialect"));
                self.push_rows(alias, argument, dialect);
            }
        }
    }

    /// SQLite reads the array as binary JSON: as text, each column would parse its row anew.
    fn push_rows(&mut self, alias: &str, columns: &str, dialect: Dialect) {
        match dialect {
            Dialect::Sqlite => {
                self.text.push_str("(select ");
                for (number, column) in columns.split(',').enumerate() {
                    let column = column.split_whitespace().next().unwrap_or_default();
                    let comma = if number == 0 { "" } else { ", " };
                    write!(self.text, "{comma}value ->> '{column}' as {column}")
                        .expect("a text takes what is written");
                }
                write!(self.text, " from jsonb_each(?)) as {alias}").expect("a text takes what is written");
            }
            Dialect::Postgres => self.push(&format!("jsonb_to_recordset(?::jsonb) as {alias}({columns})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(text: &str) -> [String; 2] {
        [Dialect::Sqlite, Dialect::Postgres].map(|dialect| translated(text, dialect))
    }

    #[test]
    fn parameters_are_numbered_where_that_is_asked_for() {
        let text = "select a from b where c = ? and d in {elements: ?} limit ?";
        assert_eq!(
            both(text),
            [
                "select a from b where c = ? and d in (select value from json_each(?)) limit ?",
                "select a from b where c = $1 and d in (select jsonb_array_elements_text(($2)::jsonb)) limit $3",
            ]
        );
        assert_eq!(both("x = ?1 or y = ?1"), ["x = ?1 or y = ?1", "x = $1 or y = $1"]);
    }

    #[test]
    fn rows_are_a_table_of_the_named_columns() {
        let text = "select r.a from {rows r: a text, b bigint} where b > ?";
        assert_eq!(
            both(text),
            [
                "select r.a from (select value ->> 'a' as a, value ->> 'b' as b from jsonb_each(?)) as r where b > ?",
                "select r.a from jsonb_to_recordset($1::jsonb) as r(a text, b bigint) where b > $2",
            ]
        );
    }

    #[test]
    fn locks_are_the_business_of_one_dialect() {
        assert_eq!(both("a {lock by id}"), ["a ", "a order by id for update"]);
        assert_eq!(both("a {lock skip: r}"), ["a ", "a for update of r skip locked"]);
    }
}
