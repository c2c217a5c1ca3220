//! wasmtime's engine as this host wants it, and the clock that makes guests yield.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::{
    RuntimeOptions,
    limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_STACK_BYTES, MAX_TABLE_ELEMENTS, MAX_TABLES},
};

/// Stack of the fiber that a guest runs on. The host's functions run on it too: what is above the guest's share is theirs.
const FIBER_STACK_BYTES: usize = 2 << 20;
/// What stays in a pool's slot between calls, instead of going back to the system.
const KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// With a pool of memories and stacks where the address space can be had (then true), else without: slower, otherwise the
/// same.
pub(super) fn build(options: &RuntimeOptions) -> wasmtime::Result<(Engine, bool)> {
    let mut pooled = config();
    pooled.allocation_strategy(pool(options));
    match Engine::new(&pooled) {
        Ok(engine) => {
            tracing::debug!(slots = options.max_calls, "guests run in a pool of memories");
            Ok((engine, true))
        }
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "no address space for a pool of guest memories; each call allocates its own"
            );
            let mut single = config();
            single.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            Engine::new(&single).map(|engine| (engine, false))
        }
    }
}

/// For a process that only compiles: the same code as the other engines', made by one thread.
pub(super) fn compiling() -> wasmtime::Result<Engine> {
    let mut config = config();
    config.parallel_compilation(false);
    Engine::new(&config)
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(MAX_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES);
    config
}

fn pool(options: &RuntimeOptions) -> PoolingAllocationConfig {
    let calls = options.max_calls;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_stacks(calls)
        .total_core_instances(calls.saturating_mul(64))
        .total_memories(calls.saturating_add(calls / 4))
        .total_tables(calls.saturating_mul(4))
        .max_core_instances_per_component(MAX_CORE_INSTANCES as u32)
        .max_memories_per_component(MAX_MEMORIES as u32)
        .max_tables_per_component(MAX_TABLES as u32)
        .max_memories_per_module(MAX_MEMORIES as u32)
        .max_tables_per_module(MAX_TABLES as u32)
        .max_memory_size(options.max_memory_bytes)
        .table_elements(MAX_TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(KEEP_RESIDENT_BYTES);
    pool
}

/// Moves the engine's epoch while any guest runs, and sleeps otherwise. A guest that computes yields at the next tick.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    stopped: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engine: Engine, tick: Duration) -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let watched = shared.clone();
        let thread = std::thread::Builder::new()
            .name("step-ticker".to_owned())
            .spawn(move || {
                while !watched.stopped.load(Ordering::Acquire) {
                    if watched.running.load(Ordering::Acquire) == 0 {
                        std::thread::park();
                    } else {
                        std::thread::sleep(tick);
                        engine.increment_epoch();
                    }
                }
            })?;
        Ok(Ticker {
            shared,
            thread: thread.thread().clone(),
        })
    }

    /// The epoch moves at least as long as the answer lives.
    pub(super) fn running(&self) -> Running {
        if self.shared.running.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Running(self.shared.clone())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[derive(Debug)]
pub(super) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}
