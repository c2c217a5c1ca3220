//! What is there once everything is over: rows on one side, the provider's own account on the other.

use std::collections::BTreeMap;

use arcadia::{
    engine::Store as _,
    saga::{JournalRecord, Saga, SagaId, StepIndex, id::resource_tag},
    simulator::{DropletReport, Entry, SnapshotReport, StateReport},
    store::{
        EventRow, FindingRow, Page, ProvisionedRow, ResourceFilter, ResourceRow, SagaFilter, SagaRow, Watch,
    },
};

use super::run::{Run, now};

pub struct Evidence {
    pub row: SagaRow,
    pub saga: Saga,
    pub events: Vec<EventRow>,
    /// Intents of all sagas.
    pub intents: Vec<JournalRecord>,
    pub watch: Option<Watch>,
    /// Open ones of all sagas.
    pub findings: Vec<FindingRow>,
    /// The whole inventory, deleted rows too.
    pub resources: Vec<ResourceRow>,
    pub provisioned: BTreeMap<String, Vec<ProvisionedRow>>,
    pub cloud: StateReport,
    pub requests: Vec<Entry>,
    tags: Vec<String>,
}

impl Evidence {
    pub fn of(run: &Run<'_>, saga: SagaId) -> Evidence {
        let store = &run.world.store;
        let page = || Page {
            limit: 1_000,
            after: None,
        };
        let loaded = now(store.load(saga)).unwrap().unwrap();
        let rows = now(store.sagas(&SagaFilter::default(), page())).unwrap();
        let intents = rows.iter().flat_map(|row| now(store.journal(row.id)).unwrap());
        let everything = ResourceFilter {
            with_deleted: true,
            ..ResourceFilter::default()
        };
        let resources = now(store.resources(&everything, page())).unwrap();
        let provisioned = resources.iter().map(|row| {
            let versions = now(store.provisioned(&row.resource_id)).unwrap();
            (row.resource_id.clone(), versions)
        });
        let tags = loaded.saga.plan.steps.iter();
        Evidence {
            row: now(store.saga(saga)).unwrap().unwrap(),
            events: run.events(saga),
            intents: intents.collect(),
            watch: now(store.watch(saga)).unwrap(),
            findings: now(store.findings(None, true, page())).unwrap(),
            provisioned: provisioned.collect(),
            resources,
            cloud: run.world.cloud.state(),
            requests: run.world.cloud.journal(),
            tags: tags
                .map(|step| resource_tag(store.installation(), saga, &step.name))
                .collect(),
            saga: loaded.saga,
        }
    }

    pub fn tag(&self, step: StepIndex) -> &str {
        &self.tags[step]
    }

    /// Droplets of the step that are there and stay.
    pub fn droplets(&self, step: StepIndex) -> Vec<&DropletReport> {
        let tag = self.tag(step);
        let droplets = self.cloud.droplets.iter();
        droplets
            .filter(|droplet| stays(droplet) && droplet.tags.iter().any(|own| own.eq_ignore_ascii_case(tag)))
            .collect()
    }

    pub fn snapshots(&self, step: StepIndex) -> Vec<&SnapshotReport> {
        let tag = self.tag(step);
        let snapshots = self.cloud.snapshots.iter();
        snapshots
            .filter(|snapshot| !snapshot.deleted && snapshot.name.contains(tag))
            .collect()
    }

    /// Whether what the step's requests in doubt may have made is still being looked for.
    pub fn is_watched(&self, step: StepIndex) -> bool {
        let intents = self.watch.iter().flat_map(|watch| &watch.intents);
        intents.into_iter().any(|intent| intent.step == step)
    }

    /// An open finding names this thing.
    pub fn is_named(&self, provider_id: &str) -> bool {
        let keys = self
            .findings
            .iter()
            .filter_map(|finding| finding.resource.as_ref());
        keys.into_iter().any(|key| key.provider_id == provider_id)
    }

    pub fn row_of(&self, provider_id: &str) -> Option<&ResourceRow> {
        let mut rows = self.resources.iter();
        rows.find(|row| row.resource.key.provider_id == provider_id)
    }
}

/// It is there, and nobody has had it deleted.
pub fn stays(droplet: &DropletReport) -> bool {
    droplet.live && !droplet.leaving
}
