//! The engine: owns sagas, changes them through the writer, calls their steps, wakes them, and recovers them at start.

pub mod catalog;
mod request;

pub use request::{Asked, PlanSource, Problem, StartError, StartSaga, Started, Verb, VerbError};
