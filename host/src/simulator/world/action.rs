//! Droplet actions: at most one runs per droplet, and each stays readable for ever.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Droplet, Event, Presence, Status, Twist, World};
use crate::simulator::{
    catalogue::{self, Region, Size},
    clock::timestamp,
    options::Rules,
    refusal::Refusal,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::simulator) enum ActionStatus {
    InProgress,
    Completed,
    Errored,
}

/// What an action does when it completes.
#[derive(Clone)]
pub(in crate::simulator) enum Change {
    Create,
    Snapshot {
        name: String,
    },
    Power {
        kind: &'static str,
        to: Status,
    },
    Resize {
        to: &'static Size,
        disk: bool,
    },
    Rename {
        to: String,
    },
    /// The disk is written anew, from an image (`rebuild`) or from a snapshot of it (`restore`).
    Disk {
        kind: &'static str,
        image: Value,
    },
    Feature {
        kind: &'static str,
        feature: &'static str,
        on: bool,
    },
    /// An action that leaves nothing to see, such as a reboot.
    Nothing {
        kind: &'static str,
    },
}

impl Change {
    pub(in crate::simulator) fn kind(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Snapshot { .. } => "snapshot",
            Self::Power { kind, .. }
            | Self::Disk { kind, .. }
            | Self::Feature { kind, .. }
            | Self::Nothing { kind } => kind,
            Self::Resize { .. } => "resize",
            Self::Rename { .. } => "rename",
        }
    }
}

#[derive(Clone)]
pub(in crate::simulator) struct Action {
    pub(in crate::simulator) id: i64,
    pub(in crate::simulator) change: Change,
    pub(in crate::simulator) status: ActionStatus,
    pub(in crate::simulator) started_ms: u64,
    pub(in crate::simulator) ended_ms: Option<u64>,
    pub(in crate::simulator) droplet: i64,
    pub(super) region: &'static Region,
    /// Ends as errored instead of having its effect.
    pub(super) fails: bool,
    pub(super) snapshot_lag_ms: Option<u64>,
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action")
            .field("id", &self.id)
            .field("kind", &self.change.kind())
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Action {
    pub(in crate::simulator) fn json(&self, rules: &Rules) -> Value {
        let skew_ms = rules.timestamp_skew_ms;
        json!({
            "id": self.id,
            "status": self.status,
            "type": self.change.kind(),
            "started_at": timestamp(self.started_ms, skew_ms),
            "completed_at": self.ended_ms.map(|ended_ms| timestamp(ended_ms, skew_ms)),
            "resource_id": self.droplet,
            "resource_type": "droplet",
            "region": self.region.json(true),
            "region_slug": self.region.slug,
        })
    }
}

/// The body of a droplet action request.
#[derive(Debug, Deserialize)]
pub(in crate::simulator) struct ActionRequest {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    size: Option<String>,
    #[serde(default)]
    disk: Switch,
    image: Option<Value>,
}

/// A boolean, which clients in common use also write as text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Switch {
    Bool(bool),
    Text(SwitchText),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SwitchText {
    True,
    False,
}

impl Default for Switch {
    fn default() -> Self {
        Self::Bool(false)
    }
}

impl Switch {
    fn is_on(self) -> bool {
        match self {
            Self::Bool(on) => on,
            Self::Text(text) => text == SwitchText::True,
        }
    }
}

impl World {
    /// Starts an action on a droplet; with the twist `twice`, a second one of the same kind begins with it, as when the
    /// provider carries out one request two times.
    ///
    /// # Errors
    /// 404 without the droplet; 422 while another action or a delete is going on, or for an action that doesn't fit.
    pub(in crate::simulator) fn start_action(
        &mut self,
        droplet: i64,
        request: &ActionRequest,
        twist: &Twist,
        now_ms: u64,
    ) -> Result<Vec<i64>, Refusal> {
        let target = self.droplet(droplet, now_ms)?;
        if target.running_action.is_some() || target.presence == Presence::Leaving {
            return Err(Refusal::pending_event());
        }
        let change = self.change_of(target, request, now_ms)?;
        let region = target.region;
        let duration_ms = match change {
            Change::Snapshot { .. } => self.rules.snapshot_ms,
            _ => self.rules.action_ms,
        };
        let times = if twist.twice { 2 } else { 1 };
        let mut started = Vec::new();
        for _ in 0..times {
            let id = Self::mint(&mut self.rng, &mut self.next.action);
            let action = Action {
                id,
                change: change.clone(),
                status: ActionStatus::InProgress,
                started_ms: now_ms,
                ended_ms: None,
                droplet,
                region,
                fails: twist.action_errors,
                snapshot_lag_ms: twist.snapshot_lag_ms,
            };
            self.actions.insert(id, action);
            let status = ActionStatus::Completed;
            self.schedule(now_ms + duration_ms, Event::EndAction { action: id, status });
            started.push(id);
        }
        self.change(droplet, |target| target.running_action = started.first().copied());
        if let Some(vanish_ms) = twist.vanish_ms {
            self.vanish(droplet, now_ms + vanish_ms);
        }
        Ok(started)
    }

    fn change_of(&self, droplet: &Droplet, request: &ActionRequest, now_ms: u64) -> Result<Change, Refusal> {
        let power = |kind, to| Ok(Change::Power { kind, to });
        let feature = |kind, feature, on| Ok(Change::Feature { kind, feature, on });
        let disk = |kind| {
            let reference = request.image.as_ref().unwrap_or(&Value::Null);
            let image = self.find_image(reference, now_ms)?.json;
            Ok(Change::Disk { kind, image })
        };
        match request.kind.as_str() {
            "snapshot" => {
                let unnamed = || format!("{}-{now_ms}", droplet.name);
                let name = request.name.clone().unwrap_or_else(unnamed);
                Ok(Change::Snapshot { name })
            }
            "power_off" => power("power_off", Status::Off),
            "shutdown" => power("shutdown", Status::Off),
            "power_on" => power("power_on", Status::Active),
            "power_cycle" => power("power_cycle", Status::Active),
            "reboot" => Ok(Change::Nothing { kind: "reboot" }),
            "password_reset" => Ok(Change::Nothing {
                kind: "password_reset",
            }),
            "rename" => match &request.name {
                Some(to) => Ok(Change::Rename { to: to.clone() }),
                None => Err(Refusal::unprocessable("Droplet must have a name")),
            },
            "resize" => resize_of(droplet, request),
            "rebuild" => disk("rebuild"),
            "restore" => disk("restore"),
            "enable_backups" => feature("enable_backups", "backups", true),
            "disable_backups" => feature("disable_backups", "backups", false),
            "enable_ipv6" => feature("enable_ipv6", "ipv6", true),
            // Every droplet has it.
            "enable_private_networking" => feature("enable_private_networking", "private_networking", true),
            other => Err(Refusal::unprocessable(format!(
                "the action {other} is not supported"
            ))),
        }
    }

    pub(super) fn end_action(&mut self, id: i64, status: ActionStatus, at_ms: u64) {
        let Some(action) = self.actions.get_mut(&id) else {
            return;
        };
        if action.status != ActionStatus::InProgress {
            return;
        }
        action.status = if action.fails {
            ActionStatus::Errored
        } else {
            status
        };
        action.ended_ms = Some(at_ms);
        let action = action.clone();
        self.change(action.droplet, |droplet| {
            if droplet.running_action == Some(id) {
                droplet.running_action = None;
            }
        });
        if action.status == ActionStatus::Completed {
            self.complete(&action, at_ms);
        }
    }

    fn complete(&mut self, action: &Action, at_ms: u64) {
        let droplet = action.droplet;
        match &action.change {
            Change::Create | Change::Nothing { .. } => {}
            Change::Snapshot { name } => self.add_snapshot(name, action, at_ms),
            Change::Power { to, .. } => self.set_power(droplet, *to),
            Change::Resize { to, disk } => self.change(droplet, |target| target.resize(to, *disk)),
            Change::Rename { to } => self.change(droplet, |target| target.name.clone_from(to)),
            Change::Disk { image, .. } => {
                self.change(droplet, |target| target.image.clone_from(image));
            }
            Change::Feature { feature, on, .. } => self.set_feature(droplet, feature, *on),
        }
    }
}

fn resize_of(droplet: &Droplet, request: &ActionRequest) -> Result<Change, Refusal> {
    let size = request.size.as_deref().and_then(catalogue::find_size);
    let Some(to) = size else {
        return Err(Refusal::unprocessable("You specified an invalid size."));
    };
    if droplet.status != Status::Off {
        return Err(Refusal::unprocessable(
            "Droplet must be powered off to be resized.",
        ));
    }
    if to.disk_gb < droplet.disk_gb {
        let message = "can not decrease size of Droplet's disk image";
        return Err(Refusal::unprocessable(message));
    }
    Ok(Change::Resize {
        to,
        disk: request.disk.is_on(),
    })
}
