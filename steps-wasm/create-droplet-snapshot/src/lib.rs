//! The step `create-droplet-snapshot`: one snapshot of one droplet, under a name that no other step has.
//!
//! The request names an action, not the snapshot, and two requests make two snapshots. So it is sent at most once (key
//! `snapshot` in the host's journal), and the snapshot is found by its name.

mod name;
mod run;
mod undo;

pub use run::run;
pub use undo::compensate;

/// The manifest, as `describe` answers it.
pub const MANIFEST: &str = include_str!("../manifest.json");

/// The journal's key of the action request.
const KEY: &str = "snapshot";

/// Statuses by which the provider proves that no snapshot was begun. 429 always counts.
const REFUSALS: &[u16] = &[400, 404, 422];

/// Context: the snapshot's id, as text.
const SNAPSHOT_ID: &str = "snapshot_id";

guest::component!(MANIFEST, run, compensate);
