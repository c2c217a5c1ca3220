//! How much a runtime may use, and where it keeps compiled code.

use std::path::PathBuf;

use super::limits::{COMPILE_CPU_S, COMPILE_MEMORY_BYTES, compile_wall_s};

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// Operating system threads for guests. Default: as many as the machine runs at once. 0: none of their own; a guest runs on
    /// the threads of whoever calls it.
    pub threads: usize,
    /// How long a guest may compute before the others on its thread have their turn. A call is ended no sooner either.
    pub tick: Duration,
    /// Calls that are in progress at once; more of them wait their turn, which uses none of their time. Each takes 4 GiB of
    /// address space (not of memory).
    pub max_calls: u32,
    /// Memory of a call whose manifest asks for none, in bytes.
    pub memory_bytes: usize,
    /// Most memory of a call, whatever its manifest asks for, in bytes.
    pub max_memory_bytes: usize,
    pub compiler: CompilerOptions,
    /// Where compiled code is kept between starts. `None`: nowhere.
    pub cache: Option<CacheOptions>,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        RuntimeOptions {
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            tick: Duration::from_millis(1),
            max_calls: 1_000,
            memory_bytes: 64 << 20,
            max_memory_bytes: 256 << 20,
            compiler: CompilerOptions::default(),
            cache: None,
        }
    }
}

/// The process that compiles one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompilerOptions {
    /// The `arcadia` binary, of the same build as this process. Default: what this process runs.
    pub program: PathBuf,
    /// Its address space, in bytes.
    pub max_memory_bytes: u64,
    /// Its CPU time, in seconds.
    pub max_cpu_s: u64,
    /// Its time by the clock, in seconds: far more, so that a busy machine is not taken for a component that is too much.
    pub max_wall_s: u64,
    /// Most processes at once that compile for calls; one more compiles what is uploaded. Each uses one core.
    pub max_at_once: usize,
}

impl Default for CompilerOptions {
    fn default() -> Self {
        CompilerOptions {
            program: this_program(),
            max_memory_bytes: COMPILE_MEMORY_BYTES,
            max_cpu_s: COMPILE_CPU_S,
            max_wall_s: compile_wall_s(COMPILE_CPU_S),
            max_at_once: std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
        }
    }
}

/// On Linux whatever its file has become since: replaced by a newer version, or removed.
fn this_program() -> PathBuf {
    if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        // Without a name of its own it can't be started again: compiling says so then.
        std::env::current_exe().unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// Made when missing, for its owner alone. One that others can enter, or that is another user's, is not used.
    pub folder: PathBuf,
    pub key: CacheKey,
    /// Most bytes of compiled code, in sum; what was not used for longest goes first.
    pub max_bytes: u64,
}

/// Who knows it can have this host run any machine code: it is a secret of the host, and of one data folder.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    pub fn new(random: [u8; 32]) -> CacheKey {
        CacheKey(random)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheKey(…)")
    }
}
