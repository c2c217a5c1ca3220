//! The step runtime: compiles components, calls them in a sandbox, and answers what they ask of the host.
//!
//! | file | noun |
//! |---|---|
//! | `runtime` | compile, describe, call; the guests' threads |
//! | `host` | what a call is given, what it may ask, how it ended |
//! | `scan`, `compiled` | an upload, checked and ready to be called |
//! | `compiler` | compiling in a process of its own, and the cache of what came out |
//! | `manifest` | what a component says of itself |
//! | `limits`, `limiter` | what a call may use |
//! | `state`, `invocation`, `outcome` | one call: its state, its arguments, its end |
//! | `info`, `context`, `http`, `inventory`, `log`, `wasi` | the functions that a component imports |
//!
//! Only this module names wasmtime. It keeps nothing but the cache: compiled code lives as long as its [`Compiled`].

mod bindings;
mod compiled;
pub mod compiler;
mod context;
mod engine;
mod fields;
mod host;
mod http;
mod info;
mod inventory;
mod invocation;
mod limiter;
pub mod limits;
mod load;
mod log;
mod manifest;
mod options;
mod outcome;
mod runtime;
mod scan;
mod state;
mod task;
#[cfg(test)]
mod tests;
mod wasi;

pub use compiled::{CompileError, CompileLimit, Compiled};
pub use compiler::Asked;
pub use fields::Violation;
pub use host::{Call, CallHost, Ended, LogLine, Prior, Recorded, Unsaved};
pub use load::{Fresh, Loaded};
pub use manifest::{Compensation, DescribeError, Manifest};
pub use options::{CacheKey, CacheOptions, CompilerOptions, RuntimeOptions};
pub use runtime::{Runtime, RuntimeError};
