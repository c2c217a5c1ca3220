//! One component as the catalogue knows it: its row, its manifest, and the manifest's schemas, compiled when first asked.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::{
    approval,
    pointer::Pointer,
    schema::{Schema, Violation},
};
use crate::{
    cloud::Grant,
    engine::Problem,
    saga::{ComponentRef, Json},
    step::Manifest,
    store::ComponentRow,
};

pub struct Entry {
    pub row: ComponentRow,
    pub manifest: Manifest,
    /// What its calls may ask services for.
    pub granted: Arc<[Grant]>,
    params: OnceLock<Option<Schema>>,
    inputs: OnceLock<Option<Schema>>,
}

impl Entry {
    pub fn new(row: ComponentRow, manifest: Manifest) -> Arc<Entry> {
        Arc::new(Entry {
            granted: approval::granted(&row, &manifest.grants),
            row,
            manifest,
            params: OnceLock::new(),
            inputs: OnceLock::new(),
        })
    }

    pub fn component(&self) -> ComponentRef {
        ComponentRef {
            name: self.row.name.clone(),
            version: self.row.version.clone(),
            digest: self.row.digest.clone(),
        }
    }

    /// What the manifest refuses in a step's parameters.
    pub fn check_params(&self, params: &Value) -> Vec<Violation> {
        check(&self.params, self.manifest.params_schema.as_ref(), params)
    }

    /// What the manifest refuses in a saga's inputs with the step's parameters laid over them.
    pub fn check_inputs(&self, inputs: &Value) -> Vec<Violation> {
        check(&self.inputs, self.manifest.inputs_schema.as_ref(), inputs)
    }
}

fn check(compiled: &OnceLock<Option<Schema>>, schema: Option<&Json>, value: &Value) -> Vec<Violation> {
    let compiled = compiled.get_or_init(|| Schema::compile(&schema?.to_value(), &Pointer::root()).ok());
    compiled
        .as_ref()
        .map_or_else(Vec::new, |schema| schema.check(value))
}

/// What the catalogue refuses in a manifest that the runtime takes; pointers go into the manifest.
pub fn refused(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, schema) in [
        ("params_schema", &manifest.params_schema),
        ("inputs_schema", &manifest.inputs_schema),
        ("output_schema", &manifest.output_schema),
    ] {
        let at = Pointer::root().at(name);
        problems.extend(
            schema
                .as_ref()
                .and_then(|schema| Schema::compile(&schema.to_value(), &at).err()),
        );
    }
    let inputs = manifest
        .inputs_schema
        .as_ref()
        .map(Json::to_value)
        .unwrap_or_default();
    for key in ["additionalProperties", "unevaluatedProperties"] {
        if inputs.get(key) == Some(&Value::Bool(false)) {
            problems.push(Pointer::root().at("inputs_schema").at(key).problem(
                "closed-schema",
                "a saga's inputs are for all of its steps: a step says what it needs and lets the rest pass",
            ));
        }
    }
    problems
}
