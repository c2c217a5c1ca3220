//! The pure core against everything that can happen to it: small plans exhaustively, larger ones against a naive model.

mod calls;
mod dice;
mod enumerate;
mod generate;
mod invariants;
mod model;
mod plans;
mod reading;
mod space;
