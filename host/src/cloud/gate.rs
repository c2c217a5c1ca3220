//! Whether a service may be used now. In memory, so that it closes before the next request leaves; what is paused for how long is
//! the engine's to remember.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::FetchError;

#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: Mutex<Option<Closed>>,
}

/// Why nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The service refuses the host's credential: what it answered.
    Refused(String),
    /// Somebody paused it.
    Paused,
}

impl Gate {
    pub fn check(&self, service: &str) -> Result<(), FetchError> {
        match &*self.lock() {
            None => Ok(()),
            Some(Closed::Refused(why)) => Err(FetchError::Unavailable(format!(
                "service {service} is paused: {why}"
            ))),
            Some(Closed::Paused) => Err(FetchError::Unavailable(format!("service {service} is paused"))),
        }
    }

    pub fn closed(&self) -> Option<Closed> {
        self.lock().clone()
    }

    /// True: it was open. What somebody paused stays so, whatever it answers to requests that were on the wire.
    pub fn close(&self, why: Closed) -> bool {
        let mut closed = self.lock();
        let was_open = closed.is_none();
        if *closed != Some(Closed::Paused) {
            *closed = Some(why);
        }
        was_open
    }

    pub fn open(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Closed>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_outlasts_a_refusal_and_a_refusal_is_told_once() {
        let gate = Gate::default();
        assert_eq!(gate.check("cloud"), Ok(()));
        assert!(gate.close(Closed::Refused("401".to_owned())));
        assert!(!gate.close(Closed::Refused("401".to_owned())));
        assert!(gate.check("cloud").is_err_and(|error| error.starves()));
        assert!(!gate.close(Closed::Paused));
        assert!(!gate.close(Closed::Refused("401".to_owned())));
        assert_eq!(gate.closed(), Some(Closed::Paused));
        gate.open();
        assert_eq!(gate.check("cloud"), Ok(()));
    }
}
