//! One transaction for many changes.
//!
//! The changes are sorted into rounds: within a round no two touch the same saga, intent, resource or idempotency key, so
//! that their order doesn't matter and each kind of row is one statement. When a statement meets a value that the database
//! refuses, everything is rolled back and the changes are applied one by one, each in a savepoint of its own, to find the
//! one that is at fault.

use std::{collections::HashMap, sync::Arc};

use sqlx::SqliteConnection;

use super::{
    batch::{Batch, Stopped},
    error::{commit_error, is_about_data, store_error},
    plans::Plans,
    round::apply_round,
};
use crate::{
    saga::Writes,
    store::{Applied, Change, StoreError, check, inventory},
};

/// Takes the write lock at once: a transaction that becomes a writer later may fail for it.
const BEGIN: &str = "begin immediate";

/// What kept a transaction from its end.
enum Unfinished {
    Before(sqlx::Error),
    /// Whether it is on the disk depends on the error.
    InCommit(sqlx::Error),
}

impl From<sqlx::Error> for Unfinished {
    fn from(error: sqlx::Error) -> Unfinished {
        Unfinished::Before(error)
    }
}

impl From<Unfinished> for StoreError {
    fn from(unfinished: Unfinished) -> StoreError {
        match unfinished {
            Unfinished::Before(error) => store_error(error),
            Unfinished::InCommit(error) => commit_error(error),
        }
    }
}

pub(super) async fn commit(
    writer: &mut SqliteConnection,
    plans: &Plans,
    changes: &[Change],
) -> Result<Vec<Applied>, StoreError> {
    let mut applied: Vec<Option<Applied>> = changes.iter().map(check::refused).collect();
    let sound: Vec<usize> = (0..changes.len())
        .filter(|index| applied[*index].is_none())
        .collect();
    match apply_together(writer, plans, changes, &sound, &mut applied).await {
        Ok(()) => {}
        Err(Unfinished::Before(error)) if is_about_data(&error) => {
            let rolled_back = Batch::of("rollback").run(writer).await;
            rolled_back.map_err(|stopped| store_error(stopped.error))?;
            apply_apart(writer, plans, changes, &sound, &mut applied).await?;
        }
        Err(unfinished) => return Err(unfinished.into()),
    }
    remember_plans(plans, changes, &applied);
    Ok(applied
        .into_iter()
        .map(|one| one.expect("every change was refused or is in a round"))
        .collect())
}

async fn apply_together(
    writer: &mut SqliteConnection,
    plans: &Plans,
    changes: &[Change],
    sound: &[usize],
    applied: &mut [Option<Applied>],
) -> Result<(), Unfinished> {
    let mut pending = Batch::of(BEGIN);
    for round in rounds(changes, sound) {
        let members: Vec<&Change> = round.iter().map(|index| &changes[*index]).collect();
        let (answers, rest) = apply_round(writer, plans, &members, pending).await?;
        pending = rest;
        for (index, answer) in round.into_iter().zip(answers) {
            applied[index] = Some(answer);
        }
    }
    end(writer, pending).await
}

async fn apply_apart(
    writer: &mut SqliteConnection,
    plans: &Plans,
    changes: &[Change],
    sound: &[usize],
    applied: &mut [Option<Applied>],
) -> Result<(), Unfinished> {
    let mut pending = Batch::of(BEGIN);
    for &index in sound {
        pending.add("savepoint one_change");
        let answer = apply_one(writer, plans, &changes[index], pending).await;
        pending = Batch::default();
        applied[index] = match answer {
            Ok(answer) => answer,
            Err(error) if is_about_data(&error) => {
                pending.add("rollback to one_change");
                pending.add("release one_change");
                Some(Applied::Failed(error.to_string()))
            }
            Err(error) => return Err(error.into()),
        };
    }
    end(writer, pending).await
}

async fn apply_one(
    writer: &mut SqliteConnection,
    plans: &Plans,
    change: &Change,
    pending: Batch,
) -> Result<Option<Applied>, sqlx::Error> {
    let (mut answers, mut rest) = apply_round(writer, plans, &[change], pending).await?;
    rest.add("release one_change");
    rest.run(writer).await?;
    Ok(answers.pop())
}

/// Writes what is pending, and commits.
async fn end(writer: &mut SqliteConnection, mut pending: Batch) -> Result<(), Unfinished> {
    let commit = pending.add("commit");
    match pending.run(writer).await {
        Ok(_) => Ok(()),
        Err(Stopped { statement, error }) if statement == commit => Err(Unfinished::InCommit(error)),
        Err(Stopped { error, .. }) => Err(Unfinished::Before(error)),
    }
}

fn remember_plans(plans: &Plans, changes: &[Change], applied: &[Option<Applied>]) {
    for (change, answer) in changes.iter().zip(applied) {
        if let (Change::Accept(accept), Some(Applied::Done)) = (change, answer) {
            plans.keep(&accept.plan_digest, Arc::clone(&accept.saga.plan));
        }
    }
}

/// Positions of changes by round: each comes after every earlier one that it shares something with.
fn rounds(changes: &[Change], sound: &[usize]) -> Vec<Vec<usize>> {
    let frees_keys = changes
        .iter()
        .any(|change| matches!(change, Change::Advance(advance) if !advance.free_keys.is_empty()));
    let mut next_round: HashMap<Shared, usize> = HashMap::new();
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for &index in sound {
        let shared = shared_by(&changes[index], frees_keys);
        let round = shared
            .iter()
            .filter_map(|one| next_round.get(one).copied())
            .max()
            .unwrap_or(0);
        for one in shared {
            next_round.insert(one, round + 1);
        }
        if round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[round].push(index);
    }
    rounds
}

/// What makes the order of two changes matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Shared {
    Saga(uuid::Uuid),
    Intent(uuid::Uuid),
    IdempotencyKey(String),
    Resource(String),
    /// Answers don't say which saga they belong to: they keep their place among changes that free keys.
    JournalKeys,
}

fn shared_by(change: &Change, frees_keys: bool) -> Vec<Shared> {
    match change {
        Change::Accept(accept) => {
            let mut shared = vec![Shared::Saga(accept.saga.id.0)];
            shared.extend(
                accept
                    .idempotency
                    .iter()
                    .map(|one| Shared::IdempotencyKey(one.key.clone())),
            );
            shared
        }
        Change::Advance(advance) => {
            let mut shared = vec![Shared::Saga(advance.saga.id.0)];
            shared.extend(advance.intent.iter().map(|intent| Shared::Intent(intent.id)));
            if let Some((_, _, writes)) = &advance.writes {
                shared.extend(resources_of(writes));
            }
            if !advance.free_keys.is_empty() {
                shared.push(Shared::JournalKeys);
            }
            shared
        }
        Change::Checkpoint(checkpoint) => {
            let mut shared = vec![Shared::Saga(checkpoint.saga.0)];
            shared.extend(resources_of(&checkpoint.writes));
            shared
        }
        Change::Findings(change) => vec![Shared::Saga(change.saga.0)],
        Change::Looked(looked) => vec![Shared::Saga(looked.saga.0)],
        Change::Intent(record) => vec![
            Shared::Saga(record.intent.saga.0),
            Shared::Intent(record.intent.id),
        ],
        Change::Answer(answer) => {
            let mut shared = vec![Shared::Intent(answer.intent)];
            if frees_keys {
                shared.push(Shared::JournalKeys);
            }
            shared
        }
    }
}

fn resources_of(writes: &Writes) -> impl Iterator<Item = Shared> + '_ {
    writes
        .inventory
        .iter()
        .flat_map(inventory::resources_of)
        .map(Shared::Resource)
}
