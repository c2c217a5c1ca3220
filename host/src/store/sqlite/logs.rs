//! What steps say: written apart from the sagas' own changes, so that no saga waits for a line.

use std::collections::BTreeSet;

use serde::Serialize;
use sqlx::{Connection as _, SqliteConnection, SqlitePool};

use super::{
    error::{commit_error, store_error},
    record,
    round::json,
    views::corrupt,
};
use crate::{
    saga::{Phase, SagaId},
    store::{LogRow, MAX_LOG_ROWS, NewLog, StoreError},
};

const LINES: &str = "
    insert into saga_logs (saga_id, at_ms, step, phase, level, message, fields)
    select
        v ->> 'saga', v ->> 'at', v ->> 'step', v ->> 'phase', v ->> 'level', v ->> 'message', v -> 'fields'
    from (select value as v from jsonb_each(?))";

const SURPLUS: &str = "
    delete from saga_logs where saga_id = ?1 and id <= (
        select id from saga_logs where saga_id = ?1 order by id desc limit 1 offset ?2
    )";

#[derive(Serialize)]
struct Line<'a> {
    saga: SagaId,
    at: i64,
    step: usize,
    phase: &'static str,
    level: &'static str,
    message: &'a str,
    fields: &'a [(String, String)],
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
            fields: &line.fields,
        }
    }
}

pub(super) async fn add_logs(writer: &mut SqliteConnection, lines: &[NewLog]) -> Result<(), StoreError> {
    let rows: Vec<Line<'_>> = lines.iter().map(Line::of).collect();
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    sqlx::query(LINES)
        .bind(json(&rows))
        .execute(&mut *transaction)
        .await
        .map_err(store_error)?;
    let sagas: BTreeSet<SagaId> = lines.iter().map(|line| line.saga).collect();
    for saga in sagas {
        sqlx::query(SURPLUS)
            .bind(saga.to_string())
            .bind(MAX_LOG_ROWS)
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
    }
    transaction.commit().await.map_err(commit_error)
}

pub(super) async fn logs(
    readers: &SqlitePool,
    saga: SagaId,
    after: i64,
    limit: u32,
) -> Result<Vec<LogRow>, StoreError> {
    let rows = sqlx::query("select * from saga_logs where saga_id = ? and id > ? order by id limit ?")
        .bind(saga.to_string())
        .bind(after)
        .bind(limit)
        .fetch_all(readers)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record::log(row).map_err(|error| corrupt("a log line", &error)))
        .collect()
}
