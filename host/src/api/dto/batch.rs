//! Many sagas started by one request.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ProblemDocument, StartSaga, Started};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartBatch {
    #[schema(min_items = 1, max_items = 500)]
    pub sagas: Vec<BatchStart>,
}

/// One saga to be started.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchStart {
    /// As the header `Idempotency-Key` of a single start: 1 to 255 visible ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub idempotency_key: Option<String>,
    pub start: StartSaga,
}

/// What became of each start, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchStarted {
    pub items: Vec<BatchResult>,
}

/// What a request for this saga alone would have been answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchResult {
    /// 202, or the status of the problem.
    #[schema(example = 202)]
    pub status: u16,
    pub started: Option<Started>,
    /// An earlier request with the same idempotency key started it.
    pub replayed: bool,
    /// Its pointers lead into the body of the whole request.
    pub problem: Option<ProblemDocument>,
}
