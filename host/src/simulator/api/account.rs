//! The account and its SSH keys.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Call, Outcome};
use crate::simulator::{
    options::AccountStatus,
    refusal::Refusal,
    world::{Effect, Key, World},
};

pub(super) fn show(world: &World) -> Outcome {
    let rules = &world.rules;
    let status_message = match rules.account_status {
        AccountStatus::Active => "",
        AccountStatus::Warning => "Your account needs attention.",
        AccountStatus::Locked => "Your account is locked.",
    };
    Ok(Answer::ok(json!({"account": {
        "droplet_limit": rules.droplet_limit,
        "floating_ip_limit": 3,
        "email": "simulator@example.com",
        "name": "Simulated Account",
        "uuid": rules.account_uuid,
        "email_verified": true,
        "status": rules.account_status,
        "status_message": status_message,
        "team": {"uuid": rules.account_uuid, "name": "Simulated Team"},
    }})))
}

#[derive(Deserialize)]
struct NewKey {
    name: String,
    public_key: String,
}

fn key_json(key: &Key) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "fingerprint": key.fingerprint,
        "public_key": key.public_key,
    })
}

pub(super) fn list_keys(world: &World, call: &Call<'_>) -> Outcome {
    let items = world.keys.values().map(key_json).collect();
    Ok(call.pages(world, "ssh_keys", items))
}

pub(super) fn create_key(world: &mut World, call: &Call<'_>) -> Outcome {
    let new: NewKey = call.json()?;
    let key = world.add_key(new.name, new.public_key)?;
    let effects = vec![Effect::KeyCreated(key.id)];
    Ok(Answer::changed(201, json!({"ssh_key": key_json(&key)}), effects))
}

fn find<'w>(world: &'w World, reference: &str) -> Result<&'w Key, Refusal> {
    let named = |key: &&Key| key.fingerprint == reference || key.id.to_string() == reference;
    world.keys.values().find(named).ok_or_else(Refusal::not_found)
}

pub(super) fn show_key(world: &World, reference: &str) -> Outcome {
    let key = find(world, reference)?;
    Ok(Answer::ok(json!({"ssh_key": key_json(key)})))
}

#[derive(Deserialize)]
struct NewName {
    name: String,
}

pub(super) fn rename_key(world: &mut World, call: &Call<'_>, reference: &str) -> Outcome {
    let NewName { name } = call.json()?;
    let mut key = find(world, reference)?.clone();
    key.name = name;
    let body = json!({"ssh_key": key_json(&key)});
    world.keys.insert(key.id, key);
    Ok(Answer::ok(body))
}

pub(super) fn delete_key(world: &mut World, reference: &str) -> Outcome {
    let id = find(world, reference)?.id;
    world.keys.remove(&id);
    Ok(Answer::no_content(vec![Effect::KeyDeleted(id)]))
}
