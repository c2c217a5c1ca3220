//! The DigitalOcean API v2 as far as droplets, their actions and snapshots go: typed, for guests.
//!
//! It builds requests and reads answers; sending is the caller's (`Transport`), so it neither knows hosts nor secrets.
//! It never retries, never follows a URL found in an answer, and reads leniently: what a token's scopes hide is absent here,
//! what it doesn't know is kept as text.

mod client;
mod droplet;
mod error;
mod field;
mod paging;
mod snapshot;
mod transport;

pub use client::{Client, Created, Deletion, NewDroplet, read_action, read_created};
pub use droplet::{Action, ActionStatus, Droplet};
pub use error::{Error, Refusal};
pub use paging::Listing;
pub use snapshot::Snapshot;
pub use transport::{Once, Request, Response, Transport};
