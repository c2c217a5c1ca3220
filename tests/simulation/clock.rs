//! The time of a run: that of the tokio runtime of the host that lives, which stands still until nothing is left to do and
//! then jumps to the next thing that is due. Between two hosts it stands still altogether.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

/// 2026-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_767_225_600_000;

#[derive(Debug)]
pub struct Clock(Mutex<(i64, Option<Instant>)>);

impl Clock {
    pub fn new() -> Arc<Clock> {
        Arc::new(Clock(Mutex::new((BEGIN_MS, None))))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        let (base_ms, since) = *self.0.lock().unwrap();
        base_ms + since.map_or(0, |since| i64::try_from(since.elapsed().as_millis()).unwrap())
    }

    /// Within the runtime of a host that begins to live.
    pub fn begin(&self) {
        self.0.lock().unwrap().1 = Some(Instant::now());
    }

    /// Within the same runtime, at its end.
    pub fn end(&self) {
        let now_ms = self.now_ms();
        *self.0.lock().unwrap() = (now_ms, None);
    }

    /// While no host lives.
    pub fn pass_ms(&self, ms: i64) {
        self.0.lock().unwrap().0 += ms;
    }
}
