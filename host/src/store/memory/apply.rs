//! Changes in the model: each is decided first and then carried out, so that a refused one leaves nothing.

use std::sync::Arc;

use super::{State, run::Run};
use crate::{
    saga::{Answer, AnswerVerdict, Intent, JournalRecord, Phase, RecordState, SagaId, StepIndex},
    store::{
        Accept, Advance, Applied, Change, Checkpoint, EventRow, Fence, HostId, Looked, NewEvent,
        RecordIntent, SagaFindings, check, inventory::Maker,
    },
};

impl State {
    pub(super) fn apply(&mut self, change: &Change) -> Applied {
        if let Some(refused) = check::refused(change) {
            return refused;
        }
        match change {
            Change::Accept(accept) => self.accept(accept),
            Change::Advance(advance) => self.advance(advance),
            Change::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
            Change::Intent(record) => self.record_intent(record),
            Change::Answer(answer) => self.answer(answer),
            Change::Findings(change) => self.find(change),
            Change::Looked(looked) => self.looked(looked),
        }
    }

    fn owned(&mut self, saga: SagaId, fence: Fence) -> Option<&mut Run> {
        self.runs.get_mut(&saga).filter(|run| run.fence == fence)
    }

    fn accept(&mut self, accept: &Accept) -> Applied {
        let taken_by = accept.idempotency.as_ref().and_then(|idempotency| {
            self.runs.values().find_map(|run| {
                let taken = run.idempotency.as_ref()?;
                (taken.key == idempotency.key).then(|| (run.saga.id, taken.request_hash.clone()))
            })
        });
        if let Some((saga, request_hash)) = taken_by {
            return Applied::Duplicate { saga, request_hash };
        }
        let id = accept.saga.id;
        if self.runs.contains_key(&id) {
            return Applied::Failed(format!("saga {id} exists already"));
        }
        self.plans
            .insert(Arc::clone(&accept.plan_digest), Arc::clone(&accept.saga.plan));
        self.runs.insert(id, Run::accepted(accept));
        self.add_events(id, accept.header.created_ms, &accept.events);
        Applied::Done
    }

    fn advance(&mut self, advance: &Advance) -> Applied {
        let id = advance.saga.id;
        let known_intent = advance
            .intent
            .as_ref()
            .is_some_and(|intent| self.journal.contains_key(&intent.id));
        let Some(run) = self
            .owned(id, advance.fence)
            .filter(|run| run.saga.revision == advance.from_revision)
        else {
            return Applied::Fenced;
        };
        if known_intent {
            return Applied::Failed("the intent is recorded already".to_owned());
        }
        run.saga = (*advance.saga).clone();
        if let Some(digest) = &advance.repinned {
            run.plan_digest = Arc::clone(digest);
        }
        run.updated_ms = advance.at_ms;
        run.ended_ms = run.saga.status.is_final().then_some(advance.at_ms);
        for step in &advance.changed_steps {
            run.write_step(*step, advance.at_ms);
        }
        let plan = run.saga.plan.clone();
        let maker = |step: Option<StepIndex>| Maker {
            saga: id,
            step: step.map(|step| plan.steps[step].name.as_str()),
            at_ms: advance.at_ms,
        };
        if let Some((step, _, writes)) = &advance.writes {
            run.write_context(&plan.steps[*step].scope, writes);
        }
        self.inventory.resolve(id, &advance.resolved_codes, advance.at_ms);
        if let Some((step, _, writes)) = &advance.writes {
            for write in &writes.inventory {
                self.inventory.apply(maker(Some(*step)), write);
            }
        }
        for finding in &advance.findings {
            self.inventory.find(maker(finding.step), finding);
        }
        for (step, phase) in &advance.free_keys {
            self.free_keys(id, *step, *phase);
        }
        if let Some(intent) = &advance.intent {
            self.open_record(intent, advance.fence.owner);
        }
        if let Some(digest) = &advance.repinned {
            self.plans.insert(Arc::clone(digest), plan);
        }
        if let Some(watch) = &advance.watch {
            self.watches.insert(id, watch.clone());
        }
        self.add_events(id, advance.at_ms, &advance.events);
        Applied::Done
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Applied {
        let Some(run) = self.owned(checkpoint.saga, checkpoint.fence) else {
            return Applied::Fenced;
        };
        let plan = run.saga.plan.clone();
        let step = plan.steps.get(checkpoint.step);
        if step.is_none() && !checkpoint.writes.inventory.is_empty() {
            return Applied::Failed(format!("step {} is not in the plan", checkpoint.step));
        }
        run.write_context(&checkpoint.scope, &checkpoint.writes);
        let maker = Maker {
            saga: checkpoint.saga,
            step: step.map(|step| step.name.as_str()),
            at_ms: checkpoint.at_ms,
        };
        for write in &checkpoint.writes.inventory {
            self.inventory.apply(maker, write);
        }
        Applied::Done
    }

    fn record_intent(&mut self, record: &RecordIntent) -> Applied {
        let intent = &record.intent;
        let Some(run) = self.owned(intent.saga, record.fence) else {
            return Applied::Fenced;
        };
        if intent.phase == Phase::Run && run.saga.turning.is_some() {
            return Applied::Turned;
        }
        if self.journal.contains_key(&intent.id) {
            return Applied::Failed("the intent is recorded already".to_owned());
        }
        self.open_record(intent, record.fence.owner);
        Applied::Done
    }

    fn answer(&mut self, answer: &Answer) -> Applied {
        let Some(record) = self.journal.get_mut(&answer.intent) else {
            return Applied::Failed(format!("there is no intent {}", answer.intent));
        };
        let RecordState::Open { ended_at_ms } = record.state else {
            return Applied::Done;
        };
        let at_ms = answer.at_ms;
        record.state = match answer.verdict.clone() {
            AnswerVerdict::Answered { response, conclusive } => RecordState::Answered {
                response,
                conclusive,
                at_ms,
            },
            AnswerVerdict::Refused { response } => RecordState::Refused { response, at_ms },
            AnswerVerdict::Unsent => RecordState::Unsent { at_ms },
            AnswerVerdict::Lost => RecordState::Open {
                ended_at_ms: ended_at_ms.or(Some(at_ms)),
            },
        };
        Applied::Done
    }

    fn find(&mut self, change: &SagaFindings) -> Applied {
        if self.owned(change.saga, change.fence).is_none() {
            return Applied::Fenced;
        }
        self.inventory
            .resolve(change.saga, &change.resolved_codes, change.at_ms);
        let maker = Maker {
            saga: change.saga,
            step: None,
            at_ms: change.at_ms,
        };
        for finding in &change.findings {
            self.inventory.find(maker, finding);
        }
        Applied::Done
    }

    fn looked(&mut self, looked: &Looked) -> Applied {
        let current = self.watches.get(&looked.saga);
        if current.map(|watch| watch.looks) != looked.from_looks {
            return Applied::Fenced;
        }
        match &looked.watch {
            Some(watch) => drop(self.watches.insert(looked.saga, watch.clone())),
            None => drop(self.watches.remove(&looked.saga)),
        }
        self.inventory
            .resolve(looked.saga, &looked.resolved_codes, looked.at_ms);
        for finding in &looked.findings {
            let maker = Maker {
                saga: looked.saga,
                step: finding.step.map(|step| looked.plan.steps[step].name.as_str()),
                at_ms: looked.at_ms,
            };
            self.inventory.find(maker, finding);
        }
        self.add_events(looked.saga, looked.at_ms, &looked.events);
        Applied::Done
    }

    fn open_record(&mut self, intent: &Intent, host: HostId) {
        let record = JournalRecord {
            intent: intent.clone(),
            state: RecordState::Open { ended_at_ms: None },
        };
        self.journal.insert(intent.id, record);
        self.senders.insert(intent.id, host);
    }

    fn free_keys(&mut self, saga: SagaId, step: StepIndex, phase: Phase) {
        for record in self.journal.values_mut() {
            let intent = &record.intent;
            if (intent.saga, intent.step, intent.phase) != (saga, step, phase) || intent.once_key.is_none() {
                continue;
            }
            if let RecordState::Answered { response, at_ms, .. } = &record.state
                && (400..500).contains(&response.status)
            {
                record.state = RecordState::Refused {
                    response: response.clone(),
                    at_ms: *at_ms,
                };
            }
        }
    }

    fn add_events(&mut self, saga: SagaId, at_ms: i64, events: &[NewEvent]) {
        let Some(run) = self.runs.get_mut(&saga) else {
            return;
        };
        for event in events {
            self.last_event += 1;
            run.events.push(EventRow {
                id: self.last_event,
                saga,
                at_ms,
                kind: event.kind.to_owned(),
                actor: event.actor.clone(),
                step: event.step,
                phase: event.phase,
                detail: event.detail.clone(),
            });
        }
    }
}
