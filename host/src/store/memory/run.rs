//! One saga in the model.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    saga::{Json, Phase, Saga, StepIndex, Writes},
    store::{
        Accept, EventRow, Fence, Header, Idempotency, LoadedSaga, SagaRow, StepRow,
        rows::{Summary, rows_of},
    },
};

pub(super) struct Run {
    pub saga: Saga,
    pub plan_digest: Arc<str>,
    pub header: Header,
    pub fence: Fence,
    pub idempotency: Option<Idempotency>,
    pub steps: BTreeMap<(StepIndex, Phase), StepRow>,
    pub events: Vec<EventRow>,
    pub context: BTreeMap<(String, String), Json>,
    pub updated_ms: i64,
    pub ended_ms: Option<i64>,
}

impl Run {
    pub(super) fn accepted(accept: &Accept) -> Run {
        let saga = Saga::clone(&accept.saga);
        let at_ms = accept.header.created_ms;
        let mut run = Run {
            plan_digest: Arc::clone(&accept.plan_digest),
            header: accept.header.clone(),
            fence: accept.fence,
            idempotency: accept.idempotency.clone(),
            steps: BTreeMap::new(),
            events: Vec::new(),
            context: BTreeMap::new(),
            updated_ms: at_ms,
            ended_ms: saga.status.is_final().then_some(at_ms),
            saga,
        };
        for step in 0..run.saga.steps.len() {
            run.write_step(step, at_ms);
        }
        run
    }

    pub(super) fn write_step(&mut self, step: StepIndex, at_ms: i64) {
        for row in rows_of(&self.saga, step, at_ms) {
            let place = (row.step, row.phase);
            let row = match self.steps.get(&place) {
                Some(earlier) => row.over(earlier),
                None => row,
            };
            self.steps.insert(place, row);
        }
    }

    pub(super) fn write_context(&mut self, scope: &str, writes: &Writes) {
        for (key, value) in &writes.context {
            let place = (scope.to_owned(), key.clone());
            match value {
                Some(value) => self.context.insert(place, value.clone()),
                None => self.context.remove(&place),
            };
        }
    }

    pub(super) fn wake_ms(&self) -> Option<i64> {
        Summary::of(&self.saga).wake_ms
    }

    /// Without what the journal and the findings know.
    pub(super) fn loaded(&self) -> LoadedSaga {
        LoadedSaga {
            saga: self.saga.clone(),
            header: self.header.clone(),
            fence: self.fence,
            context: self.context.clone(),
            identities: BTreeMap::new(),
            open_findings: BTreeSet::new(),
        }
    }

    pub(super) fn row(&self) -> SagaRow {
        let summary = Summary::of(&self.saga);
        SagaRow {
            id: self.saga.id,
            kind: self.saga.plan.kind,
            definition: self.saga.plan.definition.clone(),
            plan_digest: self.plan_digest.to_string(),
            status: self.saga.status,
            cancel_requested: summary.cancel_requested,
            pivot_passed: self.saga.pivot_passed,
            turning: summary.turning,
            paused: summary.paused,
            deployment_id: self.header.deployment_id.clone(),
            triggered_by: self.header.triggered_by.clone(),
            inputs: self.header.inputs.clone(),
            revision: self.saga.revision,
            created_ms: self.header.created_ms,
            updated_ms: self.updated_ms,
            ended_ms: self.ended_ms,
            steps_done: summary.steps_done,
            steps_total: u32::try_from(self.saga.steps.len()).unwrap_or(u32::MAX),
        }
    }
}
