//! Inventory writes of a round: reads the rows that they touch, lets the shared rules change them, writes them back.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    batch::Batch,
    connection::{Connection, Query, sql},
    record::{finding, provisioned, resource},
    round::json,
    statement::Statement,
};
use crate::{
    saga::{InventoryWrite, SagaId},
    store::{
        FindingRow, NewFinding, ProvisionedRow, ResourceRow,
        inventory::{Inventory, Maker, finding_id, finding_of, resources_of},
    },
};

/// Rows that were not there when they were looked for. Of two hosts that add the same one at the same time, the second meets a
/// taken key, and looks again.
macro_rules! added_resources {
    () => {
        "
        insert into cloud_resources (
            resource_id, provider, account, kind, provider_id, name, region, status, public_ip, tags, raw, saga_id, step,
            first_seen_ms, last_seen_ms, deleted_ms
        )
        select
            resource_id, provider, account, kind, provider_id, name, region, status, public_ip, tags, raw, saga_id, step,
            first_seen_ms, last_seen_ms, deleted_ms
        from {rows added:
            resource_id text, provider text, account text, kind text, provider_id text, name text, region text,
            status text, public_ip text, tags text, raw text, saga_id text, step text, first_seen_ms bigint,
            last_seen_ms bigint, deleted_ms bigint}
        where true"
    };
}

macro_rules! added_provisioned {
    () => {
        "
        insert into cloud_provisioned (resource_id, spec_version, spec, saga_id, step, recorded_ms, withdrawn_ms)
        select resource_id, spec_version, spec, saga_id, step, recorded_ms, withdrawn_ms
        from {rows added:
            resource_id text, spec_version bigint, spec text, saga_id text, step text, recorded_ms bigint,
            withdrawn_ms bigint}
        where true"
    };
}

static ADDED_RESOURCES: Statement = Statement::new(added_resources!());

static RESOURCES: Statement = Statement::new(concat!(
    added_resources!(),
    " on conflict (resource_id) do update set
        name = excluded.name, region = excluded.region, status = excluded.status, public_ip = excluded.public_ip,
        tags = excluded.tags, raw = excluded.raw, last_seen_ms = excluded.last_seen_ms,
        deleted_ms = excluded.deleted_ms"
));

static ADDED_PROVISIONED: Statement = Statement::new(added_provisioned!());

static PROVISIONED: Statement = Statement::new(concat!(
    added_provisioned!(),
    " on conflict (resource_id, spec_version) do update set
        spec = excluded.spec, recorded_ms = excluded.recorded_ms, withdrawn_ms = excluded.withdrawn_ms"
));

static FINDINGS: Statement = Statement::new(
    "
    insert into findings (
        id, code, saga_id, step, provider, account, kind, provider_id, message, advice, created_ms, resolved_ms
    )
    select id, code, saga_id, step, provider, account, kind, provider_id, message, advice, created_ms, resolved_ms
    from {rows added:
        id text, code text, saga_id text, step text, provider text, account text, kind text, provider_id text,
        message text, advice text, created_ms bigint, resolved_ms bigint}
    where true
    on conflict (id) do update set
        message = excluded.message, advice = excluded.advice, resolved_ms = excluded.resolved_ms",
);

static KNOWN_RESOURCES: Statement = Statement::new(
    "select * from cloud_resources where resource_id in {elements: ?} order by resource_id {lock}",
);

static KNOWN_VERSIONS: Statement = Statement::new(
    "select * from cloud_provisioned where resource_id in {elements: ?} order by resource_id, spec_version {lock}",
);

static KNOWN_FINDINGS: Statement =
    Statement::new("select * from findings where id in {elements: ?} {lock by id}");

/// The writes in their order, and the rows that they may touch.
#[derive(Default)]
pub(super) struct Touched<'a> {
    writes: Vec<(Owner, Write<'a>)>,
    resources: BTreeSet<String>,
    findings: BTreeSet<String>,
}

/// The rows that were there before.
struct Known {
    resources: BTreeSet<String>,
    versions: BTreeSet<(String, u32)>,
}

impl Known {
    fn of(inventory: &Inventory) -> Known {
        let versions = inventory.provisioned.values().flatten();
        Known {
            resources: inventory.resources.keys().cloned().collect(),
            versions: versions
                .map(|row| (row.resource_id.clone(), row.spec_version))
                .collect(),
        }
    }
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

    /// Runs what is `pending`, and reads. Answers what is then to be written: at most five statements, whatever the number
    /// of rows.
    pub(super) async fn write(
        self,
        connection: &mut Connection,
        pending: Batch,
    ) -> Result<Batch, sqlx::Error> {
        if self.writes.is_empty() {
            return Ok(pending);
        }
        let mut inventory = self.read(connection, pending).await?;
        let known = Known::of(&inventory);
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
        let resources = inventory.resources.values();
        let (there, added): (Vec<_>, Vec<_>) = resources
            .map(ResourceCells::new)
            .partition(|row| known.resources.contains(row.resource_id));
        batch.add_for(&ADDED_RESOURCES, &added);
        batch.add_for(&RESOURCES, &there);
        let provisioned = inventory.provisioned.values().flatten();
        let (there, added): (Vec<_>, Vec<_>) = provisioned.map(ProvisionedCells::new).partition(|row| {
            known
                .versions
                .contains(&(row.resource_id.to_owned(), row.spec_version))
        });
        batch.add_for(&ADDED_PROVISIONED, &added);
        batch.add_for(&PROVISIONED, &there);
        let findings: Vec<_> = inventory.findings.values().map(FindingCells::new).collect();
        batch.add_for(&FINDINGS, &findings);
        Ok(batch)
    }

    async fn read(&self, connection: &mut Connection, mut batch: Batch) -> Result<Inventory, sqlx::Error> {
        let ids: Vec<&String> = self.resources.iter().collect();
        let of_resources = batch.add_for(&KNOWN_RESOURCES, &ids);
        let of_versions = batch.add_for(&KNOWN_VERSIONS, &ids);
        let ids: Vec<&String> = self.findings.iter().collect();
        let of_findings = batch.add_for(&KNOWN_FINDINGS, &ids);
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

pub(super) async fn put_finding(connection: &mut Connection, row: &FindingRow) -> Result<(), sqlx::Error> {
    let rows = json(&[FindingCells::new(row)]);
    Query::of(&FINDINGS).bind(rows).run(connection).await?;
    Ok(())
}

pub(super) async fn resolve_finding(
    connection: &mut Connection,
    id: &str,
    at_ms: i64,
) -> Result<(), sqlx::Error> {
    sql!("update findings set resolved_ms = ? where id = ? and resolved_ms is null")
        .bind(at_ms)
        .bind(id)
        .run(connection)
        .await?;
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
