//! A call, taken apart: what the guest is handed, and what its host functions work on.

use std::{collections::HashMap, sync::Arc};

use tokio::runtime::Handle;

use super::{
    Call, CallHost, Prior,
    bindings::arcadia::step::types,
    log::LogSink,
    state::{CallState, Used},
};
use crate::saga::{Effect, Failure, Json, Phase, Verdict, Writes};

/// The arguments of `run`, or with `prior` of `compensate`.
pub(super) struct Request {
    pub(super) invocation: types::Invocation,
    pub(super) prior: Option<types::Prior>,
}

pub(super) fn split(call: Call, host: Arc<dyn CallHost>, home: Handle) -> (Request, CallState) {
    let compensating = call.phase == Phase::Compensate;
    let request = Request {
        invocation: types::Invocation {
            saga_id: call.saga.to_string(),
            kind: call.kind,
            deployment_id: call.deployment_id,
            triggered_by: call.triggered_by,
            step: call.step,
            phase: match call.phase {
                Phase::Run => types::Phase::Run,
                Phase::Compensate => types::Phase::Compensate,
            },
            attempt: call.attempt,
            polls: call.polls,
            idempotency_key: call.idempotency_key,
            resource_tag: call.resource_tag,
            saga_tag: call.saga.saga_tag(),
            phase_age_ms: call.phase_age_ms,
            remaining_ms: call.remaining_ms,
            state: call.state.as_ref().map(text),
        },
        prior: compensating.then(|| prior_of(call.prior)),
    };
    let state = CallState {
        log: Arc::new(LogSink::new(host.clone())),
        host,
        home,
        inputs: call.inputs,
        params: call.params,
        outputs: call.outputs,
        seed: call.seed,
        grants: call.grants,
        writable: call.writable,
        compensating,
        context: call.context,
        rows: HashMap::new(),
        writes: Writes::default(),
        fenced: false,
        starved: false,
        used: Used::default(),
    };
    (request, state)
}

/// A `compensate` that is told nothing is told the safe thing: look for the effect.
fn prior_of(prior: Option<Prior>) -> types::Prior {
    let prior = prior.unwrap_or(Prior {
        verdict: Verdict::Unfinished,
        effect: Effect::Maybe,
        state: None,
    });
    types::Prior {
        verdict: match prior.verdict {
            Verdict::Succeeded(output) => types::Verdict::Succeeded(text(&output)),
            Verdict::Failed(failure) => types::Verdict::Failed(failure_of(failure)),
            Verdict::Unfinished => types::Verdict::Unfinished,
        },
        effect: match prior.effect {
            Effect::None => types::Effect::None,
            Effect::Maybe => types::Effect::Maybe,
            Effect::Applied => types::Effect::Applied,
        },
        state: prior.state.as_ref().map(text),
    }
}

fn failure_of(failure: Failure) -> types::Failure {
    types::Failure {
        code: failure.code,
        message: failure.message,
        detail: failure.detail.as_ref().map(text),
        retry_after_ms: None,
    }
}

fn text(json: &Json) -> String {
    json.as_str().to_owned()
}
