//! The way out: named services with their credential, allow-list and rate budget, and the one function that sends.

mod journal;
mod request;

pub use journal::{IntentRefused, Journal};
pub use request::{FetchError, Grant, Once, Outgoing, Response};
