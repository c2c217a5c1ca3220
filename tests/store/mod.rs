//! The store: its contract on every implementation, the databases against the model, several at once, and what is SQLite's own.

mod catalogue;
mod contract;
mod cut;
mod differential;
pub mod fixture;
mod generator;
mod holds;
mod inventory;
mod journal;
mod live;
mod ownership;
mod sqlite;
mod together;
mod tokens;
mod views;
mod watches;
