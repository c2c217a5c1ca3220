//! Getting rid of one droplet, and when its absence means that it is gone.
//!
//! A 404 on an id that nothing has ever seen may only be lag. It means gone when the droplet was seen before (an answer 200 or 204
//! for its id, or an inventory row past `new`), when its create action errored, or when the settle window is over.

use digitalocean::{ActionStatus, Deletion, Error};
use guest::{Host, Invocation, Level, Settings, Stop};
use serde_json::{Value, json};

use crate::cloud::{Cloud, CloudError, is_unclear, stop_reading};
use crate::row::PROVIDER;
use crate::settle::patience_ms;

/// An accepted delete is sent again after this many looks that still show the droplet: some are accepted and never happen.
const LOOKS_PER_DELETE: u32 = 6;

/// What else is known about the droplet's absence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Absence {
    /// How long ago the create's exchange ended. None when this saga didn't create it, or doesn't know: then the window is
    /// counted from the first 404.
    pub since_create_ms: Option<u64>,
    pub create_action_id: Option<i64>,
}

/// A droplet on its way out; kept in a step's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    pub id: i64,
    /// An answer 200 or 204 for this id was there.
    pub seen: bool,
    /// Looks since the last accepted delete; 0 while none was accepted.
    looks: u32,
    /// Age of the phase at the first 404 that proved nothing.
    absent_at_ms: Option<u64>,
    pub gone: bool,
}

impl Leaving {
    pub fn write(&self) -> Value {
        json!({
            "id": self.id,
            "seen": self.seen,
            "looks": self.looks,
            "absent_at_ms": self.absent_at_ms,
            "gone": self.gone,
        })
    }

    pub fn read(saved: &Value) -> Option<Leaving> {
        Some(Leaving {
            id: saved.get("id")?.as_i64()?,
            seen: saved.get("seen")?.as_bool()?,
            looks: saved.get("looks")?.as_u64()?.try_into().ok()?,
            absent_at_ms: saved.get("absent_at_ms")?.as_u64(),
            gone: saved.get("gone")?.as_bool()?,
        })
    }

    /// Those under this name in a saved state.
    pub fn read_all(saved: &Value, name: &str) -> Vec<Leaving> {
        let all = saved
            .get(name)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        all.iter().filter_map(Leaving::read).collect()
    }

    pub fn write_all(all: &[Leaving]) -> Value {
        Value::Array(all.iter().map(Leaving::write).collect())
    }

    pub fn new(id: i64) -> Leaving {
        Leaving {
            id,
            seen: false,
            looks: 0,
            absent_at_ms: None,
            gone: false,
        }
    }

    /// One request further: delete it, or look whether it is gone. Marks its row deleted once that is certain, and then says
    /// true. A delete that the provider can't do now, or leaves without an answer, is no error: the next call tries again.
    pub fn advance(
        &mut self,
        host: &dyn Host,
        cloud: &Cloud<'_>,
        call: &Invocation,
        settings: &Settings,
        absence: &Absence,
    ) -> Result<bool, Stop> {
        if self.gone {
            return Ok(true);
        }
        let absent = if self.looks.is_multiple_of(LOOKS_PER_DELETE) {
            self.delete(host, cloud, call, settings)?
        } else {
            self.look(host, cloud, call, settings)?
        };
        if absent && self.is_gone(host, cloud, call, settings, absence)? {
            host.mark_deleted(PROVIDER, "droplet", &self.id.to_string())?;
            host.log(Level::Info, &format!("droplet {} is gone", self.id));
            self.gone = true;
        }
        Ok(self.gone)
    }

    fn delete(
        &mut self,
        host: &dyn Host,
        cloud: &Cloud<'_>,
        call: &Invocation,
        settings: &Settings,
    ) -> Result<bool, Stop> {
        match cloud.destroy_droplet(self.id) {
            Ok(Deletion::Accepted) => {
                host.log(
                    Level::Info,
                    &format!("the provider accepted to delete droplet {}", self.id),
                );
                self.seen = true;
                self.looks += 1;
                Ok(false)
            }
            // While a delete is going on a second one is answered 404, and the droplet can still be read.
            Ok(Deletion::NotFound) => self.look(host, cloud, call, settings),
            Err(error) if is_for_later(&error) => {
                host.log(
                    Level::Warn,
                    &format!("droplet {} can't be deleted now: {}", self.id, words(&error)),
                );
                Ok(false)
            }
            Err(error) => Err(stop_reading(
                host,
                error,
                patience_ms(settings.poll_interval_ms(), call.polls),
            )),
        }
    }

    fn look(
        &mut self,
        host: &dyn Host,
        cloud: &Cloud<'_>,
        call: &Invocation,
        settings: &Settings,
    ) -> Result<bool, Stop> {
        let stop = |error| stop_reading(host, error, patience_ms(settings.poll_interval_ms(), call.polls));
        let there = cloud.get_droplet(self.id).map_err(stop)?.is_some();
        if there {
            self.seen = true;
            self.looks += 1;
        }
        Ok(!there)
    }

    fn is_gone(
        &mut self,
        host: &dyn Host,
        cloud: &Cloud<'_>,
        call: &Invocation,
        settings: &Settings,
        absence: &Absence,
    ) -> Result<bool, Stop> {
        if self.seen || was_past_new(host, self.id)? {
            return Ok(true);
        }
        let absent_at_ms = *self.absent_at_ms.get_or_insert(call.phase_age_ms);
        let passed_ms = absence
            .since_create_ms
            .unwrap_or_else(|| call.phase_age_ms.saturating_sub(absent_at_ms));
        if passed_ms >= settings.settle_ms() {
            return Ok(true);
        }
        let Some(action_id) = absence.create_action_id else {
            return Ok(false);
        };
        let stop = |error| stop_reading(host, error, patience_ms(settings.poll_interval_ms(), call.polls));
        let action = cloud.get_action(action_id).map_err(stop)?;
        Ok(action.is_some_and(|action| action.status == ActionStatus::Errored))
    }

    /// How long to wait before the next step: absence that proves nothing is looked at less often.
    pub fn wait_ms(&self, call: &Invocation, settings: &Settings) -> u64 {
        let interval = if self.absent_at_ms.is_some() && !self.seen {
            settings.absence_recheck_ms()
        } else {
            settings.poll_interval_ms()
        };
        patience_ms(interval, call.polls)
    }

    /// One line for people.
    pub fn progress(&self) -> String {
        if self.seen {
            format!("droplet {} is being deleted", self.id)
        } else if self.absent_at_ms.is_some() {
            format!("droplet {} isn't visible, which proves nothing yet", self.id)
        } else {
            format!("droplet {} can't be deleted yet", self.id)
        }
    }
}

fn was_past_new(host: &dyn Host, id: i64) -> Result<bool, Stop> {
    let row = host.resource(PROVIDER, "droplet", &id.to_string())?;
    Ok(row.is_some_and(|row| row.status != "new" && row.status != "unknown"))
}

/// A pending event (422), the provider's own trouble, or no answer.
fn is_for_later(error: &CloudError) -> bool {
    match error {
        Error::Refused(refusal) => refusal.status == 422 || refusal.status == 409 || refusal.status >= 500,
        Error::Transport(error) => is_unclear(error),
        Error::Unreadable { .. } => true,
    }
}

fn words(error: &CloudError) -> String {
    match error {
        Error::Refused(refusal) => refusal.to_string(),
        Error::Transport(_) => "no answer".to_owned(),
        Error::Unreadable { what, .. } => what.clone(),
    }
}
