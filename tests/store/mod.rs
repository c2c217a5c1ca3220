//! The store: its contract on every implementation, the databases against the model, and what is SQLite's own.

mod contract;
mod fixture;
