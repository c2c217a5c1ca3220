//! Undo a snapshot: wait until its making has ended, then delete everything of its name over the settle window.

use digitalocean::{ActionStatus, read_action};
use droplets::{Cloud, PROVIDER, as_answer, cloud, droplet_named, next_look_ms, patience_ms, stop_reading};
use guest::{
    Effect, Host, HttpError, Invocation, Level, Outcome, Phase, Prior, Recorded, Settings, State, StepError,
    Stop, Verdict, again, conclude, restore,
};
use serde_json::{Value, json};

use crate::name::{delete, is_busy, name, named};
use crate::{KEY, SNAPSHOT_ID};

#[derive(Default)]
struct Progress {
    /// Age of the phase when the making was first known to have ended: the settle window begins there.
    ended_at_ms: Option<u64>,
    /// Its own action is completed: there is, or was, a snapshot.
    completed: bool,
    /// Every snapshot that was this step's.
    ids: Vec<String>,
}

impl State for Progress {
    fn write(&self) -> Value {
        json!({ "ended_at_ms": self.ended_at_ms, "completed": self.completed, "ids": self.ids })
    }

    fn read(saved: &Value) -> Progress {
        let ids = saved
            .get("ids")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        Progress {
            ended_at_ms: saved.get("ended_at_ms").and_then(Value::as_u64),
            completed: saved.get("completed").and_then(Value::as_bool).unwrap_or(false),
            ids: ids.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }
}

struct Call<'a> {
    host: &'a dyn Host,
    cloud: Cloud<'a>,
    call: &'a Invocation,
    settings: Settings,
}

pub fn compensate(host: &dyn Host, call: &Invocation, prior: &Prior) -> Result<Outcome, StepError> {
    let mut state: Progress = restore(call.state.as_deref());
    let this = Call {
        host,
        cloud: cloud(host),
        call,
        settings: Settings::of(host),
    };
    conclude(this.undo(prior, &mut state), &state)
}

impl Call<'_> {
    fn undo(&self, prior: &Prior, state: &mut Progress) -> Result<Value, Stop> {
        let sent = self.host.recall(Phase::Run, KEY);
        let made = made(prior);
        let never_sent = matches!(sent, Recorded::Never | Recorded::Refused(_));
        if made.is_none() && never_sent && prior.effect == Effect::None {
            self.host.log(Level::Info, "no snapshot was begun");
            return Ok(json!({ "deleted": [] }));
        }
        state.add(made);
        if self.is_being_made(sent, state)? {
            state.ended_at_ms = None;
            let after_ms = patience_ms(self.settings.poll_interval_ms(), self.call.polls);
            return Err(again(
                after_ms,
                "waiting until the snapshot is made, to delete it",
            ));
        }
        let ended_at_ms = *state.ended_at_ms.get_or_insert(self.call.phase_age_ms);
        let name = name(&self.settings, self.call);
        let found = named(self.host, &self.cloud, &self.settings, &name)?;
        for snapshot in &found {
            state.add(Some(snapshot.id.clone()));
        }
        for snapshot in &found {
            delete(self.host, &self.cloud, &self.settings, &snapshot.id)?;
        }
        let passed_ms = self.call.phase_age_ms.saturating_sub(ended_at_ms);
        if let Some(after_ms) = next_look_ms(passed_ms, self.settings.settle_ms()) {
            return Err(again(
                after_ms,
                format!("making sure that no snapshot {name} shows up"),
            ));
        }
        if !found.is_empty() {
            let after_ms = patience_ms(self.settings.poll_interval_ms(), self.call.polls);
            return Err(again(after_ms, format!("snapshot {name} is still listed")));
        }
        self.finish(state, &name)
    }

    /// In doubt this is asked at every look: an action may become visible late, and then has to be waited for.
    fn is_being_made(&self, sent: Recorded, state: &mut Progress) -> Result<bool, Stop> {
        let (begun, ended_ms) = match sent {
            Recorded::Never | Recorded::Refused(_) => return Ok(false),
            Recorded::Open(None) => return Ok(true),
            Recorded::Open(Some(ended_ms)) => (None, ended_ms),
            Recorded::Answered(response) => {
                let ended_ms = response.age_ms;
                (read_action::<HttpError>(&as_answer(response)).ok(), ended_ms)
            }
        };
        let Some(begun) = begun else {
            let droplet_id = droplet_named(self.host, &self.settings)?;
            return is_busy(self.host, &self.cloud, &self.settings, droplet_id);
        };
        if state.ended_at_ms.is_some() {
            return Ok(false);
        }
        match self
            .cloud
            .get_action(begun.id)
            .map_err(|error| self.stop(error))?
        {
            Some(action) => {
                state.completed = action.status == ActionStatus::Completed;
                Ok(!state.completed && action.status != ActionStatus::Errored)
            }
            // An action stays readable for ever: this one is only not visible yet.
            None => Ok(ended_ms < self.settings.settle_ms()),
        }
    }

    /// A snapshot that was certainly made, and that no listing showed, may show later: a person has to know of it.
    fn finish(&self, state: &Progress, name: &str) -> Result<Value, Stop> {
        if state.completed && state.ids.is_empty() {
            let message = format!(
                "snapshot {name} was made, but no listing showed it in time: delete it once it is listed, it is paid for"
            );
            self.host
                .report("unlisted-snapshot", PROVIDER, "snapshot", name, &message)?;
        }
        for id in &state.ids {
            self.host.mark_deleted(PROVIDER, "snapshot", id)?;
        }
        let recorded = self.host.get(SNAPSHOT_ID);
        let recorded = recorded.as_ref().and_then(Value::as_str);
        if recorded.is_some_and(|id| state.ids.iter().any(|own| own == id)) {
            self.host.remove(SNAPSHOT_ID)?;
        }
        Ok(json!({ "deleted": state.ids }))
    }

    fn stop(&self, error: droplets::CloudError) -> Stop {
        stop_reading(self.host, error, self.settings.poll_interval_ms())
    }
}

fn made(prior: &Prior) -> Option<String> {
    let Verdict::Succeeded(output) = &prior.verdict else {
        return None;
    };
    let output: Value = serde_json::from_str(output).ok()?;
    output.get("snapshot_id")?.as_str().map(str::to_owned)
}

impl Progress {
    fn add(&mut self, id: Option<String>) {
        if let Some(id) = id.filter(|id| !self.ids.contains(id)) {
            self.ids.push(id);
        }
    }
}
