//! The step runtime: compiles components, calls them in a sandbox, and answers what they ask of the host.

mod host;

pub use host::{Call, CallHost, Ended, LogLine, Prior, Recorded, Unsaved};
