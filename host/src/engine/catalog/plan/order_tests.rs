//! What a plan's order may be, and where a definition is told that its own may not be.

use serde_json::{Value, json};

use super::{
    tests::{at, component, definition, index, inline, problems, resolved, stable},
    *,
};

/// A step of the component `pen`, which writes `ink` and `nib`.
fn pen(name: &str, after: Option<&[&str]>, scope: Option<&str>) -> Value {
    let mut step = json!({"name": name, "component": "pen"});
    if let Some(after) = after {
        step["after"] = json!(after);
    }
    if let Some(scope) = scope {
        step["scope"] = json!(scope);
    }
    step
}

#[test]
fn after_and_scope_become_a_graph_in_the_order_of_the_list() {
    let steps = json!([
        pen("last", Some(&["B", "a"]), Some("x")),
        pen("a", Some(&[]), None),
        pen("b", None, None),
        pen("c", Some(&["a"]), Some("c")),
        {"name": "burn", "component": "burn", "after": ["c", "last"]},
    ]);
    let plan = resolved(&inline(steps), json!({}), json!({})).plan;
    let found: Vec<(&str, &[usize], &str)> = plan
        .steps
        .iter()
        .map(|step| (step.name.as_str(), step.after.as_slice(), step.scope.as_str()))
        .collect();
    let expected: [(&str, &[usize], &str); 5] = [
        ("last", &[1, 2], "x"),
        ("a", &[], ""),
        ("b", &[1], ""),
        ("c", &[1], "c"),
        ("burn", &[0, 3], ""),
    ];
    assert_eq!(found, expected);
}

#[test]
fn steps_that_wait_for_each_other_are_refused_where_the_cycle_closes() {
    let found = |steps: Value| problems(&inline(steps), json!({}), json!({}));
    // The second comes after the first because it is listed behind it.
    assert_eq!(
        found(json!([pen("a", Some(&["b"]), None), pen("b", None, None)])),
        [at("/steps/0/after/0", "cycle")]
    );
    assert_eq!(
        found(json!([
            pen("free", Some(&[]), Some("free")),
            pen("a", Some(&["free", "c"]), None),
            pen("b", Some(&["a"]), None),
            pen("c", Some(&["b"]), None),
            pen("behind", Some(&["c"]), None),
        ])),
        [at("/steps/1/after/1", "cycle")]
    );
    assert_eq!(
        found(json!([
            pen("a", Some(&[]), None),
            pen("b", Some(&["a", "A", "x"]), None)
        ])),
        [
            at("/steps/1/after/1", "duplicate-name"),
            at("/steps/1/after/2", "unknown-step")
        ]
    );
}

#[test]
fn steps_that_are_not_ordered_and_may_write_one_key_are_refused_with_both_names_and_the_key() {
    let steps = |scopes: [Option<&str>; 2]| {
        let [one, other] = scopes;
        json!([
            pen("root", Some(&[]), None),
            pen("one", Some(&["root"]), one),
            pen("other", Some(&["root"]), other)
        ])
    };
    for scopes in [[Some("x"), None], [Some("x"), Some("X")]] {
        resolved(&inline(steps(scopes)), json!({}), json!({}));
    }
    for scopes in [[None, None], [Some("x"), Some("x")]] {
        let source = inline(steps(scopes));
        assert_eq!(
            problems(&source, json!({}), json!({})),
            [at("/steps/2", "unordered-writers")]
        );
        let Err(StartError::Invalid(found)) =
            resolve(&index(), &source, &Overlay::new(), &Json::trusted("{}"))
        else {
            panic!("it was refused")
        };
        for part in ["\"one\"", "\"other\"", "\"ink\"", "1 more"] {
            assert!(found[0].message.contains(part), "{}", found[0].message);
        }
    }
}

#[test]
fn a_pivot_that_is_neither_before_nor_after_another_step_is_refused() {
    let burn = |after: &[&str]| json!({"name": "burn", "component": "burn", "after": after});
    let steps = json!([
        pen("a", Some(&[]), Some("a")),
        pen("b", Some(&[]), Some("b")),
        burn(&["a"])
    ]);
    assert_eq!(
        problems(&inline(steps.clone()), json!({}), json!({})),
        [at("/steps/2", "pivot-not-a-cut")]
    );
    let body = json!({"kind": "test", "steps": steps});
    let found = definition_problems(&index(), &Definition::parse(&body, &Pointer::root()).unwrap());
    let found: Vec<(&str, &str)> = found.iter().map(|p| (p.pointer.as_str(), p.code)).collect();
    assert_eq!(found, [("/steps/2", "pivot-not-a-cut")]);
    let cut = json!([
        pen("a", Some(&[]), Some("a")),
        pen("b", Some(&[]), Some("b")),
        burn(&["a", "b"]),
        pen("c", Some(&["burn"]), Some("c")),
        pen("d", Some(&["burn"]), Some("d")),
    ]);
    resolved(&inline(cut), json!({}), json!({}));
}

/// What a definition was checked against may have moved since.
#[test]
fn an_order_that_a_channel_made_wrong_is_refused_when_a_saga_starts() {
    let index = |writes: Value| {
        let rest = component("1.0.0", json!({"name": "rest", "context": {"writes": writes}}));
        let body = json!({"kind": "test", "steps": [
            {"name": "a", "component": "rest"}, {"name": "b", "component": "rest", "after": []},
        ]});
        let channels = vec![stable(&rest)];
        Index::of(
            vec![rest],
            channels,
            vec![definition("pair", &body)],
            &Index::default(),
        )
    };
    let source = PlanSource::Definition {
        name: "pair".to_owned(),
    };
    let start = |writes: Value| resolve(&index(writes), &source, &Overlay::new(), &Json::trusted("{}"));
    start(json!([])).unwrap();
    let Err(StartError::Invalid(found)) = start(json!(["k"])) else {
        panic!("it was refused")
    };
    assert_eq!(
        (found[0].pointer.as_str(), found[0].code, found.len()),
        ("/definition", "unordered-writers", 1)
    );
}
