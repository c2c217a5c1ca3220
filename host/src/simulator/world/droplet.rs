//! A droplet's life: made, active, switched off, changed behind everybody's back, deleted, gone.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ActionStatus, Event, Twist, World, network};
use crate::simulator::{
    catalogue::{self, Region, Size},
    clock::timestamp,
    options::{DeleteWhileNew, Lag, Rules},
    refusal::Refusal,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::simulator) enum Status {
    New,
    Active,
    Off,
}

/// Whether a droplet is there. One that is gone stays known, so that a test can ask why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Presence {
    Here,
    /// A delete was accepted; GET shows it unchanged until it is gone.
    Leaving,
    Gone {
        at_ms: u64,
        cause: Departure,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::simulator) enum Departure {
    Deleted,
    PlacementFailed,
    OutOfBand,
}

/// A change behind the API's back, as another program or a person in the web console makes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Drift {
    Delete,
    PowerOff,
    PowerOn,
    Rename { name: String },
    Resize { size: String },
    Retag { tags: Vec<String> },
    Rebuild { image: String },
}

#[derive(Clone)]
pub(in crate::simulator) struct Droplet {
    pub(in crate::simulator) id: i64,
    pub(in crate::simulator) name: String,
    pub(in crate::simulator) size: &'static Size,
    pub(in crate::simulator) disk_gb: u32,
    pub(in crate::simulator) region: &'static Region,
    /// The image as it was when the droplet was made.
    pub(in crate::simulator) image: Value,
    pub(in crate::simulator) tags: Vec<String>,
    pub(in crate::simulator) status: Status,
    pub(in crate::simulator) presence: Presence,
    pub(in crate::simulator) created_ms: u64,
    pub(in crate::simulator) lag: Lag,
    pub(in crate::simulator) running_action: Option<i64>,
    pub(super) networks: Value,
    pub(super) public_networking: bool,
    pub(super) features: Vec<&'static str>,
    pub(super) vpc_uuid: String,
}

impl std::fmt::Debug for Droplet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Droplet")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("status", &self.status)
            .field("presence", &self.presence)
            .finish_non_exhaustive()
    }
}

impl Droplet {
    pub(in crate::simulator) fn is_gone(&self) -> bool {
        matches!(self.presence, Presence::Gone { .. })
    }

    pub(in crate::simulator) fn is_seen(&self, now_ms: u64, lag_ms: u64) -> bool {
        !self.is_gone() && now_ms >= self.created_ms.saturating_add(lag_ms)
    }

    pub(in crate::simulator) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own.eq_ignore_ascii_case(tag))
    }

    pub(in crate::simulator) fn json(&self, rules: &Rules, snapshot_ids: &[i64]) -> Value {
        let mut value = json!({
            "id": self.id,
            "name": self.name,
            "memory": self.size.memory_mb,
            "vcpus": self.size.vcpus,
            "disk": self.disk_gb,
            "disk_info": self.size.disk_info(),
            "locked": rules.locked_while_busy && self.running_action.is_some(),
            "status": self.status,
            "kernel": null,
            "created_at": timestamp(self.created_ms, rules.timestamp_skew_ms),
            "features": self.features,
            "backup_ids": [],
            "next_backup_window": null,
            "snapshot_ids": snapshot_ids,
            "image": self.image,
            "volume_ids": [],
            "size": self.size.json(),
            "size_slug": self.size.slug,
            "networks": self.networks,
            "region": self.region.json(!rules.unavailable_regions.iter().any(|slug| slug == self.region.slug)),
            "tags": self.tags,
            "vpc_uuid": self.vpc_uuid,
        });
        if self.size.gpu {
            value["gpu_info"] = Size::gpu_info();
        }
        value
    }
}

impl World {
    pub(in crate::simulator) fn live_droplets(&self) -> impl Iterator<Item = &Droplet> {
        self.droplets.values().filter(|droplet| !droplet.is_gone())
    }

    /// What GET by id sees.
    pub(in crate::simulator) fn droplet(&self, id: i64, now_ms: u64) -> Result<&Droplet, Refusal> {
        let seen = |droplet: &&Droplet| droplet.is_seen(now_ms, droplet.lag.get_ms);
        let droplet = self.droplets.get(&id).filter(seen);
        droplet.ok_or_else(Refusal::not_found)
    }

    pub(in crate::simulator) fn droplet_json(&self, droplet: &Droplet, now_ms: u64) -> Value {
        droplet.json(&self.rules, &self.snapshot_ids_of(droplet.id, now_ms))
    }

    /// What GET by id doesn't see yet can't be deleted either. Accepts a delete: the droplet is gone when the rules' time has passed. Says whether anything will be removed.
    pub(in crate::simulator) fn delete_droplet(
        &mut self,
        id: i64,
        twist: &Twist,
        now_ms: u64,
    ) -> Result<bool, Refusal> {
        let (delete_ms, while_new) = (self.rules.delete_ms, self.rules.delete_while_new);
        let droplet = self.droplets.get_mut(&id).ok_or_else(Refusal::not_found)?;
        if !droplet.is_seen(now_ms, droplet.lag.get_ms) {
            return Err(Refusal::not_found());
        }
        match droplet.presence {
            Presence::Here => {}
            Presence::Leaving | Presence::Gone { .. } => return Err(Refusal::not_found()),
        }
        let ignored = match (droplet.running_action, droplet.status, while_new) {
            (None, _, _) | (Some(_), Status::New, DeleteWhileNew::Accepted) => false,
            (Some(_), Status::New, DeleteWhileNew::Ignored) => true,
            (Some(_), Status::New, DeleteWhileNew::Refused) | (Some(_), Status::Active | Status::Off, _) => {
                return Err(Refusal::pending_event());
            }
        };
        if ignored || twist.delete_ignored {
            return Ok(false);
        }
        droplet.presence = Presence::Leaving;
        let cause = Departure::Deleted;
        self.schedule(now_ms + delete_ms, Event::Depart { droplet: id, cause });
        self.settle(now_ms);
        Ok(true)
    }

    pub(super) fn activate(&mut self, id: i64, public_ip: bool) {
        let Some(droplet) = self.droplets.get_mut(&id) else {
            return;
        };
        if droplet.presence == Presence::Here && droplet.status == Status::New {
            let public = public_ip && droplet.public_networking;
            let ipv6 = droplet.features.contains(&"ipv6");
            droplet.networks = network::assign(&mut self.rng, public, ipv6);
            droplet.status = Status::Active;
        }
    }

    pub(super) fn set_power(&mut self, id: i64, status: Status) {
        if let Some(droplet) = self.droplets.get_mut(&id)
            && droplet.presence == Presence::Here
            && droplet.status != Status::New
        {
            droplet.status = status;
        }
    }

    /// Switches a feature on or off; IPv6 comes with its address.
    pub(super) fn set_feature(&mut self, id: i64, feature: &'static str, on: bool) {
        let Some(droplet) = self.droplets.get_mut(&id) else {
            return;
        };
        droplet.features.retain(|other| *other != feature);
        if on {
            droplet.features.push(feature);
        }
        let is_public = droplet.public_networking && droplet.status != Status::New;
        if feature == "ipv6" && on && is_public {
            droplet.networks["v6"] = network::v6(&mut self.rng);
        }
    }

    /// The droplet is gone from now on; an action that ran on it can't succeed any more.
    pub(super) fn depart(&mut self, id: i64, cause: Departure, at_ms: u64) {
        let Some(droplet) = self.droplets.get_mut(&id) else {
            return;
        };
        if droplet.is_gone() {
            return;
        }
        droplet.presence = Presence::Gone { at_ms, cause };
        if let Some(action) = droplet.running_action {
            self.end_action(action, ActionStatus::Errored, at_ms);
        }
    }

    /// The droplet is gone at that time, without a request.
    pub(in crate::simulator) fn vanish(&mut self, id: i64, at_ms: u64) {
        let cause = Departure::OutOfBand;
        self.schedule(at_ms, Event::Depart { droplet: id, cause });
    }

    /// Changes a droplet without a request to the API.
    ///
    /// # Errors
    /// The droplet, size or image doesn't exist.
    pub(in crate::simulator) fn drift(&mut self, id: i64, drift: &Drift, now_ms: u64) -> Result<(), Refusal> {
        if self.droplets.get(&id).is_none_or(Droplet::is_gone) {
            return Err(Refusal::not_found());
        }
        match drift {
            Drift::Delete => self.depart(id, Departure::OutOfBand, now_ms),
            Drift::PowerOff => self.set_power(id, Status::Off),
            Drift::PowerOn => self.set_power(id, Status::Active),
            Drift::Rename { name } => self.change(id, |droplet| droplet.name.clone_from(name)),
            Drift::Resize { size } => {
                let size = catalogue::find_size(size).ok_or_else(Refusal::not_found)?;
                self.change(id, |droplet| droplet.resize(size, true));
            }
            Drift::Retag { tags } => {
                let tags = tags.iter().map(|tag| self.tags.intern(tag)).collect();
                self.change(id, |droplet| droplet.tags = tags);
            }
            Drift::Rebuild { image } => {
                let image = self.find_image(&json!(image), now_ms)?;
                self.change(id, |droplet| droplet.image = image.json);
            }
        }
        Ok(())
    }

    pub(super) fn change(&mut self, id: i64, change: impl FnOnce(&mut Droplet)) {
        if let Some(droplet) = self.droplets.get_mut(&id) {
            change(droplet);
        }
    }
}

impl Droplet {
    /// A new size; the disk grows only when asked to, and never shrinks.
    pub(super) fn resize(&mut self, size: &'static Size, with_disk: bool) {
        self.size = size;
        if with_disk {
            self.disk_gb = self.disk_gb.max(size.disk_gb);
        }
    }
}
