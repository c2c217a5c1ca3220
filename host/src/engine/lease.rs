//! Whether this host may still act for its sagas.
//!
//! A lease is a promise to the other hosts of the database: until then, and not a moment longer, this one acts. It is counted
//! from before the heartbeat that asked for it left, by this machine's monotonic clock, so that it ends here before it ends in the
//! database, whatever the time of day says. A margin before its end nothing new leaves: a request that is let go now is
//! on the wire before anybody else can own the saga.
//!
//! A host whose lease is over is lost, for good: it ends its guests' calls, sends nothing more, reads what is on the wire to
//! its end, and ends. A store that only one host may have open needs no lease: there it lasts as long as the process.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long others wait for this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseOptions {
    pub lease: Duration,
    /// Time between two heartbeats; a third of the lease at most.
    pub heartbeat: Duration,
}

impl Default for LeaseOptions {
    fn default() -> LeaseOptions {
        LeaseOptions {
            lease: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
        }
    }
}

impl LeaseOptions {
    /// Before the end of a lease nothing leaves for so long.
    fn margin(&self) -> Duration {
        self.lease / 6
    }
}

pub struct Lease {
    /// `None`: as long as the process lives.
    held: Option<Held>,
    lost: CancellationToken,
}

struct Held {
    options: LeaseOptions,
    until: Mutex<Instant>,
}

impl Lease {
    pub fn for_ever() -> Lease {
        Lease {
            held: None,
            lost: CancellationToken::new(),
        }
    }

    /// Of a host that was opened by a statement sent at `asked`.
    pub fn held(options: LeaseOptions, asked: Instant) -> Lease {
        Lease {
            held: Some(Held {
                options,
                until: Mutex::new(asked + options.lease),
            }),
            lost: CancellationToken::new(),
        }
    }

    /// The heartbeat that was sent at `asked` has arrived.
    pub fn extend(&self, asked: Instant) {
        if let Some(held) = &self.held {
            let mut until = held.until.lock().unwrap_or_else(PoisonError::into_inner);
            *until = (*until).max(asked + held.options.lease);
        }
    }

    /// Until when something new may leave, as far as is known now.
    fn usable_until(&self) -> Option<Instant> {
        let held = self.held.as_ref()?;
        let until = *held.until.lock().unwrap_or_else(PoisonError::into_inner);
        Some(until - held.options.margin())
    }

    /// Whether something new may leave now.
    pub fn is_usable(&self) -> bool {
        !self.is_lost() && self.usable_until().is_none_or(|until| Instant::now() < until)
    }

    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Says so once; for good.
    pub fn lose(&self, why: &str) {
        if !self.is_lost() {
            tracing::error!(
                why,
                "the host's lease is lost: other hosts take over its sagas, and this one ends"
            );
            self.lost.cancel();
        }
    }

    /// Resolves once the lease is lost.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Loses the lease when it is no longer usable, however that came: a database out of reach, or a machine that stood still.
    pub async fn watch(&self) {
        while let Some(until) = self.usable_until() {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.lost() => return,
            }
            if !self.is_usable() {
                self.lose("no heartbeat has reached the database in time");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn nothing_leaves_in_the_last_sixth_of_a_lease_and_a_heartbeat_counts_from_when_it_was_sent() {
        let asked = Instant::now();
        let lease = Lease::held(LeaseOptions::default(), asked);
        tokio::time::advance(25 * SECOND - Duration::from_millis(1)).await;
        assert!(lease.is_usable());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!lease.is_usable());
        lease.extend(asked + 10 * SECOND);
        assert!(lease.is_usable());
        lease.extend(asked + 5 * SECOND);
        tokio::time::advance(10 * SECOND).await;
        assert!(
            !lease.is_usable(),
            "a late answer to an early heartbeat changes nothing"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_ran_out_is_lost_for_good() {
        let lease = Lease::held(LeaseOptions::default(), Instant::now());
        let mut watch = std::pin::pin!(lease.watch());
        assert!(futures_util::poll!(&mut watch).is_pending());
        tokio::time::advance(20 * SECOND).await;
        lease.extend(Instant::now());
        tokio::time::advance(6 * SECOND).await;
        assert!(futures_util::poll!(&mut watch).is_pending());
        assert!(!lease.is_lost());
        watch.await;
        assert!(lease.is_lost());
        lease.extend(Instant::now());
        assert!(!lease.is_usable());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_alone_needs_no_heartbeat() {
        let lease = Lease::for_ever();
        lease.watch().await;
        tokio::time::advance(86_400 * SECOND).await;
        assert!(lease.is_usable());
    }
}
