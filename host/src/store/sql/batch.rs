//! Statements that go to the database together.
//!
//! SQLite's driver runs it on a thread of its own: a message there and back changes threads twice, which costs more than most
//! statements do. So what a commit reads is one message, and what it then writes is another. A server is sent one statement
//! after the other.

use futures_util::TryStreamExt as _;
use serde::Serialize;
use sqlx::{
    AssertSqlSafe, Either, Executor as _, PgConnection, SqliteConnection, postgres::PgArguments,
    sqlite::SqliteArguments,
};

use super::{
    connection::{Connection, Link, in_time},
    error::is_about_data,
    round::json,
    statement::{Dialect, Statement},
    value::{Row, Value},
    write::{EVENTS, EVENTS_AND_COMMIT},
};

/// Takes SQLite's write lock at once: a transaction that becomes a writer later may fail for it.
static BEGIN: Statement = Statement::differing(
    "begin immediate",
    "begin isolation level read committed, read write",
);
/// What is read is of one moment.
static BEGIN_READING: Statement =
    Statement::differing("begin", "begin isolation level repeatable read, read only");
static ROLLBACK: Statement = Statement::new("rollback");
static MARKED: Statement = Statement::new(
    "update commit_marks set number = ?, at_ms = floor(extract(epoch from clock_timestamp()) * 1000)::bigint
     where writer = ?",
);
/// The same, and what [`EVENTS_AND_COMMIT`] finds.
static MARKED_WITH_EVENTS: Statement = Statement::new(
    "update commit_marks set number = ?, at_ms = floor(extract(epoch from clock_timestamp()) * 1000)::bigint
     from (select set_config('arcadia.events', ?, true) as events) as kept
     where writer = ? and kept.events is not null",
);
static ONE_CHANGE: Statement = Statement::new("savepoint one_change");
static ROLLBACK_TO_IT: Statement = Statement::new("rollback to one_change");
static RELEASE_IT: Statement = Statement::new("release savepoint one_change");
static COMMIT: Statement = Statement::new("commit");

/// Run in order, up to the first that fails. Texts are a few fixed ones put together, so that the driver knows most batches
/// already; a parameter is a plain `?`.
#[derive(Default)]
pub(super) struct Batch {
    statements: Vec<(&'static Statement, Vec<Value>)>,
}

/// Statement `statement` failed; those before it were run, those after it weren't.
pub(super) struct Stopped {
    pub statement: usize,
    pub error: sqlx::Error,
}

/// What became of a commit that was sent.
pub(super) enum Ended {
    Durable,
    /// Whether it happened depends on the error.
    InCommit(sqlx::Error),
}

/// The rows of each statement.
pub(super) struct Answers(Vec<Vec<Row>>);

impl Answers {
    /// No rows of a statement that was left out.
    pub(super) fn of(&self, statement: Option<usize>) -> &[Row] {
        statement.map_or(&[], |statement| &self.0[statement])
    }
}

impl From<Stopped> for sqlx::Error {
    fn from(stopped: Stopped) -> sqlx::Error {
        stopped.error
    }
}

impl Batch {
    pub(super) fn begin() -> Batch {
        let mut batch = Batch::default();
        batch.add(&BEGIN);
        batch
    }

    pub(super) fn begin_reading() -> Batch {
        let mut batch = Batch::default();
        batch.add(&BEGIN_READING);
        batch
    }

    /// What follows can be undone without the rest of its transaction.
    pub(super) fn one_change() -> Batch {
        let mut batch = Batch::default();
        batch.add(&ONE_CHANGE);
        batch
    }

    pub(super) fn add_release(&mut self) {
        self.add(&RELEASE_IT);
    }

    pub(super) fn undo_one_change() -> Batch {
        let mut batch = Batch::default();
        batch.add(&ROLLBACK_TO_IT);
        batch.add(&RELEASE_IT);
        batch
    }

    pub(super) fn rollback() -> Batch {
        let mut batch = Batch::default();
        batch.add_rollback();
        batch
    }

    pub(super) fn add_rollback(&mut self) {
        self.add(&ROLLBACK);
    }

    /// Answers the statement's number.
    pub(super) fn add(&mut self, statement: &'static Statement) -> usize {
        self.add_with(statement, Vec::new())
    }

    pub(super) fn add_with(&mut self, statement: &'static Statement, values: Vec<Value>) -> usize {
        self.statements.push((statement, values));
        self.statements.len() - 1
    }

    /// A statement with one parameter: these values as one JSON array. Without values there is nothing to run.
    pub(super) fn add_for<T: Serialize>(
        &mut self,
        statement: &'static Statement,
        values: &[T],
    ) -> Option<usize> {
        if values.is_empty() {
            return None;
        }
        Some(self.add_with(statement, vec![json(values).into()]))
    }

    /// Runs what there is, and commits. An error comes before the commit was sent.
    pub(super) async fn commit(mut self, connection: &mut Connection) -> Result<Ended, sqlx::Error> {
        if let Some(mark) = &connection.mark {
            let values = vec![mark.number.into(), (&*mark.writer).into()];
            self.add_with(&MARKED, values);
        }
        let commit = self.add(&COMMIT);
        match self.run(connection).await {
            Ok(_) => Ok(Ended::Durable),
            Err(Stopped { statement, error }) if statement == commit => Ok(Ended::InCommit(error)),
            Err(Stopped { error, .. }) => Err(error),
        }
    }

    /// The same, with these events behind everything else.
    pub(super) async fn commit_with<T: Serialize>(
        mut self,
        connection: &mut Connection,
        events: &[T],
    ) -> Result<Ended, sqlx::Error> {
        let mark = match &connection.mark {
            Some(mark) if !events.is_empty() => mark,
            Some(_) | None => {
                self.add_for(&EVENTS, events);
                return self.commit(connection).await;
            }
        };
        let values = vec![mark.number.into(), json(events).into(), (&*mark.writer).into()];
        self.add_with(&MARKED_WITH_EVENTS, values);
        self.run(connection).await?;
        connection.busy = true;
        let Link::Postgres(held) = &mut connection.link else {
            unreachable!("only a server's transactions are marked")
        };
        let ended = in_time(sqlx::raw_sql(EVENTS_AND_COMMIT).execute(&mut **held)).await;
        match ended {
            Ok(_) => {
                connection.busy = false;
                Ok(Ended::Durable)
            }
            // The server has said so, and that nothing was committed.
            Err(error) if is_about_data(&error) => Err(error),
            Err(error) => Ok(Ended::InCommit(error)),
        }
    }

    pub(super) async fn run(self, connection: &mut Connection) -> Result<Answers, Stopped> {
        if self.statements.is_empty() {
            return Ok(Answers(Vec::new()));
        }
        let was_busy = std::mem::replace(&mut connection.busy, true);
        let answers = match &mut connection.link {
            Link::Sqlite(held) => self.run_on_sqlite(held).await?,
            Link::Postgres(held) => self.run_on_postgres(held).await?,
        };
        connection.busy = was_busy;
        Ok(Answers(answers))
    }

    async fn run_on_sqlite(self, connection: &mut SqliteConnection) -> Result<Vec<Vec<Row>>, Stopped> {
        let mut text = String::new();
        let mut arguments = SqliteArguments::default();
        let mut done = Vec::with_capacity(self.statements.len());
        for (statement, values) in self.statements {
            text.push_str(statement.on(Dialect::Sqlite));
            text.push(';');
            for value in values {
                value.add_to_sqlite(&mut arguments);
            }
        }
        let mut rows = Vec::new();
        let mut answers = connection.fetch_many(sqlx::query_with(AssertSqlSafe(text), arguments));
        loop {
            match answers.try_next().await {
                Ok(Some(Either::Right(row))) => rows.push(Row::Sqlite(row)),
                Ok(Some(Either::Left(_))) => done.push(std::mem::take(&mut rows)),
                Ok(None) => return Ok(done),
                Err(error) => {
                    return Err(Stopped {
                        statement: done.len(),
                        error,
                    });
                }
            }
        }
    }

    async fn run_on_postgres(self, connection: &mut PgConnection) -> Result<Vec<Vec<Row>>, Stopped> {
        let mut done = Vec::with_capacity(self.statements.len());
        for (statement, values) in self.statements {
            let mut arguments = PgArguments::default();
            for value in values {
                value.add_to_postgres(&mut arguments);
            }
            let query = sqlx::query_with(statement.on(Dialect::Postgres), arguments);
            match in_time(query.fetch_all(&mut *connection)).await {
                Ok(rows) => done.push(rows.into_iter().map(Row::Postgres).collect()),
                Err(error) => {
                    return Err(Stopped {
                        statement: done.len(),
                        error,
                    });
                }
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;

    async fn numbers() -> Connection {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query("create table numbers (n integer primary key)")
            .execute(&mut connection)
            .await
            .unwrap();
        connection.into()
    }

    static INSERT: Statement = Statement::new("insert into numbers select value from json_each(?)");
    static SELECT: Statement =
        Statement::new("select n from numbers where n in (select value from json_each(?)) order by n");

    async fn run(batch: Batch, connection: &mut Connection) -> Answers {
        batch.run(connection).await.map_err(sqlx::Error::from).unwrap()
    }

    fn read(rows: &[Row]) -> Vec<i64> {
        rows.iter().map(|row| row.try_get(0).unwrap()).collect()
    }

    #[tokio::test]
    async fn each_statement_has_its_own_values_and_rows() {
        let mut connection = numbers().await;
        let mut batch = Batch::begin();
        batch.add_for(&INSERT, &[1, 2, 3]);
        let left_out = batch.add_for::<i64>(&SELECT, &[]);
        let first = batch.add_for(&SELECT, &[1, 2]);
        batch.add_for(&INSERT, &[4]);
        let second = batch.add_for(&SELECT, &[2, 3, 4, 5]);
        batch.add(&COMMIT);
        let answers = run(batch, &mut connection).await;
        assert_eq!(left_out, None);
        assert_eq!(read(answers.of(left_out)), [0; 0]);
        assert_eq!(read(answers.of(first)), [1, 2]);
        assert_eq!(read(answers.of(second)), [2, 3, 4]);
    }

    #[tokio::test]
    async fn a_failure_is_told_with_its_place_and_nothing_after_it_is_run() {
        let mut connection = numbers().await;
        let mut batch = Batch::begin();
        batch.add_for(&INSERT, &[1]);
        let twice = batch.add_for(&INSERT, &[2, 2]);
        batch.add(&COMMIT);
        let Err(Stopped { statement, error }) = batch.run(&mut connection).await else {
            panic!("the same key twice was taken");
        };
        assert_eq!(Some(statement), twice);
        assert!(error.to_string().contains("UNIQUE"), "{error}");
        // The transaction is still open.
        run(Batch::rollback(), &mut connection).await;
        let mut batch = Batch::default();
        let none = batch.add_for(&SELECT, &[1, 2]);
        assert_eq!(read(run(batch, &mut connection).await.of(none)), [0; 0]);
    }
}
