-- A host lives until its lease runs out, or until it is lost, which is for ever.
alter table hosts add column lease_until_ms integer not null default 0;
alter table hosts add column lost_ms integer;

-- Whose sagas are to be claimed.
create index saga_runs_owner on saga_runs (owner, id) where ended_ms is null;

-- Which host sent it: its exchange ends with the host. None: a host from before this column.
alter table http_journal add column host text;
