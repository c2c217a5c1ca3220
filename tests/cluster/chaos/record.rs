//! How the history is recorded: triggers in the test's own database, somebody who follows the events, what the lines have heard, and the
//! simulator's journal.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use arcadia::simulator::{Entry, Outcome};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    super::{line::Said, nodes::Place},
    history::{Arrived, Droplet, Event, History, Intent, Owner, SagaEnd, Sent},
    load::{Order, Wish},
    machine::Machine,
};
use crate::support::postgres::Server;

const TRIGGERS: &str = "
    create table seen (
        seq bigserial primary key, at_ms bigint not null default floor(extract(epoch from clock_timestamp()) * 1000),
        kind text not null, saga text not null, host text not null, fence bigint not null, intent text);
    create function see_owner() returns trigger language plpgsql as $$ begin
        insert into seen (kind, saga, host, fence) values ('owner', new.id, new.owner, new.fence);
        return null;
    end $$;
    create trigger see_accepted after insert on saga_runs for each row execute function see_owner();
    create trigger see_owner after update on saga_runs for each row
        when (old.owner <> new.owner or old.fence <> new.fence) execute function see_owner();
    create function see_intent() returns trigger language plpgsql as $$ begin
        insert into seen (kind, saga, host, fence, intent)
        select 'intent', id, owner, fence, new.id from saga_runs where id = new.saga_id;
        return null;
    end $$;
    create trigger see_intent after insert on http_journal for each row execute function see_intent();";

pub struct Record {
    server: &'static Server,
    database: String,
    ended: Arc<AtomicBool>,
    following: JoinHandle<Vec<Event>>,
}

impl Record {
    pub fn begin(place: &Place) -> Record {
        place.sql(TRIGGERS);
        let ended = Arc::new(AtomicBool::new(false));
        let (server, database) = (place.server, place.name().to_owned());
        let (until, name) = (ended.clone(), database.clone());
        let following = std::thread::spawn(move || {
            let mut followed: Vec<Event> = Vec::new();
            while !until.load(Ordering::Acquire) {
                let after = followed.last().map_or(0, |event| event.id);
                followed.extend(events(server, &name, after));
                std::thread::sleep(Duration::from_millis(200));
            }
            followed
        });
        Record {
            server,
            database,
            ended,
            following,
        }
    }

    pub fn end(self) -> Recorded {
        self.ended.store(true, Ordering::Release);
        Recorded {
            server: self.server,
            database: self.database,
            followed: self.following.join().unwrap(),
        }
    }
}

pub struct Recorded {
    server: &'static Server,
    database: String,
    followed: Vec<Event>,
}

fn rows<T: DeserializeOwned>(server: &Server, database: &str, columns: &str, from: &str) -> Vec<T> {
    let text = server.sql(
        database,
        &format!("select json_build_array({columns}) from {from}"),
    );
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn events(server: &Server, database: &str, after: i64) -> Vec<Event> {
    let from = format!("saga_events where id > {after} order by id");
    let rows: Vec<(i64, String, String)> = rows(server, database, "id, saga_id, kind", &from);
    let event = |(id, saga, kind)| Event { id, saga, kind };
    rows.into_iter().map(event).collect()
}

impl Recorded {
    fn rows<T: DeserializeOwned>(&self, columns: &str, from: &str) -> Vec<T> {
        rows(self.server, &self.database, columns, from)
    }

    pub async fn history(
        &self,
        place: &Place,
        machines: &[Machine],
        accepted: &[(Order, String)],
    ) -> History {
        let state = place.control.state().await;
        let sagas = self.sagas();
        let mut history = History {
            hosts: self.rows("id, lost_ms", "hosts").into_iter().collect(),
            owners: self.owners(),
            intents: self.intents(),
            events: events(self.server, &self.database, 0),
            followed: self.followed.clone(),
            accepted: accepted
                .iter()
                .map(|(order, saga)| (order.key(), saga.clone()))
                .collect(),
            droplets: state
                .droplets
                .iter()
                .filter(|droplet| droplet.live)
                .map(|droplet| Droplet {
                    id: droplet.id,
                    name: droplet.name.clone(),
                    tags: droplet.tags.clone(),
                })
                .collect(),
            snapshots: state
                .snapshots
                .iter()
                .filter(|snapshot| !snapshot.deleted)
                .map(|snapshot| snapshot.name.clone())
                .collect(),
            inventory: self
                .rows::<(String,)>(
                    "provider_id",
                    "cloud_resources where kind = 'droplet' and deleted_ms is null",
                )
                .into_iter()
                .map(|(id,)| id.parse().unwrap())
                .collect(),
            ..History::default()
        };
        for (order, saga) in accepted {
            let completed = sagas.get(saga).is_some_and(|saga| saga.status == "completed");
            match order.wish {
                Wish::Keep | Wish::Cancel(_) if completed => drop(history.said.insert(order.name(), 1)),
                Wish::Pair if completed => drop(history.said.insert(order.name(), 2)),
                Wish::Snapshot(_) if completed => history.snapshots_said += 1,
                _ => {}
            }
        }
        for (order, _) in accepted {
            if let Wish::Destroy(droplet) = order.wish
                && let Some(gone) = state.droplets.iter().find(|one| one.id == droplet && !one.live)
            {
                history.said.remove(&gone.name);
            }
        }
        history.sagas = sagas;
        let journal = place.control.journal().await;
        (history.sent, history.from_nowhere) = sent(machines, &journal);
        history
    }

    fn owners(&self) -> Vec<Owner> {
        let rows: Vec<(String, String, i64)> =
            self.rows("saga, host, fence", "seen where kind = 'owner' order by seq");
        let owner = |(saga, host, fence)| Owner { saga, host, fence };
        rows.into_iter().map(owner).collect()
    }

    fn intents(&self) -> Vec<Intent> {
        type Row = (
            (String, String, i64, String, Option<String>),
            (String, i64, String, i64),
            (String, String, Option<String>, String, Option<i64>),
        );
        let rows: Vec<Row> = self.rows(
            "json_build_array(sent.id, sent.saga_id, sent.step, sent.phase, sent.once_key),
             json_build_array(sent.host, seen.at_ms, seen.host, seen.fence),
             json_build_array(sent.method, sent.path, sent.redacted_body, sent.state, sent.status)",
            "seen join http_journal as sent on sent.id = seen.intent where seen.kind = 'intent' order by seen.seq",
        );
        let intent = |row: Row| {
            let ((id, saga, step, phase, once_key), (host, at_ms, owner, fence), request) = row;
            let (method, path, body, state, status) = request;
            Intent {
                id,
                saga,
                step,
                phase,
                once_key,
                host,
                at_ms,
                owner,
                fence,
                method,
                path,
                body: body.map_or(Value::Null, |body| json_of(body.as_bytes())),
                state,
                status,
            }
        };
        rows.into_iter().map(intent).collect()
    }

    fn sagas(&self) -> BTreeMap<String, SagaEnd> {
        let told = "exists (select 1 from saga_watches where saga_id = runs.id)
            or exists (select 1 from findings where saga_id = runs.id and resolved_ms is null)";
        let states = "(select coalesce(json_agg(state order by step), '[]') from saga_step_results
            where saga_id = runs.id and phase = 'run')";
        let rows: Vec<(String, String, bool, Vec<String>)> =
            self.rows(&format!("id, status, {told}, {states}"), "saga_runs as runs");
        let mut sagas: BTreeMap<String, SagaEnd> = BTreeMap::new();
        for (id, status, is_told, runs) in rows {
            let end = SagaEnd {
                status,
                runs,
                tags: Vec::new(),
                is_told,
            };
            sagas.insert(id, end);
        }
        for intent in self.intents() {
            let tags = intent.body["tags"].as_array().into_iter().flatten();
            let ours = tags
                .filter_map(Value::as_str)
                .filter(|tag| tag.starts_with("arcadia-r-"));
            let saga = sagas.get_mut(&intent.saga).unwrap();
            saga.tags.extend(ours.map(str::to_owned));
        }
        sagas
    }

    /// Sagas that are not at rest.
    pub fn under_way(&self) -> Vec<(String, String)> {
        self.rows(
            "id, status",
            "saga_runs where status in ('running', 'compensating')",
        )
    }
}

fn json_of(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(_) => String::from_utf8_lossy(bytes).into_owned().into(),
    }
}

/// Method, path without the query, body; of a request that may change something.
fn request(said: &Said) -> Option<(String, String, Value)> {
    let end = said.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, body) = (&said.bytes[..end], &said.bytes[end + 4..]);
    let head = String::from_utf8_lossy(head);
    let mut words = head.split_whitespace();
    let (method, path) = (words.next()?, words.next()?);
    if method == "GET" {
        return None;
    }
    let path = path.split('?').next().unwrap_or_default();
    let body = if body.is_empty() {
        Value::Null
    } else {
        json_of(body)
    };
    Some((method.to_owned(), path.to_owned(), body))
}

/// What left the machines, with what became of it; and what arrived though it had left none.
fn sent(machines: &[Machine], journal: &[Entry]) -> (Vec<Sent>, Vec<String>) {
    let mut left = Vec::new();
    let mut from_nowhere = Vec::new();
    for machine in machines {
        let mut of_machine: Vec<Sent> = machine
            .to_cloud
            .said()
            .iter()
            .filter_map(|said| {
                let (method, path, body) = request(said)?;
                Some(Sent {
                    host: machine.host_at(said.at_ms),
                    left_ms: said.at_ms,
                    method,
                    path,
                    body,
                    arrived: None,
                })
            })
            .collect();
        let line = machine.to_cloud.address.to_string();
        for entry in journal
            .iter()
            .filter(|entry| entry.host == line && entry.method != "GET")
        {
            let same = |sent: &&mut Sent| {
                sent.arrived.is_none()
                    && (&sent.method, &sent.path, &sent.body) == (&entry.method, &entry.path, &entry.body)
            };
            let arrived = Arrived {
                took_effect: !entry.effects.is_empty(),
                status: match entry.outcome {
                    Outcome::Answered { status } => Some(status.into()),
                    Outcome::Open | Outcome::Dropped | Outcome::ClientGone => None,
                },
            };
            match of_machine.iter_mut().find(same) {
                Some(sent) => sent.arrived = Some(arrived),
                None => from_nowhere.push(format!("{entry:?}")),
            }
        }
        left.extend(of_machine);
    }
    (left, from_nowhere)
}
