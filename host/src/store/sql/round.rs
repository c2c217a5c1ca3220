//! One round: reads what its changes rely on, decides each, and collects the rows of those that are applied.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    batch::Batch,
    connection::Connection,
    inventory::Touched,
    plans::Plans,
    row::{
        AdvancedRow, AnsweredRow, ContextRow, EventRow, FreedRow, IntentRow, PlanRow, ResolvedRow, Rows,
        RunRow, StepCells,
    },
    statement::Statement,
    watches::{self, WatchCells},
    write::write_rows,
};
use crate::{
    saga::{Answer, Intent, Phase, Plan, SagaId, Writes},
    store::{
        Accept, Advance, Applied, Change, Checkpoint, Fence, Looked, NewEvent, RecordIntent, SagaFindings,
        inventory::Maker,
        rows::{Summary, rows_of},
    },
};

/// What decides whether a saga may be changed.
struct Head {
    owner: String,
    fence: i64,
    revision: i64,
    turned: bool,
    plan_digest: String,
}

/// What the changes of a round rely on. What is read of a saga, an intent or a watch is locked:
/// nothing of it changes before the commit. An idempotency key can't be locked before it is there: another host may take it
/// meanwhile, which shows as a taken key when the saga is written.
struct Ground {
    heads: HashMap<String, Head>,
    /// Idempotency key to the saga that has it and the hash of its request.
    taken: HashMap<String, (String, String)>,
    /// Intents that are recorded, and whether they are still open.
    open: HashMap<String, bool>,
    /// How often watched sagas were looked at.
    looks: HashMap<String, i64>,
    /// Plans of the sagas whose checkpoints name steps by position.
    plans: HashMap<String, Arc<Plan>>,
}

/// What a round has come to.
pub(super) struct Round<'a> {
    /// One per change.
    pub answers: Vec<Applied>,
    /// To be run before anything else.
    pub rest: Batch,
    /// To be written at the end of the transaction.
    pub events: Vec<EventRow<'a>>,
}

/// Runs what is `pending` and decides.
///
/// No two of the changes may share a saga, an intent, a resource or an idempotency key.
pub(super) async fn apply_round<'a>(
    connection: &mut Connection,
    plans: &Plans,
    changes: &[&'a Change],
    pending: Batch,
) -> Result<Round<'a>, sqlx::Error> {
    let ground = read_ground(connection, plans, changes, pending).await?;
    let mut rows = Rows::default();
    let mut touched = Touched::default();
    let answers = changes
        .iter()
        .map(|change| match *change {
            Change::Accept(accept) => take_accept(&ground, plans, accept, &mut rows),
            Change::Advance(advance) => take_advance(&ground, advance, &mut rows, &mut touched),
            Change::Checkpoint(checkpoint) => take_checkpoint(&ground, checkpoint, &mut rows, &mut touched),
            Change::Intent(record) => take_intent(&ground, record, &mut rows),
            Change::Answer(answer) => take_answer(&ground, answer, &mut rows),
            Change::Findings(change) => take_findings(&ground, change, &mut rows, &mut touched),
            Change::Looked(looked) => take_looked(&ground, looked, &mut rows, &mut touched),
        })
        .collect();
    let mut rest = Batch::default();
    write_rows(&mut rest, &rows);
    let rest = touched.write(connection, rest).await?;
    Ok(Round {
        answers,
        rest,
        events: rows.events,
    })
}

static HEADS: Statement = Statement::new(
    "select id, owner, fence, revision, turning is not null, plan_digest from saga_runs
     where id in {elements: ?} {lock by id}",
);

static TAKEN: Statement = Statement::new(
    "select idempotency_key, id, request_hash from saga_runs where idempotency_key in {elements: ?}",
);

static OPEN: Statement =
    Statement::new("select id, state = 'open' from http_journal where id in {elements: ?} {lock by id}");

async fn read_ground(
    connection: &mut Connection,
    plans: &Plans,
    changes: &[&Change],
    pending: Batch,
) -> Result<Ground, sqlx::Error> {
    let mut sagas = Vec::new();
    let mut keys = Vec::new();
    let mut intents = Vec::new();
    let mut watched = Vec::new();
    for change in changes {
        match change {
            Change::Accept(accept) => {
                sagas.push(accept.saga.id);
                keys.extend(accept.idempotency.iter().map(|one| one.key.as_str()));
            }
            Change::Advance(advance) => sagas.push(advance.saga.id),
            Change::Checkpoint(checkpoint) => sagas.push(checkpoint.saga),
            Change::Intent(record) => sagas.push(record.intent.saga),
            Change::Answer(answer) => intents.push(answer.intent),
            Change::Findings(change) => sagas.push(change.saga),
            Change::Looked(looked) => watched.push(looked.saga),
        }
    }
    let mut ground = read_rows(connection, pending, &sagas, &keys, &intents, &watched).await?;
    for change in changes {
        let Change::Checkpoint(checkpoint) = change else {
            continue;
        };
        let Some(head) = ground.heads.get(&checkpoint.saga.to_string()) else {
            continue;
        };
        if checkpoint.writes.inventory.is_empty() || ground.plans.contains_key(&head.plan_digest) {
            continue;
        }
        // A plan that can't be read is this saga's trouble alone: its checkpoint is answered `Failed` for the want of it.
        if let Ok(Some(plan)) = plans.peek(connection, &head.plan_digest).await {
            ground.plans.insert(head.plan_digest.clone(), plan);
        }
    }
    Ok(ground)
}

async fn read_rows(
    connection: &mut Connection,
    mut batch: Batch,
    sagas: &[SagaId],
    keys: &[&str],
    intents: &[uuid::Uuid],
    watched: &[SagaId],
) -> Result<Ground, sqlx::Error> {
    let heads = batch.add_for(&HEADS, sagas);
    let taken = batch.add_for(&TAKEN, keys);
    let open = batch.add_for(&OPEN, intents);
    let looks = batch.add_for(&watches::LOOKS, watched);
    let answers = batch.run(connection).await?;
    let mut ground = Ground {
        heads: HashMap::new(),
        taken: HashMap::new(),
        open: HashMap::new(),
        looks: HashMap::new(),
        plans: HashMap::new(),
    };
    for row in answers.of(heads) {
        let head = Head {
            owner: row.try_get(1)?,
            fence: row.try_get(2)?,
            revision: row.try_get(3)?,
            turned: row.try_get(4)?,
            plan_digest: row.try_get(5)?,
        };
        ground.heads.insert(row.try_get(0)?, head);
    }
    for row in answers.of(taken) {
        let taken_by = (row.try_get(1)?, row.try_get(2)?);
        ground.taken.insert(row.try_get(0)?, taken_by);
    }
    for row in answers.of(open) {
        ground.open.insert(row.try_get(0)?, row.try_get(1)?);
    }
    for row in answers.of(looks) {
        ground.looks.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(ground)
}

pub(super) fn json<T: serde::Serialize + ?Sized>(values: &T) -> String {
    serde_json::to_string(values).expect("rows have string keys only")
}

impl Ground {
    /// The saga's head, if this owner and fence may change it.
    fn owned(&self, saga: SagaId, fence: Fence) -> Option<&Head> {
        let head = self.heads.get(&saga.to_string())?;
        (head.owner == fence.owner.to_string() && head.fence == fence.number).then_some(head)
    }
}

fn take_accept<'a>(ground: &Ground, plans: &Plans, accept: &'a Accept, rows: &mut Rows<'a>) -> Applied {
    let saga = &*accept.saga;
    if let Some(idempotency) = &accept.idempotency
        && let Some((taken_by, request_hash)) = ground.taken.get(&idempotency.key)
    {
        return match taken_by.parse() {
            Ok(saga) => Applied::Duplicate {
                saga,
                request_hash: request_hash.clone(),
            },
            Err(_) => Applied::Failed(format!("{taken_by:?} is not the id of a saga")),
        };
    }
    if ground.heads.contains_key(&saga.id.to_string()) {
        return Applied::Failed(format!("saga {} exists already", saga.id));
    }
    if plans.kept(&accept.plan_digest).is_none() {
        let row = PlanRow::new(&accept.plan_digest, &saga.plan);
        rows.plans.insert(&accept.plan_digest, row);
    }
    let at_ms = accept.header.created_ms;
    rows.runs.push(RunRow::new(accept, Summary::of(saga)));
    for step in 0..saga.steps.len() {
        rows.steps.extend(
            rows_of(saga, step, at_ms)
                .into_iter()
                .map(|row| StepCells::new(saga.id, row)),
        );
    }
    push_events(rows, saga.id, at_ms, &accept.events);
    Applied::Done
}

fn take_advance<'a>(
    ground: &Ground,
    advance: &'a Advance,
    rows: &mut Rows<'a>,
    touched: &mut Touched<'a>,
) -> Applied {
    let saga = &*advance.saga;
    let is_current = ground
        .owned(saga.id, advance.fence)
        .is_some_and(|head| u64::try_from(head.revision) == Ok(advance.from_revision));
    if !is_current {
        return Applied::Fenced;
    }
    if let Some(digest) = &advance.repinned {
        rows.plans.insert(digest, PlanRow::new(digest, &saga.plan));
    }
    rows.advanced.push(AdvancedRow::new(advance, Summary::of(saga)));
    let mut changed = advance.changed_steps.clone();
    changed.sort_unstable();
    changed.dedup();
    for step in changed {
        rows.steps.extend(
            rows_of(saga, step, advance.at_ms)
                .into_iter()
                .map(|row| StepCells::new(saga.id, row)),
        );
    }
    let maker = |step: Option<usize>| Maker {
        saga: saga.id,
        step: step.map(|step| saga.plan.steps[step].name.as_str()),
        at_ms: advance.at_ms,
    };
    if let Some((step, _, writes)) = &advance.writes {
        push_context(rows, saga.id, &saga.plan.steps[*step].scope, writes);
        for write in &writes.inventory {
            touched.inventory_write(maker(Some(*step)), write);
        }
    }
    rows.resolved
        .extend(advance.resolved_codes.iter().map(|code| ResolvedRow {
            saga: saga.id,
            code,
            at: advance.at_ms,
        }));
    for finding in &advance.findings {
        touched.finding(maker(finding.step), finding);
    }
    for (step, phase) in &advance.free_keys {
        rows.freed.push(FreedRow {
            saga: saga.id,
            step: *step,
            phase: phase.as_str(),
        });
    }
    rows.intents.extend(
        advance
            .intent
            .iter()
            .map(|intent| IntentRow::new(intent, advance.fence.owner)),
    );
    let watch = advance.watch.iter();
    rows.watched
        .extend(watch.map(|watch| WatchCells::new(saga.id, watch)));
    push_events(rows, saga.id, advance.at_ms, &advance.events);
    Applied::Done
}

fn take_checkpoint<'a>(
    ground: &Ground,
    checkpoint: &'a Checkpoint,
    rows: &mut Rows<'a>,
    touched: &mut Touched<'a>,
) -> Applied {
    let Some(head) = ground.owned(checkpoint.saga, checkpoint.fence) else {
        return Applied::Fenced;
    };
    if !checkpoint.writes.inventory.is_empty() {
        let step = ground
            .plans
            .get(&head.plan_digest)
            .and_then(|plan| plan.steps.get(checkpoint.step));
        let Some(step) = step else {
            return Applied::Failed(format!(
                "step {} of saga {} is not in its plan {}",
                checkpoint.step, checkpoint.saga, head.plan_digest
            ));
        };
        for write in &checkpoint.writes.inventory {
            let maker = Maker {
                saga: checkpoint.saga,
                step: Some(&step.name),
                at_ms: checkpoint.at_ms,
            };
            touched.inventory_write(maker, write);
        }
    }
    push_context(rows, checkpoint.saga, &checkpoint.scope, &checkpoint.writes);
    Applied::Done
}

fn take_intent<'a>(ground: &Ground, record: &'a RecordIntent, rows: &mut Rows<'a>) -> Applied {
    let intent: &Intent = &record.intent;
    let Some(head) = ground.owned(intent.saga, record.fence) else {
        return Applied::Fenced;
    };
    if intent.phase == Phase::Run && head.turned {
        return Applied::Turned;
    }
    rows.intents.push(IntentRow::new(intent, record.fence.owner));
    Applied::Done
}

fn take_answer<'a>(ground: &Ground, answer: &'a Answer, rows: &mut Rows<'a>) -> Applied {
    match ground.open.get(&answer.intent.to_string()) {
        None => return Applied::Failed(format!("there is no intent {}", answer.intent)),
        Some(true) => rows.answered.push(AnsweredRow::new(answer)),
        Some(false) => {}
    }
    Applied::Done
}

fn take_findings<'a>(
    ground: &Ground,
    change: &'a SagaFindings,
    rows: &mut Rows<'a>,
    touched: &mut Touched<'a>,
) -> Applied {
    if ground.owned(change.saga, change.fence).is_none() {
        return Applied::Fenced;
    }
    rows.resolved
        .extend(change.resolved_codes.iter().map(|code| ResolvedRow {
            saga: change.saga,
            code,
            at: change.at_ms,
        }));
    for finding in &change.findings {
        let maker = Maker {
            saga: change.saga,
            step: None,
            at_ms: change.at_ms,
        };
        touched.finding(maker, finding);
    }
    Applied::Done
}

fn take_looked<'a>(
    ground: &Ground,
    looked: &'a Looked,
    rows: &mut Rows<'a>,
    touched: &mut Touched<'a>,
) -> Applied {
    let saga = looked.saga;
    let from_looks = looked.from_looks.map(i64::from);
    if ground.looks.get(&saga.to_string()).copied() != from_looks {
        return Applied::Fenced;
    }
    match &looked.watch {
        Some(watch) => rows.watched.push(WatchCells::new(saga, watch)),
        None => rows.unwatched.push(saga),
    }
    let resolved = looked.resolved_codes.iter().map(|code| ResolvedRow {
        saga,
        code,
        at: looked.at_ms,
    });
    rows.resolved.extend(resolved);
    for finding in &looked.findings {
        let maker = Maker {
            saga,
            step: finding.step.map(|step| looked.plan.steps[step].name.as_str()),
            at_ms: looked.at_ms,
        };
        touched.finding(maker, finding);
    }
    push_events(rows, saga, looked.at_ms, &looked.events);
    Applied::Done
}

fn push_context<'a>(rows: &mut Rows<'a>, saga: SagaId, scope: &'a str, writes: &'a Writes) {
    for (key, value) in &writes.context {
        let row = ContextRow {
            saga,
            scope,
            key,
            value: value.as_ref().map(|value| value.as_str()),
        };
        match value {
            Some(_) => rows.context.push(row),
            None => rows.removed.push(row),
        }
    }
}

fn push_events<'a>(rows: &mut Rows<'a>, saga: SagaId, at_ms: i64, events: &'a [NewEvent]) {
    rows.events.extend(events.iter().map(|event| EventRow {
        saga,
        at: at_ms,
        kind: event.kind,
        actor: &event.actor,
        step: event.step,
        phase: event.phase.map(Phase::as_str),
        detail: event.detail.as_str(),
    }));
}

/// Rows that are to be written once, by their key.
pub(super) type ByKey<'a, T> = BTreeMap<&'a str, T>;
