//! What several topics need to talk to the servers under test.

pub mod around;
pub mod clock;
pub mod counting;
pub mod disk;
pub mod host;
pub mod http;
pub mod openapi;
pub mod postgres;
pub mod provider;
pub mod runtime;
pub mod simulator;
pub mod stand;
