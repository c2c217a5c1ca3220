//! Whether anything may leave this host at all.
//!
//! Asked again at the last moment: after name lookup, TCP and TLS, before the first byte of a request that may change something
//! is written. What is left between that answer and the system's own write can't be closed by anybody: see the watch over what
//! shows up late.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use tower::BoxError;

type Question = Arc<dyn Fn() -> bool + Send + Sync>;

/// Without a question everything may.
#[derive(Clone, Default)]
pub(super) struct Leave(Arc<OnceLock<Question>>);

impl fmt::Debug for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leave({})", self.is_given())
    }
}

/// Nothing was written.
#[derive(Debug, thiserror::Error)]
#[error("the host may send nothing any more: its lease on the database is over")]
pub(super) struct NotGiven;

impl Leave {
    /// The first question stays.
    pub fn only_while(&self, question: Question) {
        // A second one is the same host's.
        let _ = self.0.set(question);
    }

    pub fn is_given(&self) -> bool {
        self.0.get().is_none_or(|question| question())
    }

    /// For a connection that was made just now.
    pub fn to<T>(&self, connection: T) -> Result<T, BoxError> {
        if self.is_given() {
            Ok(connection)
        } else {
            Err(Box::new(NotGiven))
        }
    }
}
