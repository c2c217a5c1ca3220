//! One transaction for many changes.
//!
//! The changes are sorted into rounds: within a round no two touch the same saga, intent, resource or idempotency key, so
//! that their order doesn't matter and each kind of row is one statement. When a statement meets a value that the database
//! refuses, everything is rolled back and the changes are applied one by one, each in a savepoint of its own, to find the
//! one that is at fault.

use std::{collections::HashMap, sync::Arc};

use super::{
    batch::{Batch, Ended},
    connection::Connection,
    error::{Meaning, is_about_data, meaning},
    plans::Plans,
    round::apply_round,
    write::EVENTS,
};
use crate::{
    saga::Writes,
    store::{Applied, Change, check, inventory},
};

/// One transaction, with its commit. The answers count if that happened.
pub(super) async fn commit(
    writer: &mut Connection,
    plans: &Plans,
    changes: &[Change],
) -> Result<(Vec<Applied>, Ended), sqlx::Error> {
    let mut applied: Vec<Option<Applied>> = changes.iter().map(check::refused).collect();
    let sound: Vec<usize> = (0..changes.len())
        .filter(|index| applied[*index].is_none())
        .collect();
    let ended = match apply_together(writer, plans, changes, &sound, &mut applied).await {
        Err(error) if is_about_data(&error) => {
            Batch::rollback().run(writer).await?;
            apply_apart(writer, plans, changes, &sound, &mut applied).await?
        }
        ended => ended?,
    };
    let applied = applied
        .into_iter()
        .map(|one| one.expect("every change was refused or is in a round"))
        .collect();
    Ok((applied, ended))
}

async fn apply_together(
    writer: &mut Connection,
    plans: &Plans,
    changes: &[Change],
    sound: &[usize],
    applied: &mut [Option<Applied>],
) -> Result<Ended, sqlx::Error> {
    let mut pending = Batch::begin();
    let mut events = Vec::new();
    for members in rounds(changes, sound) {
        let of_round: Vec<&Change> = members.iter().map(|index| &changes[*index]).collect();
        let round = apply_round(writer, plans, &of_round, pending).await?;
        pending = round.rest;
        events.extend(round.events);
        for (index, answer) in members.into_iter().zip(round.answers) {
            applied[index] = Some(answer);
        }
    }
    pending.commit_with(writer, &events).await
}

async fn apply_apart(
    writer: &mut Connection,
    plans: &Plans,
    changes: &[Change],
    sound: &[usize],
    applied: &mut [Option<Applied>],
) -> Result<Ended, sqlx::Error> {
    Batch::begin().run(writer).await?;
    for &index in sound {
        let change = &changes[index];
        let answer = match apply_one(writer, plans, change).await {
            // Another host may have taken the key after it was looked for: now it shows.
            Err(error) if meaning(&error) == Meaning::Duplicate => {
                Batch::undo_one_change().run(writer).await?;
                apply_one(writer, plans, change).await
            }
            answer => answer,
        };
        applied[index] = match answer {
            Ok(answer) => answer,
            Err(error) if is_about_data(&error) => {
                Batch::undo_one_change().run(writer).await?;
                Some(Applied::Failed(error.to_string()))
            }
            Err(error) => return Err(error),
        };
    }
    Batch::default().commit(writer).await
}

async fn apply_one(
    writer: &mut Connection,
    plans: &Plans,
    change: &Change,
) -> Result<Option<Applied>, sqlx::Error> {
    let mut round = apply_round(writer, plans, &[change], Batch::one_change()).await?;
    let mut rest = round.rest;
    rest.add_for(&EVENTS, &round.events);
    rest.add_release();
    rest.run(writer).await?;
    Ok(round.answers.pop())
}

/// Only once they are durable.
pub(super) fn remember_plans(plans: &Plans, changes: &[Change], applied: &[Applied]) {
    for (change, answer) in changes.iter().zip(applied) {
        if let (Change::Accept(accept), Applied::Done) = (change, answer) {
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
