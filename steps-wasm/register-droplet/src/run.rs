//! Register, and take the registration back.

use digitalocean::Droplet;
use droplets::{Cloud, SHARED_TAG, cloud, droplet_here, droplet_row, stop_reading};
use guest::{
    Host, Invocation, Level, Outcome, Prior, Settings, State, StepError, Stop, Verdict, again, conclude,
    conclude_with, permanent, restore,
};
use serde_json::{Value, json};

/// Context: the inventory's id of the droplet.
const RESOURCE_ID: &str = "droplet_resource_id";

#[derive(Default)]
struct Progress {
    /// Age of the phase at the first 404.
    absent_at_ms: Option<u64>,
}

impl State for Progress {
    fn write(&self) -> Value {
        json!({ "absent_at_ms": self.absent_at_ms })
    }

    fn read(saved: &Value) -> Progress {
        Progress {
            absent_at_ms: saved.get("absent_at_ms").and_then(Value::as_u64),
        }
    }
}

pub fn run(host: &dyn Host, call: &Invocation) -> Result<Outcome, StepError> {
    let mut state: Progress = restore(call.state.as_deref());
    conclude(register(host, call, &mut state), &state)
}

fn register(host: &dyn Host, call: &Invocation, state: &mut Progress) -> Result<Value, Stop> {
    let settings = Settings::of(host);
    let id = droplet_here(host, &settings)?;
    let Some(droplet) = fetch(host, &cloud(host), &settings, id)? else {
        let absent_at_ms = *state.absent_at_ms.get_or_insert(call.phase_age_ms);
        if call.phase_age_ms.saturating_sub(absent_at_ms) >= settings.settle_ms() {
            return Err(permanent(
                "droplet-not-found",
                format!("there is no droplet {id}"),
            ));
        }
        let progress = format!("droplet {id} isn't visible, which proves nothing yet");
        return Err(again(settings.absence_recheck_ms(), progress));
    };
    let resource_id = host.upsert(&droplet_row(&droplet))?;
    let spec = desired(&droplet, &settings);
    host.record_provisioned(&resource_id, &spec)?;
    host.set(RESOURCE_ID, &json!(resource_id))?;
    host.log(Level::Info, &format!("registered droplet {id} as {resource_id}"));
    Ok(json!({ "resource_id": resource_id, "droplet_id": id.to_string(), "spec": spec }))
}

/// The listing that the waiting steps share shows it as a rule. One that still says `new` is older than the last look.
fn fetch(host: &dyn Host, cloud: &Cloud<'_>, settings: &Settings, id: i64) -> Result<Option<Droplet>, Stop> {
    let stop = |error| stop_reading(host, error, settings.poll_interval_ms());
    let max_age_ms = u32::try_from(settings.poll_interval_ms()).unwrap_or(u32::MAX);
    let listed = cloud
        .list_droplets_by_tag(SHARED_TAG, Some(max_age_ms))
        .map_err(stop)?;
    let listed = listed
        .into_iter()
        .find(|droplet| droplet.id == id && droplet.status != "new");
    match listed {
        Some(droplet) => Ok(Some(droplet)),
        None => cloud.get_droplet(id).map_err(stop),
    }
}

/// What drift is measured against: what the provider made of the order. A field that the token may not see is not recorded.
/// The image's id stands beside its slug, because slugs move on to newer images.
fn desired(droplet: &Droplet, settings: &Settings) -> Value {
    let ordered = |name: &str| settings.value(name).cloned();
    let fields = [
        (
            "size_slug",
            droplet
                .size_slug
                .as_ref()
                .map(|slug| json!(slug))
                .or_else(|| ordered("droplet_size")),
        ),
        (
            "region",
            droplet
                .region
                .as_ref()
                .map(|slug| json!(slug))
                .or_else(|| ordered("droplet_region")),
        ),
        (
            "image",
            (droplet.image_slug.as_ref().map(|slug| json!(slug)))
                .or_else(|| ordered("droplet_image"))
                .or_else(|| droplet.image_id.map(|id| json!(id))),
        ),
        ("image_id", droplet.image_id.map(|id| json!(id))),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Takes back the desired state that `run` recorded. The row itself stays: the droplet is there until its own step deletes it.
pub fn compensate(host: &dyn Host, _call: &Invocation, prior: &Prior) -> Result<Outcome, StepError> {
    let output = match &prior.verdict {
        Verdict::Succeeded(output) => serde_json::from_str(output).unwrap_or(Value::Null),
        Verdict::Failed(_) | Verdict::Unfinished => Value::Null,
    };
    let known = output
        .get("resource_id")
        .cloned()
        .or_else(|| host.get(RESOURCE_ID));
    conclude_with(withdraw(host, known.as_ref().and_then(Value::as_str)), || None)
}

/// Withdrawing what this step didn't record changes nothing, so another step's resource in the context is safe.
fn withdraw(host: &dyn Host, resource_id: Option<&str>) -> Result<Value, Stop> {
    if let Some(resource_id) = resource_id {
        host.withdraw_provisioned(resource_id)?;
        host.log(
            Level::Info,
            &format!("withdrew the desired state of {resource_id}"),
        );
    }
    Ok(json!({ "withdrawn": resource_id }))
}
