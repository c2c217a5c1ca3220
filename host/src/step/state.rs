//! What a guest's store holds: the call, what the guest wrote so far, and what it has used up.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::Arc,
};

use tokio::runtime::Handle;

use super::{
    CallHost,
    bindings::arcadia::step::types,
    limiter::Limiter,
    limits::{LimitHit, MAX_HOST_CALLS, MAX_WRITE_BYTES},
    log::LogSink,
    task::AbortOnDrop,
    wasi::Wasi,
};
use crate::{
    cloud::Grant,
    saga::{CloudResource, Json, ResourceKey, Writes},
};

pub(super) struct GuestState {
    pub(super) limiter: Limiter,
    /// None while the component is only asked to describe itself.
    call: Option<Box<CallState>>,
    /// Made when the guest first asks for it: most steps never do.
    pub(super) wasi: Option<Box<Wasi>>,
}

pub(super) struct CallState {
    pub(super) host: Arc<dyn CallHost>,
    /// Where the host's futures run: not on the guests' threads.
    pub(super) home: Handle,
    pub(super) inputs: Json,
    pub(super) params: Json,
    pub(super) outputs: Arc<BTreeMap<String, Json>>,
    pub(super) seed: [u8; 32],
    pub(super) grants: Arc<[Grant]>,
    pub(super) writable: Vec<String>,
    pub(super) compensating: bool,
    /// The context as the guest sees it: its own writes included.
    pub(super) context: BTreeMap<String, Json>,
    /// Inventory rows that the guest wrote in this call.
    pub(super) rows: HashMap<ResourceKey, CloudResource>,
    /// What is not yet durable.
    pub(super) writes: Writes,
    pub(super) log: Arc<LogSink>,
    /// A checkpoint or a request was told that this host no longer owns the saga.
    pub(super) fenced: bool,
    /// See `CallEnd::starved`.
    pub(super) starved: bool,
    pub(super) used: Used,
}

/// Counters against the limits of the call.
#[derive(Debug, Default)]
pub(super) struct Used {
    host_calls: u32,
    pub(super) context_writes: u32,
    pub(super) inventory_writes: u32,
    pub(super) inventory_reads: u32,
    write_bytes: usize,
    pub(super) requests: u32,
    pub(super) recalls: u32,
    pub(super) response_bytes: usize,
    pub(super) random_blocks: u64,
}

impl Used {
    /// False when the bytes don't fit any more.
    pub(super) fn write_bytes(&mut self, bytes: usize) -> bool {
        let fits = bytes <= MAX_WRITE_BYTES - self.write_bytes;
        if fits {
            self.write_bytes += bytes;
        }
        fits
    }
}

impl GuestState {
    pub(super) fn describing(memory_bytes: usize) -> GuestState {
        GuestState {
            limiter: Limiter::new(memory_bytes),
            call: None,
            wasi: None,
        }
    }

    pub(super) fn calling(memory_bytes: usize, call: CallState) -> GuestState {
        GuestState {
            limiter: Limiter::new(memory_bytes),
            call: Some(Box::new(call)),
            wasi: None,
        }
    }

    /// Every function of this package begins here: counted, and none of them for `describe`.
    pub(super) fn enter(&mut self, function: &'static str) -> wasmtime::Result<&mut CallState> {
        let call = self
            .call
            .as_deref_mut()
            .ok_or_else(|| wasmtime::Error::new(LimitHit::Describing(function)))?;
        call.used.host_calls += 1;
        if call.used.host_calls > MAX_HOST_CALLS {
            return Err(wasmtime::Error::new(LimitHit::HostCalls));
        }
        Ok(call)
    }

    pub(super) fn log(&self) -> Option<Arc<LogSink>> {
        self.call.as_ref().map(|call| call.log.clone())
    }

    pub(super) fn starved(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.starved)
    }

    pub(super) fn into_writes(self) -> Writes {
        self.call.map(|call| call.writes).unwrap_or_default()
    }
}

/// The package's shared types have no functions.
impl types::Host for GuestState {}

impl CallState {
    /// Asks the host on the threads of whoever made the call, so that neither guests hold up the host's I/O nor the host
    /// the guests. Dropped with the guest.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        function: &'static str,
        answer: impl Future<Output = T> + Send + 'static,
    ) -> wasmtime::Result<T> {
        AbortOnDrop::spawn(&self.home, answer).await.map_err(|error| {
            tracing::error!(%error, function, "the host's side of a call failed");
            wasmtime::Error::new(LimitHit::Host(function))
        })
    }
}
