-- Sagas that haven't ended, by their plan: which of them are pinned to some bytes. Serves what the index by id alone did.
drop index saga_runs_open;
create index saga_runs_open on saga_runs (plan_digest, id) where ended_ms is null;
