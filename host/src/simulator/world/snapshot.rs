//! Snapshots of droplets, which outlive them, and how an image reference is looked up.

use serde_json::{Value, json};

use super::{Action, World};
use crate::simulator::{catalogue, clock::timestamp, options::Rules, refusal::Refusal};

#[derive(Clone, Debug)]
pub(in crate::simulator) struct Snapshot {
    pub(in crate::simulator) id: i64,
    pub(in crate::simulator) name: String,
    pub(in crate::simulator) droplet: i64,
    region: &'static str,
    distribution: Value,
    pub(in crate::simulator) tags: Vec<String>,
    min_disk_gb: u32,
    created_ms: u64,
    /// No listing shows it before.
    seen_from_ms: u64,
    pub(in crate::simulator) deleted: bool,
}

/// What a create or a rebuild needs to know of an image.
pub(in crate::simulator) struct FoundImage {
    pub(in crate::simulator) json: Value,
    pub(in crate::simulator) min_disk_gb: u32,
    only_region: Option<&'static str>,
}

impl FoundImage {
    pub(in crate::simulator) fn is_in(&self, region: &str) -> bool {
        self.only_region.is_none_or(|only| only == region)
    }
}

impl Snapshot {
    pub(in crate::simulator) fn is_seen(&self, now_ms: u64) -> bool {
        !self.deleted && now_ms >= self.seen_from_ms
    }

    pub(in crate::simulator) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own.eq_ignore_ascii_case(tag))
    }

    /// As `/v2/snapshots` shows it: the id is a string.
    pub(in crate::simulator) fn json(&self, rules: &Rules) -> Value {
        json!({
            "id": self.id.to_string(),
            "name": self.name,
            "created_at": timestamp(self.created_ms, rules.timestamp_skew_ms),
            "regions": [self.region],
            "min_disk_size": self.min_disk_gb,
            "size_gigabytes": 2.36,
            "resource_id": self.droplet.to_string(),
            "resource_type": "droplet",
            "tags": self.tags,
        })
    }

    /// As the droplet's own list shows it: the id is an integer.
    pub(in crate::simulator) fn json_of_droplet(&self, rules: &Rules) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "created_at": timestamp(self.created_ms, rules.timestamp_skew_ms),
            "regions": [self.region],
            "min_disk_size": self.min_disk_gb,
            "size_gigabytes": 2.36,
            "type": "snapshot",
        })
    }

    /// As an image.
    pub(in crate::simulator) fn json_of_image(&self, rules: &Rules) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "type": "snapshot",
            "distribution": self.distribution,
            "slug": null,
            "public": false,
            "regions": [self.region],
            "created_at": timestamp(self.created_ms, rules.timestamp_skew_ms),
            "min_disk_size": self.min_disk_gb,
            "size_gigabytes": 2.36,
            "description": "",
            "tags": self.tags,
            "status": "available",
            "error_message": "",
        })
    }
}

impl World {
    pub(super) fn add_snapshot(&mut self, name: &str, action: &Action, at_ms: u64) {
        let Some(droplet) = self.droplets.get(&action.droplet) else {
            return;
        };
        let id = Self::mint(&mut self.rng, &mut self.next.snapshot);
        let lag_ms = action.snapshot_lag_ms.unwrap_or(self.rules.snapshot_lag_ms);
        let snapshot = Snapshot {
            id,
            name: name.into(),
            droplet: droplet.id,
            region: droplet.region.slug,
            distribution: droplet.image["distribution"].clone(),
            tags: Vec::new(),
            min_disk_gb: droplet.disk_gb,
            // The real provider dates a snapshot like its action's start, and clients match on that.
            created_ms: action.started_ms,
            seen_from_ms: at_ms + lag_ms,
            deleted: false,
        };
        self.snapshots.insert(id, snapshot);
    }

    pub(in crate::simulator) fn seen_snapshots(
        &self,
        now_ms: u64,
    ) -> impl DoubleEndedIterator<Item = &Snapshot> {
        let snapshots = self.snapshots.values();
        snapshots.filter(move |snapshot| snapshot.is_seen(now_ms))
    }

    pub(super) fn snapshot_ids_of(&self, droplet: i64, now_ms: u64) -> Vec<i64> {
        let of_droplet = self
            .seen_snapshots(now_ms)
            .filter(|snapshot| snapshot.droplet == droplet);
        of_droplet.map(|snapshot| snapshot.id).collect()
    }

    /// Looks up a slug or integer id of a base image, or the integer id of a snapshot. A name names nothing, and neither do
    /// digits in a string unless the rules allow it.
    ///
    /// # Errors
    /// 422 with the provider's words.
    pub(in crate::simulator) fn find_image(
        &self,
        reference: &Value,
        now_ms: u64,
    ) -> Result<FoundImage, Refusal> {
        let slug = reference.as_str();
        let in_text = || slug.filter(|_| self.rules.text_image_ids)?.parse().ok();
        let id = reference.as_i64().or_else(in_text);
        let mut bases = catalogue::IMAGES.iter();
        if let Some(base) = bases.find(|base| Some(base.id) == id || Some(base.slug) == slug) {
            return Ok(FoundImage {
                json: base.json(),
                min_disk_gb: 7,
                only_region: None,
            });
        }
        let snapshot = self
            .seen_snapshots(now_ms)
            .find(|snapshot| Some(snapshot.id) == id);
        let snapshot = snapshot
            .ok_or_else(|| Refusal::unprocessable("You specified an invalid image for Droplet creation."))?;
        Ok(FoundImage {
            json: snapshot.json_of_image(&self.rules),
            min_disk_gb: snapshot.min_disk_gb,
            only_region: Some(snapshot.region),
        })
    }
}
