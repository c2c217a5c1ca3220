//! Droplets: create, look, list, delete.

use serde_json::{Value, json};

use super::{Answer, Call, Outcome, action_link};
use crate::simulator::{
    options::{Order as ListOrder, UnknownTag},
    refusal::Refusal,
    world::{Droplet, Effect, World},
};

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let order = world.check_order(&call.value()?, call.now_ms)?;
    let created = world.create(&order, call.twist, call.seq, call.now_ms);
    let effects = created
        .iter()
        .map(|(droplet, _)| Effect::DropletCreated(*droplet))
        .collect();
    // A request that is carried out twice answers like one that was carried out once.
    let told = created.iter().step_by(if call.twist.twice { 2 } else { 1 });
    let (mut droplets, mut links) = (Vec::new(), Vec::new());
    for (droplet, action) in told {
        let droplet = world.droplets.get(droplet).ok_or_else(Refusal::not_found)?;
        droplets.push(shown(world, call, droplet));
        links.push(action_link(world, call, *action));
    }
    let body = if order.many {
        json!({"droplets": droplets, "links": {"actions": links}})
    } else {
        json!({"droplet": droplets.pop(), "links": {"actions": links}})
    };
    Ok(Answer::changed(202, body, effects))
}

/// A droplet as the token may see it: without `tag:read` it seems to have no tags.
fn shown(world: &World, call: &Call<'_>, droplet: &Droplet) -> Value {
    let mut value = world.droplet_json(droplet, call.now_ms);
    if !call.token.allows("tag:read") {
        value["tags"] = json!([]);
    }
    value
}

pub(super) fn show(world: &mut World, call: &Call<'_>, id: i64) -> Outcome {
    let droplet = shown(world, call, world.droplet(id, call.now_ms)?);
    if let Some(vanish_ms) = call.twist.vanish_ms {
        world.vanish(id, call.now_ms + vanish_ms);
    }
    Ok(Answer::ok(json!({"droplet": droplet})))
}

pub(super) fn list(world: &World, call: &Call<'_>) -> Outcome {
    let (tag, name, kind) = (call.query("tag_name"), call.query("name"), call.query("type"));
    if tag.is_some() && (name.is_some() || kind.is_some()) {
        let message = "tag_name can't be combined with name or type";
        return Err(Refusal::unprocessable(message));
    }
    let gpus = match kind {
        None | Some("droplets") => false,
        Some("gpus") => true,
        Some(other) => return Err(Refusal::unprocessable(format!("unknown type {other}"))),
    };
    if let Some(tag) = tag {
        check_tag(world, tag)?;
    }
    let matches = |droplet: &&Droplet| {
        let (wanted, lag_ms) = match (tag, name) {
            (Some(tag), _) => (droplet.has_tag(tag), droplet.lag.tag_ms),
            (None, Some(name)) => (droplet.name.eq_ignore_ascii_case(name), droplet.lag.name_ms),
            (None, None) => (true, droplet.lag.list_ms),
        };
        wanted && droplet.size.gpu == gpus && droplet.is_seen(call.now_ms, lag_ms)
    };
    let droplets = world.droplets.values().filter(matches);
    let mut items: Vec<Value> = droplets.map(|droplet| shown(world, call, droplet)).collect();
    match world.rules.order {
        ListOrder::NewestFirst => items.reverse(),
        ListOrder::OldestFirst => {}
    }
    Ok(call.pages(world, "droplets", items))
}

fn check_tag(world: &World, tag: &str) -> Result<(), Refusal> {
    match (world.rules.unknown_tag, world.tags.find(tag)) {
        (UnknownTag::NotFound, None) => Err(Refusal::not_found()),
        (UnknownTag::NotFound, Some(_)) | (UnknownTag::Empty, _) => Ok(()),
    }
}

pub(super) fn delete(world: &mut World, call: &Call<'_>, id: i64) -> Outcome {
    let removed = world.delete_droplet(id, call.twist, call.now_ms)?;
    let effects = removed.then_some(Effect::DropletDeleted(id));
    Ok(Answer::no_content(effects.into_iter().collect()))
}

/// Carriers that can't be deleted now are left, silently: the endpoint has no way to name them.
pub(super) fn delete_by_tag(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(tag) = call.query("tag_name") else {
        return Err(Refusal::bad_request("tag_name is required"));
    };
    check_tag(world, tag)?;
    let carriers = world.live_droplets().filter(|droplet| droplet.has_tag(tag));
    let carriers: Vec<i64> = carriers.map(|droplet| droplet.id).collect();
    let mut effects = Vec::new();
    for id in carriers {
        if world.delete_droplet(id, call.twist, call.now_ms) == Ok(true) {
            effects.push(Effect::DropletDeleted(id));
        }
    }
    Ok(Answer::no_content(effects))
}
