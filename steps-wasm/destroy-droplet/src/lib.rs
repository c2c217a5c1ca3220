//! The step `destroy-droplet`: deletes one droplet and waits until it is certainly gone. A pivot: nothing brings it back.

mod run;

pub use run::{compensate, run};

/// The manifest, as `describe` answers it.
pub const MANIFEST: &str = include_str!("../manifest.json");

guest::component!(MANIFEST, run, compensate);
