-- No triggers and nothing that depends on SQLite's loose types: STRICT tables, identities as text, times as milliseconds
-- since the Unix epoch. JSON is kept as text, exactly as it came.

create table installation (
    only_row integer primary key check (only_row = 1),
    id text not null,
    -- A new one after a restore: what the journal doesn't know may have happened since the backup.
    epoch text not null,
    made_ms integer not null
) strict;

create table hosts (
    id text primary key,
    started_ms integer not null,
    seen_ms integer not null,
    -- JSON array of the sagas that it was calling by its last heartbeat.
    calling text not null
) strict;

create table step_components (
    digest text primary key,
    name text not null,
    version text not null,
    manifest text not null,
    size_bytes integer not null,
    built_in integer not null,
    uploaded_by text not null,
    uploaded_ms integer not null
) strict;

create index step_components_name on step_components (name, version);

-- Apart from the rows that listings read.
create table step_component_blobs (
    digest text primary key references step_components (digest),
    bytes blob not null
) strict;

create table step_channels (
    step text not null,
    channel text not null,
    digest text not null,
    built_in integer not null,
    moved_by text not null,
    moved_ms integer not null,
    primary key (step, channel)
) strict;

create table saga_definitions (
    name text not null,
    version integer not null,
    body text not null,
    built_in integer not null,
    created_ms integer not null,
    primary key (name, version)
) strict;

create table saga_plans (
    digest text primary key,
    body text not null
) strict;

create table saga_runs (
    id text primary key,
    kind text not null,
    definition_name text,
    definition_version integer,
    plan_digest text not null references saga_plans (digest),
    status text not null,
    -- Why it goes back; none while it doesn't.
    turning text,
    cancel_requested integer not null,
    pivot_passed integer not null,
    takeovers integer not null,
    revision integer not null,
    owner text not null,
    fence integer not null,
    deployment_id text,
    triggered_by text not null,
    inputs text not null,
    idempotency_key text,
    request_hash text,
    steps_done integer not null,
    steps_total integer not null,
    created_ms integer not null,
    updated_ms integer not null,
    ended_ms integer,
    -- The soonest wish of its steps; none when nothing is to be done.
    wake_ms integer
) strict;

create unique index saga_runs_idempotency on saga_runs (idempotency_key) where idempotency_key is not null;
create index saga_runs_wake on saga_runs (owner, wake_ms) where wake_ms is not null;
create index saga_runs_open on saga_runs (id) where ended_ms is null;
create index saga_runs_newest on saga_runs (created_ms, id);
create index saga_runs_status on saga_runs (status, created_ms, id);
create index saga_runs_definition on saga_runs (definition_name, created_ms, id) where definition_name is not null;
create index saga_runs_deployment on saga_runs (deployment_id, created_ms, id) where deployment_id is not null;

-- One row per step and phase that has begun.
create table saga_step_results (
    saga_id text not null references saga_runs (id),
    step integer not null,
    phase text not null check (phase in ('run', 'compensate')),
    state text not null,
    attempt integer not null,
    polls integer not null,
    began_ms integer,
    wake_ms integer,
    ended_ms integer,
    saved text,
    progress text,
    output text,
    failure text,
    primary key (saga_id, step, phase)
) strict, without rowid;

create table saga_context (
    saga_id text not null references saga_runs (id),
    scope text not null,
    key text not null,
    value text not null,
    primary key (saga_id, scope, key)
) strict;

create table saga_events (
    -- Grows with time over all sagas, and is never used twice.
    id integer primary key autoincrement,
    saga_id text not null references saga_runs (id),
    at_ms integer not null,
    kind text not null,
    actor text not null,
    step integer,
    phase text,
    detail text not null
) strict;

create index saga_events_saga on saga_events (saga_id, id);

create table http_journal (
    -- A UUIDv7: sorts by age.
    id text primary key,
    saga_id text not null references saga_runs (id),
    step integer not null,
    phase text not null check (phase in ('run', 'compensate')),
    once_key text,
    service text not null,
    method text not null,
    path text not null,
    request_hash text not null,
    redacted_body text,
    at_ms integer not null,
    state text not null check (state in ('open', 'answered', 'refused', 'unsent')),
    -- When the exchange ended: with an answer, without one, or with its host.
    ended_ms integer,
    conclusive integer,
    status integer,
    headers text,
    body blob
) strict;

create index http_journal_step on http_journal (saga_id, step, phase, id);
create index http_journal_on_the_wire on http_journal (id) where state = 'open' and ended_ms is null;

create table cloud_resources (
    resource_id text primary key,
    provider text not null,
    account text not null,
    kind text not null,
    provider_id text not null,
    name text,
    region text,
    status text not null,
    public_ip text,
    tags text not null,
    raw text not null,
    saga_id text not null,
    step text not null,
    first_seen_ms integer not null,
    last_seen_ms integer not null,
    deleted_ms integer
) strict;

create index cloud_resources_newest on cloud_resources (first_seen_ms, resource_id);
create index cloud_resources_saga on cloud_resources (saga_id);

create table cloud_provisioned (
    resource_id text not null,
    spec_version integer not null,
    spec text not null,
    saga_id text not null,
    step text not null,
    recorded_ms integer not null,
    withdrawn_ms integer,
    primary key (resource_id, spec_version)
) strict;

create table findings (
    id text primary key,
    code text not null,
    saga_id text,
    step text,
    provider text,
    account text,
    kind text,
    provider_id text,
    message text not null,
    advice text not null,
    created_ms integer not null,
    resolved_ms integer
) strict;

create index findings_newest on findings (created_ms, id);
create index findings_saga on findings (saga_id) where saga_id is not null;

create table tokens (
    hash text primary key,
    name text not null unique,
    scope text not null,
    created_ms integer not null,
    revoked_ms integer
) strict;
