//! Numbered points at which a host may die: before and after each writing call of its store, and around each of its requests.
//!
//! To die is to go no further: the future at the point never returns, no other one passes a point any more, and whoever
//! drives the host drops all of it at once. What was written, and what the provider did, stays.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arcadia::{
    cloud::{NotAnswered, Transport},
    simulator::InProcess,
    store::{HostId, HostRow, MemoryStore, Store},
};
use async_trait::async_trait;
use tokio::sync::Notify;

use super::clock::Clock;
use crate::support::around::Around;

/// A host that has reached so many is stopped: its saga does not come to rest.
const MOST: u64 = 4_000;

/// The points of one life of a host.
pub struct Points {
    /// Counted from 1. 0: none.
    deadly: u64,
    passed: AtomicU64,
    names: Mutex<Vec<String>>,
    dead: AtomicBool,
    died: Notify,
}

impl Points {
    pub fn new(deadly: u64) -> Arc<Points> {
        Arc::new(Points {
            deadly,
            passed: AtomicU64::new(0),
            names: Mutex::default(),
            dead: AtomicBool::new(false),
            died: Notify::new(),
        })
    }

    async fn pass(&self, name: impl FnOnce() -> String) {
        if !self.dead.load(Ordering::SeqCst) {
            let number = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
            self.names.lock().unwrap().push(name());
            if number != self.deadly && number < MOST {
                return;
            }
            self.dead.store(true, Ordering::SeqCst);
            self.died.notify_one();
        }
        std::future::pending().await
    }

    /// Resolves when the host is dead.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// What the points were that were reached, in order.
    pub fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }
}

/// The store as a host sees it that may die.
pub struct MortalStore {
    pub memory: Arc<MemoryStore>,
    pub clock: Arc<Clock>,
    pub points: Arc<Points>,
    /// The claim on its way takes something.
    pub took: AtomicBool,
}

#[async_trait]
impl Around for MortalStore {
    fn now_ms(&self, _: &dyn Store) -> i64 {
        self.clock.now_ms()
    }

    async fn before(&self, call: &'static str) {
        if call != "claim" || self.is_left_over().await {
            self.points.pass(|| format!("before {call}")).await;
        }
        self.memory.set_now_ms(self.clock.now_ms());
    }

    async fn after(&self, call: &'static str) {
        if call != "claim" || self.took.swap(false, Ordering::SeqCst) {
            self.points.pass(|| format!("after {call}")).await;
        }
    }
}

impl MortalStore {
    /// A claim that takes nothing writes nothing, and hosts claim all the time.
    async fn is_left_over(&self) -> bool {
        let (now_ms, all) = (self.clock.now_ms(), u32::MAX);
        let hosts = self.memory.hosts(all).await.unwrap();
        let is_lost = |host: &&HostRow| host.lost_ms.is_some() || host.lease_until_ms <= now_ms;
        let lost: Vec<HostId> = hosts.iter().filter(is_lost).map(|host| host.id).collect();
        let mut left_over = false;
        for saga in self.memory.open_sagas(None, None, all).await.unwrap() {
            let loaded = self.memory.load(saga).await.unwrap().unwrap();
            left_over |= lost.contains(&loaded.fence.owner);
        }
        self.took.store(left_over, Ordering::SeqCst);
        left_over
    }
}

/// How long a request, and how long its answer, is on its way.
const LATENCY: std::time::Duration = std::time::Duration::from_millis(10);

/// The provider as a host sees it that may die.
pub struct MortalTransport {
    pub cloud: InProcess,
    pub points: Arc<Points>,
}

impl std::fmt::Debug for MortalTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MortalTransport").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for MortalTransport {
    async fn send(&self, request: reqwest::Request) -> Result<reqwest::Response, NotAnswered> {
        let what = format!("{} {}", request.method(), request.url().path());
        self.points.pass(|| format!("before {what}")).await;
        let request = hyper::Request::<reqwest::Body>::try_from(request)
            .map_err(|error| NotAnswered::Unsent(error.to_string()))?;
        tokio::time::sleep(LATENCY).await;
        let answer = self.cloud.call(request).await;
        tokio::time::sleep(LATENCY).await;
        self.points.pass(|| format!("after {what}")).await;
        match answer {
            Ok(response) => Ok(response.map(reqwest::Body::wrap).into()),
            Err(cut) => Err(NotAnswered::Lost(cut.to_string())),
        }
    }
}
