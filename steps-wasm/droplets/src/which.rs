//! Which droplet a step is about.

use guest::{Host, Settings, Stop, permanent};
use serde_json::Value;

/// A droplet's id, written as a number or as its digits.
pub fn id_of(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.parse().ok())
        .filter(|id| *id > 0)
}

fn named(settings: &Settings) -> Result<Option<i64>, Stop> {
    let Some(value) = settings.value("droplet_provider_id") else {
        return Ok(None);
    };
    let id =
        id_of(value).ok_or_else(|| permanent("invalid-droplet-id", format!("{value} is no droplet id")))?;
    Ok(Some(id))
}

fn in_context(host: &dyn Host) -> Option<i64> {
    host.get("droplet_id").as_ref().and_then(id_of)
}

/// The create's action, when the droplet is the one that an earlier step of this scope created and was told of.
pub fn create_action_of(host: &dyn Host, droplet_id: i64) -> Option<i64> {
    let action_id = host.get("droplet_create_action_id").as_ref().and_then(id_of);
    action_id.filter(|_| in_context(host) == Some(droplet_id))
}

fn missing() -> Stop {
    permanent(
        "no-droplet",
        "neither droplet_provider_id nor droplet_id in the context names a droplet",
    )
}

/// The droplet that the caller named; else the one in the context.
pub fn droplet_named(host: &dyn Host, settings: &Settings) -> Result<i64, Stop> {
    named(settings)?.or_else(|| in_context(host)).ok_or_else(missing)
}

/// The droplet in the context, made by an earlier step; else the one that the caller named.
pub fn droplet_here(host: &dyn Host, settings: &Settings) -> Result<i64, Stop> {
    match in_context(host) {
        Some(id) => Ok(id),
        None => named(settings)?.ok_or_else(missing),
    }
}
