//! The operations `http` and `recall`.

use guest::{Host, HttpError, Once, Phase, Recorded, Request, Response, Stop};
use serde_json::{Value, json};

fn text(operation: &Value, name: &str) -> String {
    operation
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn pairs(operation: &Value, name: &str) -> Vec<(String, String)> {
    let fields = operation.get(name).and_then(Value::as_object);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

fn number(operation: &Value, name: &str) -> Option<u32> {
    operation.get(name)?.as_u64()?.try_into().ok()
}

fn answer(response: &Response) -> Value {
    let body = String::from_utf8_lossy(&response.body);
    json!({
        "status": response.status,
        "body": serde_json::from_str(&body).unwrap_or_else(|_| json!(body)),
        "replayed": response.replayed,
        "age_ms": response.age_ms,
    })
}

pub(crate) fn http(host: &dyn Host, operation: &Value) -> Result<(), Stop> {
    let once = operation.get("once").map(|once| Once {
        key: text(once, "key"),
        refusals: (once
            .get("refusals")
            .and_then(Value::as_array)
            .into_iter()
            .flatten())
        .filter_map(|status| status.as_u64()?.try_into().ok())
        .collect(),
    });
    let result = host.fetch(&Request {
        service: operation
            .get("service")
            .map_or("digitalocean".to_owned(), |_| text(operation, "service")),
        method: operation
            .get("method")
            .map_or("GET".to_owned(), |_| text(operation, "method")),
        path: text(operation, "path"),
        query: pairs(operation, "query"),
        headers: pairs(operation, "headers"),
        body: operation.get("body").map(|body| body.to_string().into_bytes()),
        timeout_ms: number(operation, "timeout_ms"),
        max_age_ms: number(operation, "max_age_ms"),
        once,
    });
    let save = operation.get("save").and_then(Value::as_str);
    match (result, save) {
        (Ok(response), Some(key)) => host.set(key, &answer(&response))?,
        (Ok(_), None) => {}
        (Err(error), Some(key)) => host.set(key, &json!({ "error": name(&error) }))?,
        (Err(error), None) => return Err(error.into()),
    }
    Ok(())
}

fn name(error: &HttpError) -> &'static str {
    match error {
        HttpError::Denied(_) => "denied",
        HttpError::InvalidRequest(_) => "invalid-request",
        HttpError::Connect(_) => "connect",
        HttpError::RateLimited(_) => "rate-limited",
        HttpError::Unavailable(_) => "unavailable",
        HttpError::BudgetExhausted => "budget-exhausted",
        HttpError::Interrupted(_) => "interrupted",
        HttpError::Timeout => "timeout",
        HttpError::ResponseTooLarge(_) => "response-too-large",
        HttpError::InDoubt => "in-doubt",
        HttpError::KeyReused => "key-reused",
        HttpError::Cancelled => "cancelled",
        HttpError::Fenced => "fenced",
        HttpError::Other(_) => "other",
    }
}

pub(crate) fn recall(host: &dyn Host, operation: &Value) -> Result<(), Stop> {
    let phase = if text(operation, "phase") == "compensate" {
        Phase::Compensate
    } else {
        Phase::Run
    };
    let recorded = match host.recall(phase, &text(operation, "key")) {
        Recorded::Never => json!("never"),
        Recorded::Open(ended_ms) => json!({ "open": ended_ms }),
        Recorded::Refused(response) => json!({ "refused": answer(&response) }),
        Recorded::Answered(response) => json!({ "answered": answer(&response) }),
    };
    host.set(&text(operation, "save"), &recorded)?;
    Ok(())
}
