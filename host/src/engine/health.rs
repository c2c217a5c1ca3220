//! Whether the database takes what the host writes: what it last did.
//!
//! While it doesn't, nothing new is accepted and sagas wait; the heartbeat goes on asking, so that a host which nobody sends
//! anything to, since it isn't ready, notices that the database is well again.

use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub struct Health {
    refused: AtomicBool,
}

impl Health {
    /// Something is durable.
    pub fn written(&self) {
        if self.refused.swap(false, Ordering::AcqRel) {
            tracing::info!("the database can be written again; sagas go on");
        }
    }

    /// A whole transaction was refused.
    pub fn not_written(&self) {
        self.refused.store(true, Ordering::Release);
    }

    pub fn is_well(&self) -> bool {
        !self.refused.load(Ordering::Acquire)
    }
}
