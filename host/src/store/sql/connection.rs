//! A connection to either database, and single statements.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Database, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool,
    pool::PoolConnection, postgres::PgArguments, sqlite::SqliteArguments,
};

use super::{
    error::store_error,
    postgres::Mark,
    statement::{Dialect, Statement, translated},
    value::{Row, Value},
};
use crate::store::StoreError;

/// What a statement on a server may take before its connection counts as lost: longer than the server itself allows.
const SERVER_ANSWERS_IN: Duration = Duration::from_secs(40);

pub(super) struct Connection {
    pub(super) link: Link,
    /// Of the transaction that is begun on it. Only PostgreSQL's writer has one.
    pub(super) mark: Option<Mark>,
    /// Something was begun and has not come to its end: nobody else may have it.
    pub(super) busy: bool,
}

pub(super) enum Link {
    Sqlite(Held<Sqlite>),
    Postgres(Held<Postgres>),
}

/// Of its own, or lent by a pool.
pub(super) enum Held<DB: Database> {
    Own(Box<DB::Connection>),
    Pooled(PoolConnection<DB>),
}

impl<DB: Database> Deref for Held<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        match self {
            Held::Own(connection) => connection,
            Held::Pooled(connection) => connection,
        }
    }
}

impl<DB: Database> DerefMut for Held<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        match self {
            Held::Own(connection) => connection,
            Held::Pooled(connection) => connection,
        }
    }
}

impl<DB: Database> Held<DB> {
    fn give_up(&mut self) {
        match self {
            Held::Own(_) => {}
            Held::Pooled(connection) => connection.close_on_drop(),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.busy {
            match &mut self.link {
                Link::Sqlite(held) => held.give_up(),
                Link::Postgres(held) => held.give_up(),
            }
        }
    }
}

impl Connection {
    fn new(link: Link) -> Connection {
        Connection {
            link,
            mark: None,
            busy: false,
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match &self.link {
            Link::Sqlite(_) => Dialect::Sqlite,
            Link::Postgres(_) => Dialect::Postgres,
        }
    }
}

impl From<SqliteConnection> for Connection {
    fn from(connection: SqliteConnection) -> Connection {
        Connection::new(Link::Sqlite(Held::Own(Box::new(connection))))
    }
}

impl From<PgConnection> for Connection {
    fn from(connection: PgConnection) -> Connection {
        Connection::new(Link::Postgres(Held::Own(Box::new(connection))))
    }
}

/// Connections that only read.
pub(super) enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Readers {
    pub(super) async fn lend(&self) -> Result<Connection, StoreError> {
        let link = match self {
            Readers::Sqlite(pool) => Link::Sqlite(Held::Pooled(pool.acquire().await.map_err(store_error)?)),
            Readers::Postgres(pool) => {
                Link::Postgres(Held::Pooled(pool.acquire().await.map_err(store_error)?))
            }
        };
        Ok(Connection::new(link))
    }
}

/// A statement and its values: `sql!("select … where id = ?").bind(id)`.
pub(super) struct Query {
    text: Text,
    values: Vec<Value>,
}

enum Text {
    Fixed(&'static Statement),
    PutTogether(String),
}

/// A [`Query`] of a fixed text.
macro_rules! sql {
    ($text:expr $(,)?) => {{
        static STATEMENT: $crate::store::sql::statement::Statement =
            $crate::store::sql::statement::Statement::new($text);
        $crate::store::sql::connection::Query::of(&STATEMENT)
    }};
}
pub(super) use sql;

impl Query {
    pub(super) fn of(statement: &'static Statement) -> Query {
        Query {
            text: Text::Fixed(statement),
            values: Vec::new(),
        }
    }

    /// Of names that the program itself put into the text.
    pub(super) fn put_together(text: String, values: Vec<Value>) -> Query {
        Query {
            text: Text::PutTogether(text),
            values,
        }
    }

    pub(super) fn bind(mut self, value: impl Into<Value>) -> Query {
        self.values.push(value.into());
        self
    }

    pub(super) async fn all(self, connection: &mut Connection) -> Result<Vec<Row>, sqlx::Error> {
        connection.busy = true;
        let rows = self.rows(connection).await;
        settled(connection, rows)
    }

    pub(super) async fn optional(self, connection: &mut Connection) -> Result<Option<Row>, sqlx::Error> {
        let rows = self.all(connection).await?;
        Ok(rows.into_iter().next())
    }

    pub(super) async fn one(self, connection: &mut Connection) -> Result<Row, sqlx::Error> {
        self.optional(connection).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Answers how many rows were written.
    pub(super) async fn run(self, connection: &mut Connection) -> Result<u64, sqlx::Error> {
        connection.busy = true;
        let written = self.execute(connection).await;
        settled(connection, written)
    }

    async fn rows(self, connection: &mut Connection) -> Result<Vec<Row>, sqlx::Error> {
        match &mut connection.link {
            Link::Sqlite(held) => {
                let rows = self.for_sqlite().fetch_all(&mut **held).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Link::Postgres(held) => {
                let rows = in_time(self.for_postgres().fetch_all(&mut **held)).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    async fn execute(self, connection: &mut Connection) -> Result<u64, sqlx::Error> {
        match &mut connection.link {
            Link::Sqlite(held) => Ok(self.for_sqlite().execute(&mut **held).await?.rows_affected()),
            Link::Postgres(held) => {
                let done = in_time(self.for_postgres().execute(&mut **held)).await?;
                Ok(done.rows_affected())
            }
        }
    }

    fn for_sqlite(self) -> sqlx::query::Query<'static, Sqlite, SqliteArguments> {
        let mut arguments = SqliteArguments::default();
        for value in self.values {
            value.add_to_sqlite(&mut arguments);
        }
        match self.text {
            Text::Fixed(statement) => sqlx::query_with(statement.on(Dialect::Sqlite), arguments),
            Text::PutTogether(text) => {
                sqlx::query_with(AssertSqlSafe(translated(&text, Dialect::Sqlite)), arguments)
            }
        }
    }

    fn for_postgres(self) -> sqlx::query::Query<'static, Postgres, PgArguments> {
        let mut arguments = PgArguments::default();
        for value in self.values {
            value.add_to_postgres(&mut arguments);
        }
        match self.text {
            Text::Fixed(statement) => sqlx::query_with(statement.on(Dialect::Postgres), arguments),
            Text::PutTogether(text) => {
                sqlx::query_with(AssertSqlSafe(translated(&text, Dialect::Postgres)), arguments)
            }
        }
    }
}

/// An error that the database itself tells leaves the connection in order.
fn settled<T>(connection: &mut Connection, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
    if matches!(&result, Ok(_) | Err(sqlx::Error::Database(_))) {
        connection.busy = false;
    }
    result
}

/// A server that is stopped, or behind a cut line, says nothing for ever.
pub(super) async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(SERVER_ANSWERS_IN, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!(
                "the database server has not answered for {} s",
                SERVER_ANSWERS_IN.as_secs()
            ),
        ))),
    }
}
