//! The order of steps: which come before which, and what an order without sense is refused for.
//!
//! `after` names the steps that must be done before a step starts; without it, a step comes after the one listed before it,
//! so that a plain list is a sequence. A step may be listed before those that it comes after.

use serde_json::{Map, Value};

use super::pointer::Pointer;
use crate::{
    engine::Problem,
    saga::{MAX_STEPS, StepIndex},
    step::Manifest,
};

/// One bit per step.
type Steps = u64;

const _: () = assert!(MAX_STEPS <= Steps::BITS as usize);

/// Which steps come before which, directly or not.
pub struct Order {
    before: Vec<Steps>,
}

/// What an order is checked against.
pub struct Ordered<'a> {
    pub name: &'a str,
    pub scope: &'a str,
    pub manifest: &'a Manifest,
    /// Where the step stands in what was sent.
    pub at: Pointer,
}

impl Order {
    /// `after`: of each step, those that it directly comes after; may hold cycles.
    pub fn of<'a>(after: impl IntoIterator<Item = &'a [StepIndex]>) -> Order {
        let direct: Vec<&[StepIndex]> = after.into_iter().collect();
        let mut before = vec![0; direct.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for (step, after) in direct.iter().enumerate() {
                let all = after
                    .iter()
                    .fold(before[step], |all, &other| all | 1 << other | before[other]);
                changed |= all != before[step];
                before[step] = all;
            }
        }
        Order { before }
    }

    /// Whether `first` must be done before `then` starts. A step comes before itself when it stands in a cycle.
    pub fn is_before(&self, first: StepIndex, then: StepIndex) -> bool {
        self.before[then] >> first & 1 == 1
    }

    /// Neither comes before the other: they may be called at the same time, forward and back.
    pub fn is_free(&self, one: StepIndex, other: StepIndex) -> bool {
        one != other && !self.is_before(one, other) && !self.is_before(other, one)
    }

    /// Pivots that aren't between all other steps, and steps that would overwrite each other. `steps`: in the order of the
    /// definition, all of them.
    pub fn problems(&self, steps: &[Ordered<'_>]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (position, step) in steps.iter().enumerate() {
            let free: Vec<&str> = (0..steps.len())
                .filter(|&other| step.manifest.irreversible && self.is_free(position, other))
                .map(|other| steps[other].name)
                .collect();
            if !free.is_empty() {
                let message = format!(
                    "step {:?} is irreversible: every other step comes before or after it, but not {}",
                    step.name,
                    free.join(", ")
                );
                problems.push(step.at.problem("pivot-not-a-cut", message));
            }
            let rivals = (0..position).filter(|&other| self.is_free(position, other));
            problems.extend(rivals.filter_map(|other| overwriting(&steps[other], step)));
        }
        problems
    }
}

fn overwriting(one: &Ordered<'_>, other: &Ordered<'_>) -> Option<Problem> {
    if one.scope != other.scope {
        return None;
    }
    let theirs = &one.manifest.writes;
    let mut shared = other.manifest.writes.iter().filter(|key| theirs.contains(key));
    let key = shared.next()?;
    let more = match shared.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let scope = match one.scope {
        "" => "the shared scope".to_owned(),
        scope => format!("scope {scope:?}"),
    };
    let message = format!(
        "steps {:?} and {:?} may both write the key {key:?}{more} in {scope}, and neither comes before the other: order them \
         with `after`, or give each a `scope` of its own",
        one.name, other.name
    );
    Some(other.at.problem("unordered-writers", message))
}

/// The names in a step's `after`; `None` without it.
pub fn read_after(
    members: &Map<String, Value>,
    at: &Pointer,
    problems: &mut Vec<Problem>,
) -> Option<Vec<String>> {
    let at = at.at("after");
    let items = match members.get("after")? {
        Value::Array(items) if items.len() < MAX_STEPS => items,
        _ => {
            let rule = format!("after is an array of at most {} step names", MAX_STEPS - 1);
            problems.push(at.problem("wrong-type", rule));
            return None;
        }
    };
    let name = |(index, item): (usize, &Value)| {
        let name = item.as_str();
        if name.is_none() {
            problems.push(at.at(index).problem("wrong-type", "this is the name of a step"));
        }
        name.map(str::to_owned)
    };
    Some(items.iter().enumerate().filter_map(name).collect())
}

/// From names to positions. `steps`: each step's name and what [`read_after`] found; names are known to be unique. `at`: where
/// the array of steps stands.
pub fn positions(
    steps: &[(&str, Option<&[String]>)],
    at: &Pointer,
) -> Result<Vec<Vec<StepIndex>>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut all = Vec::new();
    for (position, (_, names)) in steps.iter().enumerate() {
        let Some(names) = names else {
            all.push(position.checked_sub(1).into_iter().collect());
            continue;
        };
        let mut after = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let at = at.at(position).at("after").at(index);
            match steps.iter().position(|(step, _)| step.eq_ignore_ascii_case(name)) {
                None => problems.push(at.problem("unknown-step", format!("there is no step {name:?}"))),
                Some(other) if other == position => {
                    problems.push(at.problem("cycle", "a step can't come after itself"));
                }
                Some(other) if after.contains(&other) => {
                    problems.push(at.problem(
                        "duplicate-name",
                        format!("{name:?} is named twice (names ignore case)"),
                    ));
                }
                Some(other) => after.push(other),
            }
        }
        all.push(after);
    }
    if problems.is_empty() {
        problems = cycles(steps, &all, at);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    // Plans that mean the same are the same.
    all.iter_mut().for_each(|after| after.sort_unstable());
    Ok(all)
}

/// One problem for each step that closes a cycle. In each cycle there is one that comes after a step listed later; only `after`
/// can say so, which gives the problem its place.
fn cycles(steps: &[(&str, Option<&[String]>)], after: &[Vec<StepIndex>], at: &Pointer) -> Vec<Problem> {
    let order = Order::of(after.iter().map(Vec::as_slice));
    let closing = |(position, after): (StepIndex, &Vec<StepIndex>)| {
        let index = after
            .iter()
            .position(|&other| other > position && order.is_before(position, other))?;
        let (step, other) = (steps[position].0, steps[after[index]].0);
        let message = format!("{step:?} comes after {other:?}, which itself comes after {step:?}");
        Some(at.at(position).at("after").at(index).problem("cycle", message))
    };
    after.iter().enumerate().filter_map(closing).collect()
}

/// `[A-Za-z0-9_.-]{1,64}`
pub fn is_scope(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
