//! What every step written in Rust here needs: the bindings of the step contract, the host as a trait (so that a step's
//! decisions run natively in tests), parameters, and the ways in which a call ends.
//!
//! It knows nothing of any cloud.

pub mod bindings {
    //! Generated from `wit/`.
    wit_bindgen::generate!({
        path: "../../wit",
        world: "step-component",
        pub_export_macro: true,
        default_bindings_module: "guest::bindings",
        additional_derives: [PartialEq],
    });
}
mod component;
mod ending;
mod host;
mod live;
mod settings;

pub use bindings::arcadia::step::http::{HttpError, Once, Recorded, Request, Response};
pub use bindings::arcadia::step::inventory::{CloudResource, InventoryError};
pub use bindings::arcadia::step::log::Level;
pub use bindings::arcadia::step::types::{Effect, Failure, Later, Verdict};
pub use bindings::arcadia::step::{context::ContextError, types::Phase};
pub use bindings::exports::arcadia::step::step::{Guest as Step, Invocation, Outcome, Prior, StepError};
pub use ending::{State, Stop, again, conclude, conclude_with, done, failure, permanent, restore};
pub use host::Host;
pub use live::Live;
pub use settings::Settings;
