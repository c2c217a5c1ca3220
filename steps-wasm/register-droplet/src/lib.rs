//! The step `register-droplet`: writes what the droplet is into the inventory, and what it shall be into the desired state.

mod run;

pub use run::{compensate, run};

/// The manifest, as `describe` answers it.
pub const MANIFEST: &str = include_str!("../manifest.json");

guest::component!(MANIFEST, run, compensate);
