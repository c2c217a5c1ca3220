//! What a record of the journal tells the step that sent the request.

use super::Response;
use crate::saga::{JournalRecord, RecordState, RecordedResponse};

/// What a step sent under a `once` key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    Never,
    /// Left, no answer recorded. Milliseconds since its exchange ended; none while it is on the wire.
    Open(Option<u64>),
    Refused(Response),
    Answered(Response),
}

/// The answer of `recall`, from what [`super::Journal::latest`] gave. `now_ms`: by the clock of the records.
pub fn recorded(record: Option<&JournalRecord>, now_ms: i64) -> Recorded {
    match record.map(|record| &record.state) {
        None | Some(RecordState::Unsent { .. }) => Recorded::Never,
        Some(RecordState::Open { ended_at_ms }) => {
            Recorded::Open(ended_at_ms.map(|at_ms| age_ms(at_ms, now_ms)))
        }
        Some(RecordState::Refused { response, at_ms }) => {
            Recorded::Refused(replayed(response, *at_ms, now_ms))
        }
        Some(RecordState::Answered { response, at_ms, .. }) => {
            Recorded::Answered(replayed(response, *at_ms, now_ms))
        }
    }
}

pub(super) fn replayed(response: &RecordedResponse, at_ms: i64, now_ms: i64) -> Response {
    Response {
        status: response.status,
        headers: response.headers.clone(),
        body: response.body.clone(),
        replayed: true,
        age_ms: age_ms(at_ms, now_ms),
    }
}

/// A clock that went back gives 0.
fn age_ms(at_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(at_ms)).unwrap_or(0)
}
