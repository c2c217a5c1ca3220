//! Rows that can't be read back by the store's own code, and rows that belong to nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use super::{counted, named};
use crate::{
    saga::SagaId,
    store::{
        StoreError,
        doctor::{Depth, Verdict},
        sql::{
            catalog,
            connection::{Connection, Query, sql},
            error::store_error,
            load,
            plans::Plans,
            round::json,
            statement::Statement,
            tokens, views, watches,
        },
    },
};

/// Ids that are read at once.
const PORTION: u32 = 500;
/// How long the usual look at the sagas may take.
const USUALLY: Duration = Duration::from_secs(30);

static OPEN: Statement =
    Statement::new("select id from saga_runs where ended_ms is null and id > ? order by id limit ?");
static ALL: Statement = Statement::new("select id from saga_runs where id > ? order by id limit ?");

/// Each saga is read as a host would read it.
pub(super) async fn unreadable(
    connection: &mut Connection,
    plans: &Plans,
    depth: Depth,
) -> Result<Verdict, StoreError> {
    let began = Instant::now();
    let (portions, which) = match depth {
        Depth::Usual => (&OPEN, "saga that has not ended"),
        Depth::Thorough => (&ALL, "saga"),
    };
    let mut wrong = Vec::new();
    note(&mut wrong, shared_rows(connection).await)?;
    let (mut read, mut after) = (0, String::new());
    loop {
        let ids = portion(connection, portions, &after).await?;
        let Some(last) = ids.last() else { break };
        after.clone_from(last);
        for id in &ids {
            if depth == Depth::Usual && began.elapsed() > USUALLY {
                return Ok(out_of_time(read, &wrong));
            }
            note(&mut wrong, saga(connection, plans, id, depth).await)?;
            read += 1;
        }
    }
    if wrong.is_empty() {
        return Ok(Verdict::ok(format!("each {which} reads back: {read}")));
    }
    Ok(broken(&wrong))
}

async fn portion(
    connection: &mut Connection,
    portions: &'static Statement,
    after: &str,
) -> Result<Vec<String>, StoreError> {
    let rows = Query::of(portions)
        .bind(after)
        .bind(PORTION)
        .all(connection)
        .await
        .map_err(store_error)?;
    let ids: Result<_, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    ids.map_err(store_error)
}

async fn saga(connection: &mut Connection, plans: &Plans, id: &str, depth: Depth) -> Result<(), StoreError> {
    let id: SagaId = id.parse().map_err(|error| StoreError::Corrupt {
        what: format!("the id of saga {id:?}"),
        reason: format!("{error}"),
    })?;
    load::load(connection, plans, id).await?;
    if depth == Depth::Thorough {
        load::journal(connection, id).await?;
    }
    Ok(())
}

/// What every host reads at its start or for everybody.
async fn shared_rows(connection: &mut Connection) -> Result<(), StoreError> {
    catalog::components(connection).await?;
    catalog::channels(connection).await?;
    catalog::definitions(connection).await?;
    tokens::tokens(connection).await?;
    watches::all_readable(connection).await
}

/// Only what a row makes impossible is noted; any other error is the database's.
fn note(wrong: &mut Vec<String>, read: Result<(), StoreError>) -> Result<(), StoreError> {
    match read {
        Err(error @ StoreError::Corrupt { .. }) => {
            wrong.push(error.to_string());
            Ok(())
        }
        other => other,
    }
}

fn broken(wrong: &[String]) -> Verdict {
    Verdict::problem(
        named(wrong, wrong.len()),
        "what these rows are about stands still, and everything else goes on: put them right from a backup",
    )
}

fn out_of_time(read: i64, wrong: &[String]) -> Verdict {
    if wrong.is_empty() {
        Verdict::unknown(
            format!(
                "{} read back in {} s, and there are more",
                counted(read, "saga"),
                USUALLY.as_secs()
            ),
            "`arcadia doctor --thorough` reads all of them",
        )
    } else {
        broken(wrong)
    }
}

/// What must not be there: a text for it, and how many.
static ORPHANS: [(&str, Statement); 7] = [
    (
        "saga without its plan",
        Statement::new(
            "select count(*) from saga_runs as runs
             where not exists (select 1 from saga_plans where digest = runs.plan_digest)",
        ),
    ),
    (
        "step row without its saga",
        Statement::new(
            "select count(*) from saga_step_results as rows
             where not exists (select 1 from saga_runs where id = rows.saga_id)",
        ),
    ),
    (
        "context row without its saga",
        Statement::new(
            "select count(*) from saga_context as rows
             where not exists (select 1 from saga_runs where id = rows.saga_id)",
        ),
    ),
    (
        "event without its saga",
        Statement::new(
            "select count(*) from saga_events as rows
             where not exists (select 1 from saga_runs where id = rows.saga_id)",
        ),
    ),
    (
        "request without its saga",
        Statement::new(
            "select count(*) from http_journal as rows
             where not exists (select 1 from saga_runs where id = rows.saga_id)",
        ),
    ),
    (
        "watch without its saga",
        Statement::new(
            "select count(*) from saga_watches as rows
             where not exists (select 1 from saga_runs where id = rows.saga_id)",
        ),
    ),
    (
        "component without its bytes",
        Statement::new(
            "select count(*) from step_components as rows
             where not exists (select 1 from step_component_blobs where digest = rows.digest)",
        ),
    ),
];

pub(super) async fn orphans(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let mut found = Vec::new();
    for (what, statement) in &ORPHANS {
        let row = Query::of(statement).one(connection).await;
        let number: i64 = row.and_then(|row| row.try_get(0)).map_err(store_error)?;
        if number > 0 {
            found.push(format!("{what}: {number}"));
        }
    }
    Ok(if found.is_empty() {
        Verdict::ok("every row belongs to something")
    } else {
        Verdict::problem(
            named(&found, found.len()),
            "rows were written or removed past the program: put the database back from a backup",
        )
    })
}

/// The bytes of each step of each plan of a saga that has not ended.
pub(super) async fn components(
    connection: &mut Connection,
    plans: &Plans,
    depth: Depth,
) -> Result<Verdict, StoreError> {
    let mut needed = BTreeMap::new();
    for digest in views::open_plans(connection).await? {
        // One that is missing or makes no sense is told of with its sagas.
        let Ok(Some(plan)) = plans.peek(connection, &digest).await else {
            continue;
        };
        for step in &plan.steps {
            let component = &step.component;
            needed.insert(
                component.digest.clone(),
                format!("{}@{}", component.name, component.version),
            );
        }
    }
    let there = with_bytes(connection, &needed).await?;
    let missing: Vec<String> = needed
        .iter()
        .filter(|(digest, _)| !there.contains(*digest))
        .map(|(digest, name)| format!("{name} ({digest})"))
        .collect();
    if !missing.is_empty() {
        return Ok(Verdict::problem(
            format!(
                "sagas need bytes that are not there: {}",
                named(&missing, missing.len())
            ),
            "push exactly these bytes again (`arcadia step push`), or give the sagas another version (`saga repin`)",
        ));
    }
    match depth {
        Depth::Usual => Ok(Verdict::ok(format!(
            "the bytes of the {} that open sagas need are there",
            counted(needed.len() as i64, "component")
        ))),
        Depth::Thorough => whole_bytes(connection).await,
    }
}

async fn with_bytes(
    connection: &mut Connection,
    needed: &BTreeMap<String, String>,
) -> Result<BTreeSet<String>, StoreError> {
    let digests: Vec<&String> = needed.keys().collect();
    let rows = sql!("select digest from step_component_blobs where digest in {elements: ?}")
        .bind(json(&digests))
        .all(connection)
        .await
        .map_err(store_error)?;
    let there: Result<_, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    there.map_err(store_error)
}

async fn whole_bytes(connection: &mut Connection) -> Result<Verdict, StoreError> {
    let rows = sql!("select digest from step_component_blobs order by digest")
        .all(connection)
        .await
        .map_err(store_error)?;
    let digests: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    let digests = digests.map_err(store_error)?;
    let mut wrong = Vec::new();
    for digest in &digests {
        let bytes = catalog::component_bytes(connection, digest).await?;
        let is = bytes.map(|bytes| data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes)));
        if is.as_ref() != Some(digest) {
            wrong.push(digest.clone());
        }
    }
    Ok(if wrong.is_empty() {
        Verdict::ok(format!(
            "the bytes of {} are what their digests say",
            counted(digests.len() as i64, "component")
        ))
    } else {
        Verdict::problem(
            format!(
                "bytes are not what their digests say: {}",
                named(&wrong, wrong.len())
            ),
            "put the database back from a backup: a host runs none of these",
        )
    })
}
