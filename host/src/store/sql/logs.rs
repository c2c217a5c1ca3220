//! What steps say: written apart from the sagas' own changes, so that no saga waits for a line.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    connection::{Connection, Query, sql},
    error::store_error,
    record,
    round::json,
    statement::Statement,
    views::corrupt,
};
use crate::{
    saga::{Phase, SagaId},
    store::{LogRow, MAX_LOG_ROWS, NewLog, StoreError},
};

static LINES: Statement = Statement::new(
    "
    insert into saga_logs (saga_id, at_ms, step, phase, level, message, fields)
    select saga, at, step, phase, level, message, fields
    from {rows added:
        saga text, at bigint, step bigint, phase text, level text, message text, fields text}",
);

static SURPLUS: Statement = Statement::new(
    "
    delete from saga_logs where saga_id = ?1 and id <= (
        select id from saga_logs where saga_id = ?1 order by id desc limit 1 offset ?2
    )",
);

#[derive(Serialize)]
struct Line<'a> {
    saga: SagaId,
    at: i64,
    step: usize,
    phase: &'static str,
    level: &'static str,
    message: &'a str,
    fields: String,
}

impl<'a> Line<'a> {
    fn of(line: &'a NewLog) -> Line<'a> {
        Line {
            saga: line.saga,
            at: line.at_ms,
            step: line.step,
            phase: Phase::as_str(line.phase),
            level: line.level,
            message: &line.message,
            fields: json(&line.fields),
        }
    }
}

pub(super) async fn add_logs(connection: &mut Connection, lines: &[NewLog]) -> Result<(), sqlx::Error> {
    let rows: Vec<Line<'_>> = lines.iter().map(Line::of).collect();
    Query::of(&LINES).bind(json(&rows)).run(connection).await?;
    let sagas: BTreeSet<SagaId> = lines.iter().map(|line| line.saga).collect();
    for saga in sagas {
        Query::of(&SURPLUS)
            .bind(saga.to_string())
            .bind(MAX_LOG_ROWS)
            .run(connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn logs(
    connection: &mut Connection,
    saga: SagaId,
    after: i64,
    limit: u32,
) -> Result<Vec<LogRow>, StoreError> {
    let rows = sql!("select * from saga_logs where saga_id = ? and id > ? order by id limit ?")
        .bind(saga.to_string())
        .bind(after)
        .bind(limit)
        .all(connection)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record::log(row).map_err(|error| corrupt("a log line", &error)))
        .collect()
}
