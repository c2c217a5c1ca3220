//! What a call is given, what it may ask of the host, and how it ended: the runtime's whole view of the world outside.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use crate::{
    cloud::{FetchError, Grant, Outgoing, Response},
    saga::{CallEnd, CloudResource, Effect, Json, Phase, ResourceKey, SagaId, Verdict, Writes},
};

pub use crate::cloud::Recorded;

/// One call of `run` or `compensate`.
#[derive(Debug, Clone)]
pub struct Call {
    pub saga: SagaId,
    pub kind: String,
    pub deployment_id: Option<String>,
    pub triggered_by: String,
    pub step: String,
    pub phase: Phase,
    pub attempt: u32,
    pub polls: u32,
    pub idempotency_key: String,
    pub resource_tag: String,
    pub phase_age_ms: u64,
    pub remaining_ms: u64,
    pub state: Option<Json>,
    /// Only for `compensate`.
    pub prior: Option<Prior>,
    pub inputs: Json,
    pub params: Json,
    /// Outputs of the saga's other steps that count as done, by name in lower case.
    pub outputs: Arc<BTreeMap<String, Json>>,
    /// What the step's scope shows, `__inputs__` apart (the runtime adds it).
    pub context: BTreeMap<String, Json>,
    /// Keys that the manifest declares to write; anything else is `denied`.
    pub writable: Vec<String>,
    /// What the manifest asks ∩ what was approved.
    pub grants: Arc<[Grant]>,
    /// `info.random` is the same for every attempt of a phase: derived from this.
    pub seed: [u8; 32],
    pub call_timeout_ms: u64,
    /// Asked for by the manifest; the runtime's own limit is the ceiling.
    pub memory_bytes: Option<u64>,
}

/// What is known about `run` when `compensate` is called.
#[derive(Debug, Clone)]
pub struct Prior {
    pub verdict: Verdict,
    pub effect: Effect,
    pub state: Option<Json>,
}

/// How a call ended, with what it asked to keep: kept only when it ended with `done` or `again`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub end: CallEnd,
    pub writes: Writes,
}

/// The call's way out. Dropping the guest (cancel, timeout, trap) drops futures of these methods: whatever must outlive the
/// guest, an exchange on the wire above all, runs in a task of its own.
#[async_trait]
pub trait CallHost: Send + Sync + 'static {
    fn now_ms(&self) -> i64;

    /// The saga no longer wants this call's result.
    fn cancel_requested(&self) -> bool;

    /// Makes the writes so far durable.
    async fn checkpoint(&self, writes: Writes) -> Result<(), Unsaved>;

    async fn fetch(&self, request: Outgoing) -> Result<Response, FetchError>;

    async fn recall(&self, phase: Phase, key: &str) -> Recorded;

    /// By its key with `account` left empty: the host knows the account.
    async fn resource(&self, key: ResourceKey) -> Result<Option<CloudResource>, Unsaved>;

    /// The account behind the service that has the provider's name, part of every resource key; empty where it can't be told. The
    /// same for the whole call.
    fn account(&self, provider: &str) -> String;

    fn log(&self, line: LogLine);
}

/// Why something was not saved or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsaved {
    /// This host no longer owns the saga.
    Fenced,
    /// The database can't now: says nothing about the step, and costs it nothing.
    Unavailable(String),
    /// The database won't take it.
    Rejected(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub level: tracing::Level,
    pub message: String,
    pub fields: Vec<(String, String)>,
}
