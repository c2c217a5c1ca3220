//! The runtime: compiles components and calls them, each call in a store of its own, on threads of their own unless told
//! otherwise.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::Semaphore};
use wasmtime::{
    Engine, PoolConcurrencyLimitError, Store,
    component::{HasSelf, Linker},
};

use super::{
    CacheOptions, Call, CallHost, CompileError, Compiled, DescribeError, Ended, Manifest, RuntimeOptions,
    Violation,
    bindings::{StepComponent, arcadia::step::types},
    compiler::{CodeCache, Compiler},
    engine::{self, Ticker},
    invocation::{self, Request},
    limits::{DESCRIBE_MEMORY_BYTES, DESCRIBE_MS, MAX_TRANSFER_BYTES},
    outcome,
    state::GuestState,
    task::AbortOnDrop,
};
use crate::saga::{CallEnd, Failure, Json, Outcome, Writes};

/// Least memory of a call, in bytes, whatever its manifest asks for.
const MIN_MEMORY_BYTES: usize = 64 << 10;

pub struct Runtime {
    pub(super) linker: Linker<GuestState>,
    pub(super) compiler: Compiler,
    pub(super) cache: Option<CodeCache>,
    ticker: Arc<Ticker>,
    /// The guests' own threads, if they have any; taken when the runtime ends.
    threads: Option<tokio::runtime::Runtime>,
    calls: Arc<Semaphore>,
    pooled: bool,
    options: RuntimeOptions,
}

#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("the WebAssembly engine does not start: {0:#}")]
    Engine(wasmtime::Error),
    #[error("the threads for steps do not start")]
    Threads(#[from] std::io::Error),
}

impl Runtime {
    /// Reserves address space for `max_calls` calls where it can be had, and starts the guests' threads, if they are to have any.
    pub fn new(options: RuntimeOptions) -> Result<Arc<Runtime>, RuntimeError> {
        let (engine, pooled) = engine::build(&options).map_err(RuntimeError::Engine)?;
        let linker = link(&engine).map_err(RuntimeError::Engine)?;
        let cache = options.cache.clone().and_then(|cache| open(cache, &engine));
        let threads = match options.threads {
            0 => None,
            threads => Some(guest_threads(threads)?),
        };
        Ok(Arc::new(Runtime {
            linker,
            compiler: Compiler::new(options.compiler.clone()),
            cache,
            ticker: Arc::new(Ticker::start(engine, options.tick)?),
            threads,
            calls: Arc::new(Semaphore::new(options.max_calls as usize)),
            pooled,
            options,
        }))
    }

    /// False: the address space for a pool was not to be had, and each call allocates its own memory, which is slower.
    pub fn is_pooled(&self) -> bool {
        self.pooled
    }

    /// Checks and compiles in this process, without a limit: for components that are one's own, as tests have them. What
    /// comes from elsewhere is [loaded](Runtime::load).
    pub fn compile(&self, wasm: Arc<[u8]>) -> Result<Compiled, CompileError> {
        Compiled::of_wasm(&self.linker, &wasm)
    }

    /// Asks a component for its manifest, within 2 s and 128 MiB, with nothing to call but empty-handed WASI. A manifest that
    /// asks for less memory than the component begins with is refused: no call of it could succeed.
    pub async fn describe(&self, compiled: &Compiled) -> Result<Manifest, DescribeError> {
        let permit = self.permit().await;
        let state = GuestState::describing(DESCRIBE_MEMORY_BYTES.min(self.options.max_memory_bytes));
        let (pre, ticker) = (compiled.pre().clone(), self.ticker.clone());
        let mut store = self.store(state);
        let (text, used_bytes) = AbortOnDrop::spawn(&self.guests(), async move {
            let _permit = permit;
            let _running = ticker.running();
            let answer = async {
                let component = pre.instantiate_async(&mut store).await?;
                component.arcadia_step_step().call_describe(&mut store).await
            };
            match tokio::time::timeout(Duration::from_millis(DESCRIBE_MS), answer).await {
                Ok(Ok(text)) => Ok((text, store.data().limiter.memory_bytes())),
                Ok(Err(error)) => Err(DescribeError::Trap(outcome::trap(&error, &store.data().limiter))),
                Err(_) => Err(DescribeError::Timeout),
            }
        })
        .await
        .map_err(|error| DescribeError::Trap(host_failure(&error)))??;
        let json = Json::parse(&text).map_err(DescribeError::Json)?;
        let manifest = Manifest::parse(&json).map_err(DescribeError::Manifest)?;
        if used_bytes > self.memory_bytes(manifest.memory_bytes) {
            return Err(DescribeError::Manifest(vec![Violation::new(
                "/limits/memory_bytes",
                format!("at least {used_bytes}, which describe alone uses"),
            )]));
        }
        Ok(manifest)
    }

    /// Calls `run` or `compensate`. Waits for a free place first, which uses none of the call's time. Must be called within a tokio
    /// runtime: the host's futures run there.
    ///
    /// Dropping the future ends the guest within a millisecond or so, and with it what it asks of `host`.
    pub async fn call(&self, compiled: &Compiled, call: Call, host: Arc<dyn CallHost>) -> Ended {
        let permit = self.permit().await;
        let memory_bytes = self.memory_bytes(call.memory_bytes);
        let timeout = Duration::from_millis(call.call_timeout_ms);
        let (request, state) = invocation::split(call, host, Handle::current());
        let mut store = self.store(GuestState::calling(memory_bytes, state));
        let (pre, ticker) = (compiled.pre().clone(), self.ticker.clone());
        let ended = AbortOnDrop::spawn(&self.guests(), async move {
            let _permit = permit;
            let _running = ticker.running();
            let answer = async {
                let component = pre.instantiate_async(&mut store).await?;
                ask(&component, &mut store, &request).await
            };
            let answer = tokio::time::timeout(timeout, answer).await;
            ended(answer.ok(), store)
        })
        .await;
        ended.unwrap_or_else(|error| Ended {
            end: CallEnd {
                outcome: Outcome::Trap(host_failure(&error)),
                starved: false,
            },
            writes: Writes::default(),
        })
    }

    fn guests(&self) -> Handle {
        match &self.threads {
            Some(threads) => threads.handle().clone(),
            None => Handle::current(),
        }
    }

    /// What a call may use, by what its manifest asks for.
    fn memory_bytes(&self, asked: Option<u64>) -> usize {
        asked
            .map_or(self.options.memory_bytes, |bytes| {
                usize::try_from(bytes).unwrap_or(usize::MAX)
            })
            .clamp(MIN_MEMORY_BYTES, self.options.max_memory_bytes)
    }

    async fn permit(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.calls
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed")
    }

    /// Armed before anything of the guest runs, start functions included.
    fn store(&self, state: GuestState) -> Store<GuestState> {
        let mut store = Store::new(self.linker.engine(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(MAX_TRANSFER_BYTES);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
        store
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn guest_threads(count: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(count)
        .thread_name_fn({
            let count = AtomicUsize::new(0);
            move || format!("step-{}", count.fetch_add(1, Ordering::Relaxed))
        })
        // A guest that computes keeps its thread for a whole tick: look at timers and at new calls after each few.
        .event_interval(8)
        .global_queue_interval(2)
        .enable_all()
        .build()
}

fn open(options: CacheOptions, engine: &Engine) -> Option<CodeCache> {
    let folder = options.folder.clone();
    CodeCache::open(options, engine)
        .inspect_err(|error| {
            tracing::warn!(
                folder = %folder.display(), %error,
                "compiled code can't be kept; components are compiled again after each start"
            );
        })
        .ok()
}

fn link(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    StepComponent::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Ok(linker)
}

async fn ask(
    component: &StepComponent,
    store: &mut Store<GuestState>,
    request: &Request,
) -> wasmtime::Result<Result<types::Outcome, types::StepError>> {
    let step = component.arcadia_step_step();
    match &request.prior {
        None => step.call_run(store, &request.invocation).await,
        Some(prior) => step.call_compensate(store, &request.invocation, prior).await,
    }
}

/// `answer` is none when the wall time ran out first.
fn ended(
    answer: Option<wasmtime::Result<Result<types::Outcome, types::StepError>>>,
    store: Store<GuestState>,
) -> Ended {
    let no_room = matches!(&answer, Some(Err(error)) if error.is::<PoolConcurrencyLimitError>());
    let outcome = match answer {
        Some(Ok(answer)) => outcome::returned(answer),
        Some(Err(error)) => outcome::trapped(&error, &store.data().limiter),
        None => Outcome::Timeout,
    };
    let state = store.into_data();
    let starved = no_room || state.starved();
    let writes = match &outcome {
        Outcome::Done(_) | Outcome::Again { .. } => state.into_writes(),
        Outcome::Transient { .. } | Outcome::Permanent(_) | Outcome::Trap(_) | Outcome::Timeout => {
            Writes::default()
        }
    };
    Ended {
        end: CallEnd { outcome, starved },
        writes,
    }
}

fn host_failure(error: &tokio::task::JoinError) -> Failure {
    tracing::error!(%error, "the host's side of a call failed");
    Failure::new("host-failure", "the host failed while it made the call")
}
