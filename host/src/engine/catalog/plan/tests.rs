use serde_json::json;

use super::*;
use crate::{
    engine::catalog::Selector,
    saga::{CompensatePolicy, RunPolicy, id::sha256_hex},
    store::{ChannelRow, ComponentRow, ComponentStatus, DefinitionRow},
};

pub(super) fn component(version: &str, manifest: Value) -> ComponentRow {
    let mut manifest = manifest;
    manifest["version"] = json!(version);
    let text = manifest.to_string();
    ComponentRow {
        digest: sha256_hex(text.as_bytes()),
        name: manifest["name"].as_str().unwrap().to_owned(),
        version: version.to_owned(),
        manifest: Json::parse(&text).unwrap(),
        size_bytes: 1,
        built_in: false,
        uploaded_by: "ada".to_owned(),
        uploaded_ms: 1,
        status: ComponentStatus::Approved,
        status_by: "ada".to_owned(),
        status_ms: 1,
        granted: None,
    }
}

pub(super) fn stable(row: &ComponentRow) -> ChannelRow {
    ChannelRow {
        step: row.name.clone(),
        channel: "stable".to_owned(),
        digest: row.digest.clone(),
        built_in: false,
        moved_by: "ada".to_owned(),
        moved_ms: 1,
    }
}

pub(super) fn definition(name: &str, body: &Value) -> DefinitionRow {
    DefinitionRow {
        name: name.to_owned(),
        version: 3,
        body: Json::of(body),
        built_in: false,
        created_by: "ada".to_owned(),
        created_ms: 1,
    }
}

/// `make` 0.2.0 and 0.1.0 (stable), which needs the input `size` and takes the parameter `poll_ms`; `burn`, irreversible;
/// `pen`, which writes `ink` and `nib`.
pub(super) fn index() -> Index {
    let make = json!({
        "name": "make",
        "params_schema": {"properties": {"poll_ms": {"type": "integer", "minimum": 1}}, "required": ["color"]},
        "inputs_schema": {"properties": {"size": {"type": "string", "minLength": 2}}, "required": ["size"]},
        "run": {"max_attempts": 9}
    });
    let (old, new) = (component("0.1.0", make.clone()), component("0.2.0", make));
    let burn = component(
        "1.0.0",
        json!({"name": "burn", "irreversible": true, "compensation": "none"}),
    );
    let pen = component(
        "1.0.0",
        json!({"name": "pen", "context": {"writes": ["ink", "nib"]}}),
    );
    let channels = vec![stable(&old), stable(&burn), stable(&pen)];
    let body = json!({
        "kind": "provision",
        "inputs_schema": {"properties": {"size": {"type": "string"}}, "required": ["size"], "additionalProperties": false},
        "steps": [
            {"name": "Make", "component": "make", "params": {"color": "red", "poll_ms": 5}, "run": {"total_ms": 1000}},
            {"name": "burn", "component": "burn"}
        ]
    });
    Index::of(
        vec![new, old, burn, pen],
        channels,
        vec![definition("house", &body)],
        &Index::default(),
    )
}

fn house() -> PlanSource {
    PlanSource::Definition {
        name: "house".to_owned(),
    }
}

pub(super) fn inline(steps: Value) -> PlanSource {
    PlanSource::Inline {
        kind: Kind::Test,
        steps,
    }
}

fn overlay(params: Value) -> Overlay {
    serde_json::from_value(params).unwrap()
}

pub(super) fn resolved(source: &PlanSource, params: Value, inputs: Value) -> ResolvedPlan {
    resolve(&index(), source, &overlay(params), &Json::of(&inputs)).unwrap()
}

pub(super) fn problems(source: &PlanSource, params: Value, inputs: Value) -> Vec<(String, &'static str)> {
    match resolve(&index(), source, &overlay(params), &Json::of(&inputs)) {
        Err(StartError::Invalid(problems)) => problems
            .into_iter()
            .map(|problem| (problem.pointer, problem.code))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

pub(super) fn at(pointer: &str, code: &'static str) -> (String, &'static str) {
    (pointer.to_owned(), code)
}

#[test]
fn a_definition_becomes_a_sequence_pinned_to_what_its_channels_point_to() {
    let plan = resolved(&house(), json!({}), json!({"size": "xl"})).plan;
    let index = index();
    let old = index.select(&selector("make@0.1.0")).unwrap();
    assert_eq!(
        plan.definition,
        Some(DefinitionRef {
            name: "house".to_owned(),
            version: 3
        })
    );
    assert_eq!(plan.kind, Kind::Provision);
    assert_eq!(
        plan.steps[0],
        PlanStep {
            name: "Make".to_owned(),
            component: old.component(),
            params: Json::trusted(r#"{"color":"red","poll_ms":5}"#),
            scope: String::new(),
            after: vec![],
            compensated: true,
            pivot: false,
            run: RunPolicy {
                max_attempts: 9,
                total_ms: 1000,
                ..RunPolicy::default()
            },
            compensate: CompensatePolicy::default(),
        }
    );
    let burn = &plan.steps[1];
    assert_eq!(
        (&burn.after, burn.compensated, burn.pivot),
        (&vec![0], false, true)
    );
}

#[test]
fn parameters_of_a_start_are_laid_over_key_by_key_and_change_the_plan() {
    let plain = resolved(&house(), json!({}), json!({"size": "xl"}));
    let over = resolved(&house(), json!({"make": {"poll_ms": 7}}), json!({"size": "xl"}));
    assert_eq!(
        over.plan.steps[0].params.as_str(),
        r#"{"color":"red","poll_ms":7}"#
    );
    assert_ne!(plain.digest, over.digest);
    assert_eq!(
        plain.digest,
        resolved(&house(), json!({}), json!({"size": "other"})).digest
    );
    assert_eq!(&*plain.digest, plain.plan.digest());
}

#[test]
fn a_version_a_digest_and_a_channel_pick_a_component() {
    let index = index();
    let new = index.select(&selector("make@0.2.0")).unwrap().component();
    let by_digest = format!("make@sha256:{}", new.digest);
    for (text, version) in [
        ("make", "0.1.0"),
        ("make#stable", "0.1.0"),
        ("make@0.2.0", "0.2.0"),
        (&by_digest, "0.2.0"),
    ] {
        let steps = json!([{"name": "a", "component": text, "params": {"color": 1}}]);
        assert_eq!(
            resolved(&inline(steps), json!({}), json!({"size": "xl"}))
                .plan
                .steps[0]
                .component
                .version,
            version
        );
    }
    let unknown = |text: &str| {
        let steps = json!([{"name": "ok", "component": "burn"}, {"name": "a", "component": text}]);
        problems(&inline(steps), json!({}), json!({}))
    };
    for text in [
        "nobody",
        "make#next",
        "make@0.3.0",
        &format!("burn@sha256:{}", new.digest),
    ] {
        assert_eq!(
            unknown(text),
            [at("/steps/1/component", "unknown-component")],
            "{text}"
        );
    }
    assert_eq!(unknown("Make"), [at("/steps/1/component", "invalid-component")]);
}

#[test]
fn a_missing_input_is_one_problem_however_many_schemas_ask_for_it() {
    assert_eq!(
        problems(&house(), json!({}), json!({})),
        [at("/inputs/size", "missing")]
    );
    assert_eq!(
        problems(&house(), json!({}), json!({"size": "x", "sise": 1})),
        [at("/inputs/sise", "unknown-field"), at("/inputs/size", "schema")]
    );
    assert_eq!(
        problems(&house(), json!({}), json!(["size"])),
        [at("/inputs", "wrong-type")]
    );
}

#[test]
fn a_parameter_stands_for_the_input_of_its_name_and_is_blamed_where_it_was_given() {
    let steps = json!([{"name": "a", "component": "make", "params": {"color": 1, "size": "xl"}}]);
    resolved(&inline(steps.clone()), json!({}), json!({}));
    assert_eq!(
        problems(&inline(steps), json!({"A": {"size": "x"}}), json!({})),
        [at("/params/A/size", "schema")]
    );
    let steps = json!([{"name": "a", "component": "make", "params": {"color": 1, "size": "x"}}]);
    assert_eq!(
        problems(&inline(steps), json!({}), json!({})),
        [at("/steps/0/params/size", "schema")]
    );
    let steps = json!([{"name": "a", "component": "make", "params": {"color": 1, "size": null}}]);
    assert_eq!(
        problems(&inline(steps), json!({}), json!({})),
        [at("/inputs/size", "missing")]
    );
}

#[test]
fn parameters_are_checked_where_they_were_given() {
    let size = json!({"size": "xl"});
    assert_eq!(
        problems(&house(), json!({"make": {"poll_ms": 0}}), size.clone()),
        [at("/params/make/poll_ms", "schema")]
    );
    assert_eq!(
        problems(
            &house(),
            json!({"mak": {}, "burn": {"x_tags": ["arcadia-r-1"]}}),
            size.clone()
        ),
        [
            at("/params/burn/x_tags/0", "reserved-tag"),
            at("/params/mak", "unknown-step")
        ]
    );
    assert_eq!(
        problems(&house(), json!({"make": {}, "MAKE": {}}), size),
        [at("/params/make", "duplicate-name")]
    );
    let steps = json!([{"name": "a", "component": "make"}]);
    assert_eq!(
        problems(&inline(steps), json!({}), json!({"size": "xl"})),
        [at("/steps/0/params/color", "missing")]
    );
}

#[test]
fn a_reserved_tag_in_the_inputs_is_refused() {
    let steps = json!([{"name": "a", "component": "burn"}]);
    assert_eq!(
        problems(
            &inline(steps),
            json!({}),
            json!({"droplet_tags": ["web", "Managed-By-Arcadia-Cloud"]})
        ),
        [at("/inputs/droplet_tags/1", "reserved-tag")]
    );
}

#[test]
fn steps_of_a_request_are_refused_where_they_are_wrong() {
    let one = |step: Value| problems(&inline(json!([step])), json!({}), json!({}));
    for (field, value, pointer, code) in [
        ("after", json!("a"), "/steps/0/after", "wrong-type"),
        ("after", json!(vec!["b"; 64]), "/steps/0/after", "wrong-type"),
        ("after", json!([1]), "/steps/0/after/0", "wrong-type"),
        ("after", json!(["b"]), "/steps/0/after/0", "unknown-step"),
        ("after", json!(["A"]), "/steps/0/after/0", "cycle"),
        ("scope", json!(1), "/steps/0/scope", "wrong-type"),
        ("scope", json!(""), "/steps/0/scope", "invalid-scope"),
        ("scope", json!("a/b"), "/steps/0/scope", "invalid-scope"),
        ("scope", json!("x".repeat(65)), "/steps/0/scope", "invalid-scope"),
    ] {
        let mut step = json!({"name": "a", "component": "burn"});
        step[field] = value;
        assert_eq!(one(step), [at(pointer, code)]);
    }
    assert_eq!(
        one(json!({"name": "a", "component": "burn", "typo": 1})),
        [at("/steps/0/typo", "unknown-field")]
    );
    assert_eq!(
        one(json!({"name": "a b", "component": 1})),
        [
            at("/steps/0/name", "invalid-name"),
            at("/steps/0/component", "wrong-type")
        ]
    );
    assert_eq!(
        one(json!({})),
        [
            at("/steps/0/name", "missing"),
            at("/steps/0/component", "missing")
        ]
    );
    assert_eq!(
        one(
            json!({"name": "a", "component": "burn", "run": {"max_attempts": 0}, "compensate": {"max_attempts": 1}})
        ),
        [
            at("/steps/0/run/max_attempts", "out-of-bounds"),
            at("/steps/0/compensate/max_attempts", "unknown-field")
        ]
    );
    let many = |count: usize| {
        let steps: Vec<Value> = (0..count)
            .map(|i| json!({"name": format!("s{i}"), "component": "burn"}))
            .collect();
        Value::from(steps)
    };
    assert_eq!(
        resolved(&inline(many(64)), json!({}), json!({})).plan.steps.len(),
        64
    );
    assert_eq!(
        problems(&inline(many(65)), json!({}), json!({})),
        [at("/steps", "number-of-steps")]
    );
    assert_eq!(
        problems(&inline(json!([])), json!({}), json!({})),
        [at("/steps", "number-of-steps")]
    );
    let twice = json!([{"name": "a", "component": "burn"}, {"name": "A", "component": "burn"}]);
    assert_eq!(
        problems(&inline(twice), json!({}), json!({})),
        [at("/steps/1/name", "duplicate-name")]
    );
}

#[test]
fn an_unknown_definition_is_told_by_name() {
    let source = PlanSource::Definition {
        name: "hous".to_owned(),
    };
    let error = resolve(&index(), &source, &Overlay::new(), &Json::trusted("{}")).unwrap_err();
    assert!(matches!(error, StartError::UnknownDefinition(name) if name == "hous"));
}

#[test]
fn a_definition_is_held_against_its_components_but_may_leave_parameters_to_the_start() {
    let found = |body: Value| {
        let definition = Definition::parse(&body, &Pointer::root()).unwrap();
        let problems = definition_problems(&index(), &definition);
        problems
            .into_iter()
            .map(|problem| (problem.pointer, problem.code))
            .collect::<Vec<_>>()
    };
    let body = |step: Value| json!({"kind": "test", "steps": [step]});
    assert_eq!(found(body(json!({"name": "a", "component": "make"}))), []);
    assert_eq!(
        found(body(
            json!({"name": "a", "component": "make", "params": {"poll_ms": "x"}})
        )),
        [at("/steps/0/params/poll_ms", "schema")]
    );
    assert_eq!(
        found(body(json!({"name": "a", "component": "nobody"}))),
        [at("/steps/0/component", "unknown-component")]
    );
}
