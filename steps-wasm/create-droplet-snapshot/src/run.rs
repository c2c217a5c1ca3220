//! Begin the snapshot once, wait for its action, find it by its name, register it.

use digitalocean::{Action, ActionStatus, Error, Once, Snapshot, read_action};
use droplets::{
    Cloud, PROVIDER, as_answer, cloud, droplet_named, is_unclear, next_look_ms, patience_ms, snapshot_row,
    stop_reading,
};
use guest::{
    Host, HttpError, Invocation, Level, Outcome, Phase, Recorded, Settings, State, StepError, Stop, again,
    conclude, permanent, restore,
};
use serde_json::{Value, json};

use crate::name::{delete, is_busy, name, named};
use crate::{KEY, REFUSALS, SNAPSHOT_ID};

#[derive(Default)]
struct Progress {
    /// Age of the phase at the first 404 for the droplet.
    absent_at_ms: Option<u64>,
    /// In doubt: age of the phase when a snapshot action of the droplet was last seen in progress.
    busy_at_ms: Option<u64>,
}

impl State for Progress {
    fn write(&self) -> Value {
        json!({ "absent_at_ms": self.absent_at_ms, "busy_at_ms": self.busy_at_ms })
    }

    fn read(saved: &Value) -> Progress {
        let ms = |name: &str| saved.get(name).and_then(Value::as_u64);
        Progress {
            absent_at_ms: ms("absent_at_ms"),
            busy_at_ms: ms("busy_at_ms"),
        }
    }
}

struct Call<'a> {
    host: &'a dyn Host,
    cloud: Cloud<'a>,
    call: &'a Invocation,
    settings: Settings,
    droplet_id: i64,
    name: String,
}

pub fn run(host: &dyn Host, call: &Invocation) -> Result<Outcome, StepError> {
    let mut state: Progress = restore(call.state.as_deref());
    conclude(snapshot(host, call, &mut state), &state)
}

fn snapshot(host: &dyn Host, call: &Invocation, state: &mut Progress) -> Result<Value, Stop> {
    let settings = Settings::of(host);
    let droplet_id = droplet_named(host, &settings)?;
    let name = name(&settings, call);
    let this = Call {
        host,
        cloud: cloud(host),
        call,
        settings,
        droplet_id,
        name,
    };
    match host.recall(Phase::Run, KEY) {
        Recorded::Never | Recorded::Refused(_) => this.begin(state),
        sent @ (Recorded::Open(_) | Recorded::Answered(_)) => this.resume(sent, state),
    }
}

impl Call<'_> {
    fn begin(&self, state: &mut Progress) -> Result<Value, Stop> {
        let once = Once {
            key: KEY,
            refusals: REFUSALS,
        };
        match self.cloud.snapshot_droplet(self.droplet_id, &self.name, once) {
            Ok(action) => self.follow(&action),
            Err(Error::Refused(refusal)) if refusal.status == 422 => {
                // One action at a time: as a rule another one is running.
                Err(self.later_or(
                    "snapshot-refused",
                    format!("the snapshot can't begin now: {refusal}"),
                ))
            }
            Err(Error::Refused(refusal)) if refusal.status == 404 => self.no_droplet(state),
            Err(Error::Refused(refusal)) if refusal.status == 400 => Err(permanent(
                "snapshot-refused",
                format!("the provider made no snapshot: {refusal}"),
            )),
            Err(error @ Error::Refused(digitalocean::Refusal { status: 429, .. })) => Err(self.stop(error)),
            Err(Error::Transport(error)) if !is_unclear(&error) => Err(error.into()),
            Err(_) => match self.host.recall(Phase::Run, KEY) {
                Recorded::Never | Recorded::Refused(_) => Err(again(
                    self.settings.poll_interval_ms(),
                    "the snapshot's request didn't leave",
                )),
                sent @ (Recorded::Open(_) | Recorded::Answered(_)) => self.resume(sent, state),
            },
        }
    }

    /// A 404 on a droplet is lag until the settle window has passed.
    fn no_droplet(&self, state: &mut Progress) -> Result<Value, Stop> {
        let absent_at_ms = *state.absent_at_ms.get_or_insert(self.call.phase_age_ms);
        if self.call.phase_age_ms.saturating_sub(absent_at_ms) >= self.settings.settle_ms() {
            return Err(permanent(
                "droplet-not-found",
                format!("there is no droplet {}", self.droplet_id),
            ));
        }
        let progress = format!(
            "droplet {} isn't visible, which proves nothing yet",
            self.droplet_id
        );
        Err(again(self.settings.absence_recheck_ms(), progress))
    }

    fn resume(&self, sent: Recorded, state: &mut Progress) -> Result<Value, Stop> {
        match sent {
            Recorded::Answered(response) => {
                let ended_ms = response.age_ms;
                match read_action::<HttpError>(&as_answer(response)) {
                    Ok(begun) => match self
                        .cloud
                        .get_action(begun.id)
                        .map_err(|error| self.stop(error))?
                    {
                        Some(action) => self.follow(&action),
                        None => self.follow(&begun),
                    },
                    Err(_) => self.settle(ended_ms, state),
                }
            }
            Recorded::Open(Some(ended_ms)) => self.settle(ended_ms, state),
            Recorded::Open(None) | Recorded::Never | Recorded::Refused(_) => Err(again(
                self.settings.poll_interval_ms(),
                "the snapshot's request has no answer yet",
            )),
        }
    }

    fn follow(&self, action: &Action) -> Result<Value, Stop> {
        match &action.status {
            ActionStatus::Completed => match self.find()? {
                Some(output) => Ok(output),
                None => Err(self.later_or(
                    "snapshot-not-listed",
                    format!("snapshot {} isn't listed yet", self.name),
                )),
            },
            ActionStatus::Errored => Err(permanent(
                "snapshot-errored",
                format!("snapshot {} failed at the provider", self.name),
            )),
            ActionStatus::InProgress | ActionStatus::Unknown(_) => Err(self.later_or(
                "snapshot-timeout",
                format!("snapshot {} is being made", self.name),
            )),
        }
    }

    /// In doubt: never a second request. Once no snapshot of the droplet is being made, look for the name over the settle window.
    fn settle(&self, ended_ms: u64, state: &mut Progress) -> Result<Value, Stop> {
        if is_busy(self.host, &self.cloud, &self.settings, self.droplet_id)? {
            state.busy_at_ms = Some(self.call.phase_age_ms);
            let progress = format!(
                "droplet {} is being snapshotted, perhaps by this step",
                self.droplet_id
            );
            return Err(self.later_or("snapshot-timeout", progress));
        }
        if let Some(output) = self.find()? {
            return Ok(output);
        }
        let passed_ms = match state.busy_at_ms {
            Some(busy_at_ms) => ended_ms.min(self.call.phase_age_ms.saturating_sub(busy_at_ms)),
            None => ended_ms,
        };
        match next_look_ms(passed_ms, self.settings.settle_ms()) {
            Some(after_ms) => {
                let progress = format!(
                    "the request had no clear answer: looking for snapshot {}",
                    self.name
                );
                Err(again(after_ms, progress))
            }
            None => {
                let message = format!(
                    "the request had no clear answer, and no snapshot is named {}",
                    self.name
                );
                Err(permanent("snapshot-in-doubt", message))
            }
        }
    }

    /// The snapshot by its name, registered. Of several, the recorded one stays, else the oldest; the others are deleted.
    fn find(&self) -> Result<Option<Value>, Stop> {
        let found = named(self.host, &self.cloud, &self.settings, &self.name)?;
        let recorded = self.host.get(SNAPSHOT_ID);
        let recorded = recorded.as_ref().and_then(Value::as_str);
        let kept = found
            .iter()
            .find(|snapshot| Some(snapshot.id.as_str()) == recorded)
            .or_else(|| found.first());
        let Some(kept) = kept else { return Ok(None) };
        self.host.set(SNAPSHOT_ID, &json!(kept.id))?;
        let resource_id = self.host.upsert(&snapshot_row(kept))?;
        self.host.checkpoint()?;
        let extras: Vec<&Snapshot> = found.iter().filter(|snapshot| snapshot.id != kept.id).collect();
        for extra in &extras {
            self.host.log(
                Level::Warn,
                &format!("snapshot {} is a second one of the same name", extra.id),
            );
            delete(self.host, &self.cloud, &self.settings, &extra.id)?;
        }
        if !extras.is_empty() {
            let progress = format!("kept snapshot {}; waiting until the others are gone", kept.id);
            return Err(again(self.settings.poll_interval_ms(), progress));
        }
        self.host.log(
            Level::Info,
            &format!("registered snapshot {} as {resource_id}", kept.id),
        );
        Ok(Some(json!({
            "provider": PROVIDER,
            "snapshot_id": kept.id,
            "snapshot_name": self.name,
            "droplet_id": self.droplet_id.to_string(),
            "resource_id": resource_id,
        })))
    }

    /// Come back later, ever less often; or fail when that was the last poll.
    fn later_or(&self, code: &str, progress: String) -> Stop {
        if u64::from(self.call.polls) >= self.settings.max_polls() {
            return permanent(
                code,
                format!("gave up after {} polls: {progress}", self.call.polls),
            );
        }
        again(
            patience_ms(self.settings.poll_interval_ms(), self.call.polls),
            progress,
        )
    }

    fn stop(&self, error: droplets::CloudError) -> Stop {
        stop_reading(self.host, error, self.settings.poll_interval_ms())
    }
}
