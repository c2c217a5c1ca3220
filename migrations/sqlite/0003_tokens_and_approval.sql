-- Tokens with scopes, and who stands behind definitions and components.

-- The last characters of the token, for people; none for one that was made before this.
alter table tokens add column hint text not null default '';
alter table tokens add column created_by text not null default 'host';
alter table tokens add column expires_ms integer;
alter table tokens add column revoked_by text;

-- Until now everybody was the administrator.
alter table saga_definitions add column created_by text not null default 'admin';
update saga_definitions set created_by = 'host' where built_in = 1;

alter table step_components add column status text not null default 'approved'
    check (status in ('pending', 'approved', 'retired', 'revoked'));
-- None: with the upload.
alter table step_components add column status_by text;
alter table step_components add column status_ms integer;
-- JSON array in the shape of the manifest's `http`: what was approved. None: everything that the manifest asks.
alter table step_components add column granted text;
