//! The step `noop`: does nothing, and undoes nothing. For tests and benchmarks.

use guest::{Host, Invocation, Outcome, Prior, StepError};

/// The manifest, as `describe` answers it.
pub const MANIFEST: &str = include_str!("../manifest.json");

pub fn run(_host: &dyn Host, _call: &Invocation) -> Result<Outcome, StepError> {
    Ok(Outcome::Done("{}".to_owned()))
}

pub fn compensate(_host: &dyn Host, _call: &Invocation, _prior: &Prior) -> Result<Outcome, StepError> {
    Ok(Outcome::Done("{}".to_owned()))
}

guest::component!(MANIFEST, run, compensate);
