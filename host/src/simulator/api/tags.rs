//! Tags as things of their own: they outlive what carries them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Call, Outcome};
use crate::simulator::{
    refusal::Refusal,
    world::{Droplet, Effect, World, is_valid_tag},
};

fn tag_json(world: &World, name: &str) -> Value {
    let carriers: Vec<&Droplet> = world
        .live_droplets()
        .filter(|droplet| droplet.has_tag(name))
        .collect();
    let last = carriers
        .last()
        .map(|droplet| format!("{}/v2/droplets/{}", world.rules.link_origin, droplet.id));
    let mut counts = json!({"count": carriers.len()});
    if let Some(uri) = last {
        counts["last_tagged_uri"] = json!(uri);
    }
    let none = json!({"count": 0});
    let mut resources = counts.clone();
    resources["droplets"] = counts;
    for kind in ["images", "volumes", "volume_snapshots", "databases"] {
        resources[kind] = none.clone();
    }
    json!({"name": name, "resources": resources})
}

fn find<'w>(world: &'w World, name: &str) -> Result<&'w str, Refusal> {
    world.tags.find(name).ok_or_else(Refusal::not_found)
}

pub(super) fn list(world: &World, call: &Call<'_>) -> Answer {
    let items = world.tags.names().map(|name| tag_json(world, name)).collect();
    call.pages(world, "tags", items)
}

pub(super) fn show(world: &World, name: &str) -> Outcome {
    let name = find(world, name)?;
    Ok(Answer::ok(json!({"tag": tag_json(world, name)})))
}

#[derive(Deserialize)]
struct NewTag {
    name: String,
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let new: NewTag = call.json()?;
    if !is_valid_tag(&new.name) {
        return Err(Refusal::invalid_tag(&new.name));
    }
    let is_new = world.tags.find(&new.name).is_none();
    let name = world.tags.intern(&new.name);
    let effects = is_new.then(|| Effect::TagCreated(name.clone()));
    let body = json!({"tag": tag_json(world, &name)});
    Ok(Answer::changed(201, body, effects.into_iter().collect()))
}

/// Deleting a tag takes it off everything; deleting an unknown one is 404.
pub(super) fn delete(world: &mut World, name: &str) -> Outcome {
    let name = world.tags.remove(name).ok_or_else(Refusal::not_found)?;
    for droplet in world.droplets.values_mut() {
        droplet.tags.retain(|tag| !tag.eq_ignore_ascii_case(&name));
    }
    Ok(Answer::no_content(vec![Effect::TagDeleted(name)]))
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    resource_id: Value,
    resource_type: String,
}

/// The droplets that a body names; all of them must be there.
fn droplets_of(world: &World, call: &Call<'_>) -> Result<Vec<i64>, Refusal> {
    let body: Resources = call.json()?;
    let droplet = |resource: &Resource| {
        let id = resource.resource_id.as_i64();
        let id = id.or_else(|| resource.resource_id.as_str()?.parse().ok());
        let id = id.filter(|_| resource.resource_type == "droplet");
        let id = id.ok_or_else(Refusal::not_found)?;
        world.droplet(id, call.now_ms).map(|droplet| droplet.id)
    };
    body.resources.iter().map(droplet).collect()
}

pub(super) fn tag_resources(world: &mut World, call: &Call<'_>, name: &str) -> Outcome {
    let name: String = find(world, name)?.into();
    let ids = droplets_of(world, call)?;
    for id in &ids {
        if let Some(droplet) = world
            .droplets
            .get_mut(id)
            .filter(|droplet| !droplet.has_tag(&name))
        {
            droplet.tags.push(name.clone());
        }
    }
    let effects = ids.into_iter().map(Effect::DropletTagged).collect();
    Ok(Answer::no_content(effects))
}

pub(super) fn untag_resources(world: &mut World, call: &Call<'_>, name: &str) -> Outcome {
    let name: String = find(world, name)?.into();
    let ids = droplets_of(world, call)?;
    for id in &ids {
        if let Some(droplet) = world.droplets.get_mut(id) {
            droplet.tags.retain(|tag| !tag.eq_ignore_ascii_case(&name));
        }
    }
    let effects = ids.into_iter().map(Effect::DropletUntagged).collect();
    Ok(Answer::no_content(effects))
}
