//! The audit: everything at a provider that carries a resource tag, against the inventory.
//!
//! What a watch looks for is known to be in doubt. The audit is for what nobody doubts: a second droplet behind a clear answer, a
//! snapshot under a name that was listed only after its step was done, a droplet that came back after it was deleted. It asks
//! for no more than a look does, once an hour, and decides nothing itself: what has no live row in the inventory in two audits
//! in a row is traced to the request that carried its tag, and the saga of that request is watched from then on, as if it had ended
//! in doubt. What the watch makes of it stands in its own table.
//!
//! A tag that no request of this database carried is another installation's, or of a time that this database doesn't remember:
//! it is told in the log, once, and left alone.
//!
//! What the audit has seen it keeps in memory only: after a crash the next host begins anew, and finds the same an hour later.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Engine, WatchOptions, judge::Sightings, watched};
use crate::{
    cloud::{SNAPSHOT, Seen, Sighting},
    engine::history,
    saga::{JournalRecord, Json, SagaId, id::RESOURCE_TAG_PREFIX},
    store::{Cursor, HOST, Looked, NewEvent, Page, ResourceFilter, StoreError, Watch},
};

/// Rows that are read at a time.
const PAGE: u32 = 1_000;

/// Service, kind and id of something at a provider.
type Name = (String, &'static str, String);

/// What has been seen so far.
pub(super) struct Audit {
    next_ms: i64,
    /// Without a live row in the inventory, since when.
    strays: BTreeMap<Name, i64>,
    /// No request of this database made them.
    strangers: BTreeSet<Name>,
}

struct Stray<'a> {
    name: Name,
    thing: &'a Seen,
    tag: String,
}

impl Audit {
    pub fn begin(options: &WatchOptions, now_ms: i64) -> Audit {
        Audit {
            next_ms: now_ms + options.audit_ms,
            strays: BTreeMap::new(),
            strangers: BTreeSet::new(),
        }
    }

    pub fn is_due(&self, now_ms: i64) -> bool {
        now_ms >= self.next_ms
    }

    /// Those that were strays an audit ago, and still are.
    fn grown<'a>(&mut self, seen: Vec<Stray<'a>>, now_ms: i64, grace_ms: i64) -> Vec<Stray<'a>> {
        let before = std::mem::take(&mut self.strays);
        for stray in &seen {
            let since_ms = before.get(&stray.name).copied().unwrap_or(now_ms);
            self.strays.insert(stray.name.clone(), since_ms);
        }
        self.strangers.retain(|name| self.strays.contains_key(name));
        let grown = seen.into_iter().filter(|stray| {
            !self.strangers.contains(&stray.name) && self.strays[&stray.name] + grace_ms <= now_ms
        });
        grown.collect()
    }
}

impl Engine {
    /// Compares what was seen with the inventory. What can't be looked at, or traced, now is so at the next audit.
    pub(super) async fn audit(&self, audit: &mut Audit, sightings: &Sightings) -> Result<(), StoreError> {
        let now_ms = self.store.now_ms();
        let WatchOptions {
            audit_ms, grace_ms, ..
        } = self.watching;
        audit.next_ms = now_ms + audit_ms;
        let mut strays = Vec::new();
        for (service, sighting) in sightings {
            let Ok(sighting) = sighting else { continue };
            let kept = self.kept(service, sighting).await?;
            strays.extend(unkept(service, sighting, &kept));
        }
        let any_new = strays.iter().any(|stray| !audit.strays.contains_key(&stray.name));
        let grown = audit.grown(strays, now_ms, grace_ms);
        if any_new {
            audit.next_ms = now_ms + grace_ms.min(audit_ms);
        }
        if grown.is_empty() {
            return Ok(());
        }
        let tags = grown.iter().map(|stray| stray.tag.as_str()).collect();
        let senders = self.senders(&tags).await?;
        for stray in grown {
            match senders.get(&stray.tag) {
                Some(record) => {
                    if let Err(error) = self.watch_for(&stray, record).await {
                        tracing::warn!(saga = %record.intent.saga, %error, "a saga can't be watched for what the audit has seen of it");
                    }
                }
                None => {
                    tracing::warn!(
                        service = stray.name.0,
                        kind = stray.name.1,
                        id = stray.name.2,
                        tag = stray.tag,
                        "something carries a tag of ours that no request of this database carried: another installation's, or older than the database"
                    );
                    audit.strangers.insert(stray.name);
                }
            }
        }
        Ok(())
    }

    /// Whether any was ever made: who never makes any may not be allowed to list them, and has nothing to audit.
    pub(super) async fn has_snapshots(&self, service: &str) -> Result<bool, StoreError> {
        let filter = ResourceFilter {
            provider: Some(service.to_owned()),
            kind: Some(SNAPSHOT.to_owned()),
            with_deleted: true,
            ..ResourceFilter::default()
        };
        let page = Page {
            limit: 1,
            after: None,
        };
        Ok(!self.store.resources(&filter, page).await?.is_empty())
    }

    /// Kind and id of everything of this account that the inventory has and holds to be there.
    async fn kept(
        &self,
        service: &str,
        sighting: &Sighting,
    ) -> Result<BTreeSet<(String, String)>, StoreError> {
        let filter = ResourceFilter {
            provider: Some(service.to_owned()),
            ..ResourceFilter::default()
        };
        let (mut kept, mut after) = (BTreeSet::new(), None);
        loop {
            let page = Page { limit: PAGE, after };
            let rows = self.store.resources(&filter, page).await?;
            let Some(last) = rows.last() else { return Ok(kept) };
            after = Some(Cursor {
                at_ms: last.first_seen_ms,
                id: last.resource_id.clone(),
            });
            let here = rows
                .into_iter()
                .map(|row| row.resource.key)
                .filter(|key| key.account.is_empty() || key.account == sighting.identity.account());
            kept.extend(here.map(|key| (key.kind, key.provider_id)));
        }
    }

    /// The first request that carried each of these tags.
    async fn senders(&self, tags: &BTreeSet<&str>) -> Result<BTreeMap<String, JournalRecord>, StoreError> {
        let (mut senders, mut after) = (BTreeMap::new(), None);
        while senders.len() < tags.len() {
            let records = self.store.creates(after, PAGE).await?;
            let Some(last) = records.last() else { break };
            after = Some(last.intent.id);
            for record in records {
                let tag = record.intent.redacted_body.as_deref().and_then(tag_in);
                if let Some(tag) = tag.filter(|tag| tags.contains(tag.as_str())) {
                    senders.entry(tag).or_insert(record);
                }
            }
        }
        Ok(senders)
    }

    /// A saga that goes on may still come to it itself; one that is watched is looked at anyway; what a finding names is known.
    async fn watch_for(&self, stray: &Stray<'_>, record: &JournalRecord) -> Result<(), StoreError> {
        let id = record.intent.saga;
        let Some(loaded) = self.store.load(id).await? else {
            return Ok(());
        };
        let saga = loaded.saga;
        if !saga.status.is_final()
            || self.store.watch(id).await?.is_some()
            || self.is_told(id, stray.thing).await?
        {
            return Ok(());
        }
        tracing::info!(saga = %id, kind = stray.thing.kind, id = stray.thing.id, "something of the saga is not in the inventory; it is watched");
        let now_ms = self.store.now_ms();
        let intent = watched(self.store.installation(), &saga, &record.intent, true);
        self.store_look(Looked {
            saga: id,
            plan: saga.plan.clone(),
            from_looks: None,
            watch: Some(Watch {
                began_ms: now_ms,
                until_ms: now_ms + self.watching.horizon_ms,
                next_look_ms: now_ms,
                looks: 0,
                intents: vec![intent],
            }),
            resolved_codes: Vec::new(),
            findings: Vec::new(),
            events: vec![NewEvent {
                kind: history::STRAY_SEEN,
                actor: HOST.to_owned(),
                step: Some(record.intent.step),
                phase: None,
                detail: Json::of(&json!({ "kind": stray.thing.kind, "id": stray.thing.id })),
            }],
            at_ms: now_ms,
        })
        .await?;
        Ok(())
    }

    async fn is_told(&self, saga: SagaId, thing: &Seen) -> Result<bool, StoreError> {
        let page = Page {
            limit: PAGE,
            after: None,
        };
        let findings = self.store.findings(Some(saga), true, page).await?;
        let mut told = findings.iter().filter_map(|finding| finding.resource.as_ref());
        Ok(told.any(|key| key.kind == thing.kind && key.provider_id == thing.id))
    }
}

fn unkept<'a>(
    service: &str,
    sighting: &'a Sighting,
    kept: &BTreeSet<(String, String)>,
) -> impl Iterator<Item = Stray<'a>> {
    sighting.seen.iter().filter_map(move |thing| {
        let tag = thing
            .tags
            .iter()
            .chain([&thing.name])
            .find_map(|text| tag_in(text))?;
        let is_kept = kept.contains(&(thing.kind.to_owned(), thing.id.clone()));
        (!is_kept).then(|| Stray {
            name: (service.to_owned(), thing.kind, thing.id.clone()),
            thing,
            tag,
        })
    })
}

/// The first resource tag in a text: a tag, the name of a snapshot, or the body of a request.
fn tag_in(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (_, from) = text.split_once(RESOURCE_TAG_PREFIX)?;
    let hash = from.get(..HASH)?;
    let is_hash = hash
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_hash.then(|| format!("{RESOURCE_TAG_PREFIX}{hash}"))
}

/// Letters of a resource tag after its prefix.
const HASH: usize = 32;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::saga::id::resource_tag;

    #[test]
    fn the_tag_is_found_in_a_tag_a_name_and_a_body() {
        let tag = resource_tag(Uuid::from_u128(1), SagaId(Uuid::from_u128(2)), "create");
        for text in [
            tag.clone(),
            tag.to_ascii_uppercase(),
            format!("nightly-{tag}"),
            format!(r#"{{"name":"web","tags":["arcadia-saga-00000000","{tag}"]}}"#),
        ] {
            assert_eq!(tag_in(&text), Some(tag.clone()), "{text}");
        }
        for text in [
            "",
            "web-1",
            "arcadia-r-",
            "arcadia-r-short",
            "managed-by-arcadia-cloud",
        ] {
            assert_eq!(tag_in(text), None, "{text}");
        }
    }

    #[test]
    fn a_stray_grows_up_only_while_it_is_seen_in_every_audit() {
        let thing = Seen {
            kind: crate::cloud::DROPLET,
            id: "7".to_owned(),
            name: "web".to_owned(),
            tags: Vec::new(),
            created_ms: None,
        };
        let seen = || {
            vec![Stray {
                name: ("digitalocean".to_owned(), thing.kind, thing.id.clone()),
                thing: &thing,
                tag: String::new(),
            }]
        };
        let mut audit = Audit::begin(&WatchOptions::default(), 0);
        assert!(audit.grown(seen(), 0, 600).is_empty());
        assert!(audit.grown(seen(), 599, 600).is_empty());
        assert_eq!(audit.grown(seen(), 600, 600).len(), 1);
        assert!(audit.grown(Vec::new(), 700, 600).is_empty());
        assert!(audit.grown(seen(), 800, 600).is_empty(), "it begins anew");
        audit.strangers.extend(seen().into_iter().map(|stray| stray.name));
        assert!(audit.grown(seen(), 9_000, 600).is_empty(), "known not to be ours");
    }
}
