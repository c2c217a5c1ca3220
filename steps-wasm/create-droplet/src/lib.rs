//! The step `create-droplet`: one droplet, or none, whatever happens on the way.
//!
//! The provider has no idempotency key and names are not unique, so the create is sent at most once (key `create` in the
//! host's journal), carries a tag that no other step has, and after an unclear answer is looked for and adopted, never sent
//! again.

mod order;
mod run;
mod undo;

pub use run::run;
pub use undo::compensate;

/// The manifest, as `describe` answers it.
pub const MANIFEST: &str = include_str!("../manifest.json");

/// The journal's key of the create.
const KEY: &str = "create";

/// Statuses by which the provider proves that no droplet was made. 429 always counts.
const REFUSALS: &[u16] = &[400, 422];

/// Context: the droplet's id, as text.
const DROPLET_ID: &str = "droplet_id";

/// Context: the id of the create's action, as text; only known when the create was answered.
const CREATE_ACTION_ID: &str = "droplet_create_action_id";

guest::component!(MANIFEST, run, compensate);
