//! Rows of the store as they are shown.

use super::{
    dto::{
        Channel, ComponentSummary, DefinitionSummary, DefinitionVersion, Event, Finding, FindingResource,
        HoldInForce, HoldKind, LogField, LogLine, Paused, PhaseResult, Provisioned, RequestState, Resource,
        ResourceSummary, Saga, SagaLinks, SagaRequest, SagaStep, SagaSummary, Time, Turned,
    },
    problem::Problem,
};
use crate::{
    engine::{
        ChannelRow, ComponentRow, DefinitionRow, EventRow, FindingRow, HoldRow, HoldTarget, LogRow,
        ProvisionedRow, ResourceRow, SagaRow, StepRow,
    },
    saga::{
        DefinitionRef, Hold, JournalRecord, Json, Pause, Phase, Plan, RecordState, SagaId, StepIndex, Turning,
    },
};

fn time(ms: Option<i64>) -> Option<Time> {
    ms.map(Time::from_ms)
}

fn definition_version(definition: Option<DefinitionRef>) -> Option<DefinitionVersion> {
    definition.map(|DefinitionRef { name, version }| DefinitionVersion { name, version })
}

/// The step's name; its place in the plan when the plan isn't known.
fn step_name(plan: Option<&Plan>, step: StepIndex) -> String {
    let known = plan.and_then(|plan| plan.steps.get(step));
    known.map_or_else(|| format!("#{step}"), |step| step.name.clone())
}

pub(super) fn saga_summary(row: SagaRow) -> SagaSummary {
    SagaSummary {
        id: row.id,
        kind: row.kind,
        definition: definition_version(row.definition),
        status: row.status,
        cancel_requested: row.cancel_requested,
        paused: row.paused.is_some(),
        deployment_id: row.deployment_id,
        triggered_by: row.triggered_by,
        steps_done: row.steps_done,
        steps_total: row.steps_total,
        revision: row.revision,
        created_at: Time::from_ms(row.created_ms),
        updated_at: Time::from_ms(row.updated_ms),
        ended_at: time(row.ended_ms),
    }
}

/// `watched_until_ms`: of the saga's watch, if it has one.
pub(super) fn saga(
    row: SagaRow,
    plan: Option<&Plan>,
    watched_until_ms: Option<i64>,
) -> Result<Saga, Problem> {
    let turning = match &row.turning {
        None => None,
        Some(turning) => Some(turned(row.id, turning, plan)?),
    };
    let paused = match &row.paused {
        None => None,
        Some(pause) => Some(paused(row.id, pause)?),
    };
    Ok(Saga {
        id: row.id,
        kind: row.kind,
        definition: definition_version(row.definition),
        status: row.status,
        cancel_requested: row.cancel_requested,
        pivot_passed: row.pivot_passed,
        turning,
        paused,
        deployment_id: row.deployment_id,
        triggered_by: row.triggered_by,
        inputs: row.inputs,
        plan_digest: row.plan_digest,
        steps_done: row.steps_done,
        steps_total: row.steps_total,
        revision: row.revision,
        created_at: Time::from_ms(row.created_ms),
        updated_at: Time::from_ms(row.updated_ms),
        ended_at: time(row.ended_ms),
        watched_until: time(watched_until_ms),
        links: SagaLinks::of(row.id),
    })
}

fn turned(saga: SagaId, turning: &Json, plan: Option<&Plan>) -> Result<Turned, Problem> {
    let turning = serde_json::from_str(turning.as_str()).map_err(|error| {
        tracing::error!(%saga, %error, "the turning of a saga is not readable");
        Problem::internal()
    })?;
    Ok(match turning {
        Turning::Failure { step, code, message } => Turned::Failure {
            step: step_name(plan, step),
            code,
            message,
        },
        Turning::Cancel { actor, reason } => Turned::Cancel { actor, reason },
        Turning::Rollback { actor, reason } => Turned::Rollback { actor, reason },
    })
}

fn paused(saga: SagaId, pause: &Json) -> Result<Paused, Problem> {
    let pause: Pause = serde_json::from_str(pause.as_str()).map_err(|error| {
        tracing::error!(%saga, %error, "the pause of a saga is not readable");
        Problem::internal()
    })?;
    let by = |hold| match hold {
        Hold::Saga => "saga".to_owned(),
        Hold::Definition => "definition".to_owned(),
        Hold::All => "all".to_owned(),
        Hold::Service(name) => format!("service:{name}"),
    };
    Ok(Paused {
        since: Time::from_ms(pause.since_ms),
        by: pause.holds.into_iter().map(by).collect(),
    })
}

pub(super) fn hold(row: HoldRow) -> HoldInForce {
    let (target, name) = match row.target {
        HoldTarget::All => (HoldKind::All, None),
        HoldTarget::Definition(name) => (HoldKind::Definition, Some(name)),
        HoldTarget::Service(name) => (HoldKind::Service, Some(name)),
    };
    HoldInForce {
        target,
        name,
        by: row.by,
        reason: row.reason,
        since: Time::from_ms(row.since_ms),
    }
}

/// Every step of the plan, with the phases that have begun.
pub(super) fn saga_steps(plan: &Plan, rows: Vec<StepRow>) -> Vec<SagaStep> {
    let mut steps: Vec<SagaStep> = plan
        .steps
        .iter()
        .map(|step| SagaStep {
            name: step.name.clone(),
            component: step.component.clone(),
            after: step
                .after
                .iter()
                .map(|&before| step_name(Some(plan), before))
                .collect(),
            scope: step.scope.clone(),
            pivot: step.pivot,
            compensated: step.compensated,
            run: None,
            compensate: None,
        })
        .collect();
    for row in rows {
        let Some(step) = steps.get_mut(row.step) else {
            continue;
        };
        match row.phase {
            Phase::Run => step.run = Some(phase_result(row)),
            Phase::Compensate => step.compensate = Some(phase_result(row)),
        }
    }
    steps
}

fn phase_result(row: StepRow) -> PhaseResult {
    PhaseResult {
        state: row.state,
        attempt: row.attempt,
        polls: row.polls,
        began_at: time(row.began_ms),
        wake_at: time(row.wake_ms),
        ended_at: time(row.ended_ms),
        progress: row.progress,
        saved: row.saved,
        output: row.output,
        failure: row.failure,
    }
}

pub(super) fn event(row: EventRow, plan: Option<&Plan>) -> Event {
    Event {
        id: row.id.to_string(),
        at: Time::from_ms(row.at_ms),
        kind: row.kind,
        actor: row.actor,
        step: row.step.map(|step| step_name(plan, step)),
        phase: row.phase,
        detail: row.detail,
    }
}

pub(super) fn log_line(row: LogRow, plan: Option<&Plan>) -> LogLine {
    let field = |(name, value)| LogField { name, value };
    LogLine {
        id: row.id.to_string(),
        at: Time::from_ms(row.at_ms),
        step: step_name(plan, row.step),
        phase: row.phase,
        level: row.level,
        message: row.message,
        fields: row.fields.into_iter().map(field).collect(),
    }
}

pub(super) fn request(record: JournalRecord, plan: Option<&Plan>) -> SagaRequest {
    let (state, response, ended_ms) = match record.state {
        RecordState::Open { ended_at_ms } => (RequestState::Open, None, ended_at_ms),
        RecordState::Answered {
            response,
            conclusive,
            at_ms,
        } => {
            let state = if conclusive {
                RequestState::Answered
            } else {
                RequestState::Doubtful
            };
            (state, Some(response), Some(at_ms))
        }
        RecordState::Refused { response, at_ms } => (RequestState::Refused, Some(response), Some(at_ms)),
        RecordState::Unsent { at_ms } => (RequestState::Unsent, None, Some(at_ms)),
    };
    let intent = record.intent;
    SagaRequest {
        id: intent.id.to_string(),
        step: step_name(plan, intent.step),
        phase: intent.phase,
        service: intent.service,
        identity: intent.identity,
        method: intent.method,
        path: intent.path,
        once_key: intent.once_key,
        body: intent.redacted_body,
        state,
        status: response.map(|response| response.status),
        at: Time::from_ms(intent.at_ms),
        ended_at: time(ended_ms),
    }
}

pub(super) fn component_summary(row: ComponentRow) -> ComponentSummary {
    ComponentSummary {
        digest: row.digest,
        name: row.name,
        version: row.version,
        size_bytes: row.size_bytes,
        built_in: row.built_in,
        uploaded_by: row.uploaded_by,
        uploaded_at: Time::from_ms(row.uploaded_ms),
        status: row.status.as_str().to_owned(),
        status_by: row.status_by,
        status_at: Time::from_ms(row.status_ms),
    }
}

/// `components`: those of the step, for the version behind the digest.
pub(super) fn channel(row: ChannelRow, components: &[ComponentRow]) -> Channel {
    let version = components
        .iter()
        .find(|component| component.digest == row.digest)
        .map_or_else(String::new, |component| component.version.clone());
    Channel {
        step: row.step,
        channel: row.channel,
        version,
        digest: row.digest,
        built_in: row.built_in,
        moved_by: row.moved_by,
        moved_at: Time::from_ms(row.moved_ms),
    }
}

pub(super) fn definition_summary(row: DefinitionRow) -> DefinitionSummary {
    DefinitionSummary {
        name: row.name,
        version: row.version,
        built_in: row.built_in,
        created_by: row.created_by,
        created_at: Time::from_ms(row.created_ms),
    }
}

pub(super) fn resource_summary(row: ResourceRow) -> ResourceSummary {
    let thing = row.resource;
    ResourceSummary {
        id: row.resource_id,
        provider: thing.key.provider,
        kind: thing.key.kind,
        provider_id: thing.key.provider_id,
        name: thing.name,
        region: thing.region,
        status: thing.status,
        public_ip: thing.public_ip,
        tags: thing.tags,
        saga_id: row.saga,
        step: row.step,
        first_seen_at: Time::from_ms(row.first_seen_ms),
        last_seen_at: Time::from_ms(row.last_seen_ms),
        deleted_at: time(row.deleted_ms),
    }
}

pub(super) fn resource(row: ResourceRow) -> Resource {
    let thing = row.resource;
    Resource {
        id: row.resource_id,
        provider: thing.key.provider,
        kind: thing.key.kind,
        provider_id: thing.key.provider_id,
        name: thing.name,
        region: thing.region,
        status: thing.status,
        public_ip: thing.public_ip,
        tags: thing.tags,
        saga_id: row.saga,
        step: row.step,
        first_seen_at: Time::from_ms(row.first_seen_ms),
        last_seen_at: Time::from_ms(row.last_seen_ms),
        deleted_at: time(row.deleted_ms),
        raw: thing.raw,
    }
}

pub(super) fn provisioned(row: ProvisionedRow) -> Provisioned {
    Provisioned {
        resource_id: row.resource_id,
        spec_version: row.spec_version,
        spec: row.spec,
        saga_id: row.saga,
        step: row.step,
        recorded_at: Time::from_ms(row.recorded_ms),
        withdrawn_at: time(row.withdrawn_ms),
    }
}

pub(super) fn finding(row: FindingRow) -> Finding {
    Finding {
        id: row.id,
        code: row.code,
        saga_id: row.saga,
        step: row.step,
        resource: row.resource.map(|key| FindingResource {
            provider: key.provider,
            kind: key.kind,
            provider_id: key.provider_id,
        }),
        message: row.message,
        advice: row.advice,
        created_at: Time::from_ms(row.created_ms),
        resolved_at: time(row.resolved_ms),
    }
}
