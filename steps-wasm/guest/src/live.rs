//! The real host: every method is one import of the component.

use serde_json::Value;

use crate::bindings::arcadia::step::{context, http, info, inventory, log};
use crate::{
    CloudResource, ContextError, Host, HttpError, InventoryError, Level, Phase, Recorded, Request, Response,
};

/// The host that runs this component.
pub struct Live;

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

impl Host for Live {
    fn inputs(&self) -> Value {
        read(&info::inputs())
    }

    fn params(&self) -> Value {
        read(&info::params())
    }

    fn now_ms(&self) -> u64 {
        info::now_ms()
    }

    fn get(&self, key: &str) -> Option<Value> {
        context::get(key).map(|text| read(&text))
    }

    fn set(&self, key: &str, value: &Value) -> Result<(), ContextError> {
        context::set(key, &value.to_string())
    }

    fn remove(&self, key: &str) -> Result<(), ContextError> {
        context::remove(key)
    }

    fn checkpoint(&self) -> Result<(), ContextError> {
        context::checkpoint()
    }

    fn fetch(&self, request: &Request) -> Result<Response, HttpError> {
        http::fetch(request)
    }

    fn recall(&self, phase: Phase, key: &str) -> Recorded {
        http::recall(phase, key)
    }

    fn upsert(&self, entry: &CloudResource) -> Result<String, InventoryError> {
        inventory::upsert(entry)
    }

    fn resource(
        &self,
        provider: &str,
        kind: &str,
        provider_id: &str,
    ) -> Result<Option<CloudResource>, InventoryError> {
        inventory::get(provider, kind, provider_id)
    }

    fn mark_deleted(&self, provider: &str, kind: &str, provider_id: &str) -> Result<(), InventoryError> {
        inventory::mark_deleted(provider, kind, provider_id)
    }

    fn record_provisioned(&self, resource_id: &str, spec: &Value) -> Result<(), InventoryError> {
        inventory::record_provisioned(resource_id, &spec.to_string())
    }

    fn withdraw_provisioned(&self, resource_id: &str) -> Result<(), InventoryError> {
        inventory::withdraw_provisioned(resource_id)
    }

    fn report(
        &self,
        code: &str,
        provider: &str,
        kind: &str,
        provider_id: &str,
        message: &str,
    ) -> Result<(), InventoryError> {
        inventory::report(code, provider, kind, provider_id, message)
    }

    fn log(&self, level: Level, message: &str) {
        log::write(level, message, &[]);
    }
}
