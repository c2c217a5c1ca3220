//! Retry policies: what a manifest asks, what a definition lays over it, and the bounds that hold for both.

use std::ops::RangeInclusive;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::pointer::Pointer;
use crate::engine::Problem;

/// Fields of a policy to their new values.
pub type Override = Map<String, Value>;

/// A field of a policy and its bounds; times in milliseconds.
pub type Field = (&'static str, RangeInclusive<u64>);

const DAY_MS: u64 = 86_400_000;

/// The fields of [`crate::saga::RunPolicy`].
pub const RUN_FIELDS: [Field; 5] = [
    ("max_attempts", 1..=1_000),
    ("backoff_base_ms", 1..=DAY_MS),
    ("backoff_max_ms", 1..=DAY_MS),
    ("total_ms", 100..=30 * DAY_MS),
    ("call_timeout_ms", 100..=600_000),
];

/// The fields of [`crate::saga::CompensatePolicy`].
pub const COMPENSATE_FIELDS: [Field; 4] = [
    ("backoff_base_ms", 1..=DAY_MS),
    ("backoff_max_ms", 1..=DAY_MS),
    ("total_ms", 100..=30 * DAY_MS),
    ("call_timeout_ms", 100..=600_000),
];

/// Checks each field by itself; `at`: where the policy stands.
pub fn read_override(
    policy: Option<&Value>,
    fields: &[Field],
    at: &Pointer,
    problems: &mut Vec<Problem>,
) -> Override {
    let members = match policy {
        None => return Override::new(),
        Some(Value::Object(members)) => members,
        Some(_) => {
            problems.push(at.problem("wrong-type", "a policy is a JSON object"));
            return Override::new();
        }
    };
    for (key, value) in members {
        let here = at.at(key);
        match fields.iter().find(|(name, _)| name == key) {
            None => {
                let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                problems.push(here.problem("unknown-field", format!("a policy has {}", names.join(", "))));
            }
            Some((_, bounds)) if !value.as_u64().is_some_and(|number| bounds.contains(&number)) => {
                let rule = format!(
                    "{key} is a whole number from {} to {}",
                    bounds.start(),
                    bounds.end()
                );
                problems.push(here.problem("out-of-bounds", rule));
            }
            Some(_) => {}
        }
    }
    members.clone()
}

/// `policy` with the fields of `over` in the place of its own. `over` has passed [`read_override`].
pub fn overlaid<P: Serialize + DeserializeOwned>(policy: &P, over: &Override) -> P {
    let mut value = serde_json::to_value(policy).expect("a policy is made of numbers");
    let members = value.as_object_mut().expect("a policy is an object");
    members.extend(over.clone());
    serde_json::from_value(value).expect("an override has only the fields and types of its policy")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::saga::{CompensatePolicy, RunPolicy};

    #[test]
    fn the_fields_are_exactly_those_of_the_policies_and_their_defaults_are_in_bounds() {
        let check = |policy: Value, fields: &[Field]| {
            let mut problems = Vec::new();
            read_override(Some(&policy), fields, &Pointer::root(), &mut problems);
            assert_eq!(problems, []);
            assert_eq!(policy.as_object().map(Map::len), Some(fields.len()));
        };
        check(serde_json::to_value(RunPolicy::default()).unwrap(), &RUN_FIELDS);
        check(
            serde_json::to_value(CompensatePolicy::default()).unwrap(),
            &COMPENSATE_FIELDS,
        );
    }

    #[test]
    fn an_override_replaces_only_the_fields_that_it_names() {
        let over = json!({"max_attempts": 2}).as_object().cloned().unwrap();
        let expected = RunPolicy {
            max_attempts: 2,
            ..RunPolicy::default()
        };
        assert_eq!(overlaid(&RunPolicy::default(), &over), expected);
    }

    #[test]
    fn a_field_out_of_bounds_or_of_another_type_is_refused_where_it_stands() {
        let mut problems = Vec::new();
        let policy = json!({"max_attempts": 0, "total_ms": "1h", "backoff_base_ms": 1.5, "retries": 1});
        read_override(
            Some(&policy),
            &RUN_FIELDS,
            &Pointer::root().at("run"),
            &mut problems,
        );
        let mut found: Vec<(&str, &str)> = problems.iter().map(|p| (p.pointer.as_str(), p.code)).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("/run/backoff_base_ms", "out-of-bounds"),
                ("/run/max_attempts", "out-of-bounds"),
                ("/run/retries", "unknown-field"),
                ("/run/total_ms", "out-of-bounds"),
            ]
        );
    }
}
