//! Snapshots, in the two forms that the provider shows them, and images.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Call, Outcome};
use crate::simulator::{
    catalogue::{self, BaseImage},
    options::Order,
    refusal::Refusal,
    world::{Effect, Snapshot, World},
};

fn in_order(world: &World, mut items: Vec<Value>) -> Vec<Value> {
    if world.rules.order == Order::NewestFirst {
        items.reverse();
    }
    items
}

pub(super) fn list(world: &World, call: &Call<'_>) -> Outcome {
    let items = match call.query("resource_type") {
        None | Some("droplet") => {
            let snapshots = world.seen_snapshots(call.now_ms);
            snapshots.map(|snapshot| snapshot.json(&world.rules)).collect()
        }
        Some("volume") => Vec::new(),
        Some(other) => {
            let message = format!("unknown resource_type {other}");
            return Err(Refusal::unprocessable(message));
        }
    };
    Ok(call.pages(world, "snapshots", in_order(world, items)))
}

pub(super) fn list_of_droplet(world: &World, call: &Call<'_>, droplet: i64) -> Outcome {
    world.droplet(droplet, call.now_ms)?;
    let snapshots = world
        .seen_snapshots(call.now_ms)
        .filter(|snapshot| snapshot.droplet == droplet);
    let items = snapshots
        .map(|snapshot| snapshot.json_of_droplet(&world.rules))
        .collect();
    Ok(call.pages(world, "snapshots", in_order(world, items)))
}

/// No droplet here has backups.
pub(super) fn list_backups(world: &World, call: &Call<'_>, droplet: i64) -> Outcome {
    world.droplet(droplet, call.now_ms)?;
    Ok(call.pages(world, "backups", Vec::new()))
}

/// What would be left of a droplet: its snapshots, since there are no volumes and reserved addresses here.
pub(super) fn list_associated(world: &World, call: &Call<'_>, droplet: i64) -> Outcome {
    world.droplet(droplet, call.now_ms)?;
    let snapshots = world
        .seen_snapshots(call.now_ms)
        .filter(|snapshot| snapshot.droplet == droplet);
    let snapshots = snapshots
        .map(|snapshot| json!({"id": snapshot.id.to_string(), "name": snapshot.name, "cost": "0.14"}));
    Ok(Answer::ok(json!({
        "reserved_ips": [],
        "floating_ips": [],
        "snapshots": snapshots.collect::<Vec<_>>(),
        "volumes": [],
        "volume_snapshots": [],
    })))
}

/// A volume's id is a UUID: such a thing is there, but it isn't a snapshot.
fn find<'w>(world: &'w World, call: &Call<'_>, reference: &str) -> Result<&'w Snapshot, Refusal> {
    if reference.len() == 36 && reference.matches('-').count() == 4 {
        return Err(Refusal::bad_request("the resource is not a snapshot"));
    }
    let id = reference.parse().map_err(|_| Refusal::not_found())?;
    let seen = |snapshot: &&Snapshot| snapshot.is_seen(call.now_ms);
    world
        .snapshots
        .get(&id)
        .filter(seen)
        .ok_or_else(Refusal::not_found)
}

pub(super) fn show(world: &World, call: &Call<'_>, reference: &str) -> Outcome {
    let snapshot = find(world, call, reference)?.json(&world.rules);
    Ok(Answer::ok(json!({"snapshot": snapshot})))
}

pub(super) fn delete(world: &mut World, call: &Call<'_>, reference: &str) -> Outcome {
    let id = find(world, call, reference)?.id;
    if let Some(snapshot) = world.snapshots.get_mut(&id) {
        snapshot.deleted = true;
    }
    Ok(Answer::no_content(vec![Effect::SnapshotDeleted(id)]))
}

pub(super) fn list_images(world: &World, call: &Call<'_>) -> Outcome {
    let private = call.query("private") == Some("true");
    let tag = call.query("tag_name");
    let snapshots = world.seen_snapshots(call.now_ms);
    let snapshots = snapshots.filter(|snapshot| tag.is_none_or(|tag| snapshot.has_tag(tag)));
    let mut items: Vec<Value> = match call.query("type") {
        Some("distribution" | "application") => Vec::new(),
        _ => snapshots
            .map(|snapshot| snapshot.json_of_image(&world.rules))
            .collect(),
    };
    if !private && tag.is_none() && call.query("type") != Some("application") {
        items.extend(catalogue::IMAGES.iter().map(BaseImage::json));
    }
    Ok(call.pages(world, "images", items))
}

pub(super) fn show_image(world: &World, call: &Call<'_>, reference: &str) -> Outcome {
    // In a path every id is text, so digits are an id here.
    let value = reference
        .parse::<i64>()
        .map_or_else(|_| json!(reference), |id| json!(id));
    let image = world.find_image(&value, call.now_ms);
    let image = image.map_err(|_| Refusal::not_found())?;
    Ok(Answer::ok(json!({"image": image.json})))
}

#[derive(Deserialize)]
struct NewName {
    name: Option<String>,
}

/// Only snapshots are the account's own to rename.
pub(super) fn rename_image(world: &mut World, call: &Call<'_>, reference: &str) -> Outcome {
    let NewName { name } = call.json()?;
    let id = find(world, call, reference)?.id;
    let rules = &world.rules;
    let snapshot = world.snapshots.get_mut(&id).ok_or_else(Refusal::not_found)?;
    if let Some(name) = name {
        snapshot.name = name;
    }
    Ok(Answer::ok(json!({"image": snapshot.json_of_image(rules)})))
}
