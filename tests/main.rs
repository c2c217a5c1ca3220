//! Integration tests: one binary, a module per topic.

mod saga_core;
mod simulator;
mod simulator_faults;
mod simulator_holds;
mod simulator_openapi;
mod simulator_world_faults;
// `cfg(test)` tells clippy that the helpers among the tests may unwrap, too.
#[cfg(test)]
mod store;
mod support;

mod step_components;
mod step_guest;
mod step_sandbox;
mod step_upload;
