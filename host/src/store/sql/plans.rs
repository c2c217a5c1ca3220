//! Plans are immutable: those that were read or written lately are kept in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    connection::{Connection, sql},
    error::store_error,
};
use crate::{saga::Plan, store::StoreError};

/// Plans kept before all are forgotten: a start with parameters of its own has a plan of its own.
const KEPT: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Plans {
    kept: Mutex<HashMap<Arc<str>, Arc<Plan>>>,
}

impl Plans {
    pub(super) fn kept(&self, digest: &str) -> Option<Arc<Plan>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(digest).cloned()
    }

    /// Only for a plan that is durable: a kept one is not written again.
    pub(super) fn keep(&self, digest: &str, plan: Arc<Plan>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.contains_key(digest) {
            return;
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(Arc::from(digest), plan);
    }

    /// From memory or from the database. Only outside of a transaction that writes: what is read is kept.
    pub(super) async fn read(
        &self,
        connection: &mut Connection,
        digest: &str,
    ) -> Result<Option<Arc<Plan>>, StoreError> {
        let plan = self.peek(connection, digest).await?;
        if let Some(plan) = &plan {
            self.keep(digest, Arc::clone(plan));
        }
        Ok(plan)
    }

    /// From memory or from the database; what is read is not kept.
    pub(super) async fn peek(
        &self,
        connection: &mut Connection,
        digest: &str,
    ) -> Result<Option<Arc<Plan>>, StoreError> {
        if let Some(plan) = self.kept(digest) {
            return Ok(Some(plan));
        }
        let row = sql!("select body from saga_plans where digest = ?")
            .bind(digest)
            .optional(connection)
            .await
            .map_err(store_error)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let body: &str = row.try_get(0).map_err(store_error)?;
        let plan = serde_json::from_str(body).map_err(|error| StoreError::Corrupt {
            what: format!("plan {digest}"),
            reason: error.to_string(),
        })?;
        Ok(Some(Arc::new(plan)))
    }
}
