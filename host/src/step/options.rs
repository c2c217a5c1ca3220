//! How much a runtime may use.

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
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        RuntimeOptions {
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            tick: Duration::from_millis(1),
            max_calls: 1_000,
            memory_bytes: 64 << 20,
            max_memory_bytes: 256 << 20,
        }
    }
}
