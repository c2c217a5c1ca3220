//! Undo a create: delete what is certainly this step's own, and wait until it is confirmed gone.

use digitalocean::{Created, read_created};
use droplets::{
    Absence, Cloud, Leaving, PROVIDER, as_answer, cloud, id_of, look, next_look_ms, patience_ms, stop_reading,
};
use guest::{
    Effect, Host, HttpError, Invocation, Level, Outcome, Phase, Prior, Recorded, Settings, State, StepError,
    Stop, Verdict, again, conclude, restore,
};
use serde_json::{Value, json};

use crate::{CREATE_ACTION_ID, DROPLET_ID, KEY};

#[derive(Default)]
struct Progress {
    /// The first look by tag was made, and the context's droplet asked for its tag.
    looked: bool,
    leaving: Vec<Leaving>,
}

impl State for Progress {
    fn write(&self) -> Value {
        json!({ "looked": self.looked, "leaving": Leaving::write_all(&self.leaving) })
    }

    fn read(saved: &Value) -> Progress {
        Progress {
            looked: saved.get("looked").and_then(Value::as_bool).unwrap_or(false),
            leaving: Leaving::read_all(saved, "leaving"),
        }
    }
}

/// What the journal says about the create.
#[derive(Default)]
struct Sent {
    created: Option<Created>,
    /// How long ago the exchange ended.
    ended_ms: Option<u64>,
    on_the_wire: bool,
}

impl Sent {
    fn recall(host: &dyn Host) -> Sent {
        match host.recall(Phase::Run, KEY) {
            Recorded::Never | Recorded::Refused(_) => Sent::default(),
            Recorded::Open(ended_ms) => Sent {
                created: None,
                ended_ms,
                on_the_wire: ended_ms.is_none(),
            },
            Recorded::Answered(response) => Sent {
                ended_ms: Some(response.age_ms),
                created: read_created::<HttpError>(&as_answer(response)).ok(),
                on_the_wire: false,
            },
        }
    }

    /// Milliseconds since the exchange ended, when nobody knows what it did.
    fn doubt_ms(&self) -> Option<u64> {
        if self.created.is_some() {
            None
        } else {
            self.ended_ms
        }
    }
}

pub fn compensate(host: &dyn Host, call: &Invocation, prior: &Prior) -> Result<Outcome, StepError> {
    let mut state: Progress = restore(call.state.as_deref());
    let end = undo(host, call, prior, &mut state);
    conclude(end, &state)
}

fn undo(host: &dyn Host, call: &Invocation, prior: &Prior, state: &mut Progress) -> Result<Value, Stop> {
    let settings = Settings::of(host);
    let cloud = cloud(host);
    let sent = Sent::recall(host);
    let own = own_ids(&sent, prior);
    let in_context = host.get(DROPLET_ID).as_ref().and_then(id_of);
    if prior.effect == Effect::None && own.is_empty() && in_context.is_none() {
        host.log(Level::Info, "nothing was created");
        return Ok(json!({ "deleted": [] }));
    }
    if sent.on_the_wire {
        return Err(again(settings.poll_interval_ms(), "the create has no answer yet"));
    }
    for id in own {
        state.add(id);
    }
    let doubt_ms = sent.doubt_ms();
    let mut found = droplets::Found::default();
    if doubt_ms.is_some() || !state.looked {
        let name = doubt_ms.and(settings.text("droplet_name"));
        found = look(
            host,
            &cloud,
            &call.resource_tag,
            name,
            patience_ms(settings.poll_interval_ms(), call.polls),
        )?;
        for droplet in &found.carriers {
            state.add(droplet.id);
        }
        if let Some(id) = in_context {
            state.add_if_tagged(host, &cloud, call, &settings, id)?;
        }
        state.looked = true;
    }
    let absence = Absence {
        since_create_ms: sent.ended_ms,
        create_action_id: sent.created.and_then(|created| created.create_action_id),
    };
    for leaving in &mut state.leaving {
        leaving.advance(host, &cloud, call, &settings, &absence)?;
    }
    let next_look = doubt_ms.and_then(|passed_ms| next_look_ms(passed_ms, settings.settle_ms()));
    if let Some(leaving) = state.leaving.iter().find(|leaving| !leaving.gone) {
        let wait_ms = leaving.wait_ms(call, &settings);
        return Err(again(
            next_look.map_or(wait_ms, |look_ms| look_ms.min(wait_ms)),
            leaving.progress(),
        ));
    }
    if let Some(look_ms) = next_look {
        return Err(again(
            look_ms,
            "the create had no clear answer: looking for what it may have made",
        ));
    }
    found.report_candidates(host, &call.resource_tag)?;
    state.finish(host, in_context)
}

/// The ids that this step certainly made: in its own recorded answer, and in its output.
fn own_ids(sent: &Sent, prior: &Prior) -> Vec<i64> {
    let mut ids: Vec<i64> = sent.created.iter().map(|created| created.droplet.id).collect();
    if let Verdict::Succeeded(output) = &prior.verdict {
        let output: Value = serde_json::from_str(output).unwrap_or(Value::Null);
        ids.extend(output.get("droplet_id").and_then(id_of));
    }
    ids
}

impl Progress {
    fn add(&mut self, id: i64) {
        if self.leaving.iter().all(|leaving| leaving.id != id) {
            self.leaving.push(Leaving::new(id));
        }
    }

    /// The context may hold another step's droplet: only the tag says whose it is, the inventory's where the droplet is gone.
    fn add_if_tagged(
        &mut self,
        host: &dyn Host,
        cloud: &Cloud<'_>,
        call: &Invocation,
        settings: &Settings,
        id: i64,
    ) -> Result<(), Stop> {
        if self.leaving.iter().any(|leaving| leaving.id == id) {
            return Ok(());
        }
        let stop = |error| stop_reading(host, error, patience_ms(settings.poll_interval_ms(), call.polls));
        match cloud.get_droplet(id).map_err(stop)? {
            Some(droplet) if droplet.has_tag(&call.resource_tag) => {
                let mut leaving = Leaving::new(id);
                leaving.seen = true;
                self.leaving.push(leaving);
            }
            Some(_) => {}
            None => {
                let row = host.resource(PROVIDER, "droplet", &id.to_string())?;
                let is_own = |tag: &String| tag.eq_ignore_ascii_case(&call.resource_tag);
                if row.is_some_and(|row| row.tags.iter().any(is_own)) {
                    self.add(id);
                }
            }
        }
        Ok(())
    }

    fn finish(&self, host: &dyn Host, in_context: Option<i64>) -> Result<Value, Stop> {
        if in_context.is_some_and(|id| self.leaving.iter().any(|leaving| leaving.id == id)) {
            host.remove(DROPLET_ID)?;
            host.remove(CREATE_ACTION_ID)?;
        }
        let deleted: Vec<String> = self
            .leaving
            .iter()
            .map(|leaving| leaving.id.to_string())
            .collect();
        Ok(json!({ "deleted": deleted }))
    }
}
