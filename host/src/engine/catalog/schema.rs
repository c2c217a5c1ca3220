//! JSON Schema, compiled once and asked often. Nothing is fetched: a schema that refers to another document is refused.
//! Patterns run in linear time, so that no schema can make a check slow: look-around and back-references are refused.

use jsonschema::{PatternOptions, Validator, error::ValidationErrorKind};
use serde_json::Value;

use super::pointer::Pointer;
use crate::engine::Problem;

/// Compiled patterns of a schema are at most this large, each.
const PATTERN_BYTES: usize = 1 << 20;

/// Most problems that one check reports.
const MAX_PROBLEMS: usize = 20;

#[derive(Debug)]
pub struct Schema(Validator);

/// One thing in a value that its schema refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// From the value's root to what is wrong, a missing or unexpected member included; keys unescaped.
    pub path: Vec<String>,
    pub code: &'static str,
    pub message: String,
}

impl Schema {
    /// `at`: where the schema stands in what was sent.
    pub fn compile(schema: &Value, at: &Pointer) -> Result<Schema, Problem> {
        if !schema.is_object() && !schema.is_boolean() {
            return Err(at.problem("invalid-schema", "a JSON Schema is an object or a boolean"));
        }
        if let Some((path, target)) = foreign_reference(schema, &Pointer::root()) {
            return Err(at.join(&path.to_string()).problem(
                "foreign-reference",
                format!("{target:?} is another document; a schema refers only to itself (\"#/$defs/…\")"),
            ));
        }
        jsonschema::options()
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES))
            .build(schema)
            .map(Schema)
            .map_err(|error| {
                at.join(error.instance_path().as_str())
                    .problem("invalid-schema", format!("not a valid JSON Schema: {error}"))
            })
    }

    /// What is wrong with `value`, at most [`MAX_PROBLEMS`] things.
    pub fn check(&self, value: &Value) -> Vec<Violation> {
        let mut violations = Vec::new();
        for error in self.0.iter_errors(value) {
            let path = keys_of(error.instance_path().as_str());
            let message = error.to_string();
            let mut add = |key: Option<&str>, code| {
                let mut path = path.clone();
                path.extend(key.map(str::to_owned));
                violations.push(Violation {
                    path,
                    code,
                    message: message.clone(),
                });
            };
            match error.kind() {
                ValidationErrorKind::Required { property } => add(property.as_str(), "missing"),
                ValidationErrorKind::AdditionalProperties { unexpected }
                | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                    for key in unexpected {
                        add(Some(key), "unknown-field");
                    }
                }
                _ => add(None, "schema"),
            }
            if violations.len() >= MAX_PROBLEMS {
                break;
            }
        }
        violations
    }
}

/// The keys of a JSON Pointer.
fn keys_of(pointer: &str) -> Vec<String> {
    pointer
        .split('/')
        .skip(1)
        .map(|key| key.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// The first reference that does not begin with `#`, and where it stands.
fn foreign_reference<'a>(schema: &'a Value, at: &Pointer) -> Option<(Pointer, &'a str)> {
    match schema {
        Value::Object(members) => members.iter().find_map(|(key, value)| {
            let here = at.at(key);
            match value {
                Value::String(target)
                    if matches!(key.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef")
                        && !target.starts_with('#') =>
                {
                    Some((here, target.as_str()))
                }
                _ => foreign_reference(value, &here),
            }
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| foreign_reference(item, &at.at(index))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compiled(schema: Value) -> Result<Schema, Problem> {
        Schema::compile(&schema, &Pointer::root().at("params_schema"))
    }

    #[test]
    fn a_schema_that_is_none_is_refused_where_it_is_wrong() {
        for (schema, pointer, code) in [
            (json!(7), "/params_schema", "invalid-schema"),
            (json!({"type": "objekt"}), "/params_schema/type", "invalid-schema"),
            (
                json!({"properties": {"a": {"minLength": -1}}}),
                "/params_schema/properties/a/minLength",
                "invalid-schema",
            ),
            (
                json!({"properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}}),
                "/params_schema/properties/a/$ref",
                "foreign-reference",
            ),
            (
                json!({"$ref": "file:///etc/passwd"}),
                "/params_schema/$ref",
                "foreign-reference",
            ),
        ] {
            let problem = compiled(schema.clone()).expect_err(&schema.to_string());
            assert_eq!(
                (problem.pointer.as_str(), problem.code),
                (pointer, code),
                "{problem:?}"
            );
        }
        compiled(json!({"$defs": {"a": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a"}}}))
            .unwrap();
    }

    #[test]
    fn a_schema_cannot_bring_a_slow_pattern() {
        assert!(compiled(json!({"pattern": "^(?=a)b"})).is_err());
    }

    #[test]
    fn a_missing_and_an_unknown_member_are_named_by_their_own_path() {
        let schema = compiled(json!({
            "type": "object",
            "properties": {"a": {"type": "object", "required": ["b/c"]}, "n": {"type": "integer"}},
            "additionalProperties": false
        }))
        .unwrap();
        let found: Vec<(Vec<String>, &str)> = schema
            .check(&json!({"a": {}, "n": "x", "other": 1}))
            .into_iter()
            .map(|violation| (violation.path, violation.code))
            .collect();
        let path = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
        assert!(found.contains(&(path(&["a", "b/c"]), "missing")), "{found:?}");
        assert!(found.contains(&(path(&["n"]), "schema")), "{found:?}");
        assert!(found.contains(&(path(&["other"]), "unknown-field")), "{found:?}");
        assert_eq!(found.len(), 3);
    }
}
