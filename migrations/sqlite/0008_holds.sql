-- What is paused beyond a single saga. Each open saga that a row concerns is held by it (saga_runs.paused).
create table holds (
    -- `all`, `definition:<name>` or `service:<name>`.
    target text primary key,
    by text not null,
    reason text,
    since_ms integer not null
) strict;
