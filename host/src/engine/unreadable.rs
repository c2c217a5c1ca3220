//! Sagas whose rows make no sense: such a saga stands still, and says so once in the log and in a finding, until it can be read
//! again. Others go on.

use std::{collections::HashSet, sync::Mutex};

use super::Engine;
use crate::{
    saga::{SagaId, id::hash_of},
    store::{FindingRow, StoreError},
};

/// Code of the finding.
pub const UNREADABLE: &str = "saga-unreadable";

/// Those that this process has told of.
#[derive(Default)]
pub struct Unreadable {
    told: Mutex<HashSet<SagaId>>,
}

impl Engine {
    /// A crash before the finding is stored costs nothing: the next start tries to read the saga again.
    pub(super) async fn tell_unreadable(&self, saga: SagaId, error: &StoreError) {
        let StoreError::Corrupt { what, reason } = error else {
            return;
        };
        let is_new = {
            let mut told = self
                .unreadable
                .told
                .lock()
                .expect("no code panics under this lock");
            told.insert(saga)
        };
        if !is_new {
            return;
        }
        tracing::error!(%saga, %error, "the saga can't be read; it stands still, others go on");
        let finding = FindingRow {
            id: finding_id(saga),
            code: UNREADABLE.to_owned(),
            saga: Some(saga),
            step: None,
            resource: None,
            message: format!("{what} can't be read, so the saga stands still: {reason}"),
            advice: format!(
                "stop the host and restore the database from a backup, or put these rows right with sqlite3 or psql; then \
                 start it again: the saga goes on where it was. Until then see what it made with \
                 `arcadia inventory list --saga {saga}`"
            ),
            created_ms: self.store.now_ms(),
            resolved_ms: None,
        };
        if let Err(error) = self.store.put_finding(finding).await {
            tracing::warn!(%saga, %error, "the finding of an unreadable saga can't be stored yet");
            self.unreadable
                .told
                .lock()
                .expect("no code panics under this lock")
                .remove(&saga);
        }
    }

    /// The saga has been read: what was wrong with it is put right.
    pub(super) async fn tell_readable(&self, saga: SagaId) {
        self.unreadable
            .told
            .lock()
            .expect("no code panics under this lock")
            .remove(&saga);
        let (id, now_ms) = (finding_id(saga), self.store.now_ms());
        if let Err(error) = self.store.resolve_finding(&id, now_ms).await {
            tracing::warn!(%saga, %error, "the finding of a saga that can be read again can't be resolved yet");
        }
    }
}

fn finding_id(saga: SagaId) -> String {
    let hash = hash_of(&[b"finding", UNREADABLE.as_bytes(), saga.0.as_bytes()]);
    format!("find-{}", data_encoding::HEXLOWER.encode(&hash[..16]))
}
