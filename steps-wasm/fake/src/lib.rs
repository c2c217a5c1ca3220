//! A host and a provider in memory, with a clock that only they move: native tests drive a step through a whole phase, call by
//! call, as the engine would, and then look at what was sent, what exists and what was recorded.
//!
//! The provider has the habits that matter to the steps (listings lag, tags come late, deletes take a while), and each request
//! can be made to fail in the ways that matter.

mod cloud;
mod drive;
mod fault;
mod host;
mod journal;

pub use cloud::{Droplet, FakeCloud, Snapshot};
pub use drive::{End, compensate, run};
pub use fault::{Fault, What, on};
pub use host::{FakeHost, Sent, TAG};
