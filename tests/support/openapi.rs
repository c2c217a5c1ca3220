//! The official OpenAPI description of the provider, and what an answer violates of it.

use std::collections::BTreeSet;

use jsonschema::{Draft, Validator};
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

const TEXT: &str = include_str!("../fixtures/digitalocean/digitalocean-droplets.openapi.json");

pub struct Description {
    paths: Map<String, Value>,
}

impl Description {
    pub fn official() -> Self {
        // A misprint of the description: the provider, its examples and its clients say `images`.
        let text = TEXT.replace("\"imgages\"", "\"images\"");
        let description: Value = serde_json::from_str(&text).expect("the description is JSON");
        let paths = description["paths"].as_object().expect("an object of paths");
        Self { paths: paths.clone() }
    }

    /// Every endpoint, as `GET /v2/droplets/{droplet_id}`.
    pub fn operations(&self) -> BTreeSet<String> {
        let of_path = |(path, methods): (&String, &Value)| {
            let methods = methods.as_object().expect("an object of methods").keys();
            let named = methods.map(|method| format!("{} {path}", method.to_uppercase()));
            named.collect::<Vec<_>>()
        };
        self.paths.iter().flat_map(of_path).collect()
    }

    /// The endpoint that a request addresses; literal segments go before placeholders.
    pub fn operation(&self, method: &str, path: &str) -> Option<String> {
        let mut fitting: Vec<&String> = self
            .paths
            .keys()
            .filter(|template| fits(template, path))
            .collect();
        fitting.sort_by_key(|template| template.matches('{').count());
        let described = |template: &&&String| self.paths[**template].get(method.to_lowercase()).is_some();
        let template = fitting.iter().find(described)?;
        Some(format!("{method} {template}"))
    }

    /// Whether the description names this status for the endpoint, instead of leaving it to `default`.
    pub fn names(&self, operation: &str, status: u16) -> bool {
        self.responses(operation).get(status.to_string()).is_some()
    }

    fn responses(&self, operation: &str) -> &Value {
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        &self.paths[path][method.to_lowercase()]["responses"]
    }

    /// Everything that an answer violates: its status, its headers, its body, and fields that the description doesn't know.
    pub fn violations(&self, operation: &str, status: u16, headers: &HeaderMap, body: &Value) -> Vec<String> {
        let responses = self.responses(operation);
        let response = responses
            .get(status.to_string())
            .or_else(|| responses.get("default"));
        let Some(response) = response else {
            return vec![format!("{operation} {status}: the status is not described")];
        };
        let mut found = violations_in_headers(&response["headers"], headers);
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_null() {
            if !body.is_null() {
                found.push("a body where none is described".into());
            }
        } else {
            let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok());
            if !kind.is_some_and(|kind| kind.starts_with("application/json")) {
                found.push(format!("the content type {kind:?}"));
            }
            let validator = validator(schema);
            let errors = validator.iter_errors(body);
            found.extend(errors.map(|error| format!("{} at {}", error.masked(), error.instance_path())));
            add_undescribed(&[schema], body, "", &mut found);
        }
        let named = |violation| format!("{operation} {status}: {violation}");
        found.into_iter().map(named).collect()
    }
}

/// Headers that are missing, or aren't the numbers that they must be.
fn violations_in_headers(described: &Value, headers: &HeaderMap) -> Vec<String> {
    let described = described.as_object().into_iter().flatten();
    let described = described.filter(|(name, _)| *name != "content-type");
    let violation = |(name, header): (&String, &Value)| match headers.get(name) {
        None => Some(format!("no header {name}")),
        Some(value) if header["schema"]["type"] == "integer" => {
            let text = value.to_str().unwrap_or_default();
            let number = text.parse::<u64>();
            number.is_err().then(|| format!("the header {name} is {text:?}"))
        }
        Some(_) => None,
    };
    described.filter_map(violation).collect()
}

/// The schema and everything that it is put together from.
fn parts(schema: &Value) -> Vec<&Value> {
    let combined = ["allOf", "anyOf", "oneOf"].map(|name| schema[name].as_array());
    let combined = combined.into_iter().flatten().flatten();
    std::iter::once(schema).chain(combined.flat_map(parts)).collect()
}

/// Fields that no schema names: allowed by the letter, but more likely a misspelt optional one.
fn add_undescribed(schemas: &[&Value], value: &Value, at: &str, found: &mut Vec<String>) {
    let parts: Vec<&Value> = schemas.iter().flat_map(|schema| parts(schema)).collect();
    match value {
        Value::Object(fields) => {
            // A schema without fields leaves them open.
            if parts.iter().all(|part| part["properties"].is_null()) {
                return;
            }
            for (name, field) in fields {
                let of_field = parts.iter().filter_map(|part| part["properties"].get(name));
                let of_field: Vec<&Value> = of_field.collect();
                if of_field.is_empty() {
                    found.push(format!("an undescribed field {name} at {at}"));
                } else {
                    add_undescribed(&of_field, field, &format!("{at}/{name}"), found);
                }
            }
        }
        Value::Array(items) => {
            let of_items: Vec<&Value> = parts.iter().filter_map(|part| part.get("items")).collect();
            for (index, item) in items.iter().enumerate() {
                add_undescribed(&of_items, item, &format!("{at}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let same = |(expected, found): (&&str, &&str)| expected == found || expected.starts_with('{');
    template.len() == path.len() && template.iter().zip(&path).all(same)
}

/// OpenAPI 3.0 is JSON Schema draft 4, but for `nullable`.
fn validator(schema: &Value) -> Validator {
    let mut schema = schema.clone();
    spell_out_null(&mut schema);
    let options = jsonschema::options()
        .with_draft(Draft::Draft4)
        .should_validate_formats(true);
    options.build(&schema).expect("a valid schema")
}

fn spell_out_null(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(spell_out_null),
        Value::Object(fields) => {
            for documentation in ["example", "examples", "default"] {
                if fields
                    .get(documentation)
                    .is_some_and(|value| value.get("type").is_none())
                {
                    fields.remove(documentation);
                }
            }
            fields.values_mut().for_each(spell_out_null);
            if fields.get("nullable") == Some(&json!(true)) {
                if let Some(kind) = fields.get("type").cloned() {
                    fields.insert("type".into(), json!([kind, "null"]));
                }
                if let Some(Value::Array(values)) = fields.get_mut("enum") {
                    values.push(Value::Null);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
