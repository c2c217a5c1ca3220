//! The snapshot's name, and the snapshots that have it.

use digitalocean::{ActionStatus, Error, Snapshot};
use droplets::{Cloud, is_unclear, stop_reading};
use guest::{Host, Invocation, Level, Settings, Stop};

/// Label and resource tag: unique per step, the same in `run` and `compensate`.
pub(crate) fn name(settings: &Settings, call: &Invocation) -> String {
    format!(
        "{}-{}",
        settings.text("snapshot_label").unwrap_or("snapshot"),
        call.resource_tag
    )
}

/// Every snapshot of that name, oldest first.
pub(crate) fn named(
    host: &dyn Host,
    cloud: &Cloud<'_>,
    settings: &Settings,
    name: &str,
) -> Result<Vec<Snapshot>, Stop> {
    let all = cloud.list_snapshots();
    let mut all = all.map_err(|error| stop_reading(host, error, settings.poll_interval_ms()))?;
    all.retain(|snapshot| snapshot.name == name);
    Ok(all)
}

/// Without an answer, or refused for now: the next look finds it again.
pub(crate) fn delete(host: &dyn Host, cloud: &Cloud<'_>, settings: &Settings, id: &str) -> Result<(), Stop> {
    match cloud.destroy_snapshot(id) {
        Ok(_) => host.log(
            Level::Info,
            &format!("the provider accepted to delete snapshot {id}"),
        ),
        Err(Error::Refused(refusal)) if refusal.status == 422 || refusal.status >= 500 => {
            host.log(
                Level::Warn,
                &format!("snapshot {id} can't be deleted now: {refusal}"),
            );
        }
        Err(Error::Transport(error)) if is_unclear(&error) => {
            host.log(
                Level::Warn,
                &format!("no answer to the request to delete snapshot {id}"),
            );
        }
        Err(error) => return Err(stop_reading(host, error, settings.poll_interval_ms())),
    }
    Ok(())
}

/// Whether a snapshot of the droplet is being made. An action carries no name, so it may be anybody's. No droplet: none is.
pub(crate) fn is_busy(
    host: &dyn Host,
    cloud: &Cloud<'_>,
    settings: &Settings,
    droplet_id: i64,
) -> Result<bool, Stop> {
    let actions = cloud.list_droplet_actions(droplet_id);
    let actions = actions.map_err(|error| stop_reading(host, error, settings.poll_interval_ms()))?;
    let mut actions = actions.into_iter().flatten();
    Ok(actions.any(|action| action.kind == "snapshot" && action.status == ActionStatus::InProgress))
}
