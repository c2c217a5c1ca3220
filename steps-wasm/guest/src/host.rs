//! The host as a step sees it.
//!
//! One implementation calls the contract's imports (`Live`); the other is a host in memory, for tests.

use serde_json::Value;

use crate::{
    CloudResource, ContextError, HttpError, InventoryError, Level, Phase, Recorded, Request, Response,
};

/// The imports of the world, with JSON read and written. The contract (`wit/step.wit`) says what each call promises.
pub trait Host {
    fn inputs(&self) -> Value;
    fn params(&self) -> Value;
    fn now_ms(&self) -> u64;

    fn get(&self, key: &str) -> Option<Value>;
    fn set(&self, key: &str, value: &Value) -> Result<(), ContextError>;
    fn remove(&self, key: &str) -> Result<(), ContextError>;
    fn checkpoint(&self) -> Result<(), ContextError>;

    fn fetch(&self, request: &Request) -> Result<Response, HttpError>;
    fn recall(&self, phase: Phase, key: &str) -> Recorded;

    fn upsert(&self, entry: &CloudResource) -> Result<String, InventoryError>;
    fn resource(
        &self,
        provider: &str,
        kind: &str,
        provider_id: &str,
    ) -> Result<Option<CloudResource>, InventoryError>;
    fn mark_deleted(&self, provider: &str, kind: &str, provider_id: &str) -> Result<(), InventoryError>;
    fn record_provisioned(&self, resource_id: &str, spec: &Value) -> Result<(), InventoryError>;
    fn withdraw_provisioned(&self, resource_id: &str) -> Result<(), InventoryError>;
    fn report(
        &self,
        code: &str,
        provider: &str,
        kind: &str,
        provider_id: &str,
        message: &str,
    ) -> Result<(), InventoryError>;

    fn log(&self, level: Level, message: &str);
}
