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
        let description: Value = serde_json::from_str(TEXT).expect("the description is JSON");
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

    /// What an answer violates: its status, its headers, its body.
    pub fn violations(&self, operation: &str, status: u16, headers: &HeaderMap, body: &Value) -> Vec<String> {
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        let responses = &self.paths[path][method.to_lowercase()]["responses"];
        let response = responses
            .get(status.to_string())
            .or_else(|| responses.get("default"));
        let Some(response) = response else {
            return vec![format!("{operation} {status}: the status is not described")];
        };
        let required = response["headers"].as_object().into_iter().flat_map(Map::keys);
        let missing = required.filter(|name| *name != "content-type" && !headers.contains_key(*name));
        let mut found: Vec<String> = missing
            .map(|name| format!("{operation} {status}: no header {name}"))
            .collect();
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_null() {
            if !body.is_null() {
                found.push(format!("{operation} {status}: a body where none is described"));
            }
            return found;
        }
        let validator = validator(schema);
        let errors = validator.iter_errors(body);
        found.extend(errors.map(|error| {
            format!(
                "{operation} {status}: {} at {}",
                error.masked(),
                error.instance_path()
            )
        }));
        found
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
