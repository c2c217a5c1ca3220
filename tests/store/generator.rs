//! Random changes, good and bad, of a few sagas that get into each other's way. The same seed makes the same changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arcadia::{
    saga::{
        Answer, AnswerVerdict, CallEnd, CloudResource, ComponentRef, Event, Failure, Hold, InventoryWrite,
        Moment, Outcome, Phase, Plan, RecordedResponse, ResourceKey, Saga, SagaId, Status, StepState, Writes,
        apply,
    },
    store::{
        Accept, Advance, Change, Checkpoint, Fence, HostId, Idempotency, Looked, NewEvent, NewFinding,
        RecordIntent, SagaFindings, Watch, WatchedIntent,
    },
};
use uuid::Uuid;

use super::fixture::{T0, accept, event, intent, json, plan, saga, step};

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn some<T>(&mut self, value: T) -> Option<T> {
        self.percent(50).then_some(value)
    }
}

/// Ids that a new saga may have: few, so that some are taken.
const SAGAS: usize = 12;

/// What the generator believes; told the truth after every commit.
pub struct Generator {
    pub dice: Dice,
    pub fence: Fence,
    pub sagas: BTreeMap<SagaId, (Saga, Fence)>,
    unsure: BTreeSet<SagaId>,
    intents: Vec<Uuid>,
    tick: i64,
}

impl Generator {
    pub fn new(seed: u64, owner: HostId) -> Generator {
        Generator {
            dice: Dice::new(seed),
            fence: Fence { owner, number: 1 },
            sagas: BTreeMap::new(),
            unsure: BTreeSet::new(),
            intents: Vec::new(),
            tick: T0,
        }
    }

    /// Every id that a saga can have.
    pub fn ids() -> Vec<SagaId> {
        (1..=SAGAS as u128)
            .map(|number| SagaId(Uuid::from_u128(number)))
            .collect()
    }

    pub fn now_ms(&self) -> i64 {
        self.tick
    }

    pub fn changes(&mut self) -> Vec<Change> {
        self.unsure.clear();
        let count = 1 + self.dice.below(12);
        (0..count).filter_map(|_| self.change()).collect()
    }

    fn change(&mut self) -> Option<Change> {
        self.tick += 1;
        let ids: Vec<SagaId> = self.sagas.keys().copied().collect();
        if ids.is_empty() || self.dice.percent(10) {
            return Some(Change::Accept(Box::new(self.accept())));
        }
        let id = self.dice.pick(&ids);
        match self.dice.below(10) {
            0..=5 => self.advance(id).map(|advance| Change::Advance(Box::new(advance))),
            6 => Some(Change::Checkpoint(Box::new(self.checkpoint(id)))),
            7 => {
                let fence = self.fence_of(id);
                let step = self.dice.below(self.sagas[&id].0.steps.len());
                let intent = self.intent(id, step);
                Some(Change::Intent(Box::new(RecordIntent { fence, intent })))
            }
            8 if self.dice.percent(20) => Some(Change::Looked(Box::new(self.looked(id)))),
            8 if self.dice.percent(30) => Some(Change::Findings(Box::new(self.saga_findings(id)))),
            _ => Some(Change::Answer(Box::new(self.answer()))),
        }
    }

    fn accept(&mut self) -> Accept {
        let number = 1 + self.dice.below(SAGAS) as u128;
        let plan = self.plan();
        let new = saga(number, plan);
        let mut accept = accept(&new, self.fence);
        accept.header.created_ms = self.tick;
        accept.header.deployment_id =
            self.dice
                .pick(&[None, Some("blue".to_owned()), Some("green".to_owned())]);
        if self.dice.percent(50) {
            accept.idempotency = Some(Idempotency {
                key: format!("key-{}", self.dice.below(6)),
                request_hash: format!("hash-{}", self.dice.below(3)),
            });
        }
        if accept.idempotency.is_none() {
            self.sagas.entry(new.id).or_insert((new, self.fence));
        }
        accept
    }

    fn plan(&mut self) -> Arc<Plan> {
        let mut shape = (*plan()).clone();
        if self.dice.percent(30) {
            shape.definition = None;
        }
        shape.steps.truncate(1 + self.dice.below(3));
        if self.dice.percent(40) {
            shape.steps.push(step("beside", &[]));
        }
        for step in &mut shape.steps {
            step.compensated = self.dice.percent(70);
            step.pivot = self.dice.percent(10);
            step.run.max_attempts = 2;
            step.scope = self.dice.pick(&[String::new(), "own".to_owned()]);
        }
        Arc::new(shape)
    }

    /// Now and then one that is too late or too early.
    fn fence_of(&mut self, id: SagaId) -> Fence {
        let fence = self.sagas[&id].1;
        match self.dice.below(20) {
            0 => Fence {
                number: fence.number - 1,
                ..fence
            },
            1 => Fence {
                owner: HostId(Uuid::from_u128(0xDEAD)),
                ..fence
            },
            _ => fence,
        }
    }

    fn advance(&mut self, id: SagaId) -> Option<Advance> {
        let fence = self.fence_of(id);
        let before = self.sagas[&id].0.clone();
        let moment = Moment {
            now_ms: self.tick,
            dice: self.dice.next(),
        };
        let (next, step) = (0..8).find_map(|_| {
            let (event, step) = self.event(&before);
            let next = apply(&before, event, moment).ok()?.0;
            Some((next, step))
        })?;
        let changed_steps = (0..next.steps.len())
            .filter(|step| next.steps[*step] != before.steps[*step])
            .collect();
        // Not while the belief is behind: it would meet the true revision, with a state made from another one.
        let early = self.dice.percent(4) && !self.unsure.contains(&id);
        let from_revision = before.revision + u64::from(early);
        let phase = self.dice.pick(&[Phase::Run, Phase::Compensate]);
        let advance = Advance {
            fence,
            from_revision,
            repinned: (next.plan != before.plan).then(|| Arc::from(next.plan.digest())),
            saga: Arc::new(next.clone()),
            changed_steps,
            writes: self.dice.percent(50).then(|| (step, phase, self.writes())),
            events: self.events(step),
            free_keys: if self.dice.percent(10) {
                vec![(step, phase)]
            } else {
                Vec::new()
            },
            findings: self.findings(step),
            resolved_codes: if self.dice.percent(10) {
                vec!["left-behind"]
            } else {
                Vec::new()
            },
            intent: self.dice.percent(10).then(|| self.intent(id, step)),
            watch: self.dice.percent(20).then(|| self.watch(step)),
            at_ms: self.tick,
        };
        // Once it is unsure which of two changes was applied, the belief stays behind until the next commit: all later ones
        // are from an old revision, and none is made from a state that never was.
        let refused = fence != self.sagas[&id].1 || from_revision != before.revision;
        let unsure = !refused && (advance.intent.is_some() || self.dice.percent(10));
        if unsure {
            self.unsure.insert(id);
        }
        if !refused && !self.unsure.contains(&id) {
            self.sagas.insert(id, (next, fence));
        }
        Some(advance)
    }

    fn event(&mut self, saga: &Saga) -> (Event, usize) {
        let step = self.dice.below(saga.steps.len());
        let end = CallEnd {
            outcome: self.outcome(),
            starved: self.dice.percent(20),
        };
        let event = match (&saga.steps[step], self.dice.below(10)) {
            (_, 0) => Event::CancelRequested {
                actor: "ann".to_owned(),
                reason: self.dice.some("enough".to_owned()),
            },
            (_, 1) => Event::Retried,
            (_, 2) => Event::Abandoned,
            (_, 3) => Event::TakenOver { calling: true },
            (_, 4) => Event::PivotPassed { step },
            (_, 5) => self.rare_event(saga, step),
            (StepState::Undoing { .. }, _) => Event::UndoReturned { step, end },
            (_, 6) => Event::RunSettled { step },
            _ => Event::RunReturned { step, end },
        };
        (event, step)
    }

    /// What is legal in few states: rare in every life, and met in many.
    fn rare_event(&mut self, saga: &Saga, step: usize) -> Event {
        let hold = self
            .dice
            .pick(&[Hold::Saga, Hold::All, Hold::Service("digitalocean".to_owned())]);
        let component = ComponentRef {
            digest: format!("{:064x}", self.tick),
            ..saga.plan.steps[step].component.clone()
        };
        match (saga.status, self.dice.below(4)) {
            (Status::Completed, _) => Event::RollbackRequested {
                actor: "ann".to_owned(),
                reason: None,
            },
            (Status::Compensated | Status::Cancelled, _) => Event::LateEffect { step },
            (Status::NeedsAttention, 0 | 1) => Event::Skipped { step },
            (_, 0) => Event::Held { hold },
            (_, 1 | 2) => Event::Released { hold },
            _ => Event::Repinned {
                steps: vec![(step, component)],
            },
        }
    }

    fn outcome(&mut self) -> Outcome {
        let mut failure = Failure::new("quota", "no room");
        failure.detail = self.dice.some(json(r#"{"limit": 3}"#));
        match self.dice.below(12) {
            0 => Outcome::Again {
                after_ms: 500,
                saved: self.dice.some(json(r#"{"polls":[1]}"#)),
                progress: self.dice.some("still new".to_owned()),
            },
            1 => Outcome::Transient {
                failure,
                retry_after_ms: None,
            },
            2 => Outcome::Permanent(failure),
            3 => Outcome::Trap(failure),
            4 => Outcome::Timeout,
            _ => Outcome::Done(json(r#"{ "id": 5, "name": "wéb" }"#)),
        }
    }

    fn events(&mut self, step: usize) -> Vec<NewEvent> {
        (0..self.dice.below(3))
            .map(|_| event("moved", self.dice.some(step)))
            .collect()
    }

    fn watch(&mut self, step: usize) -> Watch {
        Watch {
            began_ms: self.tick,
            until_ms: self.tick + 1_000,
            next_look_ms: self.tick + i64::try_from(self.dice.below(400)).unwrap(),
            looks: u32::try_from(self.dice.below(2)).unwrap(),
            intents: vec![WatchedIntent {
                step,
                service: "digitalocean".to_owned(),
                identity: self.dice.some("https://a.example#1".to_owned()),
                path: "/v2/droplets".to_owned(),
                tag: "arcadia-r-x".to_owned(),
                name: self.dice.some("web-1".to_owned()),
                sent_ms: self.tick,
                found: self.dice.percent(50),
                answered: self.dice.percent(50),
            }],
        }
    }

    fn looked(&mut self, id: SagaId) -> Looked {
        let outside = usize::from(self.dice.percent(5));
        let plan = self.sagas[&id].0.plan.clone();
        let step = self.dice.below(plan.steps.len() + outside);
        Looked {
            saga: id,
            from_looks: [None, Some(0), Some(1)][self.dice.below(3)],
            watch: self.dice.percent(70).then(|| self.watch(0)),
            resolved_codes: self.dice.pick(&[vec![], vec!["left-behind"]]),
            findings: self.findings(step),
            events: self.events(step),
            plan,
            at_ms: self.tick,
        }
    }

    fn saga_findings(&mut self, id: SagaId) -> SagaFindings {
        let mut findings = self.findings(0);
        if self.dice.percent(90) {
            findings.iter_mut().for_each(|finding| finding.step = None);
        }
        SagaFindings {
            saga: id,
            fence: self.fence_of(id),
            resolved_codes: self.dice.pick(&[vec![], vec!["left-behind"]]),
            findings,
            at_ms: self.tick,
        }
    }

    fn findings(&mut self, step: usize) -> Vec<NewFinding> {
        if !self.dice.percent(15) {
            return Vec::new();
        }
        vec![NewFinding {
            code: self.dice.pick(&["left-behind", "stuck"]).to_owned(),
            step: self.dice.some(step),
            resource: self.dice.percent(50).then(|| self.key()),
            message: format!("seen at {}", self.tick),
            advice: "look".to_owned(),
        }]
    }

    fn key(&mut self) -> ResourceKey {
        ResourceKey {
            provider: "digitalocean".to_owned(),
            account: self.dice.pick(&["", "team-1", "team-2"]).to_owned(),
            kind: self.dice.pick(&["droplet", "snapshot"]).to_owned(),
            provider_id: self.dice.below(3).to_string(),
        }
    }

    fn writes(&mut self) -> Writes {
        let mut writes = Writes::default();
        for _ in 0..self.dice.below(3) {
            let value = self.dice.some(json(r#"[1, "ü", null]"#));
            writes
                .context
                .insert(self.dice.pick(&["a", "b", "c"]).to_owned(), value);
        }
        writes.inventory = (0..self.dice.below(4)).map(|_| self.inventory_write()).collect();
        writes
    }

    fn inventory_write(&mut self) -> InventoryWrite {
        let key = self.key();
        let specs = [
            r#"{"size": "s", "region": "nyc3"}"#,
            r#"{"region":"nyc3","size":"s"}"#,
            r#"{"size":"m"}"#,
        ];
        match self.dice.below(6) {
            0 | 1 => InventoryWrite::Upsert(CloudResource {
                key,
                name: self.dice.some("web-1".to_owned()),
                region: self.dice.some("nyc3".to_owned()),
                status: self.dice.pick(&["new", "active", "deleted"]).to_owned(),
                public_ip: self.dice.some("203.0.113.9".to_owned()),
                tags: vec!["one".to_owned(), "zwei".to_owned()],
                raw: json(r#"{"id": 1}"#),
            }),
            2 => InventoryWrite::MarkDeleted(key),
            3 => InventoryWrite::RecordProvisioned {
                resource_id: key.resource_id(),
                spec: json(self.dice.pick(&specs)),
            },
            4 => InventoryWrite::WithdrawProvisioned {
                resource_id: key.resource_id(),
            },
            _ => InventoryWrite::Report {
                code: "untagged".to_owned(),
                resource: key,
                message: format!("seen at {}", self.tick),
            },
        }
    }

    fn checkpoint(&mut self, id: SagaId) -> Checkpoint {
        let outside = usize::from(self.dice.percent(5));
        let step = self.dice.below(self.sagas[&id].0.steps.len() + outside);
        Checkpoint {
            saga: id,
            fence: self.fence_of(id),
            step,
            phase: Phase::Run,
            scope: self.dice.pick(&[String::new(), "own".to_owned()]),
            writes: self.writes(),
            at_ms: self.tick,
        }
    }

    fn intent(&mut self, id: SagaId, step: usize) -> arcadia::saga::Intent {
        let number = if self.intents.is_empty() || self.dice.percent(90) {
            Uuid::from_u128(0x1000 + self.intents.len() as u128)
        } else {
            self.dice.pick(&self.intents)
        };
        self.intents.push(number);
        let phase = self.dice.pick(&[Phase::Run, Phase::Run, Phase::Compensate]);
        let mut intent = intent(number.as_u128(), id, step, phase);
        intent.once_key = self
            .dice
            .pick(&[None, Some("create".to_owned()), Some("action".to_owned())]);
        intent.identity = self.dice.pick(&[
            None,
            Some("https://api.example.com#a".to_owned()),
            Some("https://api.example.com#b".to_owned()),
        ]);
        intent.redacted_body = self.dice.some("{}".to_owned());
        intent.at_ms = self.tick;
        intent
    }

    fn answer(&mut self) -> Answer {
        let response = RecordedResponse {
            status: self.dice.pick(&[202, 403, 422, 500]),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: self
                .dice
                .pick(&[Vec::new(), vec![0, 159, 146, 150], b"{}".to_vec()]),
        };
        let verdict = match self.dice.below(5) {
            0 => AnswerVerdict::Refused { response },
            1 => AnswerVerdict::Unsent,
            2 => AnswerVerdict::Lost,
            _ => AnswerVerdict::Answered {
                response,
                conclusive: self.dice.percent(50),
            },
        };
        let intent = if self.intents.is_empty() || self.dice.percent(5) {
            Uuid::from_u128(0xFFFF)
        } else {
            self.dice.pick(&self.intents)
        };
        Answer {
            intent,
            verdict,
            at_ms: self.tick,
        }
    }
}
