//! Rows as they are handed to a statement: a list of them is one JSON array, bound as one value. Names are the columns'.

use serde::Serialize;

use super::{round::ByKey, watches::WatchCells};
use crate::{
    saga::{Answer, AnswerVerdict, Intent, Json, Plan, Saga, SagaId},
    store::{Accept, Advance, HostId, StepRow, rows::Summary},
};

/// Everything that a round writes but the inventory.
#[derive(Default)]
pub(super) struct Rows<'a> {
    pub plans: ByKey<'a, PlanRow>,
    pub runs: Vec<RunRow<'a>>,
    pub advanced: Vec<AdvancedRow<'a>>,
    pub steps: Vec<StepCells>,
    pub context: Vec<ContextRow<'a>>,
    pub removed: Vec<ContextRow<'a>>,
    pub freed: Vec<FreedRow>,
    pub resolved: Vec<ResolvedRow>,
    pub intents: Vec<IntentRow<'a>>,
    pub answered: Vec<AnsweredRow>,
    pub watched: Vec<WatchCells>,
    pub unwatched: Vec<SagaId>,
    pub events: Vec<EventRow<'a>>,
}

#[derive(Serialize)]
pub(super) struct PlanRow {
    digest: String,
    body: String,
}

impl PlanRow {
    pub(super) fn new(digest: &str, plan: &Plan) -> PlanRow {
        PlanRow {
            digest: digest.to_owned(),
            body: Json::of(plan).as_str().to_owned(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct RunRow<'a> {
    id: SagaId,
    kind: &'static str,
    definition_name: Option<&'a str>,
    definition_version: Option<u32>,
    plan_digest: &'a str,
    status: &'static str,
    turning: Option<String>,
    paused: Option<String>,
    cancel_requested: bool,
    pivot_passed: bool,
    takeovers: u32,
    revision: u64,
    owner: String,
    fence: i64,
    deployment_id: Option<&'a str>,
    triggered_by: &'a str,
    inputs: &'a str,
    idempotency_key: Option<&'a str>,
    request_hash: Option<&'a str>,
    steps_done: u32,
    steps_total: usize,
    created_ms: i64,
    ended_ms: Option<i64>,
    wake_ms: Option<i64>,
}

impl<'a> RunRow<'a> {
    pub(super) fn new(accept: &'a Accept, summary: Summary) -> RunRow<'a> {
        let saga = &*accept.saga;
        let header = &accept.header;
        let definition = saga.plan.definition.as_ref();
        RunRow {
            id: saga.id,
            kind: saga.plan.kind.as_str(),
            definition_name: definition.map(|definition| definition.name.as_str()),
            definition_version: definition.map(|definition| definition.version),
            plan_digest: &accept.plan_digest,
            status: saga.status.as_str(),
            turning: summary.turning.map(text),
            paused: summary.paused.map(text),
            cancel_requested: summary.cancel_requested,
            pivot_passed: saga.pivot_passed,
            takeovers: saga.takeovers,
            revision: saga.revision,
            owner: accept.fence.owner.to_string(),
            fence: accept.fence.number,
            deployment_id: header.deployment_id.as_deref(),
            triggered_by: &header.triggered_by,
            inputs: header.inputs.as_str(),
            idempotency_key: accept.idempotency.as_ref().map(|one| one.key.as_str()),
            request_hash: accept.idempotency.as_ref().map(|one| one.request_hash.as_str()),
            steps_done: summary.steps_done,
            steps_total: saga.steps.len(),
            created_ms: header.created_ms,
            ended_ms: summary.ended.then_some(header.created_ms),
            wake_ms: summary.wake_ms,
        }
    }
}

#[derive(Serialize)]
pub(super) struct AdvancedRow<'a> {
    id: SagaId,
    /// None: as it was.
    plan_digest: Option<&'a str>,
    status: &'static str,
    turning: Option<String>,
    paused: Option<String>,
    cancel_requested: bool,
    pivot_passed: bool,
    takeovers: u32,
    revision: u64,
    steps_done: u32,
    updated_ms: i64,
    ended_ms: Option<i64>,
    wake_ms: Option<i64>,
}

impl<'a> AdvancedRow<'a> {
    pub(super) fn new(advance: &'a Advance, summary: Summary) -> AdvancedRow<'a> {
        let (saga, at_ms): (&Saga, i64) = (&advance.saga, advance.at_ms);
        AdvancedRow {
            id: saga.id,
            plan_digest: advance.repinned.as_deref(),
            status: saga.status.as_str(),
            turning: summary.turning.map(text),
            paused: summary.paused.map(text),
            cancel_requested: summary.cancel_requested,
            pivot_passed: saga.pivot_passed,
            takeovers: saga.takeovers,
            revision: saga.revision,
            steps_done: summary.steps_done,
            updated_ms: at_ms,
            ended_ms: summary.ended.then_some(at_ms),
            wake_ms: summary.wake_ms,
        }
    }
}

#[derive(Serialize)]
pub(super) struct StepCells {
    saga_id: SagaId,
    step: usize,
    phase: &'static str,
    state: String,
    attempt: u32,
    polls: u32,
    began_ms: Option<i64>,
    wake_ms: Option<i64>,
    ended_ms: Option<i64>,
    saved: Option<String>,
    progress: Option<String>,
    output: Option<String>,
    failure: Option<String>,
}

impl StepCells {
    pub(super) fn new(saga_id: SagaId, row: StepRow) -> StepCells {
        StepCells {
            saga_id,
            step: row.step,
            phase: row.phase.as_str(),
            state: row.state,
            attempt: row.attempt,
            polls: row.polls,
            began_ms: row.began_ms,
            wake_ms: row.wake_ms,
            ended_ms: row.ended_ms,
            saved: row.saved.map(text),
            progress: row.progress,
            output: row.output.map(text),
            failure: row.failure.map(text),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ContextRow<'a> {
    pub saga: SagaId,
    pub scope: &'a str,
    pub key: &'a str,
    pub value: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct FreedRow {
    pub saga: SagaId,
    pub step: usize,
    pub phase: &'static str,
}

#[derive(Serialize)]
pub(super) struct ResolvedRow {
    pub saga: SagaId,
    pub code: &'static str,
    pub at: i64,
}

#[derive(Serialize)]
pub(super) struct IntentRow<'a> {
    id: uuid::Uuid,
    host: HostId,
    saga_id: SagaId,
    step: usize,
    phase: &'static str,
    once_key: Option<&'a str>,
    service: &'a str,
    identity: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    request_hash: &'a str,
    redacted_body: Option<&'a str>,
    at_ms: i64,
}

impl<'a> IntentRow<'a> {
    pub(super) fn new(intent: &'a Intent, host: HostId) -> IntentRow<'a> {
        IntentRow {
            id: intent.id,
            host,
            saga_id: intent.saga,
            step: intent.step,
            phase: intent.phase.as_str(),
            once_key: intent.once_key.as_deref(),
            service: &intent.service,
            identity: intent.identity.as_deref(),
            method: &intent.method,
            path: &intent.path,
            request_hash: &intent.request_hash,
            redacted_body: intent.redacted_body.as_deref(),
            at_ms: intent.at_ms,
        }
    }
}

#[derive(Serialize)]
pub(super) struct AnsweredRow {
    id: uuid::Uuid,
    state: &'static str,
    ended_ms: i64,
    conclusive: Option<bool>,
    status: Option<u16>,
    headers: Option<String>,
    /// In hex: JSON has no bytes.
    body: Option<String>,
}

impl AnsweredRow {
    pub(super) fn new(answer: &Answer) -> AnsweredRow {
        let (state, response, conclusive) = match &answer.verdict {
            AnswerVerdict::Answered { response, conclusive } => {
                ("answered", Some(response), Some(*conclusive))
            }
            AnswerVerdict::Refused { response } => ("refused", Some(response), None),
            AnswerVerdict::Unsent => ("unsent", None, None),
            AnswerVerdict::Lost => ("open", None, None),
        };
        AnsweredRow {
            id: answer.intent,
            state,
            ended_ms: answer.at_ms,
            conclusive,
            status: response.map(|response| response.status),
            headers: response.map(|response| text(Json::of(&response.headers))),
            body: response.map(|response| data_encoding::HEXLOWER.encode(&response.body)),
        }
    }
}

#[derive(Serialize)]
pub(super) struct EventRow<'a> {
    pub saga: SagaId,
    pub at: i64,
    pub kind: &'a str,
    pub actor: &'a str,
    pub step: Option<usize>,
    pub phase: Option<&'static str>,
    pub detail: &'a str,
}

fn text(json: Json) -> String {
    json.as_str().to_owned()
}
