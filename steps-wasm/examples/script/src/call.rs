//! Carries a script out.

use guest::bindings::arcadia::step::info;
use guest::{
    CloudResource, Effect, Host, Invocation, Later, Level, Outcome, Phase, Prior, StepError, Stop, Verdict,
    conclude_with, failure,
};
use serde_json::{Value, json};

use crate::request;
use crate::script::{happens, section};

pub fn run(host: &dyn Host, call: &Invocation) -> Result<Outcome, StepError> {
    carry_out(host, call, None)
}

pub fn compensate(host: &dyn Host, call: &Invocation, prior: &Prior) -> Result<Outcome, StepError> {
    carry_out(host, call, Some(prior))
}

fn carry_out(host: &dyn Host, call: &Invocation, prior: Option<&Prior>) -> Result<Outcome, StepError> {
    let params = host.params();
    let name = if call.phase == Phase::Run {
        "run"
    } else {
        "compensate"
    };
    let script = params
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let (operations, passed) = section(script, call);
    let mut held = Vec::new();
    let mut failures = 0;
    for operation in operations {
        let Some((name, operation)) = operation.as_object().and_then(|fields| fields.iter().next()) else {
            return Err(StepError::Permanent(failure(
                "bad-script",
                format!("{operation} is no operation"),
            )));
        };
        let ended = match name.as_str() {
            "done" => Some(Ok(Outcome::Done(operation.to_string()))),
            "facts" => Some(Ok(Outcome::Done(facts(host, call, prior, operation).to_string()))),
            "again" => Some(Ok(again(operation, passed))),
            "transient" if happens(operation, Some(1), call, &mut failures) => {
                Some(Err(transient(operation)))
            }
            "trap" if happens(operation, None, call, &mut failures) => std::process::abort(),
            "spin" if happens(operation, None, call, &mut failures) => spin(),
            "transient" | "trap" | "spin" => None,
            "permanent" => permanent(host, operation),
            "allocate" => {
                held.push(vec![
                    1_u8;
                    operation
                        .as_u64()
                        .and_then(|bytes| bytes.try_into().ok())
                        .unwrap_or(0)
                ]);
                None
            }
            "recurse" => {
                held.push(recurse(1).to_le_bytes().to_vec());
                None
            }
            _ => match effect(host, name, operation) {
                Ok(()) => None,
                Err(stop) => Some(conclude_with(Err(stop), || call.state.clone())),
            },
        };
        if let Some(ended) = ended {
            std::hint::black_box(&held);
            return ended;
        }
    }
    Ok(Outcome::Done("{}".to_owned()))
}

fn text(operation: &Value, name: &str, default: &str) -> String {
    operation
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or(default)
        .to_owned()
}

fn again(operation: &Value, passed: u64) -> Outcome {
    Outcome::Again(Later {
        after_ms: operation.get("after_ms").and_then(Value::as_u64).unwrap_or(0),
        state: operation.get("state").map(Value::to_string),
        progress: Some(text(operation, "progress", &format!("sleep {}", passed + 1))),
    })
}

fn transient(operation: &Value) -> StepError {
    let message = text(operation, "message", "the script says so");
    let mut failure = failure(&text(operation, "code", "scripted"), message);
    failure.retry_after_ms = operation.get("retry_after_ms").and_then(Value::as_u64);
    StepError::Transient(failure)
}

/// With `times`, calls are counted where neither an error nor an operator's retry loses the count.
fn permanent(host: &dyn Host, operation: &Value) -> Option<Result<Outcome, StepError>> {
    if let Some(times) = operation.get("times").and_then(Value::as_u64) {
        let failed = host.get("scripted").and_then(|count| count.as_u64()).unwrap_or(0);
        if failed >= times {
            return None;
        }
        let counted = host
            .set("scripted", &json!(failed + 1))
            .and_then(|()| host.checkpoint());
        if let Err(error) = counted {
            return Some(conclude_with(Err(error.into()), || None));
        }
    }
    let message = text(operation, "message", "the script says so");
    Some(Err(StepError::Permanent(failure(
        &text(operation, "code", "scripted"),
        message,
    ))))
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 32]);
    if frame[0] == 0 {
        0
    } else {
        recurse(depth + 1).wrapping_add(frame[31])
    }
}

/// The operations that go on.
fn effect(host: &dyn Host, name: &str, operation: &Value) -> Result<(), Stop> {
    match name {
        "set" => {
            for (key, value) in operation.as_object().into_iter().flatten() {
                host.set(key, value)?;
            }
        }
        "remove" => {
            for key in operation
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
            {
                host.remove(key)?;
            }
        }
        "checkpoint" => host.checkpoint()?,
        "log" => host.log(Level::Info, operation.as_str().unwrap_or_default()),
        "until_cancelled" => while !info::cancel_requested() {},
        "http" => request::http(host, operation)?,
        "recall" => request::recall(host, operation)?,
        "upsert" => upsert(host, operation)?,
        "mark_deleted" => {
            let field = |name| text(operation, name, "");
            host.mark_deleted(&field("provider"), &field("kind"), &field("provider_id"))?;
        }
        "report" => {
            let field = |name| text(operation, name, "");
            let (provider, kind, id) = (field("provider"), field("kind"), field("provider_id"));
            host.report(&field("code"), &provider, &kind, &id, &field("message"))?;
        }
        unknown => {
            return Err(guest::permanent(
                "bad-script",
                format!("{unknown} is no operation"),
            ));
        }
    }
    Ok(())
}

fn upsert(host: &dyn Host, operation: &Value) -> Result<(), Stop> {
    let resource_id = host.upsert(&CloudResource {
        provider: text(operation, "provider", "test"),
        kind: text(operation, "kind", "thing"),
        provider_id: text(operation, "provider_id", "1"),
        name: operation.get("name").and_then(Value::as_str).map(str::to_owned),
        region: None,
        status: text(operation, "status", "active"),
        public_ip: None,
        tags: Vec::new(),
        raw: operation.to_string(),
    })?;
    if let Some(spec) = operation.get("spec") {
        host.record_provisioned(&resource_id, spec)?;
    }
    Ok(())
}

fn facts(host: &dyn Host, call: &Invocation, prior: Option<&Prior>, operation: &Value) -> Value {
    let names = |field: &str| {
        let names = operation
            .get(field)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        names
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let json = |text: Option<String>| text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let context: Vec<_> = names("context")
        .into_iter()
        .map(|key| (host.get(&key), key))
        .collect();
    let outputs: Vec<_> = names("output_of")
        .into_iter()
        .map(|step| (json(info::output_of(&step)), step))
        .collect();
    let others: Vec<_> = names("info")
        .into_iter()
        .map(|name| (json!(info::get(&name)), name))
        .collect();
    let object = |pairs: Vec<(Value, String)>| {
        Value::Object(pairs.into_iter().map(|(value, name)| (name, value)).collect())
    };
    json!({
        "saga_id": call.saga_id,
        "kind": call.kind,
        "deployment_id": call.deployment_id,
        "triggered_by": call.triggered_by,
        "step": call.step,
        "phase": if call.phase == Phase::Run { "run" } else { "compensate" },
        "attempt": call.attempt,
        "polls": call.polls,
        "idempotency_key": call.idempotency_key,
        "resource_tag": call.resource_tag,
        "saga_tag": call.saga_tag,
        "phase_age_ms": call.phase_age_ms,
        "remaining_ms": call.remaining_ms,
        "state": json(call.state.clone()),
        "prior": prior.map(known),
        "inputs": host.inputs(),
        "random": info::random(8),
        "cancel_requested": info::cancel_requested(),
        "context": object(context.into_iter().map(|(value, key)| (json!(value), key)).collect()),
        "output_of": object(outputs.into_iter().map(|(value, step)| (json!(value), step)).collect()),
        "info": object(others),
    })
}

fn known(prior: &Prior) -> Value {
    let read = |text: &String| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let verdict = match &prior.verdict {
        Verdict::Succeeded(output) => json!({ "succeeded": read(output) }),
        Verdict::Failed(failure) => json!({ "failed": failure.code }),
        Verdict::Unfinished => json!("unfinished"),
    };
    let effect = match prior.effect {
        Effect::None => "none",
        Effect::Maybe => "maybe",
        Effect::Applied => "applied",
    };
    json!({ "verdict": verdict, "effect": effect, "state": prior.state.as_ref().map(read) })
}
