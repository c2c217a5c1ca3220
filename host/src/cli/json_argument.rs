//! JSON given on the command line: as text, from a file (`@file`), or from standard input (`-`).

use std::{collections::BTreeMap, fs, io::Read as _};

use serde_json::{Map, Value};

use super::failure::CliError;

pub fn read(argument: &str) -> Result<Value, CliError> {
    let (text, place) = if argument == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(CliError::io("can't read standard input"))?;
        (text, "standard input".to_owned())
    } else if let Some(file) = argument.strip_prefix('@') {
        (
            fs::read_to_string(file).map_err(CliError::reading(file))?,
            file.to_owned(),
        )
    } else {
        (argument.to_owned(), "the argument".to_owned())
    };
    serde_json::from_str(&text).map_err(|error| {
        CliError::usage(
            format!("{place} is no JSON: {error}"),
            "write JSON, @file for a file, or - for standard input",
        )
    })
}

pub fn read_object(argument: &str) -> Result<Map<String, Value>, CliError> {
    match read(argument)? {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(
            CliError::usage("this must be a JSON object", "write it like {\"name\":\"web-1\"}"),
        ),
    }
}

/// `step.key=value` pairs as parameters by step. A value that is no JSON is a text.
pub fn params(pairs: &[String]) -> Result<BTreeMap<String, Map<String, Value>>, CliError> {
    let mut params: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for pair in pairs {
        let parsed = pair
            .split_once('=')
            .and_then(|(name, value)| Some((name.rsplit_once('.')?, value)));
        let Some(((step, key), value)) = parsed else {
            return Err(CliError::usage(
                format!("{pair:?} is no parameter"),
                "write it like wait.poll_interval_ms=1000: step, key, value",
            ));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        params
            .entry(step.to_owned())
            .or_default()
            .insert(key.to_owned(), value);
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_grouped_by_step_and_typed_by_their_json() {
        let pairs = [
            "a.b.key=1".to_owned(),
            "a.b.text=x y".to_owned(),
            "c.flag=true".to_owned(),
        ];
        let params = serde_json::to_value(params(&pairs).unwrap()).unwrap();
        assert_eq!(
            params,
            json!({"a.b": {"key": 1, "text": "x y"}, "c": {"flag": true}})
        );
        assert!(super::params(&["nonsense".to_owned()]).is_err());
        assert!(super::params(&["nokey=1".to_owned()]).is_err());
    }
}
