//! What is to be created, read from parameters and inputs.

use digitalocean::NewDroplet;
use droplets::{SHARED_TAG, claims_ours};
use guest::{Invocation, Settings, Stop, permanent};
use serde_json::Value;

fn required(settings: &Settings, name: &str) -> Result<String, Stop> {
    let text = settings.text(name);
    text.map(str::to_owned)
        .ok_or_else(|| permanent("missing-input", format!("{name} is missing")))
}

/// The droplet's name alone, which is enough to look for it.
pub(crate) fn name(settings: &Settings) -> Result<String, Stop> {
    required(settings, "droplet_name")
}

pub(crate) fn order(settings: &Settings, call: &Invocation) -> Result<NewDroplet, Stop> {
    let image = match settings.value("droplet_image") {
        Some(image @ (Value::String(_) | Value::Number(_))) => image.clone(),
        Some(other) => {
            return Err(permanent(
                "invalid-input",
                format!("droplet_image {other} is no slug and no id"),
            ));
        }
        None => return Err(permanent("missing-input", "droplet_image is missing")),
    };
    Ok(NewDroplet {
        name: name(settings)?,
        region: required(settings, "droplet_region")?,
        size: required(settings, "droplet_size")?,
        image,
        tags: tags(settings, call)?,
        ssh_keys: items(settings, "droplet_ssh_keys").to_vec(),
    })
}

/// Ours first, then the caller's; the provider ignores case, so the same tag twice is one.
fn tags(settings: &Settings, call: &Invocation) -> Result<Vec<String>, Stop> {
    let mut tags = vec![
        SHARED_TAG.to_owned(),
        call.saga_tag.clone(),
        call.resource_tag.clone(),
    ];
    for tag in items(settings, "droplet_tags").iter().filter_map(Value::as_str) {
        if claims_ours(tag) {
            return Err(permanent(
                "reserved-tag",
                format!("droplet_tags: {tag} begins like a tag of the host's own"),
            ));
        }
        if !tags.iter().any(|known| known.eq_ignore_ascii_case(tag)) {
            tags.push(tag.to_owned());
        }
    }
    Ok(tags)
}

fn items<'a>(settings: &'a Settings, name: &str) -> &'a [Value] {
    settings
        .value(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
