//! What is there once everything is over: rows on one side, the provider's own account on the other.

use std::collections::{BTreeMap, BTreeSet};

use arcadia::{
    engine::Store as _,
    saga::{JournalRecord, Phase, RecordState, Saga, SagaId, StepIndex, StepState, id::resource_tag},
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
    /// How many different faults have hit a request.
    pub hit: usize,
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
        let requests = run.world.cloud.journal();
        let hit: BTreeSet<u64> = requests.iter().flat_map(|entry| entry.faults.clone()).collect();
        Evidence {
            row: now(store.saga(saga)).unwrap().unwrap(),
            events: run.events(saga),
            intents: intents.collect(),
            watch: now(store.watch(saga)).unwrap(),
            findings: now(store.findings(None, true, page())).unwrap(),
            provisioned: provisioned.collect(),
            resources,
            cloud: run.world.cloud.state(),
            requests,
            hit: hit.len(),
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

    /// What there is of the step.
    pub fn things(&self, step: StepIndex) -> Vec<Thing<'_>> {
        let droplets = self.droplets(step).into_iter().map(Thing::from);
        let snapshots = self.snapshots(step).into_iter().map(Thing::from);
        droplets.chain(snapshots).collect()
    }

    /// Whether what the step's requests in doubt may have made is still being looked for.
    pub fn is_watched(&self, step: StepIndex) -> bool {
        let intents = self.watch.iter().flat_map(|watch| &watch.intents);
        intents.into_iter().any(|intent| intent.step == step)
    }

    /// A request that may have made something, without a conclusive answer.
    pub fn is_in_doubt(&self, step: StepIndex) -> bool {
        self.intents.iter().any(|record| {
            let intent = &record.intent;
            (intent.saga, intent.step, intent.phase) == (self.row.id, step, Phase::Run)
                && intent.method == "POST"
                && match record.state {
                    RecordState::Open { .. } => true,
                    RecordState::Answered { conclusive, .. } => !conclusive,
                    RecordState::Refused { .. } | RecordState::Unsent { .. } => false,
                }
        })
    }

    /// A clear answer promised something that was never seen until the watch began, or something was seen that nobody knew of.
    pub fn is_expected(&self, step: StepIndex) -> bool {
        let is_clear = |record: &&JournalRecord| {
            matches!(record.state, RecordState::Answered { conclusive: true, .. })
                && (record.intent.saga, record.intent.step) == (self.row.id, step)
        };
        let mut clear = self.intents.iter().filter(is_clear);
        let undone = matches!(self.saga.steps[step], StepState::Undone { .. });
        let began_ms = self.watch.as_ref().map_or(i64::MAX, |watch| watch.began_ms);
        let deleted = clear.clone().any(|record| {
            let intent = &record.intent;
            intent.method == "DELETE" && intent.phase == Phase::Compensate && intent.at_ms < began_ms
        });
        let promised = clear.any(|record| record.intent.method == "POST");
        let mut strays = self.events.iter().filter(|event| event.kind == "stray-seen");
        (undone && promised && !deleted) || strays.any(|event| event.step == Some(step))
    }

    /// By the provider's account, something was made for this step.
    pub fn was_made(&self, step: StepIndex) -> bool {
        let tag = self.tag(step);
        let droplet = |tags: &[String]| tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
        self.cloud.droplets.iter().any(|made| droplet(&made.tags))
            || self.requests.iter().any(|entry| {
                let names = entry.body["name"].as_str().is_some_and(|name| name.contains(tag));
                entry.method == "POST" && names && !entry.effects.is_empty()
            })
    }

    /// An open finding names this thing: by its id, or, where nobody has seen its id yet, by the name that only it has.
    pub fn is_named(&self, thing: &Thing<'_>) -> bool {
        self.findings.iter().any(|finding| {
            let id = finding.resource.as_ref().map(|key| &key.provider_id);
            id == Some(&thing.id)
                || thing
                    .unique_name
                    .is_some_and(|name| finding.message.contains(name))
        })
    }

    /// The inventory has it.
    pub fn is_kept(&self, thing: &Thing<'_>) -> bool {
        self.row_of(&thing.id).is_some_and(|row| row.deleted_ms.is_none())
    }

    pub fn row_of(&self, provider_id: &str) -> Option<&ResourceRow> {
        let mut rows = self.resources.iter();
        rows.find(|row| row.resource.key.provider_id == provider_id)
    }
}

/// Something at the provider.
#[derive(Clone)]
pub struct Thing<'a> {
    pub kind: &'static str,
    pub id: String,
    /// Snapshots have one, with the resource tag in it.
    unique_name: Option<&'a str>,
}

impl<'a> From<&'a DropletReport> for Thing<'a> {
    fn from(droplet: &'a DropletReport) -> Thing<'a> {
        Thing {
            kind: "droplet",
            id: droplet.id.to_string(),
            unique_name: None,
        }
    }
}

impl<'a> From<&'a SnapshotReport> for Thing<'a> {
    fn from(snapshot: &'a SnapshotReport) -> Thing<'a> {
        Thing {
            kind: "snapshot",
            id: snapshot.id.to_string(),
            unique_name: Some(&snapshot.name),
        }
    }
}

/// It is there, and nobody has had it deleted.
pub fn stays(droplet: &DropletReport) -> bool {
    droplet.live && !droplet.leaving
}
