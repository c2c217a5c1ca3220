//! Actions: started on a droplet, and readable for ever.

use serde_json::{Value, json};

use super::{Answer, Call, Outcome};
use crate::simulator::{
    options::Order,
    refusal::Refusal,
    world::{Action, ActionRequest, Effect, World},
};

pub(super) fn list(world: &World, call: &Call<'_>, of_droplet: Option<i64>) -> Outcome {
    if let Some(droplet) = of_droplet {
        world.droplet(droplet, call.now_ms)?;
    }
    let wanted = |action: &&Action| of_droplet.is_none_or(|droplet| droplet == action.droplet);
    let actions = world.actions.values().filter(wanted);
    let mut items: Vec<Value> = actions.map(|action| action.json(&world.rules)).collect();
    if world.rules.order == Order::NewestFirst {
        items.reverse();
    }
    Ok(call.pages(world, "actions", items))
}

fn find(world: &World, id: i64) -> Result<&Action, Refusal> {
    world.actions.get(&id).ok_or_else(Refusal::not_found)
}

pub(super) fn show(world: &World, id: i64) -> Outcome {
    let action = find(world, id)?.json(&world.rules);
    Ok(Answer::ok(json!({"action": action})))
}

pub(super) fn show_of_droplet(world: &World, call: &Call<'_>, droplet: i64, id: i64) -> Outcome {
    world.droplet(droplet, call.now_ms)?;
    let action = find(world, id)?;
    if action.droplet != droplet {
        return Err(Refusal::not_found());
    }
    let mut action = action.json(&world.rules);
    if world.rules.hide_completed_at {
        action["completed_at"] = Value::Null;
    }
    Ok(Answer::ok(json!({"action": action})))
}

pub(super) fn start(world: &mut World, call: &Call<'_>, droplet: i64) -> Outcome {
    world.droplet(droplet, call.now_ms)?;
    let request: ActionRequest = call.json()?;
    let started = world.start_action(droplet, &request, call.twist, call.now_ms)?;
    let first = started.first().copied().unwrap_or_default();
    let action = find(world, first)?.json(&world.rules);
    let effects = started.into_iter().map(Effect::ActionStarted).collect();
    Ok(Answer::changed(201, json!({"action": action}), effects))
}

/// One action per carrier of the tag. Carriers that can't run it now are left out, silently.
pub(super) fn start_by_tag(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(tag) = call.query("tag_name") else {
        return Err(Refusal::bad_request("tag_name is required"));
    };
    let request: ActionRequest = call.json()?;
    let carriers = world.live_droplets().filter(|droplet| droplet.has_tag(tag));
    let carriers: Vec<i64> = carriers.map(|droplet| droplet.id).collect();
    let mut started = Vec::new();
    for droplet in carriers {
        let ids = world.start_action(droplet, &request, call.twist, call.now_ms);
        started.extend(ids.unwrap_or_default());
    }
    let shown = started.iter().filter_map(|id| world.actions.get(id));
    let actions: Vec<Value> = shown.map(|action| action.json(&world.rules)).collect();
    let effects = started.into_iter().map(Effect::ActionStarted).collect();
    Ok(Answer::changed(201, json!({"actions": actions}), effects))
}
