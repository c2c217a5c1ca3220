//! What the droplet steps decide alike: how an answer's absence is read, which droplets are a step's own, when one is gone.
//!
//! Plain decisions over `guest::Host`; nothing here is tied to wasm.

mod absence;
mod cloud;
mod own;
mod row;
mod settle;
mod which;

pub use absence::{Absence, Leaving};
pub use cloud::{Cloud, CloudError, SHARED_TAG, as_answer, cloud, is_unclear, stop_reading};
pub use own::{Found, claims_ours, look};
pub use row::{PROVIDER, droplet_row, snapshot_row};
pub use settle::{next_look_ms, patience_ms};
pub use which::{create_action_of, droplet_here, droplet_named, id_of};
