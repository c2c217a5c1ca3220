//! Tags as things of their own: they outlive what carries them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Call, Outcome};
use crate::simulator::{
    refusal::Refusal,
    world::{Effect, World, is_valid_tag},
};

/// How many things of one kind carry a tag, and which did so last.
fn counts(kind: &str, origin: &str, carriers: &[i64]) -> Value {
    match carriers.last() {
        Some(id) => json!({"count": carriers.len(), "last_tagged_uri": format!("{origin}/v2/{kind}/{id}")}),
        None => json!({"count": 0}),
    }
}

fn tag_json(world: &World, call: &Call<'_>, name: &str) -> Value {
    let origin = call.origin(&world.rules);
    let droplets = world.live_droplets().filter(|droplet| droplet.has_tag(name));
    let droplets: Vec<i64> = droplets.map(|droplet| droplet.id).collect();
    let images = world
        .snapshots
        .values()
        .filter(|image| !image.deleted && image.has_tag(name));
    let images: Vec<i64> = images.map(|image| image.id).collect();
    let all = [droplets.as_slice(), &images].concat();
    let kind = if images.is_empty() { "droplets" } else { "images" };
    let mut resources = counts(kind, &origin, &all);
    resources["droplets"] = counts("droplets", &origin, &droplets);
    resources["images"] = counts("images", &origin, &images);
    for kind in ["volumes", "volume_snapshots", "databases"] {
        resources[kind] = json!({"count": 0});
    }
    json!({"name": name, "resources": resources})
}

fn find<'w>(world: &'w World, name: &str) -> Result<&'w str, Refusal> {
    world.tags.find(name).ok_or_else(Refusal::not_found)
}

pub(super) fn list(world: &World, call: &Call<'_>) -> Answer {
    let items = world
        .tags
        .names()
        .map(|name| tag_json(world, call, name))
        .collect();
    call.pages(world, "tags", items)
}

pub(super) fn show(world: &World, call: &Call<'_>, name: &str) -> Outcome {
    let name = find(world, name)?;
    Ok(Answer::ok(json!({"tag": tag_json(world, call, name)})))
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
    let body = json!({"tag": tag_json(world, call, &name)});
    Ok(Answer::changed(201, body, effects.into_iter().collect()))
}

/// Deleting a tag takes it off everything; deleting an unknown one is 404.
pub(super) fn delete(world: &mut World, name: &str) -> Outcome {
    let name = world.tags.remove(name).ok_or_else(Refusal::not_found)?;
    let droplets = world.droplets.values_mut().map(|droplet| &mut droplet.tags);
    let images = world.snapshots.values_mut().map(|image| &mut image.tags);
    for tags in droplets.chain(images) {
        tags.retain(|tag| !tag.eq_ignore_ascii_case(&name));
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

/// Something here that carries tags.
#[derive(Clone, Copy)]
enum Carrier {
    Droplet(i64),
    /// As an image.
    Snapshot(i64),
}

/// The things that a body names; all of them must be there.
fn carriers(world: &World, call: &Call<'_>) -> Result<Vec<Carrier>, Refusal> {
    let body: Resources = call.json()?;
    let carrier = |resource: &Resource| {
        let id = resource.resource_id.as_i64();
        let id = id.or_else(|| resource.resource_id.as_str()?.parse().ok());
        let id = id.ok_or_else(Refusal::not_found)?;
        match resource.resource_type.as_str() {
            "droplet" => world
                .droplet(id, call.now_ms)
                .map(|droplet| Carrier::Droplet(droplet.id)),
            "image" => {
                let seen = world
                    .snapshots
                    .get(&id)
                    .filter(|image| image.is_seen(call.now_ms));
                seen.map(|image| Carrier::Snapshot(image.id))
                    .ok_or_else(Refusal::not_found)
            }
            // Volumes, their snapshots and databases aren't simulated, so there are none.
            _ => Err(Refusal::not_found()),
        }
    };
    body.resources.iter().map(carrier).collect()
}

fn tags_of(world: &mut World, carrier: Carrier) -> Option<&mut Vec<String>> {
    match carrier {
        Carrier::Droplet(id) => world.droplets.get_mut(&id).map(|droplet| &mut droplet.tags),
        Carrier::Snapshot(id) => world.snapshots.get_mut(&id).map(|image| &mut image.tags),
    }
}

pub(super) fn tag_resources(world: &mut World, call: &Call<'_>, name: &str) -> Outcome {
    let name: String = find(world, name)?.into();
    let carriers = carriers(world, call)?;
    for carrier in &carriers {
        if let Some(tags) = tags_of(world, *carrier)
            && !tags.contains(&name)
        {
            tags.push(name.clone());
        }
    }
    let effect = |carrier| match carrier {
        Carrier::Droplet(id) => Effect::DropletTagged(id),
        Carrier::Snapshot(id) => Effect::SnapshotTagged(id),
    };
    Ok(Answer::no_content(carriers.into_iter().map(effect).collect()))
}

pub(super) fn untag_resources(world: &mut World, call: &Call<'_>, name: &str) -> Outcome {
    let name: String = find(world, name)?.into();
    let carriers = carriers(world, call)?;
    for carrier in &carriers {
        if let Some(tags) = tags_of(world, *carrier) {
            tags.retain(|tag| *tag != name);
        }
    }
    let effect = |carrier| match carrier {
        Carrier::Droplet(id) => Effect::DropletUntagged(id),
        Carrier::Snapshot(id) => Effect::SnapshotUntagged(id),
    };
    Ok(Answer::no_content(carriers.into_iter().map(effect).collect()))
}
