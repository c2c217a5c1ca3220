-- What steps say. Nothing depends on it: lines are written in batches of their own, and a crash may lose the last of them.

create table saga_logs (
    id integer primary key autoincrement,
    saga_id text not null,
    at_ms integer not null,
    step integer not null,
    phase text not null check (phase in ('run', 'compensate')),
    level text not null,
    message text not null,
    -- JSON array of pairs of name and value.
    fields text not null
) strict;

create index saga_logs_saga on saga_logs (saga_id, id);
