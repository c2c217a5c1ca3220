//! `arcadia doctor`: each check in the state that it is there for, on real databases, and nothing changed by looking.

mod file;
mod place;
mod rows;
mod server;
mod trace;
