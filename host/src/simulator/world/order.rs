//! A request for new droplets: checked against the catalogue and the account, then carried out.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Action, ActionStatus, Activation, Birth, Change, Departure, Droplet, Event, Presence, Status, Twist,
    World, network, tag,
};
use crate::simulator::{
    catalogue::{self, Region, Size},
    refusal::Refusal,
};

const MAX_NAMES: usize = 10;
const MAX_NAME_CHARS: usize = 255;
const MAX_USER_DATA_BYTES: usize = 64 * 1024;

/// A create request as the client wrote it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Wish {
    name: Option<String>,
    names: Option<Vec<String>>,
    region: Option<String>,
    size: Option<String>,
    image: Option<Value>,
    ssh_keys: Option<Vec<Value>>,
    backups: Option<bool>,
    ipv6: Option<bool>,
    monitoring: Option<bool>,
    tags: Option<Vec<String>>,
    user_data: Option<String>,
    vpc_uuid: Option<String>,
    public_networking: Option<bool>,
    with_droplet_agent: Option<bool>,
}

/// A create request that passed every check.
#[derive(Clone)]
pub(in crate::simulator) struct Order {
    names: Vec<String>,
    /// Asked for with `names`, so answered with a list.
    pub(in crate::simulator) many: bool,
    region: &'static Region,
    size: &'static Size,
    image: Value,
    tags: Vec<String>,
    features: Vec<&'static str>,
    vpc_uuid: String,
    public_networking: bool,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Order").field(&self.names).finish()
    }
}

fn is_hostname(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    let ends_well = name
        .bytes()
        .last()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    name.len() <= MAX_NAME_CHARS && ends_well && name.bytes().all(allowed)
}

fn names_of(wish: &Wish) -> Result<(Vec<String>, bool), Refusal> {
    let (names, many) = match (&wish.name, &wish.names) {
        (Some(_), Some(_)) => {
            let message = "name and names can't be used together";
            return Err(Refusal::unprocessable(message));
        }
        (Some(name), None) => (vec![name.clone()], false),
        (None, Some(names)) => (names.clone(), true),
        (None, None) => (Vec::new(), false),
    };
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err(Refusal::unprocessable("Droplet must have a name"));
    }
    if names.len() > MAX_NAMES {
        let message = format!("at most {MAX_NAMES} droplets can be created at once");
        return Err(Refusal::unprocessable(message));
    }
    if !names.iter().all(|name| is_hostname(name)) {
        let message = "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)";
        return Err(Refusal::unprocessable(message));
    }
    Ok((names, many))
}

impl World {
    /// Checks a create request; changes nothing.
    ///
    /// # Errors
    /// 400 for a body that isn't a JSON object, 422 with the provider's words for everything else.
    pub(in crate::simulator) fn check_order(&self, body: &Value, now_ms: u64) -> Result<Order, Refusal> {
        if !body.is_object() {
            return Err(Refusal::bad_request("body must be a JSON object"));
        }
        let wish: Wish = serde_json::from_value(body.clone())
            .map_err(|error| Refusal::unprocessable(error.to_string()))?;
        let (names, many) = names_of(&wish)?;
        let (region, size) = self.check_place(&wish)?;
        let image = match &wish.image {
            Some(reference) => self.find_image(reference, now_ms)?,
            None => {
                return Err(Refusal::unprocessable(
                    "You specified an invalid image for Droplet creation.",
                ));
            }
        };
        if image.min_disk_gb > size.disk_gb || !image.is_in(region.slug) {
            let message = "You specified an invalid image for Droplet creation.";
            return Err(Refusal::unprocessable(message));
        }
        self.check_extras(&wish)?;
        let used = self.live_droplets().count();
        if used + names.len() > self.rules.droplet_limit as usize {
            let message = "creating this/these droplet(s) will exceed your droplet limit";
            return Err(Refusal::unprocessable(message));
        }
        let asked = [
            (wish.backups == Some(true), "backups"),
            (wish.ipv6 == Some(true), "ipv6"),
            (wish.monitoring == Some(true), "monitoring"),
            (wish.with_droplet_agent != Some(false), "droplet_agent"),
            (true, "private_networking"),
        ];
        Ok(Order {
            names,
            many,
            region,
            size,
            image: image.json,
            tags: wish.tags.unwrap_or_default(),
            features: asked
                .iter()
                .filter(|(on, _)| *on)
                .map(|(_, name)| *name)
                .collect(),
            vpc_uuid: wish.vpc_uuid.unwrap_or_else(|| default_vpc(region.slug)),
            public_networking: wish.public_networking != Some(false),
        })
    }

    fn check_place(&self, wish: &Wish) -> Result<(&'static Region, &'static Size), Refusal> {
        let size = wish.size.as_deref().and_then(catalogue::find_size);
        let Some(size) = size else {
            let message = "You specified an invalid size for Droplet creation.";
            return Err(Refusal::unprocessable(message));
        };
        let open = |region: &&Region| {
            !self
                .rules
                .unavailable_regions
                .iter()
                .any(|slug| slug == region.slug)
        };
        let region = match wish.region.as_deref() {
            Some(region) => catalogue::find_region(region),
            None => {
                let mut fitting = catalogue::REGIONS
                    .iter()
                    .filter(|region| size.offered_in(region.slug));
                fitting.find(open)
            }
        };
        let Some(region) = region else {
            let message = "You specified an invalid region for Droplet creation.";
            return Err(Refusal::unprocessable(message));
        };
        if !open(&region) {
            return Err(Refusal::unprocessable("Region is not available"));
        }
        if !size.offered_in(region.slug) {
            return Err(Refusal::unprocessable("Size is not available in this region."));
        }
        Ok((region, size))
    }

    fn check_extras(&self, wish: &Wish) -> Result<(), Refusal> {
        for key in wish.ssh_keys.iter().flatten() {
            if !self.knows_key(key) {
                let message = format!("{key} are invalid key identifiers for Droplet creation.");
                return Err(Refusal::unprocessable(message));
            }
        }
        let user_data_bytes = wish.user_data.as_deref().map_or(0, str::len);
        if user_data_bytes > MAX_USER_DATA_BYTES {
            return Err(Refusal::unprocessable("user_data is larger than 64 KiB"));
        }
        if wish.public_networking == Some(false) && wish.ipv6 == Some(true) {
            let message = "ipv6 can't be enabled without public networking";
            return Err(Refusal::unprocessable(message));
        }
        match wish.tags.iter().flatten().find(|tag| !tag::is_valid(tag)) {
            Some(tag) => Err(Refusal::unprocessable(format!("tag name is invalid: {tag}"))),
            None => Ok(()),
        }
    }

    fn knows_key(&self, reference: &Value) -> bool {
        self.keys
            .values()
            .any(|key| reference.as_i64() == Some(key.id) || reference.as_str() == Some(&key.fingerprint))
    }

    /// Makes the droplets of an order, each with its create action: pairs of droplet and action. A late order makes none
    /// now; its effects are counted for the request when they happen.
    pub(in crate::simulator) fn create(
        &mut self,
        order: &Order,
        twist: &Twist,
        request: u64,
        now_ms: u64,
    ) -> Vec<(i64, i64)> {
        if let Some(late_ms) = twist.late_ms {
            let late = Event::LateOrder {
                order: Box::new(order.clone()),
                twist: Box::new(twist.clone()),
                request,
            };
            self.schedule(now_ms + late_ms, late);
            return Vec::new();
        }
        let times = if twist.twice { 2 } else { 1 };
        let names = order
            .names
            .iter()
            .flat_map(|name| std::iter::repeat_n(name, times));
        let names: Vec<String> = names.cloned().collect();
        names
            .into_iter()
            .map(|name| self.create_one(order, name, twist, now_ms))
            .collect()
    }

    fn create_one(&mut self, order: &Order, name: String, twist: &Twist, now_ms: u64) -> (i64, i64) {
        let id = Self::mint(&mut self.rng, &mut self.next.droplet);
        let action = Self::mint(&mut self.rng, &mut self.next.action);
        let tags = order.tags.iter().map(|tag| self.tags.intern(tag)).collect();
        self.droplets.insert(
            id,
            Droplet {
                id,
                name,
                size: order.size,
                disk_gb: order.size.disk_gb,
                region: order.region,
                image: order.image.clone(),
                tags,
                status: Status::New,
                presence: Presence::Here,
                created_ms: now_ms,
                lag: twist.lag.unwrap_or(self.rules.lag),
                running_action: Some(action),
                networks: network::none(),
                public_networking: order.public_networking,
                features: order.features.clone(),
                vpc_uuid: order.vpc_uuid.clone(),
            },
        );
        self.actions.insert(
            action,
            Action {
                id: action,
                change: Change::Create,
                status: ActionStatus::InProgress,
                started_ms: now_ms,
                ended_ms: None,
                droplet: id,
                region: order.region,
                fails: false,
                snapshot_lag_ms: None,
            },
        );
        self.schedule_birth(id, action, twist.birth, now_ms);
        if let Some(vanish_ms) = twist.vanish_ms {
            self.vanish(id, now_ms + vanish_ms);
        }
        (id, action)
    }

    fn schedule_birth(&mut self, droplet: i64, action: i64, birth: Birth, now_ms: u64) {
        let normal_ms = now_ms + self.rules.activation_ms;
        let (active_ms, public_ip) = match birth {
            Birth::Normal | Birth::Activation(Activation::Flapping { .. }) => (normal_ms, true),
            Birth::Activation(Activation::WithoutPublicIp) => (normal_ms, false),
            Birth::Activation(Activation::Slow { after_ms }) => (now_ms + after_ms, true),
            Birth::Activation(Activation::Never) => return,
            Birth::PlacementFails { after_ms } => {
                let cause = Departure::PlacementFailed;
                return self.schedule(now_ms + after_ms, Event::Depart { droplet, cause });
            }
            Birth::ActionErrors { after_ms } => {
                let status = ActionStatus::Errored;
                return self.schedule(now_ms + after_ms, Event::EndAction { action, status });
            }
        };
        self.schedule(active_ms, Event::Activate { droplet, public_ip });
        let ended_ms = active_ms.saturating_add_signed(self.rules.create_action_skew_ms);
        let status = ActionStatus::Completed;
        self.schedule(ended_ms.max(now_ms), Event::EndAction { action, status });
        if let Birth::Activation(Activation::Flapping { period_ms }) = birth {
            for (periods, status) in [(1, Status::Off), (2, Status::Active)] {
                let power = Event::Power { droplet, status };
                self.schedule(active_ms + periods * period_ms, power);
            }
        }
    }
}

/// The account's default VPC of a region: the same one every time.
fn default_vpc(region: &str) -> String {
    let position = catalogue::REGIONS.iter().position(|other| other.slug == region);
    let number = position.unwrap_or_default() + 1;
    format!("760e09ef-dc84-11e8-981e-3cfdfea{number:05x}")
}
