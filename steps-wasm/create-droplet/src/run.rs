//! Create once, or adopt what an earlier call made.

use digitalocean::{Created, Droplet, Error, Once, read_created};
use droplets::{
    Absence, Cloud, CloudError, Leaving, PROVIDER, as_answer, cloud, droplet_row, id_of, is_unclear, look,
    next_look_ms, stop_reading,
};
use guest::{
    Host, HttpError, Invocation, Level, Outcome, Phase, Recorded, Settings, State, StepError, Stop, again,
    conclude, permanent, restore,
};
use serde_json::{Value, json};

use crate::order::{name, order};
use crate::{CREATE_ACTION_ID, DROPLET_ID, KEY, REFUSALS};

/// What `again` saves: once a droplet was adopted among several, it stays the one, and the others have to go.
#[derive(Default)]
struct Progress {
    kept: Option<i64>,
    extras: Vec<Leaving>,
}

impl State for Progress {
    fn write(&self) -> Value {
        json!({ "kept": self.kept, "extras": Leaving::write_all(&self.extras) })
    }

    fn read(saved: &Value) -> Progress {
        Progress {
            kept: saved.get("kept").and_then(Value::as_i64),
            extras: Leaving::read_all(saved, "extras"),
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
    let end = match state.kept {
        Some(kept) => this.remove_extras(kept, &mut state),
        None => this.create_or_adopt(&mut state),
    };
    conclude(end, &state)
}

impl Call<'_> {
    fn create_or_adopt(&self, state: &mut Progress) -> Result<Value, Stop> {
        match self.host.recall(Phase::Run, KEY) {
            Recorded::Never | Recorded::Refused(_) => self.create(state),
            sent @ (Recorded::Open(_) | Recorded::Answered(_)) => self.resume(sent, state),
        }
    }

    /// Nothing of this step's was accepted so far: adopt what carries its tag all the same, else send the one create.
    fn create(&self, state: &mut Progress) -> Result<Value, Stop> {
        let order = order(&self.settings, self.call)?;
        let found = look(
            self.host,
            &self.cloud,
            &self.call.resource_tag,
            None,
            self.settings.poll_interval_ms(),
        )?;
        if !found.carriers.is_empty() {
            return self.adopt(found.carriers, state);
        }
        match self.cloud.create_droplet(
            &order,
            Once {
                key: KEY,
                refusals: REFUSALS,
            },
        ) {
            Ok(created) => self.keep_created(&created),
            Err(Error::Refused(refusal)) if REFUSALS.contains(&refusal.status) => Err(permanent(
                "create-refused",
                format!("the provider made no droplet: {refusal}"),
            )),
            Err(error) if is_settled(&error) => {
                Err(stop_reading(self.host, error, self.settings.poll_interval_ms()))
            }
            Err(_) => match self.host.recall(Phase::Run, KEY) {
                Recorded::Never | Recorded::Refused(_) => Err(again(
                    self.settings.poll_interval_ms(),
                    format!("the create of {} didn't leave", order.name),
                )),
                sent @ (Recorded::Open(_) | Recorded::Answered(_)) => self.resume(sent, state),
            },
        }
    }

    /// The create left: take its answer, or look for what it did.
    fn resume(&self, sent: Recorded, state: &mut Progress) -> Result<Value, Stop> {
        match sent {
            Recorded::Answered(response) => {
                let ended_ms = response.age_ms;
                match read_created::<HttpError>(&as_answer(response)) {
                    Ok(created) => self.keep_created(&created),
                    Err(_) => self.settle(ended_ms, state),
                }
            }
            Recorded::Open(Some(ended_ms)) => self.settle(ended_ms, state),
            Recorded::Open(None) | Recorded::Never | Recorded::Refused(_) => Err(again(
                self.settings.poll_interval_ms(),
                "the create has no answer yet",
            )),
        }
    }

    /// In doubt: the create ended `ended_ms` ago and there is no answer that says what it did.
    fn settle(&self, ended_ms: u64, state: &mut Progress) -> Result<Value, Stop> {
        let name = name(&self.settings)?;
        let tag = &self.call.resource_tag;
        let mut found = look(
            self.host,
            &self.cloud,
            tag,
            Some(&name),
            self.settings.poll_interval_ms(),
        )?;
        if let Some(droplet) = self.checkpointed(&found.carriers)? {
            found.carriers.push(droplet);
        }
        if !found.carriers.is_empty() {
            return self.adopt(found.carriers, state);
        }
        if let Some(after_ms) = next_look_ms(ended_ms, self.settings.settle_ms()) {
            let progress = format!("the create of {name} had no clear answer: looking for the droplet");
            return Err(again(after_ms, progress));
        }
        found.report_candidates(self.host, tag)?;
        self.host.checkpoint()?;
        let message =
            format!("the create of {name} had no clear answer, and no droplet carries the tag {tag}");
        Err(permanent("create-in-doubt", message))
    }

    /// The context's droplet, if it is this step's own and no listing shows it (yet).
    fn checkpointed(&self, carriers: &[Droplet]) -> Result<Option<Droplet>, Stop> {
        let Some(id) = self.host.get(DROPLET_ID).as_ref().and_then(id_of) else {
            return Ok(None);
        };
        if carriers.iter().any(|droplet| droplet.id == id) {
            return Ok(None);
        }
        let stop = |error| stop_reading(self.host, error, self.settings.poll_interval_ms());
        let droplet = self.cloud.get_droplet(id).map_err(stop)?;
        Ok(droplet.filter(|droplet| droplet.has_tag(&self.call.resource_tag)))
    }

    fn keep_created(&self, created: &Created) -> Result<Value, Stop> {
        self.keep(&created.droplet, created.create_action_id)?;
        self.host.log(
            Level::Info,
            &format!("the provider accepted droplet {}", created.droplet.id),
        );
        Ok(self.output(created.droplet.id, false))
    }

    /// Several may carry the tag: keep the one that is checkpointed, else the oldest, and delete the others.
    fn adopt(&self, carriers: Vec<Droplet>, state: &mut Progress) -> Result<Value, Stop> {
        let checkpointed = self.host.get(DROPLET_ID).as_ref().and_then(id_of);
        let kept = carriers.iter().find(|droplet| Some(droplet.id) == checkpointed);
        let kept = kept.or_else(|| carriers.iter().min_by_key(|droplet| droplet.id));
        let Some(kept) = kept else {
            return Err(permanent("create-in-doubt", "there is nothing to adopt"));
        };
        self.keep(kept, None)?;
        self.host.log(
            Level::Info,
            &format!("adopted droplet {}, which carries this step's tag", kept.id),
        );
        state.kept = Some(kept.id);
        let extras = carriers.iter().filter(|droplet| droplet.id != kept.id);
        state.extras = extras.map(|droplet| Leaving::new(droplet.id)).collect();
        self.remove_extras(kept.id, state)
    }

    /// Make the id, the action to ask about it and the inventory row durable together, before anything else happens.
    fn keep(&self, droplet: &Droplet, create_action_id: Option<i64>) -> Result<(), Stop> {
        let id = droplet.id.to_string();
        let same = self.host.get(DROPLET_ID).as_ref().and_then(id_of) == Some(droplet.id);
        self.host.set(DROPLET_ID, &json!(id))?;
        match create_action_id {
            Some(action_id) => self.host.set(CREATE_ACTION_ID, &json!(action_id.to_string()))?,
            None if same => {}
            None => self.host.remove(CREATE_ACTION_ID)?,
        }
        let mut row = droplet_row(droplet);
        row.name = row
            .name
            .or_else(|| self.settings.text("droplet_name").map(str::to_owned));
        row.region = row
            .region
            .or_else(|| self.settings.text("droplet_region").map(str::to_owned));
        if row.tags.is_empty() {
            row.tags = order(&self.settings, self.call)?.tags;
        }
        self.host.upsert(&row)?;
        self.host.checkpoint()?;
        Ok(())
    }

    fn remove_extras(&self, kept: i64, state: &mut Progress) -> Result<Value, Stop> {
        for extra in &mut state.extras {
            extra.advance(
                self.host,
                &self.cloud,
                self.call,
                &self.settings,
                &Absence::default(),
            )?;
        }
        match state.extras.iter().find(|extra| !extra.gone) {
            Some(extra) => {
                let wait_ms = extra.wait_ms(self.call, &self.settings);
                Err(again(
                    wait_ms,
                    format!("kept droplet {kept}; {}", extra.progress()),
                ))
            }
            None => Ok(self.output(kept, true)),
        }
    }

    fn output(&self, id: i64, adopted: bool) -> Value {
        json!({
            "provider": PROVIDER,
            "droplet_id": id.to_string(),
            "droplet_name": self.settings.text("droplet_name"),
            "adopted": adopted,
        })
    }
}

/// Whether a create that failed like this certainly had no effect, so that the error alone says how the call ends.
fn is_settled(error: &CloudError) -> bool {
    match error {
        Error::Refused(refusal) => refusal.status == 429,
        Error::Transport(error) => !is_unclear(error),
        Error::Unreadable { .. } => false,
    }
}
