//! Another version of a component for sagas in flight.

use axum::{Extension, Json, extract::State};

use crate::{
    api::{
        ApiState,
        auth::Actor,
        body::Body,
        dto::{RepinProblem, RepinSaga, RepinSagas, Repinned, RepinnedSagas, RepinnedStep, SagaRepinned},
        mapped::not_approved,
        path::SagaInPath,
        problem::{Code, Problem},
        query::NoQuery,
        reason::{asked_of, with_reason},
    },
    engine::{self, Asked, Repin, catalog::Misfit},
    saga::ComponentRef,
};

/// Give steps of a saga another version of their component.
///
/// For the calls to come, of `run` or of `compensate`; channels play no part afterwards. The saga's parameters, inputs and what its plan
/// promises are checked against the new version. All steps change, or none does. It starts nothing that is stuck: `retry` does.
#[utoipa::path(
    post, path = "/sagas/{id}/repin", tag = "sagas", operation_id = "repin_saga",
    params(("id" = String, Path, description = "The saga's id, a UUID.")), request_body = RepinSaga,
    responses(
        (status = 200, description = "What changed, or would.", body = Repinned),
        (status = 400, description = "`invalid-path`, `invalid-json`"),
        (status = 404, description = "`unknown-saga`"),
        (status = 409, description = "Nothing was changed. `already-ended`, `step-over`, `open-intent`, `call-in-progress` (pause the saga \
            first), `other-contract`, `params-misfit`, `inputs-misfit`, `component-pending`, `component-retired`, `component-revoked`"),
        (status = 422, description = "`invalid-request`: no such component or step, a step of another component, or no reason"),
    ),
)]
pub(super) async fn repin_saga(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    SagaInPath(saga): SagaInPath,
    _: NoQuery,
    Body(body): Body<RepinSaga>,
) -> Result<Json<Repinned>, Problem> {
    let asked = asked(actor, body.reason, body.dry_run)?;
    let to = component(&state, &body.to)?;
    let repin = Repin {
        to: to.clone(),
        step: body.step,
        from_digest: None,
        dry_run: body.dry_run,
    };
    let repinned = state.engine().repin(saga, repin, asked).await?;
    let refused = repinned
        .steps
        .iter()
        .find_map(|step| Some((step, step.problems.first()?)));
    match refused {
        Some((step, problem)) if !body.dry_run => {
            let (code, message) = told(problem);
            Err(Problem::new(code, format!("step {:?}: {message}", step.name)))
        }
        Some(_) | None => Ok(Json(Repinned {
            id: repinned.saga,
            applied: repinned.applied,
            steps: steps(repinned.steps, &to),
        })),
    }
}

/// Give all sagas that are pinned to some bytes another version.
///
/// Of every saga that hasn't ended, the steps that are pinned to `from` and have a call to come. Each saga is decided for itself; at
/// most 500 are looked at by one request, and `next` tells where to go on. What was changed is durable when the answer comes; asking
/// again is safe.
#[utoipa::path(
    post, path = "/sagas/repin", tag = "sagas", operation_id = "repin_sagas", request_body = RepinSagas,
    responses(
        (status = 200, description = "What became of each, or would.", body = RepinnedSagas),
        (status = 400, description = "`invalid-json`"),
        (status = 422, description = "`invalid-request`: no such component, another component than the one that is left, or no reason"),
    ),
)]
pub(super) async fn repin_sagas(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    _: NoQuery,
    Body(body): Body<RepinSagas>,
) -> Result<Json<RepinnedSagas>, Problem> {
    let asked = asked(actor, body.reason, body.dry_run)?;
    let to = component(&state, &body.to)?;
    let digest = body.from.strip_prefix("sha256:").unwrap_or(&body.from);
    let invalid =
        |code: &str, message: String| Err(Problem::at_pointer(Code::InvalidRequest, "/from", code, message));
    match state.engine().catalog().component(digest) {
        None => {
            return invalid(
                "unknown-component",
                "there is no component with this digest: 64 hex digits".to_owned(),
            );
        }
        Some(from) if from.name != to.name => {
            let message = format!("it is a {:?}, which no {:?} takes over", from.name, to.name);
            return invalid("other-component", message);
        }
        Some(_) => {}
    }
    let all = state
        .engine()
        .repin_all(digest, to.clone(), body.after, body.dry_run, &asked)
        .await?;
    let items = all.sagas.into_iter().map(|(id, result)| match result {
        Ok(repinned) => SagaRepinned {
            id,
            applied: repinned.applied,
            steps: steps(repinned.steps, &to),
            problem: None,
        },
        Err(error) => SagaRepinned {
            id,
            applied: false,
            steps: Vec::new(),
            problem: Some(Problem::from(error).document()),
        },
    });
    Ok(Json(RepinnedSagas {
        items: items.collect(),
        next: all.next,
    }))
}

/// A dry run leaves no trace, so it needs no reason.
pub(super) fn asked(actor: Actor, reason: Option<String>, dry_run: bool) -> Result<Asked, Problem> {
    let asked = asked_of(actor, reason)?;
    if dry_run { Ok(asked) } else { with_reason(asked) }
}

fn component(state: &ApiState, text: &str) -> Result<ComponentRef, Problem> {
    state
        .engine()
        .catalog()
        .select(text)
        .map_err(|message| Problem::at_pointer(Code::InvalidRequest, "/to", "unknown-component", message))
}

fn steps(steps: Vec<engine::RepinnedStep>, to: &ComponentRef) -> Vec<RepinnedStep> {
    let shown = |problem: &engine::RepinProblem| {
        let (code, message) = told(problem);
        RepinProblem {
            code: code.row().1.to_owned(),
            message,
        }
    };
    steps
        .into_iter()
        .map(|step| RepinnedStep {
            problems: step.problems.iter().map(shown).collect(),
            step: step.name,
            from: step.from,
            to: to.clone(),
        })
        .collect()
}

fn told(problem: &engine::RepinProblem) -> (Code, String) {
    match problem {
        engine::RepinProblem::StepOver => (Code::StepOver, "it has nothing left to call".to_owned()),
        engine::RepinProblem::OpenIntent => (
            Code::OpenIntent,
            "a request of its run has no answer yet, and only the component that sent it knows what to look for; wait, or \
             cancel the saga: its undo can be repinned"
                .to_owned(),
        ),
        engine::RepinProblem::CallInProgress => (
            Code::CallInProgress,
            "it is being called; pause the saga, wait for the call's end, and ask again".to_owned(),
        ),
        engine::RepinProblem::Misfit(Misfit::NotApproved(refused)) => {
            (not_approved(refused).code(), refused.to_string())
        }
        engine::RepinProblem::Misfit(Misfit::Contract(message)) => (Code::OtherContract, message.clone()),
        engine::RepinProblem::Misfit(Misfit::Params(message)) => (
            Code::ParamsMisfit,
            format!("its parameters don't fit the component: {message}"),
        ),
        engine::RepinProblem::Misfit(Misfit::Inputs(message)) => (
            Code::InputsMisfit,
            format!("the saga's inputs don't fit the component: {message}"),
        ),
    }
}
