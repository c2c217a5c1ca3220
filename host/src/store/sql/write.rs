//! The statements of a round, each for all rows of its kind. Rows come as one JSON array.

use super::{
    batch::Batch,
    row::Rows,
    statement::Statement,
    watches::{UNWATCHED, WATCHED},
};

static PLANS: Statement = Statement::new(
    "
    insert into saga_plans (digest, body)
    select added.digest, added.body from {rows added: digest text, body text}
    where true
    on conflict (digest) do nothing",
);

static RUNS: Statement = Statement::new(
    "
    insert into saga_runs (
        id, kind, definition_name, definition_version, plan_digest, status, turning, paused, cancel_requested,
        pivot_passed, takeovers, revision, owner, fence, deployment_id, triggered_by, inputs, idempotency_key, request_hash,
        steps_done, steps_total, created_ms, updated_ms, ended_ms, wake_ms
    )
    select
        id, kind, definition_name, definition_version, plan_digest, status, turning, paused, cancel_requested,
        pivot_passed, takeovers, revision, owner, fence, deployment_id, triggered_by, inputs, idempotency_key, request_hash,
        steps_done, steps_total, created_ms, created_ms, ended_ms, wake_ms
    from {rows added:
        id text, kind text, definition_name text, definition_version bigint, plan_digest text, status text, turning text,
        paused text, cancel_requested boolean, pivot_passed boolean, takeovers bigint, revision bigint, owner text,
        fence bigint, deployment_id text, triggered_by text, inputs text, idempotency_key text, request_hash text,
        steps_done bigint, steps_total bigint, created_ms bigint, ended_ms bigint, wake_ms bigint}",
);

static ADVANCED: Statement = Statement::new(
    "
    update saga_runs set
        plan_digest = coalesce(changed.plan_digest, saga_runs.plan_digest),
        status = changed.status, turning = changed.turning, paused = changed.paused,
        cancel_requested = changed.cancel_requested,
        pivot_passed = changed.pivot_passed, takeovers = changed.takeovers, revision = changed.revision,
        steps_done = changed.steps_done, updated_ms = changed.updated_ms,
        ended_ms = changed.ended_ms, wake_ms = changed.wake_ms
    from {rows changed:
        id text, plan_digest text, status text, turning text, paused text, cancel_requested boolean, pivot_passed boolean,
        takeovers bigint, revision bigint, steps_done bigint, updated_ms bigint, ended_ms bigint, wake_ms bigint}
    where saga_runs.id = changed.id",
);

/// What a phase no longer carries once it has ended is kept from the row before: see `store::rows`.
static STEPS: Statement = Statement::new(
    "
    insert into saga_step_results (
        saga_id, step, phase, state, attempt, polls, began_ms, wake_ms, ended_ms, saved, progress, output, failure
    )
    select saga_id, step, phase, state, attempt, polls, began_ms, wake_ms, ended_ms, saved, progress, output, failure
    from {rows added:
        saga_id text, step bigint, phase text, state text, attempt bigint, polls bigint, began_ms bigint, wake_ms bigint,
        ended_ms bigint, saved text, progress text, output text, failure text}
    where true
    on conflict (saga_id, step, phase) do update set
        state = excluded.state,
        attempt = case excluded.attempt when 0 then saga_step_results.attempt else excluded.attempt end,
        polls = case excluded.attempt when 0 then saga_step_results.polls else excluded.polls end,
        began_ms = coalesce(excluded.began_ms, saga_step_results.began_ms),
        wake_ms = excluded.wake_ms,
        ended_ms = case when excluded.ended_ms is not null
            then coalesce(saga_step_results.ended_ms, excluded.ended_ms) end,
        saved = excluded.saved, progress = excluded.progress, output = excluded.output, failure = excluded.failure",
);

static CONTEXT: Statement = Statement::new(
    "
    insert into saga_context (saga_id, scope, key, value)
    select saga, scope, key, value from {rows added: saga text, scope text, key text, value text}
    where true
    on conflict (saga_id, scope, key) do update set value = excluded.value",
);

static REMOVED: Statement = Statement::new(
    "
    delete from saga_context where (saga_id, scope, key) in (
        select gone.saga, gone.scope, gone.key from {rows gone: saga text, scope text, key text}
    )",
);

static FREED: Statement = Statement::new(
    "
    update http_journal set state = 'refused', conclusive = null
    where once_key is not null and state = 'answered' and status between 400 and 499 and (saga_id, step, phase) in (
        select freed.saga, freed.step, freed.phase from {rows freed: saga text, step bigint, phase text}
    )",
);

static RESOLVED: Statement = Statement::new(
    "
    update findings set resolved_ms = resolved.at from {rows resolved: saga text, code text, at bigint}
    where findings.saga_id = resolved.saga and findings.code = resolved.code and findings.resolved_ms is null",
);

static INTENTS: Statement = Statement::new(
    "
    insert into http_journal (
        id, host, saga_id, step, phase, once_key, service, identity, method, path, request_hash, redacted_body, at_ms,
        state
    )
    select
        id, host, saga_id, step, phase, once_key, service, identity, method, path, request_hash, redacted_body, at_ms,
        'open'
    from {rows added:
        id text, host text, saga_id text, step bigint, phase text, once_key text, service text, identity text, method text,
        path text, request_hash text, redacted_body text, at_ms bigint}",
);

/// An exchange without an answer may have been ended before, with the death of its host: the first end stays.
static ANSWERED: Statement = Statement::new(
    "
    update http_journal set
        state = answers.state,
        ended_ms = case answers.state
            when 'open' then coalesce(http_journal.ended_ms, answers.ended_ms) else answers.ended_ms end,
        conclusive = answers.conclusive, status = answers.status, headers = answers.headers,
        body = {unhex: answers.body}
    from {rows answers:
        id text, state text, ended_ms bigint, conclusive boolean, status bigint, headers text, body text}
    where http_journal.id = answers.id and http_journal.state = 'open'",
);

/// PostgreSQL's way to write events, from a JSON array: their ids are taken from one row, which stays locked until the commit, so
/// that an event shows only once all with smaller ids do.
macro_rules! events_from {
    ($json:literal) => {
        concat!(
            "with added as materialized (
                select row_number() over (order by place) as number, saga, at, kind, actor, step, phase, detail
                from rows from (
                    jsonb_to_recordset(",
            $json,
            "::jsonb) as (saga text, at bigint, kind text, actor text, step bigint, phase text, detail text)
                ) with ordinality as added(saga, at, kind, actor, step, phase, detail, place)
            ), head as (
                update event_head set last_id = last_id + (select count(*) from added)
                returning last_id - (select count(*) from added) as before_id
            )
            insert into saga_events (id, saga_id, at_ms, kind, actor, step, phase, detail)
            select head.before_id + added.number, saga, at, kind, actor, step, phase, detail from added cross join head"
        )
    };
}

pub(super) static EVENTS: Statement = Statement::differing(
    "
    insert into saga_events (saga_id, at_ms, kind, actor, step, phase, detail)
    select saga, at, kind, actor, step, phase, detail
    from {rows added: saga text, at bigint, kind text, actor text, step bigint, phase text, detail text}",
    events_from!("?1"),
);

/// On PostgreSQL, the end of a transaction whose events wait in a setting of it: one message, so that nobody has to wait for that one
/// row for as long as a slow host, or one that stands still, takes to send the next.
pub(super) const EVENTS_AND_COMMIT: &str =
    concat!(events_from!("current_setting('arcadia.events')"), "; commit");

/// At most twelve statements, whatever the number of rows; events are written apart, at the end. A saga that is advanced has
/// been read under the same lock: every row is there.
pub(super) fn write_rows(batch: &mut Batch, rows: &Rows<'_>) {
    let plans: Vec<_> = rows.plans.values().collect();
    batch.add_for(&PLANS, &plans);
    batch.add_for(&RUNS, &rows.runs);
    batch.add_for(&ADVANCED, &rows.advanced);
    batch.add_for(&STEPS, &rows.steps);
    batch.add_for(&CONTEXT, &rows.context);
    batch.add_for(&REMOVED, &rows.removed);
    batch.add_for(&FREED, &rows.freed);
    batch.add_for(&RESOLVED, &rows.resolved);
    batch.add_for(&INTENTS, &rows.intents);
    batch.add_for(&ANSWERED, &rows.answered);
    batch.add_for(&WATCHED, &rows.watched);
    batch.add_for(&UNWATCHED, &rows.unwatched);
}
