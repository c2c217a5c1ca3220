-- Sagas that ended with requests in doubt: what these may have made is looked for until `until_ms`.
create table saga_watches (
    saga_id text primary key references saga_runs (id),
    began_ms integer not null,
    until_ms integer not null,
    next_look_ms integer not null,
    -- Grows with every look: who read an earlier number changes nothing.
    looks integer not null,
    -- JSON array of what is looked for, one per step and service.
    intents text not null
) strict;

create index saga_watches_due on saga_watches (next_look_ms);
