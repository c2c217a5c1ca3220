//! What sagas said of themselves up to the moment of a kill: it stays true.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::asking::Asking;

/// Between two readings, so that the host has time for its work.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub struct Histories {
    events: BTreeMap<String, Vec<Value>>,
    pub wrong: Vec<String>,
    /// How often a history was read.
    pub readings: usize,
}

/// Reads on and on until its host dies, or that is enough.
pub struct Listening {
    enough: Arc<AtomicBool>,
    task: JoinHandle<Vec<(String, Vec<Value>)>>,
}

impl Listening {
    pub fn to(host: Asking, sagas: Vec<String>) -> Listening {
        let enough = Arc::new(AtomicBool::new(false));
        let is_enough = enough.clone();
        let task = tokio::spawn(async move {
            let mut heard = Vec::new();
            for saga in sagas.iter().cycle() {
                if is_enough.load(Ordering::Relaxed) {
                    break;
                }
                let Some(events) = events_of(&host, saga).await else {
                    break;
                };
                heard.push((saga.clone(), events));
                tokio::time::sleep(PAUSE).await;
            }
            heard
        });
        Listening { enough, task }
    }
}

pub async fn events_of(host: &Asking, saga: &str) -> Option<Vec<Value>> {
    let mut page = host.get(&format!("/v1/sagas/{saga}/events?limit=200")).await?;
    assert!(
        page["next_cursor"].is_null(),
        "a saga of this test has no more than 200 events"
    );
    Some(
        page["items"]
            .as_array_mut()
            .map(std::mem::take)
            .unwrap_or_default(),
    )
}

impl Histories {
    pub async fn heard(&mut self, listening: Listening) {
        listening.enough.store(true, Ordering::Relaxed);
        for (saga, events) in listening.task.await.unwrap() {
            self.read(&saga, events);
        }
    }

    /// Later than everything that was read of this saga before.
    pub fn read(&mut self, saga: &str, events: Vec<Value>) {
        self.readings += 1;
        let known = self.events.entry(saga.to_owned()).or_default();
        if !events.starts_with(known) {
            let same = known
                .iter()
                .zip(&events)
                .take_while(|(old, new)| old == new)
                .count();
            let (was, is) = (known.get(same), events.get(same));
            self.wrong
                .push(format!("event {same} of saga {saga} was {was:?}, and is {is:?}"));
        }
        *known = events;
    }
}
