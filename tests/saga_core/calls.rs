//! What the calls of one phase say together: attempts, polls, waits, what was saved.

use arcadia::saga::{CallEnd, Json, Outcome};

use super::model::Moment;

pub struct Backoff {
    pub floor_ms: u64,
    pub base_ms: u64,
    pub max_ms: u64,
    pub total_ms: u64,
}

impl Backoff {
    /// Shortest and longest wait after a call that ended so, on this attempt.
    pub fn wait_ms(&self, end: &CallEnd, attempt: u32) -> (u64, u64) {
        let cap = (1..attempt)
            .fold(self.base_ms, |cap, _| (cap * 2).min(self.max_ms))
            .min(self.max_ms);
        let (soonest, latest) = (self.floor_ms, cap.max(self.floor_ms));
        match &end.outcome {
            Outcome::Again { after_ms, .. } => {
                let wait = (*after_ms).clamp(100, 24 * 3_600_000);
                (wait, wait)
            }
            Outcome::Transient { retry_after_ms, .. } => {
                let least = retry_after_ms.unwrap_or(0);
                (soonest.max(least), latest.max(least))
            }
            Outcome::Done(_) | Outcome::Permanent(_) | Outcome::Trap(_) | Outcome::Timeout => {
                (soonest, latest)
            }
        }
    }
}

pub fn is_poll(end: &CallEnd) -> bool {
    matches!(end.outcome, Outcome::Again { .. }) && !end.starved
}

/// 1, and one more for each counted failure since the last poll.
pub fn attempt(ends: &[(Moment, &CallEnd)]) -> u32 {
    let failed = |end: &CallEnd| match end.outcome {
        Outcome::Transient { .. } => !end.starved,
        Outcome::Trap(_) | Outcome::Timeout => true,
        Outcome::Done(_) | Outcome::Again { .. } | Outcome::Permanent(_) => false,
    };
    let since = ends.iter().rev().take_while(|(_, end)| !is_poll(end));
    1 + u32::try_from(since.filter(|(_, end)| failed(end)).count()).expect("a short list")
}

/// What the last `again` saved.
pub fn saved(ends: &[(Moment, &CallEnd)]) -> Option<Json> {
    ends.iter().rev().find_map(|(_, end)| match &end.outcome {
        Outcome::Again { saved, .. } => Some(saved.clone()),
        _ => None,
    })?
}
