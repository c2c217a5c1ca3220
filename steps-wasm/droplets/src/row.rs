//! Inventory rows.

use digitalocean::{Droplet, Snapshot};
use guest::CloudResource;

pub const PROVIDER: &str = "digitalocean";

pub fn droplet_row(droplet: &Droplet) -> CloudResource {
    CloudResource {
        provider: PROVIDER.to_owned(),
        kind: "droplet".to_owned(),
        provider_id: droplet.id.to_string(),
        name: Some(droplet.name.clone()).filter(|name| !name.is_empty()),
        region: droplet.region.clone(),
        status: if droplet.status.is_empty() {
            "unknown".to_owned()
        } else {
            droplet.status.clone()
        },
        public_ip: droplet.public_ipv4.clone(),
        tags: droplet.tags.clone().unwrap_or_default(),
        raw: droplet.raw.clone(),
    }
}

pub fn snapshot_row(snapshot: &Snapshot) -> CloudResource {
    CloudResource {
        provider: PROVIDER.to_owned(),
        kind: "snapshot".to_owned(),
        provider_id: snapshot.id.clone(),
        name: Some(snapshot.name.clone()),
        region: snapshot.regions.first().cloned(),
        status: "available".to_owned(),
        public_ip: None,
        tags: snapshot.tags.clone(),
        raw: snapshot.raw.clone(),
    }
}
