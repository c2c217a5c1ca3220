-- What holds a saga, and since when, as JSON: {"since_ms": …, "holds": ["saga", "definition", "all", {"service": "…"}]}. None
-- while it goes on.
alter table saga_runs add column paused text;

create index saga_runs_paused on saga_runs (id) where paused is not null and ended_ms is null;
