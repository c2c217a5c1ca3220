//! Which droplets are this step's own: those that carry its resource tag, and nothing else.
//!
//! Tags are put on after the create, and names are not unique: a droplet that only has the right name is a candidate until
//! its tag shows.

use digitalocean::Droplet;
use guest::{Host, Stop};

use crate::cloud::{Cloud, SHARED_TAG, stop_reading};
use crate::row::PROVIDER;

/// Whether a tag is one that only sagas put on droplets: the shared one, those that name a saga, and resource tags.
pub fn claims_ours(tag: &str) -> bool {
    let tag = tag.to_ascii_lowercase();
    tag == SHARED_TAG || tag.starts_with("arcadia-")
}

/// What one look found.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// They carry the resource tag. Lowest id first.
    pub carriers: Vec<Droplet>,
    /// Of the right name, with no tag of ours and no row in the inventory: perhaps ours, before its tags are on.
    pub candidates: Vec<Droplet>,
}

/// Look by the resource tag and, when a name is given, by name too.
pub fn look(
    host: &dyn Host,
    cloud: &Cloud<'_>,
    resource_tag: &str,
    name: Option<&str>,
    wait_ms: u64,
) -> Result<Found, Stop> {
    let stop = |error| stop_reading(host, error, wait_ms);
    let mut found = Found {
        carriers: cloud.list_droplets_by_tag(resource_tag, None).map_err(stop)?,
        candidates: Vec::new(),
    };
    if let Some(name) = name {
        for droplet in cloud.list_droplets_by_name(name).map_err(stop)? {
            if droplet.has_tag(resource_tag) {
                found.carry(droplet);
            } else if !is_claimed(&droplet) && !is_known(host, droplet.id)? {
                found.candidates.push(droplet);
            }
        }
    }
    found
        .candidates
        .retain(|candidate| found.carriers.iter().all(|carrier| carrier.id != candidate.id));
    Ok(found)
}

fn is_claimed(droplet: &Droplet) -> bool {
    droplet.tags.iter().flatten().any(|tag| claims_ours(tag))
}

fn is_known(host: &dyn Host, id: i64) -> Result<bool, Stop> {
    Ok(host.resource(PROVIDER, "droplet", &id.to_string())?.is_some())
}

impl Found {
    fn carry(&mut self, droplet: Droplet) {
        if let Err(place) = self
            .carriers
            .binary_search_by_key(&droplet.id, |carrier| carrier.id)
        {
            self.carriers.insert(place, droplet);
        }
    }

    /// The settle window is over and these never showed a tag: a person has to say whose they are.
    pub fn report_candidates(&self, host: &dyn Host, resource_tag: &str) -> Result<(), Stop> {
        for droplet in &self.candidates {
            let message = format!(
                "droplet {} is named {} like one whose create had no clear answer, but doesn't carry its tag {resource_tag}: \
                 destroy it if nobody else made it",
                droplet.id, droplet.name
            );
            host.report(
                "untagged-candidate",
                PROVIDER,
                "droplet",
                &droplet.id.to_string(),
                &message,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::claims_ours;

    #[test]
    fn tags_that_begin_like_ours_are_known_in_any_case() {
        for tag in [
            "managed-by-arcadia-cloud",
            "Arcadia-Saga-1234abcd",
            "ARCADIA-R-K3V",
            "arcadia-r-other",
        ] {
            assert!(claims_ours(tag), "{tag}");
        }
        for tag in ["web", "managed-by-terraform", "arcadia", "prod:arcadia-r-k3v"] {
            assert!(!claims_ours(tag), "{tag}");
        }
    }
}
