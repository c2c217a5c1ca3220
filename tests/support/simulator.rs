//! A typed client of the simulator's control API. Everything panics with the answer when the answer isn't the expected one.

use std::collections::BTreeSet;

use arcadia::simulator::{
    ClockReport, DropletCount, Entry, Fault, FaultKind, Hold, HoldReport, HoldState, JournalPage, Matcher,
    Point, Rules, Simulator, StateReport,
};
use reqwest::{Method, RequestBuilder};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// How long a test waits for a request to be held.
const PATIENCE_MS: u64 = 30_000;

#[derive(Clone)]
pub struct Control {
    base: String,
    http: reqwest::Client,
}

impl Control {
    pub fn of(simulator: &Simulator) -> Self {
        Self::at(&simulator.control_url())
    }

    /// For a simulator in another process.
    pub fn at(control_url: &str) -> Self {
        Self {
            base: control_url.into(),
            http: super::http::client(),
        }
    }

    pub async fn state(&self) -> StateReport {
        self.get("/state").await
    }

    pub async fn live_droplet_ids(&self) -> BTreeSet<i64> {
        let droplets = self.state().await.droplets.into_iter();
        droplets
            .filter(|droplet| droplet.live)
            .map(|droplet| droplet.id)
            .collect()
    }

    pub async fn droplet_count(&self) -> DropletCount {
        self.get("/droplets/count").await
    }

    pub async fn journal(&self) -> Vec<Entry> {
        self.get::<JournalPage>("/journal").await.entries
    }

    /// Entries of one method that carry, or address, a tag.
    pub async fn journal_of(&self, method: &str, tag: &str) -> Vec<Entry> {
        let path = format!("/journal?method={method}&tag={tag}");
        self.get::<JournalPage>(&path).await.entries
    }

    /// Stops the next request that matches.
    pub async fn hold(&self, matcher: Matcher, point: Point) -> u64 {
        let nth = 1;
        self.hold_nth(matcher, nth, point).await
    }

    pub async fn hold_nth(&self, matcher: Matcher, nth: u64, point: Point) -> u64 {
        self.post_for_id("/holds", &Hold { matcher, nth, point }).await
    }

    /// Returns the request once it stands still.
    pub async fn wait_held(&self, hold: u64) -> Entry {
        let report: HoldReport = self.get(&format!("/holds/{hold}?wait_ms={PATIENCE_MS}")).await;
        match (report.state, report.request) {
            (HoldState::Held { .. }, Some(request)) => request,
            (state, request) => panic!("hold {hold} is {state:?}, with {request:?}"),
        }
    }

    /// Where the hold stands now.
    pub async fn hold_state(&self, hold: u64) -> HoldState {
        self.get::<HoldReport>(&format!("/holds/{hold}")).await.state
    }

    pub async fn release(&self, hold: u64) {
        let path = format!("/holds/{hold}/release");
        let _: HoldReport = read(self.request(Method::POST, &path)).await;
    }

    pub async fn add_fault(&self, fault: Fault) -> u64 {
        self.post_for_id("/faults", &fault).await
    }

    /// A fault for the next matching request only.
    pub async fn fault_once(&self, matcher: Matcher, kind: FaultKind) -> u64 {
        self.add_fault(Fault::once(matcher, kind)).await
    }

    pub async fn clear_faults(&self) {
        let answer = self.request(Method::DELETE, "/faults").send().await;
        assert_eq!(answer.expect("the control API answers").status(), 204);
    }

    /// Changes some of the rules: `{"activation_ms": 100}`.
    pub async fn patch(&self, rules: Value) -> Rules {
        read(self.request(Method::PATCH, "/options").json(&rules)).await
    }

    /// Moves the clock; returns the new time.
    pub async fn advance(&self, ms: u64) -> u64 {
        let request = self
            .request(Method::POST, "/clock/advance")
            .json(&json!({"ms": ms}));
        read::<ClockReport>(request).await.now_ms
    }

    /// Changes a droplet behind the API's back: `{"change": "delete"}`.
    pub async fn out_of_band(&self, droplet: i64, change: Value) {
        let path = format!("/droplets/{droplet}/out-of-band");
        let answer = self.request(Method::POST, &path).json(&change).send().await;
        let answer = answer.expect("the control API answers");
        assert_eq!(
            answer.status(),
            204,
            "{}",
            answer.text().await.unwrap_or_default()
        );
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        read(self.request(Method::GET, path)).await
    }

    async fn post_for_id<T: Serialize>(&self, path: &str, body: &T) -> u64 {
        let created: Value = read(self.request(Method::POST, path).json(body)).await;
        created["id"].as_u64().expect("an id in the answer")
    }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> T {
    let answer = request.send().await.expect("the control API answers");
    let status = answer.status();
    let text = answer.text().await.expect("a whole answer");
    assert!(status.is_success(), "the control API said {status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// The most entries that any window of this length holds.
pub fn busiest_window(entries: &[Entry], window_ms: u64) -> usize {
    let mut times: Vec<u64> = entries.iter().map(|entry| entry.at_ms).collect();
    times.sort_unstable();
    let in_window = |(index, start): (usize, &u64)| {
        times[index..]
            .iter()
            .take_while(|at_ms| **at_ms < start + window_ms)
            .count()
    };
    times.iter().enumerate().map(in_window).max().unwrap_or(0)
}

/// Requests of this method whose path matches this glob.
pub fn requests(method: &str, path: &str) -> Matcher {
    Matcher {
        method: Some(method.into()),
        path: Some(path.into()),
        ..Matcher::default()
    }
}
