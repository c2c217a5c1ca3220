//! One page of a list.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Send it back as `cursor`, with the same filters, for the next page; null on the last one.
    pub next_cursor: Option<String>,
}
