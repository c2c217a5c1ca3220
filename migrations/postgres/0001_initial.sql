-- The schema of SQLite's migrations up to 0009, where each table and column is explained. No triggers, no enum types, no sequences
-- but for log lines. Numbers are bigint, times milliseconds since the Unix epoch. Texts that are compared or sorted are compared
-- by their bytes (collate "C"), as SQLite does. JSON is kept as text, exactly as it came.

create table installation (
    only_row bigint primary key check (only_row = 1),
    id text not null,
    epoch text not null,
    made_ms bigint not null
);

create table hosts (
    id text collate "C" primary key,
    started_ms bigint not null,
    seen_ms bigint not null,
    lease_until_ms bigint not null,
    lost_ms bigint,
    calling text not null
);

-- Whether a commit happened whose answer was lost: the number of each writer's last transaction.
create table commit_marks (
    writer text collate "C" primary key,
    number bigint not null,
    at_ms bigint not null
);

create table step_components (
    digest text collate "C" primary key,
    name text collate "C" not null,
    version text collate "C" not null,
    manifest text not null,
    size_bytes bigint not null,
    built_in boolean not null,
    uploaded_by text not null,
    uploaded_ms bigint not null,
    status text not null check (status in ('pending', 'approved', 'retired', 'revoked')),
    status_by text,
    status_ms bigint,
    granted text
);

create index step_components_name on step_components (name, version);

create table step_component_blobs (
    digest text collate "C" primary key references step_components (digest),
    bytes bytea not null
);

create table step_channels (
    step text collate "C" not null,
    channel text collate "C" not null,
    digest text collate "C" not null,
    built_in boolean not null,
    moved_by text not null,
    moved_ms bigint not null,
    primary key (step, channel)
);

create table saga_definitions (
    name text collate "C" not null,
    version bigint not null,
    body text not null,
    built_in boolean not null,
    created_by text not null,
    created_ms bigint not null,
    primary key (name, version)
);

create table saga_plans (
    digest text collate "C" primary key,
    body text not null
);

create table saga_runs (
    id text collate "C" primary key,
    kind text collate "C" not null,
    definition_name text collate "C",
    definition_version bigint,
    plan_digest text collate "C" not null references saga_plans (digest),
    status text collate "C" not null,
    turning text,
    paused text,
    cancel_requested boolean not null,
    pivot_passed boolean not null,
    takeovers bigint not null,
    revision bigint not null,
    owner text collate "C" not null,
    fence bigint not null,
    deployment_id text collate "C",
    triggered_by text not null,
    inputs text not null,
    idempotency_key text collate "C",
    request_hash text,
    steps_done bigint not null,
    steps_total bigint not null,
    created_ms bigint not null,
    updated_ms bigint not null,
    ended_ms bigint,
    wake_ms bigint
);

create unique index saga_runs_idempotency on saga_runs (idempotency_key) where idempotency_key is not null;
create index saga_runs_wake on saga_runs (owner, wake_ms) where wake_ms is not null;
create index saga_runs_open on saga_runs (plan_digest, id) where ended_ms is null;
create index saga_runs_owner on saga_runs (owner, id) where ended_ms is null;
create index saga_runs_paused on saga_runs (id) where paused is not null and ended_ms is null;
create index saga_runs_newest on saga_runs (created_ms, id);
create index saga_runs_status on saga_runs (status, created_ms, id);
create index saga_runs_definition on saga_runs (definition_name, created_ms, id) where definition_name is not null;
create index saga_runs_deployment on saga_runs (deployment_id, created_ms, id) where deployment_id is not null;

create table saga_step_results (
    saga_id text collate "C" not null references saga_runs (id),
    step bigint not null,
    phase text collate "C" not null check (phase in ('run', 'compensate')),
    state text not null,
    attempt bigint not null,
    polls bigint not null,
    began_ms bigint,
    wake_ms bigint,
    ended_ms bigint,
    saved text,
    progress text,
    output text,
    failure text,
    primary key (saga_id, step, phase)
);

create table saga_context (
    saga_id text collate "C" not null references saga_runs (id),
    scope text collate "C" not null,
    key text collate "C" not null,
    value text not null,
    primary key (saga_id, scope, key)
);

-- An event shows only once all with smaller ids do: ids are taken from the one row of event_head as the last thing before a
-- commit, and it stays locked until then.
create table event_head (
    only_row bigint primary key check (only_row = 1),
    last_id bigint not null
);

insert into event_head (only_row, last_id) values (1, 0);

create table saga_events (
    id bigint primary key,
    saga_id text collate "C" not null references saga_runs (id),
    at_ms bigint not null,
    kind text not null,
    actor text not null,
    step bigint,
    phase text,
    detail text not null
);

create index saga_events_saga on saga_events (saga_id, id);

create table http_journal (
    id text collate "C" primary key,
    host text collate "C",
    saga_id text collate "C" not null references saga_runs (id),
    step bigint not null,
    phase text collate "C" not null check (phase in ('run', 'compensate')),
    once_key text collate "C",
    service text collate "C" not null,
    identity text collate "C",
    method text not null,
    path text not null,
    request_hash text not null,
    redacted_body text,
    at_ms bigint not null,
    state text collate "C" not null check (state in ('open', 'answered', 'refused', 'unsent')),
    ended_ms bigint,
    conclusive boolean,
    status bigint,
    headers text,
    body bytea
);

create index http_journal_step on http_journal (saga_id, step, phase, id);
create index http_journal_on_the_wire on http_journal (id) where state = 'open' and ended_ms is null;

create table cloud_resources (
    resource_id text collate "C" primary key,
    provider text collate "C" not null,
    account text not null,
    kind text collate "C" not null,
    provider_id text collate "C" not null,
    name text,
    region text,
    status text not null,
    public_ip text,
    tags text not null,
    raw text not null,
    saga_id text collate "C" not null,
    step text not null,
    first_seen_ms bigint not null,
    last_seen_ms bigint not null,
    deleted_ms bigint
);

create index cloud_resources_newest on cloud_resources (first_seen_ms, resource_id);
create index cloud_resources_saga on cloud_resources (saga_id);
create index cloud_resources_provider_id on cloud_resources (provider_id);

create table cloud_provisioned (
    resource_id text collate "C" not null,
    spec_version bigint not null,
    spec text not null,
    saga_id text collate "C" not null,
    step text not null,
    recorded_ms bigint not null,
    withdrawn_ms bigint,
    primary key (resource_id, spec_version)
);

create table findings (
    id text collate "C" primary key,
    code text collate "C" not null,
    saga_id text collate "C",
    step text,
    provider text,
    account text,
    kind text,
    provider_id text,
    message text not null,
    advice text not null,
    created_ms bigint not null,
    resolved_ms bigint
);

create index findings_newest on findings (created_ms, id);
create index findings_saga on findings (saga_id) where saga_id is not null;

create table tokens (
    hash text collate "C" primary key,
    hint text not null,
    name text collate "C" not null unique,
    scope text not null,
    created_by text not null,
    created_ms bigint not null,
    expires_ms bigint,
    revoked_ms bigint,
    revoked_by text
);

create table saga_logs (
    id bigint generated always as identity primary key,
    saga_id text collate "C" not null,
    at_ms bigint not null,
    step bigint not null,
    phase text not null check (phase in ('run', 'compensate')),
    level text not null,
    message text not null,
    fields text not null
);

create index saga_logs_saga on saga_logs (saga_id, id);

create table saga_watches (
    saga_id text collate "C" primary key references saga_runs (id),
    began_ms bigint not null,
    until_ms bigint not null,
    next_look_ms bigint not null,
    looks bigint not null,
    intents text not null
);

create index saga_watches_due on saga_watches (next_look_ms);

create table holds (
    target text collate "C" primary key,
    by text not null,
    reason text,
    since_ms bigint not null
);
