//! Another version of a component for steps of a saga that is there already: checked as a start checks it, and against what the
//! plan has promised.

use serde_json::Value;

use super::{
    Catalog, NotApproved, Selector,
    entry::Entry,
    index::Index,
    order::{Order, Ordered},
    plan::laid_over,
    pointer::Pointer,
    schema::Violation,
};
use crate::{
    saga::{ComponentRef, Json, Plan, PlanStep, StepIndex},
    step::Compensation,
};

/// Why a component can't take a step over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    NotApproved(NotApproved),
    /// What the plan counts on: whether the step is undone, and whether it is a pivot.
    Contract(String),
    Params(String),
    Inputs(String),
}

impl Catalog {
    /// The component that is meant now. `Err`: why there is none, for people.
    pub fn select(&self, text: &str) -> Result<ComponentRef, String> {
        let selector = Selector::parse(text)?;
        self.index().select(&selector).map(|entry| entry.component())
    }

    /// What keeps these steps from being called with these components. `inputs`: the saga's, one JSON object.
    pub fn misfits(
        &self,
        plan: &Plan,
        inputs: &Json,
        steps: &[(StepIndex, ComponentRef)],
    ) -> Vec<(StepIndex, Misfit)> {
        let index = self.index();
        let mut misfits = Vec::new();
        for (step, component) in steps {
            let Some(entry) = index.component(&component.digest) else {
                let message = format!("the component {} is gone", component.digest);
                misfits.push((*step, Misfit::Contract(message)));
                continue;
            };
            let found = of_step(&plan.steps[*step], entry, inputs);
            misfits.extend(found.into_iter().map(|misfit| (*step, misfit)));
        }
        misfits.extend(order(&index, plan, steps));
        misfits
    }
}

fn of_step(step: &PlanStep, entry: &Entry, inputs: &Json) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    if let Err(refused) = entry.approved() {
        misfits.push(Misfit::NotApproved(refused));
    }
    let manifest = &entry.manifest;
    let compensated = manifest.compensation == Compensation::Required;
    if compensated != step.compensated {
        let says = if compensated { "required" } else { "none" };
        misfits.push(Misfit::Contract(format!(
            "its compensation is {says:?}, the plan's step was made with another"
        )));
    }
    if manifest.irreversible != step.pivot {
        let says = if manifest.irreversible { "is" } else { "is not" };
        misfits.push(Misfit::Contract(format!(
            "it {says} irreversible, unlike the plan's step"
        )));
    }
    let params = step.params.to_value();
    misfits.extend(entry.check_params(&params).iter().map(told).map(Misfit::Params));
    if let (Value::Object(inputs), Value::Object(params)) = (inputs.to_value(), params) {
        let violations = entry.check_inputs(&Value::Object(laid_over(&inputs, &params)));
        misfits.extend(violations.iter().map(told).map(Misfit::Inputs));
    }
    misfits
}

fn told(violation: &Violation) -> String {
    let place = violation
        .path
        .iter()
        .fold(Pointer::root(), |place, key| place.at(key));
    format!("{place}: {}", violation.message)
}

/// Steps that aren't ordered, and may now write the same key. Nothing is said when a component of the plan is gone.
fn order(index: &Index, plan: &Plan, steps: &[(StepIndex, ComponentRef)]) -> Vec<(StepIndex, Misfit)> {
    let digest_of = |step: StepIndex| {
        let new = steps.iter().find(|(other, _)| *other == step);
        new.map_or(&plan.steps[step].component.digest, |(_, component)| {
            &component.digest
        })
    };
    let entries: Option<Vec<_>> = (0..plan.steps.len())
        .map(|step| index.component(digest_of(step)))
        .collect();
    let Some(entries) = entries else {
        return Vec::new();
    };
    let places: Vec<Pointer> = (0..plan.steps.len())
        .map(|step| Pointer::root().at(step))
        .collect();
    let ordered: Vec<Ordered<'_>> = plan
        .steps
        .iter()
        .zip(entries)
        .zip(&places)
        .map(|((step, entry), at)| Ordered {
            name: &step.name,
            scope: &step.scope,
            manifest: &entry.manifest,
            at: at.clone(),
        })
        .collect();
    let order = Order::of(plan.steps.iter().map(|step| step.after.as_slice()));
    let found = order.problems(&ordered).into_iter().map(|problem| {
        let step = problem
            .pointer
            .split('/')
            .nth(1)
            .and_then(|place| place.parse().ok());
        (
            step.unwrap_or(steps.first().map_or(0, |(step, _)| *step)),
            Misfit::Contract(problem.message),
        )
    });
    found.collect()
}
