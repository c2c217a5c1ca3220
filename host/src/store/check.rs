//! What is wrong with a change by itself, whatever the database holds: the same for every store.

use super::{Advance, Applied, Change, Looked};
use crate::saga::Phase;

/// The answer to a change that can't be applied to any database; none for one that may be.
pub(super) fn refused(change: &Change) -> Option<Applied> {
    match change {
        Change::Accept(accept) => (accept.saga.steps.len() != accept.saga.plan.steps.len()).then(|| {
            Applied::Failed(format!(
                "saga {} has {} step states for a plan of {}",
                accept.saga.id,
                accept.saga.steps.len(),
                accept.saga.plan.steps.len()
            ))
        }),
        Change::Advance(advance) => refused_advance(advance),
        Change::Looked(looked) => refused_looked(looked),
        Change::Findings(change) => change
            .findings
            .iter()
            .any(|finding| finding.step.is_some())
            .then(|| Applied::Failed("a finding of the whole saga names a step".to_owned())),
        Change::Checkpoint(_) | Change::Intent(_) | Change::Answer(_) => None,
    }
}

fn refused_advance(advance: &Advance) -> Option<Applied> {
    let saga = &advance.saga;
    let known = |step: usize| step < saga.plan.steps.len() && step < saga.steps.len();
    let named = advance
        .changed_steps
        .iter()
        .copied()
        .chain(advance.writes.iter().map(|(step, _, _)| *step))
        .chain(advance.free_keys.iter().map(|(step, _)| *step))
        .chain(advance.findings.iter().filter_map(|finding| finding.step))
        .chain(advance.intent.iter().map(|intent| intent.step));
    if let Some(step) = named.into_iter().find(|step| !known(*step)) {
        return Some(Applied::Failed(format!(
            "step {step} is not in the plan of saga {}",
            saga.id
        )));
    }
    let intent = advance.intent.as_ref()?;
    if intent.saga != saga.id {
        return Some(Applied::Failed(format!(
            "an intent of saga {} in a change of saga {}",
            intent.saga, saga.id
        )));
    }
    (intent.phase == Phase::Run && saga.turning.is_some()).then_some(Applied::Turned)
}

fn refused_looked(looked: &Looked) -> Option<Applied> {
    let found = looked.findings.iter().filter_map(|finding| finding.step);
    let mut named = found.chain(looked.events.iter().filter_map(|event| event.step));
    let step = named.find(|step| *step >= looked.plan.steps.len())?;
    Some(Applied::Failed(format!(
        "step {step} is not in the plan of saga {}",
        looked.saga
    )))
}
