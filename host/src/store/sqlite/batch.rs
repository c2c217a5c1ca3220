//! Statements that go to the database together.
//!
//! The driver runs SQLite on a thread of its own: a message there and back changes threads twice, which costs more than most
//! statements do. So what a commit reads is one message, and what it then writes is another.

use futures_util::TryStreamExt as _;
use serde::Serialize;
use sqlx::{
    Arguments as _, AssertSqlSafe, Either, Executor as _, SqliteConnection,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::round::json;

/// Run in order, up to the first that fails. Texts are a few fixed ones put together, so that the driver knows most batches
/// already; a parameter is a plain `?`.
#[derive(Default)]
pub(super) struct Batch {
    text: String,
    values: SqliteArguments,
    statements: usize,
}

/// Statement `statement` failed; those before it were run, those after it weren't.
pub(super) struct Stopped {
    pub statement: usize,
    pub error: sqlx::Error,
}

/// The rows of each statement.
pub(super) struct Answers(Vec<Vec<SqliteRow>>);

impl Answers {
    /// No rows of a statement that was left out.
    pub(super) fn of(&self, statement: Option<usize>) -> &[SqliteRow] {
        statement.map_or(&[], |statement| &self.0[statement])
    }
}

impl From<Stopped> for sqlx::Error {
    fn from(stopped: Stopped) -> sqlx::Error {
        stopped.error
    }
}

impl Batch {
    pub(super) fn of(statement: &'static str) -> Batch {
        let mut batch = Batch::default();
        batch.add(statement);
        batch
    }

    /// Answers the statement's number.
    pub(super) fn add(&mut self, statement: &'static str) -> usize {
        self.text.push_str(statement);
        self.text.push(';');
        self.statements += 1;
        self.statements - 1
    }

    /// A statement with one parameter: these values as one JSON array. Without values there is nothing to run.
    pub(super) fn add_for<T: Serialize>(&mut self, statement: &'static str, values: &[T]) -> Option<usize> {
        if values.is_empty() {
            return None;
        }
        self.values.add(json(values)).expect("a text can be bound");
        Some(self.add(statement))
    }

    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<Answers, Stopped> {
        let mut done = Vec::with_capacity(self.statements);
        if self.statements == 0 {
            return Ok(Answers(done));
        }
        let mut rows = Vec::new();
        let query = sqlx::query_with(AssertSqlSafe(self.text), self.values);
        let mut answers = connection.fetch_many(query);
        loop {
            match answers.try_next().await {
                Ok(Some(Either::Right(row))) => rows.push(row),
                Ok(Some(Either::Left(_))) => done.push(std::mem::take(&mut rows)),
                Ok(None) => return Ok(Answers(done)),
                Err(error) => {
                    return Err(Stopped {
                        statement: done.len(),
                        error,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, Row as _};

    use super::*;

    async fn numbers() -> SqliteConnection {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query("create table numbers (n integer primary key)")
            .execute(&mut connection)
            .await
            .unwrap();
        connection
    }

    const INSERT: &str = "insert into numbers select value from json_each(?)";
    const SELECT: &str = "select n from numbers where n in (select value from json_each(?)) order by n";

    async fn run(batch: Batch, connection: &mut SqliteConnection) -> Answers {
        batch.run(connection).await.map_err(sqlx::Error::from).unwrap()
    }

    fn read(rows: &[SqliteRow]) -> Vec<i64> {
        rows.iter().map(|row| row.get(0)).collect()
    }

    #[tokio::test]
    async fn each_statement_has_its_own_values_and_rows() {
        let mut connection = numbers().await;
        let mut batch = Batch::of("begin immediate");
        batch.add_for(INSERT, &[1, 2, 3]);
        let left_out = batch.add_for::<i64>(SELECT, &[]);
        let first = batch.add_for(SELECT, &[1, 2]);
        batch.add_for(INSERT, &[4]);
        let second = batch.add_for(SELECT, &[2, 3, 4, 5]);
        batch.add("commit");
        let answers = run(batch, &mut connection).await;
        assert_eq!(left_out, None);
        assert_eq!(read(answers.of(left_out)), [0; 0]);
        assert_eq!(read(answers.of(first)), [1, 2]);
        assert_eq!(read(answers.of(second)), [2, 3, 4]);
    }

    #[tokio::test]
    async fn a_failure_is_told_with_its_place_and_nothing_after_it_is_run() {
        let mut connection = numbers().await;
        let mut batch = Batch::of("begin immediate");
        batch.add_for(INSERT, &[1]);
        let twice = batch.add_for(INSERT, &[2, 2]);
        batch.add("commit");
        let Err(Stopped { statement, error }) = batch.run(&mut connection).await else {
            panic!("the same key twice was taken");
        };
        assert_eq!(Some(statement), twice);
        assert!(error.to_string().contains("UNIQUE"), "{error}");
        // The transaction is still open.
        run(Batch::of("rollback"), &mut connection).await;
        let mut batch = Batch::default();
        let none = batch.add_for(SELECT, &[1, 2]);
        assert_eq!(read(run(batch, &mut connection).await.of(none)), [0; 0]);
    }
}
