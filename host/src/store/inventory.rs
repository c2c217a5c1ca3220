//! What inventory writes mean, apart from where the rows live. A store lends the rows that a write may touch and keeps
//! what they have become.
//!
//! - An upsert is a sighting. The first maker of a row stays its maker. A row whose thing was confirmed gone lives again
//!   when the thing is seen again (a lagging 404 must not hide something that costs money), unless the status seen is
//!   `deleted`.
//! - A step has at most one spec version of a resource in force. Recording what is in force already changes nothing;
//!   recording something else replaces the step's own newest version, or becomes the next one.
//! - A row from before its account could be told gives way: what is seen, or confirmed gone, in an account ends the row of the
//!   same thing without one.
//! - The same (saga, step, code, resource) is the same finding; reported again after it was resolved, it is open again.

use std::collections::BTreeMap;

use super::{FindingRow, NewFinding, ProvisionedRow, ResourceRow};
use crate::saga::{CloudResource, InventoryWrite, Json, ResourceKey, SagaId, id::hash_of};

const REPORT_ADVICE: &str = "look at the resource at its provider, then keep it or delete it there";
/// The status that a step gives a thing which it knows to be gone.
const DELETED: &str = "deleted";

/// Rows by their id: all of them, or those that a commit may touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    pub resources: BTreeMap<String, ResourceRow>,
    /// Spec versions of a resource, oldest first.
    pub provisioned: BTreeMap<String, Vec<ProvisionedRow>>,
    pub findings: BTreeMap<String, FindingRow>,
}

/// Whose write it is, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maker<'a> {
    pub saga: SagaId,
    /// Name of the step; none for a finding of the whole saga.
    pub step: Option<&'a str>,
    pub at_ms: i64,
}

impl Maker<'_> {
    fn step(&self) -> &str {
        self.step.unwrap_or_default()
    }
}

/// Ids of the resources whose rows a write may touch.
pub(super) fn resources_of(write: &InventoryWrite) -> impl Iterator<Item = String> {
    let (id, before) = match write {
        InventoryWrite::Upsert(CloudResource { key, .. }) | InventoryWrite::MarkDeleted(key) => {
            (Some(key.resource_id()), id_before_account(key))
        }
        InventoryWrite::RecordProvisioned { resource_id, .. }
        | InventoryWrite::WithdrawProvisioned { resource_id } => (Some(resource_id.clone()), None),
        InventoryWrite::Report { .. } => (None, None),
    };
    id.into_iter().chain(before)
}

fn id_before_account(key: &ResourceKey) -> Option<String> {
    Some(key.without_account()?.resource_id())
}

/// The finding that a `report` makes.
pub(super) fn finding_of(write: &InventoryWrite) -> Option<NewFinding> {
    match write {
        InventoryWrite::Report {
            code,
            resource,
            message,
        } => Some(NewFinding {
            code: code.clone(),
            step: None,
            resource: Some(resource.clone()),
            message: message.clone(),
            advice: REPORT_ADVICE.to_owned(),
        }),
        InventoryWrite::Upsert(_)
        | InventoryWrite::MarkDeleted(_)
        | InventoryWrite::RecordProvisioned { .. }
        | InventoryWrite::WithdrawProvisioned { .. } => None,
    }
}

/// The same for the same (saga, step, code, resource), for ever.
pub(super) fn finding_id(
    saga: SagaId,
    step: Option<&str>,
    code: &str,
    resource: Option<&ResourceKey>,
) -> String {
    let resource_id = resource.map(ResourceKey::resource_id).unwrap_or_default();
    let hash = hash_of(&[
        b"finding",
        saga.0.as_bytes(),
        step.unwrap_or_default().to_lowercase().as_bytes(),
        code.as_bytes(),
        resource_id.as_bytes(),
    ]);
    format!("find-{}", data_encoding::HEXLOWER.encode(&hash[..16]))
}

impl Inventory {
    pub(super) fn apply(&mut self, maker: Maker<'_>, write: &InventoryWrite) {
        match write {
            InventoryWrite::Upsert(resource) => self.upsert(maker, resource),
            InventoryWrite::MarkDeleted(_) => {
                for resource_id in resources_of(write) {
                    self.end(&resource_id, maker.at_ms);
                }
            }
            InventoryWrite::RecordProvisioned { resource_id, spec } => self.record(maker, resource_id, spec),
            InventoryWrite::WithdrawProvisioned { resource_id } => self.withdraw(maker, resource_id),
            InventoryWrite::Report { .. } => {
                if let Some(finding) = finding_of(write) {
                    self.find(maker, &finding);
                }
            }
        }
    }

    /// Adds a finding, or opens it again; its first time stays.
    pub(super) fn find(&mut self, maker: Maker<'_>, finding: &NewFinding) {
        let id = finding_id(maker.saga, maker.step, &finding.code, finding.resource.as_ref());
        let created_ms = self.findings.get(&id).map_or(maker.at_ms, |row| row.created_ms);
        let row = FindingRow {
            id: id.clone(),
            code: finding.code.clone(),
            saga: Some(maker.saga),
            step: maker.step.map(str::to_owned),
            resource: finding.resource.clone(),
            message: finding.message.clone(),
            advice: finding.advice.clone(),
            created_ms,
            resolved_ms: None,
        };
        self.findings.insert(id, row);
    }

    pub(super) fn put_finding(&mut self, finding: FindingRow) {
        let created_ms = self
            .findings
            .get(&finding.id)
            .map_or(finding.created_ms, |row| row.created_ms);
        self.findings.insert(
            finding.id.clone(),
            FindingRow {
                created_ms,
                ..finding
            },
        );
    }

    /// Ends the open findings of a saga that have one of these codes.
    pub(super) fn resolve(&mut self, saga: SagaId, codes: &[&str], at_ms: i64) {
        for row in self.findings.values_mut() {
            if row.saga == Some(saga) && codes.contains(&row.code.as_str()) {
                row.resolved_ms = row.resolved_ms.or(Some(at_ms));
            }
        }
    }

    fn end(&mut self, resource_id: &str, at_ms: i64) {
        if let Some(row) = self.resources.get_mut(resource_id) {
            row.deleted_ms = row.deleted_ms.or(Some(at_ms));
        }
    }

    fn upsert(&mut self, maker: Maker<'_>, resource: &CloudResource) {
        let resource_id = resource.key.resource_id();
        if let Some(before) = id_before_account(&resource.key) {
            self.end(&before, maker.at_ms);
        }
        match self.resources.get_mut(&resource_id) {
            Some(row) => {
                row.resource = resource.clone();
                row.last_seen_ms = maker.at_ms;
                if resource.status != DELETED {
                    row.deleted_ms = None;
                }
            }
            None => {
                let row = ResourceRow {
                    resource_id: resource_id.clone(),
                    resource: resource.clone(),
                    saga: maker.saga,
                    step: maker.step().to_owned(),
                    first_seen_ms: maker.at_ms,
                    last_seen_ms: maker.at_ms,
                    deleted_ms: None,
                };
                self.resources.insert(resource_id, row);
            }
        }
    }

    fn record(&mut self, maker: Maker<'_>, resource_id: &str, spec: &Json) {
        let versions = self.provisioned.entry(resource_id.to_owned()).or_default();
        let next = versions.last().map_or(1, |row| row.spec_version + 1);
        if let Some(current) = versions.iter_mut().rev().find(|row| row.withdrawn_ms.is_none()) {
            if current.spec.to_value() == spec.to_value() {
                return;
            }
            if current.saga == maker.saga && current.step == maker.step() {
                current.spec = spec.clone();
                current.recorded_ms = maker.at_ms;
                return;
            }
        }
        versions.push(ProvisionedRow {
            resource_id: resource_id.to_owned(),
            spec_version: next,
            spec: spec.clone(),
            saga: maker.saga,
            step: maker.step().to_owned(),
            recorded_ms: maker.at_ms,
            withdrawn_ms: None,
        });
    }

    fn withdraw(&mut self, maker: Maker<'_>, resource_id: &str) {
        let own = self
            .provisioned
            .get_mut(resource_id)
            .into_iter()
            .flatten()
            .filter(|row| row.saga == maker.saga && row.step == maker.step() && row.withdrawn_ms.is_none());
        for row in own {
            row.withdrawn_ms = Some(maker.at_ms);
        }
    }
}
