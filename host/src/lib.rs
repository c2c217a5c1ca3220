//! Arcadia: a durable saga engine whose steps are WebAssembly components.
//!
//! | module | owns | never |
//! |---|---|---|
//! | [`cli`] | the commands; those that start no server talk to one through its HTTP API alone | the engine, store or steps directly, but to start a server, or to look at a database |
//! | [`saga`] | the pure core and the words everybody uses: plan, state, events, the one transition function | I/O, clocks, randomness |
//! | [`guarantees`] | what is guaranteed, what is not, and which test shows it | code |
//! | [`simulator`] | a DigitalOcean that misbehaves on demand: real HTTP, state, faults, holds, a journal | the rest of the crate |

pub mod api;
pub mod cli;
pub mod cloud;
pub mod engine;
pub mod guarantees;
pub mod saga;
pub mod simulator;
pub mod step;
pub mod store;
