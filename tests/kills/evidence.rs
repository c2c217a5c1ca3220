//! What is there once everything rests: what the hosts say, and what the provider and the line to it say.

use std::collections::{BTreeMap, BTreeSet};

use arcadia::simulator::{DropletReport, Entry, StateReport};
use serde_json::Value;

use super::{
    order::{End, Wish},
    site::{Accepted, Site},
    wire::Exchange,
};

/// One saga, as the hosts tell of it.
#[derive(Debug)]
pub struct Told {
    pub accepted: Accepted,
    pub status: String,
    /// Of how many steps.
    pub steps_done: (u64, u64),
    pub is_watched: bool,
    /// Codes of open findings.
    pub codes: BTreeSet<String>,
    pub events: Vec<Value>,
    pub requests: Vec<Value>,
    /// What the same request under the same key is answered now.
    pub again: String,
}

pub struct Evidence {
    pub told: Vec<Told>,
    /// Ids of all sagas that the hosts list.
    pub listed: Vec<String>,
    /// Rows of things that are there.
    pub inventory: Vec<Value>,
    /// Provider ids of droplets that are to be something, those that are gone included.
    pub specified: BTreeSet<String>,
    pub cloud: StateReport,
    /// POSTs that arrived at the provider.
    pub posts: Vec<Entry>,
    pub exchanges: Vec<Exchange>,
    pub histories: Vec<String>,
    pub has_panicked: bool,
}

impl Evidence {
    pub async fn of(site: &mut Site) -> Evidence {
        let again: BTreeMap<usize, String> = site.ask_again().await.into_iter().collect();
        let mut codes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for finding in site.list("/v1/findings?limit=200").await {
            let saga = finding["saga_id"].as_str().unwrap_or_default().to_owned();
            codes.entry(saga).or_default().insert(text(&finding["code"]));
        }
        let rows = site.list("/v1/sagas?limit=200").await;
        let by_id: BTreeMap<String, &Value> = rows.iter().map(|row| (text(&row["id"]), row)).collect();
        let mut told = Vec::new();
        for accepted in site.accepted.clone() {
            let saga = accepted.saga.clone();
            let row = by_id.get(&saga).copied().unwrap_or(&Value::Null);
            let steps = |key: &str| row[key].as_u64().unwrap_or_default();
            let mut one = Told {
                status: text(&row["status"]),
                steps_done: (steps("steps_done"), steps("steps_total")),
                is_watched: false,
                codes: codes.remove(&saga).unwrap_or_default(),
                events: Vec::new(),
                requests: Vec::new(),
                again: again[&accepted.order.number].clone(),
                accepted,
            };
            if one.accepted.order.wish != Wish::Nothing {
                one.is_watched = site.get(&format!("/v1/sagas/{saga}")).await["watched_until"].is_string();
                one.events = site.list(&format!("/v1/sagas/{saga}/events?limit=200")).await;
                one.requests = site.list(&format!("/v1/sagas/{saga}/requests?limit=200")).await;
                site.histories.read(&saga, one.events.clone());
            }
            told.push(one);
        }
        deletes_done(site).await;
        let journal = site.control.journal().await.into_iter();
        Evidence {
            told,
            listed: rows.iter().map(|row| text(&row["id"])).collect(),
            inventory: site.list("/v1/inventory/resources?limit=200").await,
            specified: specified(site).await,
            cloud: site.control.state().await,
            posts: journal.filter(|entry| entry.method == "POST").collect(),
            exchanges: site.wire.exchanges(),
            histories: site.histories.wrong.clone(),
            has_panicked: site.has_panicked(),
        }
    }

    /// Every droplet that was ever made for this saga.
    pub fn made(&self, told: &Told) -> Vec<&DropletReport> {
        let name = told.accepted.order.name();
        self.cloud
            .droplets
            .iter()
            .filter(|droplet| droplet.name == name)
            .collect()
    }

    /// The saga's request was lost on its way: nothing was ever made, that is told, and looked for.
    pub fn is_in_doubt(&self, told: &Told) -> bool {
        let snapshots = match told.accepted.order.wish {
            Wish::Snapshot { droplet } | Wish::FailSnapshot { droplet } => self.snapshots_of(droplet),
            Wish::Keep
            | Wish::Fail
            | Wish::Torn
            | Wish::Cancel
            | Wish::Destroy { .. }
            | Wish::Tag
            | Wish::Nothing => 0,
        };
        told.codes.contains("open-intent") && told.is_watched && self.made(told).is_empty() && snapshots == 0
    }

    pub fn end<'a>(&self, told: &'a Told) -> End<'a> {
        End {
            status: &told.status,
            cancelled: told.accepted.cancelled == Some(true),
            in_doubt: self.is_in_doubt(told),
        }
    }

    /// How many were ever taken of this droplet.
    fn snapshots_of(&self, droplet: i64) -> usize {
        let snapshots = self.cloud.snapshots.iter();
        snapshots
            .filter(|snapshot| snapshot.droplet_id == droplet)
            .count()
    }

    /// A request of the saga reached the provider when looking for what it does may have been over.
    pub fn came_too_late(&self, told: &Told) -> bool {
        let name = told.accepted.order.name();
        let mut own = self
            .exchanges
            .iter()
            .filter(|exchange| exchange.name.as_deref() == Some(&name));
        own.any(|exchange| exchange.late.is_some_and(|late| late.as_millis() > 500))
    }

    /// For people: how many sagas ended how.
    pub fn ends(&self) -> BTreeMap<String, usize> {
        let mut ends = BTreeMap::new();
        for told in &self.told {
            let end = self.end(told);
            let doubt = if end.in_doubt { ", in doubt" } else { "" };
            *ends.entry(format!("{}{doubt}", end.status)).or_default() += 1;
        }
        ends
    }
}

async fn specified(site: &mut Site) -> BTreeSet<String> {
    let mut specified = BTreeSet::new();
    for row in site
        .list("/v1/inventory/resources?kind=droplet&deleted=true&limit=200")
        .await
    {
        let path = format!(
            "/v1/inventory/resources/{}/provisioned?limit=200",
            text(&row["id"])
        );
        if site
            .list(&path)
            .await
            .iter()
            .any(|version| version["withdrawn_at"].is_null())
        {
            specified.insert(text(&row["provider_id"]));
        }
    }
    specified
}

/// A delete is accepted before it is done.
async fn deletes_done(site: &Site) {
    for _ in 0..200 {
        let droplets = site.control.state().await.droplets;
        if !droplets.iter().any(|droplet| droplet.live && droplet.leaving) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
