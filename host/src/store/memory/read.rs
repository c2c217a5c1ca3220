//! Listings and the catalogue in the model.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use super::State;
use crate::{
    saga::{IntentId, JournalRecord, Json, Phase, RecordState, Saga, SagaId},
    store::{
        ComponentRow, DefinitionRow, EventRow, FindingRow, LoadedSaga, LogRow, MAX_LOG_ROWS, NewComponent,
        NewLog, Page, PutComponent, ResourceFilter, ResourceRow, SagaFilter, SagaRow, SetStatus,
    },
};

/// Newest first, from the page's cursor on.
fn paged<T>(mut rows: Vec<T>, page: &Page, place: impl Fn(&T) -> (i64, String)) -> Vec<T> {
    rows.sort_by_key(|row| Reverse(place(row)));
    if let Some(after) = &page.after {
        rows.retain(|row| place(row) < (after.at_ms, after.id.clone()));
    }
    rows.truncate(page.limit as usize);
    rows
}

fn matches<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
    wanted.is_none_or(|wanted| found == Some(wanted))
}

impl State {
    pub(super) fn load(&self, saga: SagaId) -> Option<LoadedSaga> {
        let mut loaded = self.runs.get(&saga)?.loaded();
        for record in self.journal.values().filter(|record| record.intent.saga == saga) {
            let did_nothing = matches!(
                record.state,
                RecordState::Refused { .. } | RecordState::Unsent { .. }
            );
            if let (Some(identity), false) = (&record.intent.identity, did_nothing) {
                let of_service = loaded.identities.entry(record.intent.service.clone());
                of_service.or_default().insert(identity.clone());
            }
        }
        let findings = self.inventory.findings.values();
        loaded.open_findings = findings
            .filter(|row| row.saga == Some(saga) && row.resolved_ms.is_none())
            .map(|row| row.code.clone())
            .collect();
        Some(loaded)
    }

    pub(super) fn open_plans(&self) -> Vec<String> {
        let open = self.runs.values().filter(|run| run.ended_ms.is_none());
        let digests: BTreeSet<&str> = open.map(|run| run.plan_digest.as_ref()).collect();
        digests.into_iter().map(str::to_owned).collect()
    }

    pub(super) fn open_sagas_of_plans(
        &self,
        plans: &[String],
        after: Option<SagaId>,
        limit: u32,
    ) -> Vec<SagaId> {
        let open = self
            .runs
            .values()
            .filter(|run| run.ended_ms.is_none() && plans.iter().any(|plan| **plan == *run.plan_digest));
        let mut ids: Vec<SagaId> = open
            .map(|run| run.saga.id)
            .filter(|id| after.is_none_or(|after| *id > after))
            .collect();
        ids.sort();
        ids.truncate(limit as usize);
        ids
    }

    pub(super) fn open_sagas(
        &self,
        definition: Option<&str>,
        after: Option<SagaId>,
        limit: u32,
        matches: impl Fn(&Saga) -> bool,
    ) -> Vec<SagaId> {
        let of = |saga: &Saga| {
            saga.plan
                .definition
                .as_ref()
                .map(|definition| definition.name.clone())
        };
        self.runs
            .values()
            .map(|run| &run.saga)
            .filter(|saga| !saga.status.is_final() && after.is_none_or(|after| saga.id > after))
            .filter(|saga| definition.is_none_or(|name| of(saga).as_deref() == Some(name)))
            .filter(|saga| matches(saga))
            .map(|saga| saga.id)
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect()
    }

    pub(super) fn sagas(&self, filter: &SagaFilter, page: &Page) -> Vec<SagaRow> {
        let rows = self
            .runs
            .values()
            .map(super::Run::row)
            .filter(|row| filter.matches(row));
        paged(rows.collect(), page, |row| (row.created_ms, row.id.to_string()))
    }

    pub(super) fn events_after(&self, after: i64, limit: u32) -> Vec<EventRow> {
        let events = self.runs.values().flat_map(|run| &run.events);
        let mut events: Vec<EventRow> = events.filter(|event| event.id > after).cloned().collect();
        events.sort_by_key(|event| event.id);
        events.truncate(limit as usize);
        events
    }

    pub(super) fn requests(&self, saga: SagaId, after: Option<IntentId>, limit: u32) -> Vec<JournalRecord> {
        self.without_answers(after, limit, |record| record.intent.saga == saga)
    }

    pub(super) fn creates(&self, after: Option<IntentId>, limit: u32) -> Vec<JournalRecord> {
        self.without_answers(after, limit, |record| {
            record.intent.phase == Phase::Run && record.intent.method == "POST"
        })
    }

    fn without_answers(
        &self,
        after: Option<IntentId>,
        limit: u32,
        wanted: impl Fn(&JournalRecord) -> bool,
    ) -> Vec<JournalRecord> {
        let records = self.journal.values();
        let records =
            records.filter(|record| wanted(record) && after.is_none_or(|after| record.intent.id > after));
        records
            .take(limit as usize)
            .cloned()
            .map(|mut record| {
                if let RecordState::Answered { response, .. } | RecordState::Refused { response, .. } =
                    &mut record.state
                {
                    response.body.clear();
                }
                record
            })
            .collect()
    }

    pub(super) fn add_logs(&mut self, lines: Vec<NewLog>) {
        for line in lines {
            self.last_log += 1;
            let of_saga = self.logs.entry(line.saga).or_default();
            of_saga.push(LogRow {
                id: self.last_log,
                at_ms: line.at_ms,
                step: line.step,
                phase: line.phase,
                level: line.level.to_owned(),
                message: line.message,
                fields: line.fields,
            });
            let surplus = of_saga.len().saturating_sub(MAX_LOG_ROWS as usize);
            of_saga.drain(..surplus);
        }
    }

    pub(super) fn resources(&self, filter: &ResourceFilter, page: &Page) -> Vec<ResourceRow> {
        let rows = self.inventory.resources.values().filter(|row| {
            let key = &row.resource.key;
            matches(filter.provider.as_ref(), Some(&key.provider))
                && matches(filter.provider_id.as_ref(), Some(&key.provider_id))
                && matches(filter.kind.as_ref(), Some(&key.kind))
                && matches(filter.saga.as_ref(), Some(&row.saga))
                && (filter.with_deleted || row.deleted_ms.is_none())
        });
        paged(rows.cloned().collect(), page, |row| {
            (row.first_seen_ms, row.resource_id.clone())
        })
    }

    pub(super) fn findings(&self, saga: Option<SagaId>, open_only: bool, page: &Page) -> Vec<FindingRow> {
        let rows = self.inventory.findings.values().filter(|row| {
            matches(saga.as_ref(), row.saga.as_ref()) && !(open_only && row.resolved_ms.is_some())
        });
        paged(rows.cloned().collect(), page, |row| {
            (row.created_ms, row.id.clone())
        })
    }

    pub(super) fn component(&self, digest: &str) -> Option<&(ComponentRow, Arc<[u8]>)> {
        self.components.iter().find(|(row, _)| row.digest == digest)
    }

    pub(super) fn components_by_name(&self) -> Vec<ComponentRow> {
        let mut rows: Vec<ComponentRow> = self.components.iter().map(|(row, _)| row.clone()).collect();
        rows.sort_by_key(|row| (row.name.clone(), Reverse((row.uploaded_ms, row.digest.clone()))));
        rows
    }

    pub(super) fn put_component(
        &mut self,
        component: NewComponent,
        replace: bool,
        now_ms: i64,
    ) -> PutComponent {
        if let Some((row, _)) = self.component(&component.digest) {
            return PutComponent::Same(row.clone());
        }
        let namesake = self
            .components
            .iter()
            .map(|(row, _)| row)
            .filter(|row| row.name == component.name && row.version == component.version)
            .max_by_key(|row| (row.uploaded_ms, row.digest.clone()));
        if let Some(row) = namesake
            && !replace
        {
            return PutComponent::VersionExists(row.clone());
        }
        let row = ComponentRow {
            digest: component.digest,
            name: component.name,
            version: component.version,
            manifest: component.manifest,
            size_bytes: component.bytes.len() as u64,
            built_in: component.built_in,
            status: component.status,
            status_by: component.uploaded_by.clone(),
            status_ms: now_ms,
            granted: component.granted,
            uploaded_by: component.uploaded_by,
            uploaded_ms: now_ms,
        };
        self.components.push((row.clone(), component.bytes));
        PutComponent::Added(row)
    }

    pub(super) fn set_component_status(&mut self, set: SetStatus, now_ms: i64) -> Option<ComponentRow> {
        let (row, _) = self
            .components
            .iter_mut()
            .find(|(row, _)| row.digest == set.digest)?;
        (row.status, row.status_by, row.status_ms) = (set.status, set.by, now_ms);
        if set.granted.is_some() {
            row.granted = set.granted;
        }
        Some(row.clone())
    }

    pub(super) fn put_definition(
        &mut self,
        name: &str,
        body: &Json,
        built_in: bool,
        created_by: &str,
        now_ms: i64,
    ) -> DefinitionRow {
        let versions = self.definitions.entry(name.to_owned()).or_default();
        if let Some(newest) = versions.last()
            && newest.body == *body
        {
            return newest.clone();
        }
        let row = DefinitionRow {
            name: name.to_owned(),
            version: versions.last().map_or(1, |newest| newest.version + 1),
            body: body.clone(),
            built_in,
            created_by: created_by.to_owned(),
            created_ms: now_ms,
        };
        versions.push(row.clone());
        row
    }
}
