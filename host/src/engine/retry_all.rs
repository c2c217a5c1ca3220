//! Beginning many stuck sagas anew, by what they are stuck at.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::{
    Engine,
    request::{Asked, Verb, VerbError},
};
use crate::{
    saga::{Failure, SagaId, Status},
    store::{Cursor, Page, SagaFilter, SagaRow, StoreError},
};

/// Most sagas that one request looks at.
pub const MAX_RETRIED: u32 = 200;
/// Sagas of one request that are written at the same time.
const AT_ONCE: usize = 16;

/// A saga that needs attention, with the steps that are stuck, and what came of its retry (`None`: it was a dry run).
#[derive(Debug)]
pub struct Retried {
    pub row: SagaRow,
    pub stuck: Vec<(String, Failure)>,
    pub result: Option<Result<SagaRow, VerbError>>,
}

#[derive(Debug)]
pub struct RetriedAll {
    pub sagas: Vec<Retried>,
    /// More may follow after this one.
    pub next: Option<Cursor>,
}

impl Engine {
    /// Looks at the sagas behind `after`, newest first, that need attention and match, at most [`MAX_RETRIED`], and retries those
    /// with a step that is stuck with this code. Each is decided for itself. `asked`: `None` changes nothing.
    pub async fn retry_all(
        self: &Arc<Self>,
        filter: SagaFilter,
        code: Option<&str>,
        after: Option<Cursor>,
        asked: Option<Asked>,
    ) -> Result<RetriedAll, StoreError> {
        let filter = SagaFilter {
            status: Some(Status::NeedsAttention),
            ..filter
        };
        let page = Page {
            limit: MAX_RETRIED,
            after,
        };
        let rows = self.store.sagas(&filter, page).await?;
        let next = rows
            .last()
            .filter(|_| rows.len() >= MAX_RETRIED as usize)
            .map(|row| Cursor {
                at_ms: row.created_ms,
                id: row.id.to_string(),
            });
        let looked: Vec<Result<Option<Retried>, StoreError>> = stream::iter(rows)
            .map(|row| self.retry_row(row, code, asked.clone()))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut sagas = Vec::new();
        for retried in looked {
            sagas.extend(retried?);
        }
        Ok(RetriedAll { sagas, next })
    }

    async fn retry_row(
        self: &Arc<Self>,
        row: SagaRow,
        code: Option<&str>,
        asked: Option<Asked>,
    ) -> Result<Option<Retried>, StoreError> {
        let stuck = match self.stuck_steps(row.id).await {
            Ok(stuck) => stuck,
            Err(error @ StoreError::Corrupt { .. }) => {
                self.tell_unreadable(row.id, &error).await;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let matches = code.is_none_or(|code| stuck.iter().any(|(_, failure)| failure.code == code));
        if !matches {
            return Ok(None);
        }
        let result = match asked {
            None => None,
            Some(asked) => Some(self.verb(row.id, Verb::Retry, asked).await),
        };
        Ok(Some(Retried { row, stuck, result }))
    }

    async fn stuck_steps(&self, saga: SagaId) -> Result<Vec<(String, Failure)>, StoreError> {
        let rows = self.store.steps(saga).await?;
        let stuck = rows.into_iter().filter(|row| row.state == "stuck");
        Ok(stuck
            .filter_map(|row| {
                let failure = serde_json::from_str(row.failure.as_ref()?.as_str()).ok()?;
                Some((row.name, failure))
            })
            .collect())
    }
}
