//! The step `wait-droplet-active`: sleeps until the droplet is active and has its public address, or is certain not to be.
//!
//! All sagas look at one shared listing of all our droplets, so that a hundred of them cost no more requests than one.

mod run;

pub use run::run;

use guest::{Host, Invocation, Outcome, Prior, StepError, done};

/// The manifest, as `describe` answers it.
pub const MANIFEST: &str = include_str!("../manifest.json");

/// It only looked: there is nothing to undo.
pub fn compensate(_host: &dyn Host, _call: &Invocation, _prior: &Prior) -> Result<Outcome, StepError> {
    Ok(done(&serde_json::json!({})))
}

guest::component!(MANIFEST, run, compensate);
