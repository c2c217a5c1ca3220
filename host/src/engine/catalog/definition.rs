//! A definition's body, read from JSON. Every problem is reported, each with the place where it stands.
//!
//! ```json
//! {
//!   "kind": "provision",
//!   "summary": "for people",
//!   "inputs_schema": { "type": "object" },
//!   "steps": [
//!     { "name": "create", "component": "create-droplet", "params": {}, "run": { "max_attempts": 3 }, "compensate": {} },
//!     { "name": "wait", "component": "wait-droplet-active", "after": ["create"], "scope": "web" }
//!   ]
//! }
//! ```
//!
//! `summary`, `inputs_schema`, `params`, `run`, `compensate`, `after` and `scope` may be left out. `component` is a
//! [`Selector`]; `run` and `compensate` are laid over the policies of the component's manifest. A step starts once those in
//! `after` are done: the step listed before it when nothing is said, none when the list is empty. It reads and writes the
//! context of its `scope`: the one that the whole saga shares when nothing is said.

use serde_json::{Map, Value};

use super::{
    order,
    pointer::Pointer,
    policy::{self, Override},
    schema::Schema,
    selector::Selector,
    tags::reserved_tags,
};
use crate::{
    engine::Problem,
    saga::{Kind, MAX_STEPS, StepIndex},
};

#[derive(Debug)]
pub struct Definition {
    pub kind: Kind,
    pub summary: Option<String>,
    pub inputs_schema: Option<Schema>,
    pub steps: Vec<DefinitionStep>,
}

#[derive(Debug, Clone)]
pub struct DefinitionStep {
    /// Unique in the definition, ignoring case: `[A-Za-z0-9][A-Za-z0-9_.-]{0,63}`.
    pub name: String,
    pub component: Selector,
    pub params: Map<String, Value>,
    /// `[A-Za-z0-9_.-]{1,64}`, or `""`: the scope that the whole saga shares.
    pub scope: String,
    /// Positions of the steps that must be done before this one starts; together without a cycle.
    pub after: Vec<StepIndex>,
    pub run: Override,
    pub compensate: Override,
}

/// A step whose `after` still holds names.
struct Named {
    step: DefinitionStep,
    after: Option<Vec<String>>,
}

impl Definition {
    /// `at`: where the definition stands in what was sent.
    pub fn parse(body: &Value, at: &Pointer) -> Result<Definition, Vec<Problem>> {
        let mut problems = Vec::new();
        let Some(members) = object(body, at, &mut problems) else {
            return Err(problems);
        };
        known_fields(
            members,
            &["kind", "summary", "inputs_schema", "steps"],
            at,
            &mut problems,
        );
        let kind = read_kind(members.get("kind"), &at.at("kind"), &mut problems);
        let summary = match members.get("summary") {
            None => None,
            Some(Value::String(text)) if text.len() <= MAX_SUMMARY_BYTES => Some(text.clone()),
            Some(_) => {
                let rule = format!("a text of at most {MAX_SUMMARY_BYTES} bytes");
                problems.push(at.at("summary").problem("wrong-type", rule));
                None
            }
        };
        let inputs_schema = members
            .get("inputs_schema")
            .map(|schema| Schema::compile(schema, &at.at("inputs_schema")))
            .transpose()
            .unwrap_or_else(|problem| {
                problems.push(problem);
                None
            });
        let steps = match members.get("steps") {
            Some(steps) => DefinitionStep::parse_all(steps, &at.at("steps")).unwrap_or_else(|found| {
                problems.extend(found);
                Vec::new()
            }),
            None => {
                problems.push(at.at("steps").problem("missing", "a definition needs steps"));
                Vec::new()
            }
        };
        match kind {
            Some(kind) if problems.is_empty() => Ok(Definition {
                kind,
                summary,
                inputs_schema,
                steps,
            }),
            _ => Err(problems),
        }
    }
}

const MAX_SUMMARY_BYTES: usize = 1_000;

impl DefinitionStep {
    /// The `steps` of a definition or of a request. `at`: where the array stands.
    pub fn parse_all(steps: &Value, at: &Pointer) -> Result<Vec<DefinitionStep>, Vec<Problem>> {
        let Value::Array(items) = steps else {
            return Err(vec![at.problem("wrong-type", "steps is an array")]);
        };
        if items.is_empty() || items.len() > MAX_STEPS {
            let message = format!("{} steps; there are 1 to {MAX_STEPS}", items.len());
            return Err(vec![at.problem("number-of-steps", message)]);
        }
        let mut problems = Vec::new();
        let parsed: Vec<Named> = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| DefinitionStep::parse(item, &at.at(index), &mut problems))
            .collect();
        if problems.is_empty() {
            for (index, Named { step, .. }) in parsed.iter().enumerate() {
                let same = |other: &Named| other.step.name.eq_ignore_ascii_case(&step.name);
                if parsed[..index].iter().any(same) {
                    let message = format!("an earlier step is named {:?} (names ignore case)", step.name);
                    problems.push(at.at(index).at("name").problem("duplicate-name", message));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let named: Vec<(&str, Option<&[String]>)> = parsed
            .iter()
            .map(|Named { step, after }| (step.name.as_str(), after.as_deref()))
            .collect();
        let after = order::positions(&named, at)?;
        let placed = parsed.into_iter().zip(after);
        Ok(placed
            .map(|(Named { step, .. }, after)| DefinitionStep { after, ..step })
            .collect())
    }

    fn parse(step: &Value, at: &Pointer, problems: &mut Vec<Problem>) -> Option<Named> {
        let members = object(step, at, problems)?;
        let fields = [
            "name",
            "component",
            "params",
            "run",
            "compensate",
            "after",
            "scope",
        ];
        known_fields(members, &fields, at, problems);
        let name = text(members, "name", at, problems).filter(|name| {
            is_step_name(name) || {
                let rule = "1 to 64 of A-Z, a-z, 0-9, _, . and -, beginning with a letter or digit";
                problems.push(at.at("name").problem("invalid-name", rule));
                false
            }
        });
        let component = text(members, "component", at, problems).and_then(|text| {
            Selector::parse(text)
                .map_err(|message| problems.push(at.at("component").problem("invalid-component", message)))
                .ok()
        });
        let params = match members.get("params") {
            None => Map::new(),
            Some(params) => object(params, &at.at("params"), problems)?.clone(),
        };
        for (key, value) in &params {
            reserved_tags(
                &Value::Object(Map::from_iter([(key.clone(), value.clone())])),
                &at.at("params"),
                problems,
            );
        }
        let run = policy::read_override(members.get("run"), &policy::RUN_FIELDS, &at.at("run"), problems);
        let compensate = policy::read_override(
            members.get("compensate"),
            &policy::COMPENSATE_FIELDS,
            &at.at("compensate"),
            problems,
        );
        let scope = read_scope(members.get("scope"), &at.at("scope"), problems);
        let after = order::read_after(members, at, problems);
        let step = DefinitionStep {
            name: name?.to_owned(),
            component: component?,
            params,
            scope,
            after: Vec::new(),
            run,
            compensate,
        };
        Some(Named { step, after })
    }
}

fn read_kind(kind: Option<&Value>, at: &Pointer, problems: &mut Vec<Problem>) -> Option<Kind> {
    let known = kind.and_then(Value::as_str).and_then(Kind::parse);
    if known.is_none() {
        let names = Kind::ALL.map(Kind::as_str).join(", ");
        let code = if kind.is_some() { "unknown-kind" } else { "missing" };
        problems.push(at.problem(code, format!("kind is one of {names}")));
    }
    known
}

fn read_scope(scope: Option<&Value>, at: &Pointer, problems: &mut Vec<Problem>) -> String {
    match scope {
        None => {}
        Some(Value::String(scope)) if order::is_scope(scope) => return scope.clone(),
        Some(Value::String(_)) => {
            let rule =
                "1 to 64 of A-Z, a-z, 0-9, _, . and -; leave it out for the scope that all steps share";
            problems.push(at.problem("invalid-scope", rule));
        }
        Some(_) => problems.push(at.problem("wrong-type", "scope is a text")),
    }
    String::new()
}

fn text<'a>(
    members: &'a Map<String, Value>,
    field: &str,
    at: &Pointer,
    problems: &mut Vec<Problem>,
) -> Option<&'a str> {
    match members.get(field) {
        Some(Value::String(text)) => Some(text),
        Some(_) => {
            problems.push(at.at(field).problem("wrong-type", format!("{field} is a text")));
            None
        }
        None => {
            problems.push(at.at(field).problem("missing", format!("a step needs a {field}")));
            None
        }
    }
}

fn object<'a>(value: &'a Value, at: &Pointer, problems: &mut Vec<Problem>) -> Option<&'a Map<String, Value>> {
    if value.as_object().is_none() {
        problems.push(at.problem("wrong-type", "this is a JSON object"));
    }
    value.as_object()
}

fn known_fields(members: &Map<String, Value>, known: &[&str], at: &Pointer, problems: &mut Vec<Problem>) {
    for field in members.keys().filter(|field| !known.contains(&field.as_str())) {
        problems.push(
            at.at(field)
                .problem("unknown-field", format!("{field:?} means nothing here")),
        );
    }
}

fn is_step_name(text: &str) -> bool {
    text.len() <= 64
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
