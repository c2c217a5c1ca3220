//! Where in a script a call stands.

use guest::Invocation;
use serde_json::Value;

/// The operations of one call: those behind the last `again`, up to and with the next one.
pub(crate) fn section<'a>(script: &'a [Value], call: &Invocation) -> (&'a [Value], u64) {
    let mut passed = u64::from(call.polls);
    let mut start = 0;
    for (index, operation) in script.iter().enumerate() {
        let Some(again) = operation.get("again") else {
            continue;
        };
        let times = again.get("times").and_then(Value::as_u64).unwrap_or(1);
        if passed < times {
            // The first of several sleeps comes behind the operations before it; the others come alone.
            return if passed > 0 {
                (&script[index..], passed)
            } else {
                (&script[start..], 0)
            };
        }
        passed -= times;
        start = index + 1;
    }
    (&script[start..], 0)
}

/// Whether an operation that shall happen in so many attempts happens in this one. `before` sums those of earlier operations.
pub(crate) fn happens(
    operation: &Value,
    default_times: Option<u64>,
    call: &Invocation,
    before: &mut u64,
) -> bool {
    let times = operation.get("times").and_then(Value::as_u64).or(default_times);
    let Some(times) = times else { return true };
    *before += times;
    u64::from(call.attempt) <= *before
}

#[cfg(test)]
mod tests {
    use guest::{Invocation, Phase};
    use serde_json::{Value, json};

    use super::{happens, section};

    fn call(polls: u32, attempt: u32) -> Invocation {
        Invocation {
            saga_id: String::new(),
            kind: String::new(),
            deployment_id: None,
            triggered_by: String::new(),
            step: String::new(),
            phase: Phase::Run,
            attempt,
            polls,
            idempotency_key: String::new(),
            resource_tag: String::new(),
            saga_tag: String::new(),
            phase_age_ms: 0,
            remaining_ms: 0,
            state: None,
        }
    }

    #[test]
    fn each_call_goes_on_behind_the_sleep_that_ended_the_last_one() {
        let script = [
            json!({"log": "a"}),
            json!({"again": {"times": 2}}),
            json!({"log": "b"}),
            json!({"again": {}}),
            json!({"done": 1}),
        ];
        let parts: Vec<&[Value]> = (0..5).map(|polls| section(&script, &call(polls, 1)).0).collect();
        assert_eq!(
            parts,
            [
                &script[0..],
                &script[1..],
                &script[2..],
                &script[4..],
                &script[4..]
            ]
        );
    }

    #[test]
    fn failures_add_up_within_a_section() {
        let (first, second) = (json!({"times": 2}), json!({}));
        let outcome = |attempt| {
            let mut before = 0;
            let call = call(0, attempt);
            (
                happens(&first, Some(1), &call, &mut before),
                happens(&second, Some(1), &call, &mut before),
            )
        };
        assert_eq!(
            [1, 2, 3, 4].map(outcome),
            [(true, true), (true, true), (false, true), (false, false)]
        );
        assert!(happens(&json!({}), None, &call(0, 99), &mut 0));
    }
}
