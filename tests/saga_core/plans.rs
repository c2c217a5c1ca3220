//! Plans to try: steps without components behind them.

use std::sync::Arc;

use arcadia::saga::{CompensatePolicy, ComponentRef, Json, Kind, Plan, PlanStep, RunPolicy, StepIndex};

/// What matters to the core about one step.
#[derive(Debug, Clone)]
pub struct Shape {
    pub after: Vec<StepIndex>,
    pub pivot: bool,
    pub compensated: bool,
}

pub fn plan(shapes: &[Shape], run: RunPolicy, compensate: CompensatePolicy) -> Arc<Plan> {
    let steps = shapes.iter().enumerate().map(|(index, shape)| PlanStep {
        name: format!("step-{index}"),
        component: component(),
        params: Json::trusted("{}"),
        scope: String::new(),
        after: shape.after.clone(),
        compensated: shape.compensated,
        pivot: shape.pivot,
        run,
        compensate,
    });
    Arc::new(Plan {
        definition: None,
        kind: Kind::Test,
        steps: steps.collect(),
    })
}

/// What every step is pinned to.
pub fn component() -> ComponentRef {
    ComponentRef {
        name: "any".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "0".repeat(64),
    }
}

/// Steps that come before `step`, directly or not.
pub fn ancestors(shapes: &[Shape], step: StepIndex) -> Vec<StepIndex> {
    let mut found = Vec::new();
    let mut look = shapes[step].after.clone();
    while let Some(next) = look.pop() {
        if !found.contains(&next) {
            found.push(next);
            look.extend(&shapes[next].after);
        }
    }
    found
}

/// Every other step comes before or after a pivot: anything else is refused when a definition is made.
pub fn pivots_are_ordered(shapes: &[Shape]) -> bool {
    let all = 0..shapes.len();
    all.clone().filter(|&step| shapes[step].pivot).all(|pivot| {
        all.clone().all(|other| {
            other == pivot
                || ancestors(shapes, pivot).contains(&other)
                || ancestors(shapes, other).contains(&pivot)
        })
    })
}

/// Every plan of `size` steps: all graphs whose steps wait for earlier ones (sequences among them), all combinations of
/// pivot and compensated.
pub fn every_shape(size: usize) -> Vec<Vec<Shape>> {
    let edges = size * size.saturating_sub(1) / 2;
    let mut found = Vec::new();
    for graph in 0..1_u32 << edges {
        for flags in 0..1_u32 << (2 * size) {
            let mut edge = 0;
            let shapes: Vec<Shape> = (0..size)
                .map(|step| {
                    let after = (0..step)
                        .filter(|_| {
                            edge += 1;
                            graph >> (edge - 1) & 1 == 1
                        })
                        .collect();
                    Shape {
                        after,
                        pivot: flags >> (2 * step) & 1 == 1,
                        compensated: flags >> (2 * step + 1) & 1 == 1,
                    }
                })
                .collect();
            if pivots_are_ordered(&shapes) {
                found.push(shapes);
            }
        }
    }
    found
}

/// Graphs of four steps in which branches part and meet, with pivots and steps without compensation at different places.
pub fn graphs() -> Vec<(&'static str, Vec<Shape>)> {
    let graph = |after: [&[StepIndex]; 4], pivot: Option<StepIndex>, uncompensated: Option<StepIndex>| {
        let shape = |(step, after): (StepIndex, &&[StepIndex])| Shape {
            after: after.to_vec(),
            pivot: pivot == Some(step),
            compensated: uncompensated != Some(step),
        };
        after.iter().enumerate().map(shape).collect::<Vec<_>>()
    };
    let diamond: [&[StepIndex]; 4] = [&[], &[0], &[0], &[1, 2]];
    let found = vec![
        ("diamond", graph(diamond, None, None)),
        (
            "diamond listed backwards",
            graph([&[1, 2], &[3], &[3], &[]], None, Some(1)),
        ),
        ("diamond that ends in a pivot", graph(diamond, Some(3), None)),
        (
            "pivot that three steps come after",
            graph([&[], &[0], &[0], &[0]], Some(0), None),
        ),
        ("fork of three", graph([&[], &[0], &[0], &[0]], None, Some(2))),
        (
            "join of three roots",
            graph([&[], &[], &[], &[0, 1, 2]], None, None),
        ),
        ("two roots, two chains", graph([&[], &[0], &[], &[2]], None, None)),
        (
            "two roots, one shared",
            graph([&[], &[], &[0, 1], &[1]], None, Some(1)),
        ),
    ];
    assert!(found.iter().all(|(_, shapes)| pivots_are_ordered(shapes)));
    found
}

/// Each step waits for the one before it and for nothing else.
pub fn is_sequence(shapes: &[Shape]) -> bool {
    shapes
        .iter()
        .enumerate()
        .all(|(step, shape)| shape.after == step.checked_sub(1).into_iter().collect::<Vec<_>>())
}
