//! Whether two requests ask for the same: a hash over what they mean, not over how they are written.

use serde_json::Value;

use crate::{
    engine::{PlanSource, StartSaga},
    saga::id::hash_of,
};

/// 64 hex digits: the same for requests that differ only in the order of keys, in white space, or in the endpoint.
pub(super) fn request_hash(request: &StartSaga) -> String {
    let plan = match &request.plan {
        PlanSource::Definition { name } => serde_json::json!({ "definition": name }),
        PlanSource::Inline { kind, steps } => serde_json::json!({ "kind": kind.as_str(), "steps": steps }),
    };
    let whole = serde_json::json!({
        "plan": plan,
        "inputs": request.inputs.to_value(),
        "params": request.params,
        "paused": request.paused,
        "deployment_id": request.deployment_id,
        "triggered_by": request.triggered_by,
    });
    let mut text = String::new();
    write(&whole, &mut text);
    data_encoding::HEXLOWER.encode(&hash_of(&[b"start-saga", text.as_bytes()]))
}

/// As compact JSON with sorted keys, at every depth.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(&members[key], text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::saga::Json;

    fn request(inputs: &str) -> StartSaga {
        StartSaga {
            plan: PlanSource::Definition {
                name: "greet".to_owned(),
            },
            inputs: Json::parse(inputs).unwrap(),
            params: BTreeMap::new(),
            paused: false,
            deployment_id: None,
            triggered_by: "admin".to_owned(),
            actor: "admin".to_owned(),
            idempotency: None,
        }
    }

    #[test]
    fn only_what_a_request_means_counts() {
        let hash = request_hash(&request(r#"{"a":{"x":1,"y":[1,2]},"b":"1"}"#));
        assert_eq!(
            hash,
            request_hash(&request(r#"{ "b":"1", "a":{"y":[1, 2],"x":1} }"#))
        );
        for other in [
            r#"{"a":{"x":1,"y":[2,1]},"b":"1"}"#,
            r#"{"a":{"x":1,"y":[1,2]},"b":1}"#,
            r#"{"a":{"x":1,"y":[1,2]}}"#,
        ] {
            assert_ne!(hash, request_hash(&request(other)), "{other}");
        }
        let elsewhere = StartSaga {
            deployment_id: Some("d".to_owned()),
            ..request("{}")
        };
        assert_ne!(request_hash(&request("{}")), request_hash(&elsewhere));
    }
}
