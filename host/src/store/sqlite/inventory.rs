//! Inventory writes of a round: reads the rows that they touch, lets the shared rules change them, writes them back.

use std::collections::BTreeSet;

use serde::Serialize;
use sqlx::SqliteConnection;

use super::{
    batch::Batch,
    error::commit_error,
    record::{finding, provisioned, resource},
    round::json,
};
use crate::{
    saga::{InventoryWrite, SagaId},
    store::{
        FindingRow, NewFinding, ProvisionedRow, ResourceRow, StoreError,
        inventory::{Inventory, Maker, finding_id, finding_of, resources_of},
    },
};

const RESOURCES: &str = "
    insert into cloud_resources (
        resource_id, provider, account, kind, provider_id, name, region, status, public_ip, tags, raw, saga_id, step,
        first_seen_ms, last_seen_ms, deleted_ms
    )
    select
        v ->> 'resource_id', v ->> 'provider', v ->> 'account', v ->> 'kind', v ->> 'provider_id', v ->> 'name',
        v ->> 'region', v ->> 'status', v ->> 'public_ip', v ->> 'tags', v ->> 'raw', v ->> 'saga_id', v ->> 'step',
        v ->> 'first_seen_ms', v ->> 'last_seen_ms', v ->> 'deleted_ms'
    from (select value as v from jsonb_each(?))
    where true
    on conflict (resource_id) do update set
        name = excluded.name, region = excluded.region, status = excluded.status, public_ip = excluded.public_ip,
        tags = excluded.tags, raw = excluded.raw, last_seen_ms = excluded.last_seen_ms,
        deleted_ms = excluded.deleted_ms";

const PROVISIONED: &str = "
    insert into cloud_provisioned (resource_id, spec_version, spec, saga_id, step, recorded_ms, withdrawn_ms)
    select
        v ->> 'resource_id', v ->> 'spec_version', v ->> 'spec', v ->> 'saga_id', v ->> 'step', v ->> 'recorded_ms',
        v ->> 'withdrawn_ms'
    from (select value as v from jsonb_each(?))
    where true
    on conflict (resource_id, spec_version) do update set
        spec = excluded.spec, recorded_ms = excluded.recorded_ms, withdrawn_ms = excluded.withdrawn_ms";

const FINDINGS: &str = "
    insert into findings (
        id, code, saga_id, step, provider, account, kind, provider_id, message, advice, created_ms, resolved_ms
    )
    select
        v ->> 'id', v ->> 'code', v ->> 'saga_id', v ->> 'step', v ->> 'provider', v ->> 'account', v ->> 'kind',
        v ->> 'provider_id', v ->> 'message', v ->> 'advice', v ->> 'created_ms', v ->> 'resolved_ms'
    from (select value as v from jsonb_each(?))
    where true
    on conflict (id) do update set
        message = excluded.message, advice = excluded.advice, resolved_ms = excluded.resolved_ms";

/// The writes in their order, and the rows that they may touch.
#[derive(Default)]
pub(super) struct Touched<'a> {
    writes: Vec<(Owner, Write<'a>)>,
    resources: BTreeSet<String>,
    findings: BTreeSet<String>,
}

struct Owner {
    saga: SagaId,
    step: Option<String>,
    at_ms: i64,
}

enum Write<'a> {
    Inventory(&'a InventoryWrite),
    Finding(&'a NewFinding),
}

impl<'a> Touched<'a> {
    pub(super) fn inventory_write(&mut self, maker: Maker<'_>, write: &'a InventoryWrite) {
        self.resources.extend(resources_of(write));
        if let Some(finding) = finding_of(write) {
            self.findings.insert(id_of(maker, &finding));
        }
        self.push(maker, Write::Inventory(write));
    }

    pub(super) fn finding(&mut self, maker: Maker<'_>, finding: &'a NewFinding) {
        self.findings.insert(id_of(maker, finding));
        self.push(maker, Write::Finding(finding));
    }

    fn push(&mut self, maker: Maker<'_>, write: Write<'a>) {
        let owner = Owner {
            saga: maker.saga,
            step: maker.step.map(str::to_owned),
            at_ms: maker.at_ms,
        };
        self.writes.push((owner, write));
    }

    /// Runs what is `pending`, and reads. Answers what is then to be written: at most three statements, whatever the number
    /// of rows.
    pub(super) async fn write(
        self,
        connection: &mut SqliteConnection,
        pending: Batch,
    ) -> Result<Batch, sqlx::Error> {
        if self.writes.is_empty() {
            return Ok(pending);
        }
        let mut inventory = self.read(connection, pending).await?;
        for (owner, write) in &self.writes {
            let maker = Maker {
                saga: owner.saga,
                step: owner.step.as_deref(),
                at_ms: owner.at_ms,
            };
            match write {
                Write::Inventory(write) => inventory.apply(maker, write),
                Write::Finding(finding) => inventory.find(maker, finding),
            }
        }
        let mut batch = Batch::default();
        let resources: Vec<_> = inventory.resources.values().map(ResourceCells::new).collect();
        batch.add_for(RESOURCES, &resources);
        let provisioned = inventory.provisioned.values().flatten();
        let provisioned: Vec<_> = provisioned.map(ProvisionedCells::new).collect();
        batch.add_for(PROVISIONED, &provisioned);
        let findings: Vec<_> = inventory.findings.values().map(FindingCells::new).collect();
        batch.add_for(FINDINGS, &findings);
        Ok(batch)
    }

    async fn read(
        &self,
        connection: &mut SqliteConnection,
        mut batch: Batch,
    ) -> Result<Inventory, sqlx::Error> {
        let ids: Vec<&String> = self.resources.iter().collect();
        let of_resources = batch.add_for(
            "select * from cloud_resources where resource_id in (select value from json_each(?))",
            &ids,
        );
        let of_versions = batch.add_for(
            "select * from cloud_provisioned where resource_id in (select value from json_each(?))
             order by resource_id, spec_version",
            &ids,
        );
        let ids: Vec<&String> = self.findings.iter().collect();
        let of_findings = batch.add_for(
            "select * from findings where id in (select value from json_each(?))",
            &ids,
        );
        let answers = batch.run(connection).await?;
        let mut inventory = Inventory::default();
        for row in answers.of(of_resources) {
            let row = resource(row)?;
            inventory.resources.insert(row.resource_id.clone(), row);
        }
        for row in answers.of(of_versions) {
            let row = provisioned(row)?;
            let versions = inventory.provisioned.entry(row.resource_id.clone());
            versions.or_default().push(row);
        }
        for row in answers.of(of_findings) {
            let row = finding(row)?;
            inventory.findings.insert(row.id.clone(), row);
        }
        Ok(inventory)
    }
}

pub(super) async fn put_finding(
    connection: &mut SqliteConnection,
    row: &FindingRow,
) -> Result<(), StoreError> {
    sqlx::query(FINDINGS)
        .bind(json(&[FindingCells::new(row)]))
        .execute(connection)
        .await
        .map_err(commit_error)?;
    Ok(())
}

pub(super) async fn resolve_finding(
    connection: &mut SqliteConnection,
    id: &str,
    at_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query("update findings set resolved_ms = ? where id = ? and resolved_ms is null")
        .bind(at_ms)
        .bind(id)
        .execute(connection)
        .await
        .map_err(commit_error)?;
    Ok(())
}

fn id_of(maker: Maker<'_>, finding: &NewFinding) -> String {
    finding_id(maker.saga, maker.step, &finding.code, finding.resource.as_ref())
}

#[derive(Serialize)]
struct ResourceCells<'a> {
    resource_id: &'a str,
    provider: &'a str,
    account: &'a str,
    kind: &'a str,
    provider_id: &'a str,
    name: Option<&'a str>,
    region: Option<&'a str>,
    status: &'a str,
    public_ip: Option<&'a str>,
    tags: String,
    raw: &'a str,
    saga_id: SagaId,
    step: &'a str,
    first_seen_ms: i64,
    last_seen_ms: i64,
    deleted_ms: Option<i64>,
}

impl<'a> ResourceCells<'a> {
    fn new(row: &'a ResourceRow) -> ResourceCells<'a> {
        let resource = &row.resource;
        ResourceCells {
            resource_id: &row.resource_id,
            provider: &resource.key.provider,
            account: &resource.key.account,
            kind: &resource.key.kind,
            provider_id: &resource.key.provider_id,
            name: resource.name.as_deref(),
            region: resource.region.as_deref(),
            status: &resource.status,
            public_ip: resource.public_ip.as_deref(),
            tags: json(&resource.tags),
            raw: resource.raw.as_str(),
            saga_id: row.saga,
            step: &row.step,
            first_seen_ms: row.first_seen_ms,
            last_seen_ms: row.last_seen_ms,
            deleted_ms: row.deleted_ms,
        }
    }
}

#[derive(Serialize)]
struct ProvisionedCells<'a> {
    resource_id: &'a str,
    spec_version: u32,
    spec: &'a str,
    saga_id: SagaId,
    step: &'a str,
    recorded_ms: i64,
    withdrawn_ms: Option<i64>,
}

impl<'a> ProvisionedCells<'a> {
    fn new(row: &'a ProvisionedRow) -> ProvisionedCells<'a> {
        ProvisionedCells {
            resource_id: &row.resource_id,
            spec_version: row.spec_version,
            spec: row.spec.as_str(),
            saga_id: row.saga,
            step: &row.step,
            recorded_ms: row.recorded_ms,
            withdrawn_ms: row.withdrawn_ms,
        }
    }
}

#[derive(Serialize)]
struct FindingCells<'a> {
    id: &'a str,
    code: &'a str,
    saga_id: Option<SagaId>,
    step: Option<&'a str>,
    provider: Option<&'a str>,
    account: Option<&'a str>,
    kind: Option<&'a str>,
    provider_id: Option<&'a str>,
    message: &'a str,
    advice: &'a str,
    created_ms: i64,
    resolved_ms: Option<i64>,
}

impl<'a> FindingCells<'a> {
    fn new(row: &'a FindingRow) -> FindingCells<'a> {
        let key = row.resource.as_ref();
        FindingCells {
            id: &row.id,
            code: &row.code,
            saga_id: row.saga,
            step: row.step.as_deref(),
            provider: key.map(|key| key.provider.as_str()),
            account: key.map(|key| key.account.as_str()),
            kind: key.map(|key| key.kind.as_str()),
            provider_id: key.map(|key| key.provider_id.as_str()),
            message: &row.message,
            advice: &row.advice,
            created_ms: row.created_ms,
            resolved_ms: row.resolved_ms,
        }
    }
}
