//! One look per call.

use digitalocean::{Action, ActionStatus, Droplet};
use droplets::{Cloud, SHARED_TAG, cloud, create_action_of, droplet_here, stop_reading};
use guest::{
    Host, Invocation, Level, Outcome, Settings, State, StepError, Stop, again, conclude, permanent, restore,
};
use serde_json::{Value, json};

/// While the droplet stays `new`, the create's action is asked after each so many looks: placement may have failed.
const LOOKS_PER_QUESTION: u32 = 24;

#[derive(Default)]
struct Progress {
    /// Some answer has shown the droplet: from then on its absence means something.
    seen: bool,
}

impl State for Progress {
    fn write(&self) -> Value {
        json!({ "seen": self.seen })
    }

    fn read(saved: &Value) -> Progress {
        Progress {
            seen: saved.get("seen").and_then(Value::as_bool).unwrap_or(false),
        }
    }
}

struct Call<'a> {
    host: &'a dyn Host,
    cloud: Cloud<'a>,
    call: &'a Invocation,
    settings: Settings,
}

pub fn run(host: &dyn Host, call: &Invocation) -> Result<Outcome, StepError> {
    let mut state: Progress = restore(call.state.as_deref());
    let this = Call {
        host,
        cloud: cloud(host),
        call,
        settings: Settings::of(host),
    };
    conclude(this.wait(&mut state), &state)
}

impl Call<'_> {
    fn wait(&self, state: &mut Progress) -> Result<Value, Stop> {
        let id = droplet_here(self.host, &self.settings)?;
        if self.call.polls == 0 && self.settings.max_polls() > 0 {
            // No droplet is active at once, and a listing made after everybody's create can be shared by everybody.
            return Err(self.later(format!("droplet {id} was just created")));
        }
        match self.find(id)? {
            Some(droplet) => {
                state.seen = true;
                self.judge(&droplet)
            }
            None => self.absent(id, state.seen),
        }
    }

    /// In the shared listing; by id only when it isn't there, since absence from a shared answer proves nothing.
    fn find(&self, id: i64) -> Result<Option<Droplet>, Stop> {
        let max_age_ms = u32::try_from(self.settings.poll_interval_ms()).unwrap_or(u32::MAX);
        let listed = self.cloud.list_droplets_by_tag(SHARED_TAG, Some(max_age_ms));
        let listed = listed.map_err(|error| self.unread(id, error))?;
        if let Some(droplet) = listed.into_iter().find(|droplet| droplet.id == id) {
            return Ok(Some(droplet));
        }
        self.cloud.get_droplet(id).map_err(|error| self.unread(id, error))
    }

    fn judge(&self, droplet: &Droplet) -> Result<Value, Stop> {
        let id = droplet.id;
        if droplet.status != "active" {
            self.ask_about_placement(id)?;
            return Err(self.not_yet(id, format!("droplet {id} is still {}", droplet.status)));
        }
        let Some(public_ip) = &droplet.public_ipv4 else {
            return Err(self.not_yet(
                id,
                format!("droplet {id} is active but has no public address yet"),
            ));
        };
        self.host.set("droplet_public_ip", &json!(public_ip))?;
        match &droplet.private_ipv4 {
            Some(private_ip) => self.host.set("droplet_private_ip", &json!(private_ip))?,
            None => self.host.remove("droplet_private_ip")?,
        }
        self.host
            .log(Level::Info, &format!("droplet {id} is active at {public_ip}"));
        Ok(json!({
            "droplet_id": id.to_string(),
            "status": droplet.status,
            "public_ip": public_ip,
            "private_ip": droplet.private_ipv4,
        }))
    }

    /// A 404 by id. On an id that was never seen it is lag, unless the create's action says otherwise.
    fn absent(&self, id: i64, seen: bool) -> Result<Value, Stop> {
        if seen {
            let message =
                format!("droplet {id} was there and is gone: its placement failed, or somebody deleted it");
            return Err(permanent("placement-failed", message));
        }
        if self
            .create_action(id)?
            .is_some_and(|action| action.status == ActionStatus::Errored)
        {
            return Err(placement_failed(id));
        }
        Err(self.not_yet(id, format!("droplet {id} isn't visible yet")))
    }

    fn ask_about_placement(&self, id: i64) -> Result<(), Stop> {
        if !self.call.polls.is_multiple_of(LOOKS_PER_QUESTION) || self.is_last_poll() {
            return Ok(());
        }
        match self.create_action(id)? {
            Some(action) if action.status == ActionStatus::Errored => Err(placement_failed(id)),
            Some(_) | None => Ok(()),
        }
    }

    /// The create's action: by the id that the create left in the context, else among the droplet's actions.
    fn create_action(&self, id: i64) -> Result<Option<Action>, Stop> {
        let stop = |error| self.unread(id, error);
        if let Some(action_id) = create_action_of(self.host, id) {
            return self.cloud.get_action(action_id).map_err(stop);
        }
        let actions = self.cloud.list_droplet_actions(id).map_err(stop)?;
        Ok(actions
            .into_iter()
            .flatten()
            .find(|action| action.kind == "create"))
    }

    fn is_last_poll(&self) -> bool {
        u64::from(self.call.polls) >= self.settings.max_polls()
    }

    /// Look again, unless this was the last look: then the create's action is asked, and whatever it says, the step fails.
    fn not_yet(&self, id: i64, progress: String) -> Stop {
        if !self.is_last_poll() {
            return self.later(progress);
        }
        let status = match self.create_action(id) {
            Ok(action) => action.map(|action| action.status),
            Err(stop) => return stop,
        };
        let action = match status {
            Some(ActionStatus::Errored) => return placement_failed(id),
            Some(ActionStatus::Completed) => "completed",
            Some(ActionStatus::InProgress) => "still in progress",
            Some(ActionStatus::Unknown(_)) | None => "in an unknown state",
        };
        let message = format!(
            "gave up after {} polls: {progress}; its create action is {action}",
            self.call.polls
        );
        permanent("activation-timeout", message)
    }

    fn later(&self, progress: String) -> Stop {
        again(self.settings.poll_interval_ms(), progress)
    }

    /// A look that failed counts like one that saw nothing new, unless the host or the provider only asks to wait.
    fn unread(&self, id: i64, error: droplets::CloudError) -> Stop {
        let counts = match &error {
            digitalocean::Error::Refused(refusal) => refusal.status >= 500,
            digitalocean::Error::Unreadable { .. } => true,
            digitalocean::Error::Transport(error) => droplets::is_unclear(error),
        };
        let stop = stop_reading(self.host, error, self.settings.poll_interval_ms());
        match stop {
            Stop::Later { progress, .. } if counts && self.is_last_poll() => permanent(
                "activation-timeout",
                format!("gave up on droplet {id}: {progress}"),
            ),
            stop => stop,
        }
    }
}

fn placement_failed(id: i64) -> Stop {
    permanent(
        "placement-failed",
        format!("the provider couldn't place droplet {id}: its create action errored"),
    )
}
