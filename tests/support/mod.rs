//! What several topics need to talk to the servers under test.

pub mod http;
pub mod openapi;
pub mod provider;
pub mod simulator;
