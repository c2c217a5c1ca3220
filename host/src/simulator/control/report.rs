//! What is in the world, without the API's lags and faults.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use super::Controlled;
use crate::simulator::{
    clock::timestamp,
    provider::Provider,
    world::{Action, Droplet, Presence, Snapshot, World},
};

/// Everything there is and was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReport {
    pub now_ms: u64,
    pub droplets: Vec<DropletReport>,
    pub snapshots: Vec<SnapshotReport>,
    pub actions: Vec<ActionReport>,
    pub tags: Vec<String>,
}

/// A droplet, also one that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropletReport {
    pub id: i64,
    pub name: String,
    /// `new`, `active` or `off`.
    pub status: String,
    /// It is there, or its delete was accepted and is not done yet. Counts against the droplet limit.
    pub live: bool,
    /// Its delete was accepted.
    pub leaving: bool,
    pub gone_at_ms: Option<u64>,
    /// `deleted`, `placement-failed` or `out-of-band`.
    pub gone_cause: Option<String>,
    pub created_ms: u64,
    pub region: String,
    pub size: String,
    pub tags: Vec<String>,
    pub running_action: Option<i64>,
}

/// A snapshot, also a deleted one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotReport {
    pub id: i64,
    pub name: String,
    pub droplet_id: i64,
    /// Whether listings show it.
    pub visible: bool,
    pub deleted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    pub id: i64,
    pub kind: String,
    /// `in-progress`, `completed` or `errored`.
    pub status: String,
    pub droplet_id: i64,
    pub started_at: String,
    pub ended_ms: Option<u64>,
}

/// How many droplets there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropletCount {
    pub live: usize,
    /// Since the start, those that are gone included.
    pub ever: usize,
}

pub(super) async fn state(State(provider): Controlled) -> Json<StateReport> {
    Json(StateReport::of(&provider))
}

impl StateReport {
    pub(in crate::simulator) fn of(provider: &Provider) -> Self {
        let (inner, now_ms) = provider.settled();
        let world = &inner.world;
        Self {
            now_ms,
            droplets: world.droplets.values().map(droplet).collect(),
            snapshots: world
                .snapshots
                .values()
                .map(|found| snapshot(found, now_ms))
                .collect(),
            actions: world.actions.values().map(|found| action(found, world)).collect(),
            tags: world.tags.names().map(String::from).collect(),
        }
    }
}

pub(super) async fn count(State(provider): Controlled) -> Json<DropletCount> {
    let (inner, _) = provider.settled();
    Json(DropletCount {
        live: inner.world.live_droplets().count(),
        ever: inner.world.droplets.len(),
    })
}

fn droplet(droplet: &Droplet) -> DropletReport {
    let (gone_at_ms, gone_cause) = match droplet.presence {
        Presence::Here | Presence::Leaving => (None, None),
        Presence::Gone { at_ms, cause } => (Some(at_ms), Some(word(&cause))),
    };
    DropletReport {
        id: droplet.id,
        name: droplet.name.clone(),
        status: word(&droplet.status),
        live: !droplet.is_gone(),
        leaving: droplet.presence == Presence::Leaving,
        gone_at_ms,
        gone_cause,
        created_ms: droplet.created_ms,
        region: droplet.region.slug.into(),
        size: droplet.size.slug.into(),
        tags: droplet.tags.clone(),
        running_action: droplet.running_action,
    }
}

fn snapshot(snapshot: &Snapshot, now_ms: u64) -> SnapshotReport {
    SnapshotReport {
        id: snapshot.id,
        name: snapshot.name.clone(),
        droplet_id: snapshot.droplet,
        visible: snapshot.is_seen(now_ms),
        deleted: snapshot.deleted,
    }
}

fn action(action: &Action, world: &World) -> ActionReport {
    ActionReport {
        id: action.id,
        kind: action.change.kind().into(),
        status: word(&action.status),
        droplet_id: action.droplet,
        started_at: timestamp(action.started_ms, world.rules.timestamp_skew_ms),
        ended_ms: action.ended_ms,
    }
}

/// The word that a unit variant has in JSON.
fn word<T: Serialize>(variant: &T) -> String {
    let value = serde_json::to_value(variant).unwrap_or_default();
    value.as_str().unwrap_or_default().into()
}
