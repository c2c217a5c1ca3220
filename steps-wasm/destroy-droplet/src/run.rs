//! Delete, look, and delete again until it is gone.

use droplets::{Absence, Leaving, cloud, create_action_of, droplet_named};
use guest::{
    Host, Invocation, Level, Outcome, Prior, Settings, State, StepError, Stop, again, conclude, done, restore,
};
use serde_json::{Value, json};

#[derive(Default)]
struct Progress {
    leaving: Option<Leaving>,
}

impl State for Progress {
    fn write(&self) -> Value {
        json!({ "leaving": self.leaving.as_ref().map(Leaving::write) })
    }

    fn read(saved: &Value) -> Progress {
        Progress {
            leaving: saved.get("leaving").and_then(Leaving::read),
        }
    }
}

pub fn run(host: &dyn Host, call: &Invocation) -> Result<Outcome, StepError> {
    let mut state: Progress = restore(call.state.as_deref());
    conclude(destroy(host, call, &mut state), &state)
}

fn destroy(host: &dyn Host, call: &Invocation, state: &mut Progress) -> Result<Value, Stop> {
    let settings = Settings::of(host);
    let id = match &state.leaving {
        Some(leaving) => leaving.id,
        None => droplet_named(host, &settings)?,
    };
    let leaving = state.leaving.get_or_insert_with(|| Leaving::new(id));
    let absence = Absence {
        since_create_ms: None,
        create_action_id: create_action_of(host, id),
    };
    if leaving.advance(host, &cloud(host), call, &settings, &absence)? {
        return Ok(json!({ "droplet_id": id.to_string(), "deleted": true }));
    }
    Err(again(leaving.wait_ms(call, &settings), leaving.progress()))
}

/// There is no way back; the plan may not ask for one.
pub fn compensate(host: &dyn Host, _call: &Invocation, _prior: &Prior) -> Result<Outcome, StepError> {
    host.log(
        Level::Warn,
        "a destroyed droplet can't be brought back: nothing was undone",
    );
    Ok(done(&json!({})))
}
