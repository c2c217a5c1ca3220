//! The HTTP API: what people and programs ask of the engine, as JSON over HTTP/1.1 below `/v1`.
//!
//! It decides nothing: it checks that a request can be understood, asks the engine, and shows what comes back. All that is
//! refused goes through one table ([`Code`]); the OpenAPI document at `/openapi.json` is made from the handlers.
//!
//! | file | noun |
//! |---|---|
//! | `components`, `approval`, `steps`, `definitions`, `sagas`, `droplets`, `inventory`, `findings`, `services`, `hosts`, `tokens`, `health` | a group of endpoints |
//! | `stream` | following one saga, or all |
//! | [`dto`] | what travels |
//! | `view` | rows of the store as they are shown |
//! | `problem`, `mapped` | the table of errors, and the engine's refusals in it |
//! | `access`, `auth` | the scope that each operation needs; the door |
//! | `body`, `query`, `path`, `headers` | what a request is read from |
//! | `cursor` | pages |
//! | `canonical` | when two requests ask for the same |
//! | `state`, `server`, `openapi` | limits, layers, the document |

mod access;
mod approval;
mod auth;
mod body;
mod canonical;
mod components;
mod cursor;
mod definitions;
mod droplets;
pub mod dto;
mod findings;
mod headers;
mod health;
mod hosts;
mod inventory;
mod mapped;
mod openapi;
mod path;
mod problem;
mod query;
mod reason;
mod sagas;
mod server;
mod services;
mod state;
mod steps;
mod stream;
mod tokens;
mod view;

pub use problem::Code;
pub use server::{router, serve};
pub use state::{ApiState, MAX_REQUESTS, MAX_STREAMS};
pub use stream::HEARTBEAT;
