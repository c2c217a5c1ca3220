//! The step `scripted`: does what its parameters say (the crate `script` has the words).

pub use script::{compensate, run};

/// The manifest, as `describe` answers it.
pub const MANIFEST: &str = include_str!("../manifest.json");

guest::component!(MANIFEST, run, compensate);
