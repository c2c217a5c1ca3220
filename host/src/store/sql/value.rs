//! What goes into a statement, and what comes back.

use sqlx::{
    Arguments as _, ColumnIndex, Decode, Postgres, Row as _, Sqlite, Type,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

/// A parameter. One without a value has its type all the same: PostgreSQL wants to know it.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
    Bool(bool),
    Bytes(Vec<u8>),
}

impl Value {
    pub(super) fn add_to_sqlite(self, arguments: &mut SqliteArguments) {
        let added = match self {
            Value::Integer(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Bool(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
        };
        added.expect("each of these can be bound");
    }

    pub(super) fn add_to_postgres(self, arguments: &mut PgArguments) {
        let added = match self {
            Value::Integer(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value.map(without_nul)),
            Value::Bool(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
        };
        added.expect("each of these can be bound");
    }
}

/// PostgreSQL's texts, and the texts in its JSON, have no character 0: it is kept as the one for what can't be shown.
fn without_nul(text: String) -> String {
    const ESCAPE: &str = "\\u0000";
    let text = if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    };
    if !text.contains(ESCAPE) {
        return text;
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('\\') {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        // An escaped backslash is no beginning of another escape.
        let (kept, length) = if rest.starts_with(ESCAPE) {
            ("\\ufffd", ESCAPE.len())
        } else {
            let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            (&rest[..length], length)
        };
        clean.push_str(kept);
        rest = &rest[length..];
    }
    clean.push_str(rest);
    clean
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Integer(Some(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Value {
        Value::Integer(Some(value.into()))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Value {
        Value::Integer(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(Some(value))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Value {
        Value::from(value.as_str())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(Some(value.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Value {
        Value::Text(value.map(str::to_owned))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Value {
        Value::Bytes(value.to_vec())
    }
}

/// A type that both databases' columns are read as.
pub(super) trait Cell<'r>:
    Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>
{
}

impl<'r, T> Cell<'r> for T where T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}

/// By name or by position.
pub(super) trait Column: ColumnIndex<SqliteRow> + ColumnIndex<PgRow> {}

impl<T: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>> Column for T {}

pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(super) fn try_get<'r, T: Cell<'r>>(&'r self, column: impl Column) -> Result<T, sqlx::Error> {
        match self {
            Row::Sqlite(row) => row.try_get(column),
            Row::Postgres(row) => row.try_get(column),
        }
    }

    /// The column `id`, for a message about a row that makes no sense.
    pub(super) fn id(&self) -> Option<String> {
        let number = || self.try_get::<i64>("id").ok().map(|id| id.to_string());
        self.try_get::<String>("id").ok().or_else(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_character_0_is_replaced_and_what_only_looks_like_it_is_not() {
        for (text, clean) in [
            ("a\0b", "a\u{fffd}b"),
            (r#"["a\u0000b"]"#, r#"["a\ufffdb"]"#),
            (r#"["a\\u0000b"]"#, r#"["a\\u0000b"]"#),
            (r#"["a\\\u0000b", "ä\"ü"]"#, r#"["a\\\ufffdb", "ä\"ü"]"#),
            (r"ends with \u0000\", r"ends with \ufffd\"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(without_nul(text.to_owned()), clean);
        }
    }
}
