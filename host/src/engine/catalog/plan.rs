//! From a definition, or steps in a request, to a plan: each step gets its component through its channel, its parameters,
//! its policies; then a start's inputs are checked against every schema that they meet.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    approval::NotApproved,
    definition::{Definition, DefinitionStep},
    entry::Entry,
    index::Index,
    order::{Order, Ordered},
    pointer::Pointer,
    policy::overlaid,
    schema::Violation,
    tags::reserved_tags,
};
use crate::{
    engine::{PlanSource, Problem, StartError},
    saga::{DefinitionRef, Json, Kind, MAX_JSON_BYTES, Plan, PlanStep},
    step::Compensation,
};

/// Parameters of a start: by step name, laid over the definition's key by key.
pub type Overlay = BTreeMap<String, Map<String, Value>>;

/// What a saga is to be pinned to.
#[derive(Debug, Clone)]
pub struct ResolvedPlan {
    pub plan: Arc<Plan>,
    pub digest: Arc<str>,
}

/// A plan with what is needed to check inputs against it.
pub struct Prepared {
    resolved: ResolvedPlan,
    steps: Vec<PreparedStep>,
}

struct PreparedStep {
    entry: Arc<Entry>,
    params: Map<String, Value>,
    origin: Origin,
}

/// Where a step's parameters stand in the request, so that a problem can point at them.
struct Origin {
    /// The step itself: `/steps/1` of a request with steps, else `/definition`.
    step: Pointer,
    inline: bool,
    /// `/params/<step, as the request spells it>`, and the keys there.
    overlay: Pointer,
    overlaid: HashSet<String>,
}

/// Checks everything that can be wrong with starting a saga; pointers go into the request body (`/definition`, `/steps`,
/// `/params`, `/inputs`).
pub fn resolve(
    index: &Index,
    source: &PlanSource,
    overlay: &Overlay,
    inputs: &Json,
) -> Result<ResolvedPlan, StartError> {
    let root = Pointer::root();
    match source {
        PlanSource::Definition { name } => {
            let known = index
                .definition(name)
                .ok_or_else(|| StartError::UnknownDefinition(name.clone()))?;
            let prepare = || {
                let reference = DefinitionRef {
                    name: name.clone(),
                    version: known.row.version,
                };
                let definition = &known.definition;
                prepare(
                    index,
                    Some(reference),
                    definition.kind,
                    &definition.steps,
                    overlay,
                )
                .map(Arc::new)
            };
            let prepared = if !overlay.is_empty() {
                prepare()
            } else if let Some(prepared) = known.prepared.get() {
                Ok(prepared.clone())
            } else {
                prepare().map(|prepared| known.prepared.get_or_init(|| prepared).clone())
            };
            let prepared = prepared.map_err(StartError::Invalid)?;
            prepared.approved()?;
            check_inputs(Some(&known.definition), &prepared, inputs)?;
            Ok(prepared.resolved.clone())
        }
        PlanSource::Inline { kind, steps } => {
            let steps = DefinitionStep::parse_all(steps, &root.at("steps")).map_err(StartError::Invalid)?;
            let prepared = prepare(index, None, *kind, &steps, overlay).map_err(StartError::Invalid)?;
            prepared.approved()?;
            check_inputs(None, &prepared, inputs)?;
            Ok(prepared.resolved)
        }
    }
}

/// What is wrong with a definition as a whole; pointers go into its body. What a start may still give isn't missing yet.
pub fn definition_problems(index: &Index, definition: &Definition) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut ordered = Vec::new();
    for (position, step) in definition.steps.iter().enumerate() {
        let at = Pointer::root().at("steps").at(position);
        match index.select(&step.component) {
            Err(message) => problems.push(at.at("component").problem("unknown-component", message)),
            Ok(entry) => {
                let violations = entry.check_params(&Value::Object(step.params.clone()));
                let later = |found: &Violation| found.code == "missing" && found.path.len() == 1;
                problems.extend(
                    violations
                        .iter()
                        .filter(|found| !later(found))
                        .map(|found| problem_at(&at.at("params"), found)),
                );
                ordered.push(step.ordered(entry, at));
            }
        }
    }
    problems.extend(order_problems(&definition.steps, &ordered));
    problems
}

/// The first component of a definition that new sagas can't use.
pub fn approved(index: &Index, definition: &Definition) -> Result<(), NotApproved> {
    let mut entries = definition
        .steps
        .iter()
        .filter_map(|step| index.select(&step.component).ok());
    entries.try_for_each(|entry| entry.approved())
}

/// None while components are missing: whoever knows nothing of one step can't tell how the others stand to it.
fn order_problems(steps: &[DefinitionStep], ordered: &[Ordered<'_>]) -> Vec<Problem> {
    if ordered.len() < steps.len() {
        return Vec::new();
    }
    Order::of(steps.iter().map(|step| step.after.as_slice())).problems(ordered)
}

/// Everything but the inputs.
fn prepare(
    index: &Index,
    definition: Option<DefinitionRef>,
    kind: Kind,
    steps: &[DefinitionStep],
    overlay: &Overlay,
) -> Result<Prepared, Vec<Problem>> {
    let mut problems = Vec::new();
    let by_step = overlay_by_step(steps, overlay, &mut problems);
    let mut prepared = Vec::new();
    let mut plan_steps: Vec<PlanStep> = Vec::new();
    for (position, step) in steps.iter().enumerate() {
        let over = by_step[position];
        let origin = Origin::of(definition.is_none(), position, over);
        let entry = match index.select(&step.component) {
            Ok(entry) => entry.clone(),
            Err(message) => {
                problems.push(origin.at("component").problem("unknown-component", message));
                continue;
            }
        };
        let mut params = step.params.clone();
        params.extend(over.map(|(_, over)| over.clone()).unwrap_or_default());
        let violations = entry.check_params(&Value::Object(params.clone()));
        problems.extend(
            violations
                .into_iter()
                .map(|found| origin.params_problem(step, found)),
        );
        plan_steps.push(plan_step(step, &entry, &params));
        prepared.push(PreparedStep {
            entry,
            params,
            origin,
        });
    }
    let ordered: Vec<Ordered<'_>> = steps
        .iter()
        .zip(&prepared)
        .map(|(step, prepared): (_, &PreparedStep)| {
            step.ordered(&prepared.entry, prepared.origin.step.clone())
        })
        .collect();
    problems.extend(order_problems(steps, &ordered));
    let bytes: usize = plan_steps.iter().map(|step| step.params.as_str().len()).sum();
    if bytes > MAX_JSON_BYTES {
        let message =
            format!("the parameters of all steps have {bytes} bytes; the limit is {MAX_JSON_BYTES}");
        problems.push(Pointer::root().at("params").problem("too-large", message));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let plan = Plan {
        definition,
        kind,
        steps: plan_steps,
    };
    let digest = Arc::from(plan.digest());
    let resolved = ResolvedPlan {
        plan: Arc::new(plan),
        digest,
    };
    Ok(Prepared {
        resolved,
        steps: prepared,
    })
}

fn plan_step(step: &DefinitionStep, entry: &Entry, params: &Map<String, Value>) -> PlanStep {
    let mut sorted = Value::Object(params.clone());
    sorted.sort_all_objects();
    PlanStep {
        name: step.name.clone(),
        component: entry.component(),
        params: Json::of(&sorted),
        scope: step.scope.clone(),
        after: step.after.clone(),
        compensated: entry.manifest.compensation == Compensation::Required,
        pivot: entry.manifest.irreversible,
        run: overlaid(&entry.manifest.run, &step.run),
        compensate: overlaid(&entry.manifest.compensate, &step.compensate),
    }
}

/// For each step what the start lays over it, with the name as the request spells it.
fn overlay_by_step<'a>(
    steps: &[DefinitionStep],
    overlay: &'a Overlay,
    problems: &mut Vec<Problem>,
) -> Vec<Option<(&'a String, &'a Map<String, Value>)>> {
    let mut by_step = vec![None; steps.len()];
    for (name, params) in overlay {
        let at = Pointer::root().at("params").at(name);
        match steps.iter().position(|step| step.name.eq_ignore_ascii_case(name)) {
            None => {
                let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
                let message = format!("there is no step {name:?}; the steps are {}", names.join(", "));
                problems.push(at.problem("unknown-step", message));
            }
            Some(position) if by_step[position].is_some() => {
                problems.push(at.problem("duplicate-name", "this step is named twice (names ignore case)"));
            }
            Some(position) => by_step[position] = Some((name, params)),
        }
        for (key, value) in params {
            let member = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
            reserved_tags(&member, &at, problems);
        }
    }
    by_step
}

fn check_inputs(
    definition: Option<&Definition>,
    prepared: &Prepared,
    inputs: &Json,
) -> Result<(), StartError> {
    let at = Pointer::root().at("inputs");
    if inputs.as_str().len() > MAX_JSON_BYTES {
        let message = format!("{} bytes; the limit is {MAX_JSON_BYTES}", inputs.as_str().len());
        return Err(StartError::Invalid(vec![at.problem("too-large", message)]));
    }
    let value = inputs.to_value();
    let Value::Object(members) = &value else {
        return Err(StartError::Invalid(vec![
            at.problem("wrong-type", "inputs is a JSON object"),
        ]));
    };
    let mut problems = Vec::new();
    reserved_tags(&value, &at, &mut problems);
    if let Some(schema) = definition.and_then(|definition| definition.inputs_schema.as_ref()) {
        let violations = schema.check(&value);
        problems.extend(violations.into_iter().map(|found| problem_at(&at, &found)));
    }
    for step in &prepared.steps {
        for violation in step
            .entry
            .check_inputs(&Value::Object(laid_over(members, &step.params)))
        {
            let problem = step.inputs_problem(&at, &violation);
            // One missing input is one problem, however many schemas ask for it.
            if !problems.iter().any(|known| known.pointer == problem.pointer) {
                problems.push(problem);
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(StartError::Invalid(problems))
    }
}

/// As the steps read them: a parameter, else the input of the same name; a null counts as absent.
pub(super) fn laid_over(inputs: &Map<String, Value>, params: &Map<String, Value>) -> Map<String, Value> {
    inputs
        .iter()
        .chain(params)
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

impl DefinitionStep {
    fn ordered<'a>(&'a self, entry: &'a Entry, at: Pointer) -> Ordered<'a> {
        Ordered {
            name: &self.name,
            scope: &self.scope,
            manifest: &entry.manifest,
            at,
        }
    }
}

impl Prepared {
    fn approved(&self) -> Result<(), StartError> {
        let mut steps = self.steps.iter();
        steps
            .try_for_each(|step| step.entry.approved())
            .map_err(StartError::NotApproved)
    }
}

impl PreparedStep {
    fn inputs_problem(&self, inputs: &Pointer, violation: &Violation) -> Problem {
        let from_params = violation
            .path
            .first()
            .is_some_and(|key| self.params.get(key).is_some_and(|value| !value.is_null()));
        let at = if from_params {
            self.origin.params(&violation.path)
        } else {
            follow(inputs, &violation.path)
        };
        let message = format!("{} (component {})", violation.message, self.entry.row.name);
        at.problem(violation.code, message)
    }
}

impl Origin {
    fn of(inline: bool, position: usize, over: Option<(&String, &Map<String, Value>)>) -> Origin {
        let root = Pointer::root();
        Origin {
            step: if inline {
                root.at("steps").at(position)
            } else {
                root.at("definition")
            },
            inline,
            overlay: over.map_or_else(Pointer::root, |(name, _)| root.at("params").at(name)),
            overlaid: over
                .map(|(_, over)| over.keys().cloned().collect())
                .unwrap_or_default(),
        }
    }

    /// A member of the step; the definition itself when the request doesn't hold the step.
    fn at(&self, member: &str) -> Pointer {
        if self.inline {
            self.step.at(member)
        } else {
            self.step.clone()
        }
    }

    /// Where the parameter at `path` was given.
    fn params(&self, path: &[String]) -> Pointer {
        match path.first() {
            Some(key) if self.overlaid.contains(key) => follow(&self.overlay, path),
            _ if self.inline => follow(&self.step.at("params"), path),
            _ => self.step.clone(),
        }
    }

    fn params_problem(&self, step: &DefinitionStep, violation: Violation) -> Problem {
        let at = match violation.code {
            // A parameter that is missing goes where a start can give it.
            "missing" if !self.inline => {
                follow(&Pointer::root().at("params").at(&step.name), &violation.path)
            }
            _ => self.params(&violation.path),
        };
        at.problem(
            violation.code,
            format!("{} (parameters of step {})", violation.message, step.name),
        )
    }
}

fn follow(at: &Pointer, path: &[String]) -> Pointer {
    path.iter().fold(at.clone(), |at, key| at.at(key))
}

fn problem_at(at: &Pointer, violation: &Violation) -> Problem {
    follow(at, &violation.path).problem(violation.code, violation.message.clone())
}

#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod tests;
