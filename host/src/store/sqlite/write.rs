//! The statements of a round, each for all rows of its kind. Rows come as one JSON array that is read as binary JSON: as
//! text, each column would parse its row anew.

use super::{
    batch::Batch,
    row::Rows,
    watches::{UNWATCHED, WATCHED},
};

const PLANS: &str = "
    insert into saga_plans (digest, body)
    select v ->> 'digest', v ->> 'body' from (select value as v from jsonb_each(?))
    where true
    on conflict (digest) do nothing";

const RUNS: &str = "
    insert into saga_runs (
        id, kind, definition_name, definition_version, plan_digest, status, turning, paused, cancel_requested,
        pivot_passed, takeovers, revision, owner, fence, deployment_id, triggered_by, inputs, idempotency_key, request_hash,
        steps_done, steps_total, created_ms, updated_ms, ended_ms, wake_ms
    )
    select
        v ->> 'id', v ->> 'kind', v ->> 'definition_name', v ->> 'definition_version', v ->> 'plan_digest',
        v ->> 'status', v ->> 'turning', v ->> 'paused', v ->> 'cancel_requested', v ->> 'pivot_passed', v ->> 'takeovers',
        v ->> 'revision', v ->> 'owner', v ->> 'fence', v ->> 'deployment_id', v ->> 'triggered_by', v ->> 'inputs',
        v ->> 'idempotency_key', v ->> 'request_hash', v ->> 'steps_done', v ->> 'steps_total', v ->> 'created_ms',
        v ->> 'created_ms', v ->> 'ended_ms', v ->> 'wake_ms'
    from (select value as v from jsonb_each(?))";

const ADVANCED: &str = "
    update saga_runs set
        plan_digest = coalesce(v ->> 'plan_digest', plan_digest),
        status = v ->> 'status', turning = v ->> 'turning', paused = v ->> 'paused',
        cancel_requested = v ->> 'cancel_requested',
        pivot_passed = v ->> 'pivot_passed', takeovers = v ->> 'takeovers', revision = v ->> 'revision',
        steps_done = v ->> 'steps_done', updated_ms = v ->> 'updated_ms',
        ended_ms = v ->> 'ended_ms', wake_ms = v ->> 'wake_ms'
    from (select value as v from jsonb_each(?)) as changed
    where id = v ->> 'id'";

/// What a phase no longer carries once it has ended is kept from the row before: see `store::rows`.
const STEPS: &str = "
    insert into saga_step_results (
        saga_id, step, phase, state, attempt, polls, began_ms, wake_ms, ended_ms, saved, progress, output, failure
    )
    select
        v ->> 'saga_id', v ->> 'step', v ->> 'phase', v ->> 'state', v ->> 'attempt', v ->> 'polls', v ->> 'began_ms',
        v ->> 'wake_ms', v ->> 'ended_ms', v ->> 'saved', v ->> 'progress', v ->> 'output', v ->> 'failure'
    from (select value as v from jsonb_each(?))
    where true
    on conflict (saga_id, step, phase) do update set
        state = excluded.state,
        attempt = case excluded.attempt when 0 then saga_step_results.attempt else excluded.attempt end,
        polls = case excluded.attempt when 0 then saga_step_results.polls else excluded.polls end,
        began_ms = coalesce(excluded.began_ms, saga_step_results.began_ms),
        wake_ms = excluded.wake_ms,
        ended_ms = case when excluded.ended_ms is not null
            then coalesce(saga_step_results.ended_ms, excluded.ended_ms) end,
        saved = excluded.saved, progress = excluded.progress, output = excluded.output, failure = excluded.failure";

const CONTEXT: &str = "
    insert into saga_context (saga_id, scope, key, value)
    select v ->> 'saga', v ->> 'scope', v ->> 'key', v ->> 'value' from (select value as v from jsonb_each(?))
    where true
    on conflict (saga_id, scope, key) do update set value = excluded.value";

const REMOVED: &str = "
    delete from saga_context where (saga_id, scope, key) in (
        select v ->> 'saga', v ->> 'scope', v ->> 'key' from (select value as v from jsonb_each(?))
    )";

const FREED: &str = "
    update http_journal set state = 'refused', conclusive = null
    where once_key is not null and state = 'answered' and status between 400 and 499 and (saga_id, step, phase) in (
        select v ->> 'saga', v ->> 'step', v ->> 'phase' from (select value as v from jsonb_each(?))
    )";

const RESOLVED: &str = "
    update findings set resolved_ms = v ->> 'at' from (select value as v from jsonb_each(?)) as resolved
    where saga_id = v ->> 'saga' and code = v ->> 'code' and resolved_ms is null";

const INTENTS: &str = "
    insert into http_journal (
        id, host, saga_id, step, phase, once_key, service, identity, method, path, request_hash, redacted_body, at_ms,
        state
    )
    select
        v ->> 'id', v ->> 'host', v ->> 'saga_id', v ->> 'step', v ->> 'phase', v ->> 'once_key', v ->> 'service',
        v ->> 'identity', v ->> 'method', v ->> 'path', v ->> 'request_hash', v ->> 'redacted_body', v ->> 'at_ms', 'open'
    from (select value as v from jsonb_each(?))";

/// An exchange without an answer may have been ended before, with the death of its host: the first end stays.
const ANSWERED: &str = "
    update http_journal set
        state = v ->> 'state',
        ended_ms = case v ->> 'state' when 'open' then coalesce(ended_ms, v ->> 'ended_ms') else v ->> 'ended_ms' end,
        conclusive = v ->> 'conclusive', status = v ->> 'status', headers = v ->> 'headers', body = unhex(v ->> 'body')
    from (select value as v from jsonb_each(?)) as answers
    where id = v ->> 'id' and http_journal.state = 'open'";

const EVENTS: &str = "
    insert into saga_events (saga_id, at_ms, kind, actor, step, phase, detail)
    select v ->> 'saga', v ->> 'at', v ->> 'kind', v ->> 'actor', v ->> 'step', v ->> 'phase', v ->> 'detail'
    from (select value as v from jsonb_each(?))";

/// At most thirteen statements, whatever the number of rows. A saga that is advanced has been read under the same lock:
/// every row is there.
pub(super) fn write_rows(batch: &mut Batch, rows: &Rows<'_>) {
    let plans: Vec<_> = rows.plans.values().collect();
    batch.add_for(PLANS, &plans);
    batch.add_for(RUNS, &rows.runs);
    batch.add_for(ADVANCED, &rows.advanced);
    batch.add_for(STEPS, &rows.steps);
    batch.add_for(CONTEXT, &rows.context);
    batch.add_for(REMOVED, &rows.removed);
    batch.add_for(FREED, &rows.freed);
    batch.add_for(RESOLVED, &rows.resolved);
    batch.add_for(INTENTS, &rows.intents);
    batch.add_for(ANSWERED, &rows.answered);
    batch.add_for(WATCHED, &rows.watched);
    batch.add_for(UNWATCHED, &rows.unwatched);
    batch.add_for(EVENTS, &rows.events);
}
