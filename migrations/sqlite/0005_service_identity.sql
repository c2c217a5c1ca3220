-- Whose account a request went to: origin, `#`, account id. Null: recorded before identities were.
alter table http_journal add column identity text;

-- One thing by its id, in whichever account.
create index cloud_resources_provider_id on cloud_resources (provider_id);
