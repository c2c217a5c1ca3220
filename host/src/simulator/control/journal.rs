//! Reading the journal.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};

use super::{Controlled, Objection};
use crate::simulator::journal::Entry;

/// Entries, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalPage {
    pub entries: Vec<Entry>,
}

/// Which entries; absent fields allow all.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only entries after this number.
    after: u64,
    method: Option<String>,
    tag: Option<String>,
}

pub(super) async fn read(
    State(provider): Controlled,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<JournalPage>, Objection> {
    let Query(wanted) = wanted?;
    let (inner, _) = provider.settled();
    let of_method = |entry: &&Entry| {
        let method = wanted.method.as_ref();
        method.is_none_or(|method| method.eq_ignore_ascii_case(&entry.method))
    };
    let of_tag = |entry: &&Entry| {
        let tag = wanted.tag.as_ref();
        tag.is_none_or(|tag| entry.tags.iter().any(|own| own.eq_ignore_ascii_case(tag)))
    };
    let entries = inner.journal.after(wanted.after).filter(of_method).filter(of_tag);
    let entries = entries.cloned().collect();
    Ok(Json(JournalPage { entries }))
}
