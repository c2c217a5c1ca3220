//! Each shipped step against each fault that concerns it, through the whole engine: real components, a real SQLite file, a real
//! HTTP server that misbehaves. The cases of a table run at the same time on one stand, since they mostly wait; each has a tag of
//! its own, by which its faults find its requests and its end is told from the others'.

mod create;
mod destroy;
mod ground;
mod limit;
mod register;
mod rollback;
mod snapshot;
mod wait;

use arcadia::{
    saga::Status,
    simulator::{AnswerFault, BodyForm, Entry, Fault, FaultKind, Lag, Matcher, Outcome, Point},
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::simulator::requests;
use ground::Ground;

/// Longer than every settle window here: what is unseen for so long is never seen.
const FOR_EVER_MS: u64 = 3_600_000;

/// One row of a table: faults, and what must be true in the end.
struct Case {
    name: &'static str,
    faults: Vec<Fault>,
    /// Laid over the parameters of the step `wait`, or of the one step that the case is about.
    params: Value,
    end: Seen,
}

/// How a case ended: the saga's own account, the cloud's, and whether they agree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    status: Status,
    /// The failure for which the saga went back.
    code: Option<String>,
    findings: Vec<String>,
    /// Live in the cloud.
    droplets: usize,
    snapshots: usize,
    creates: Posts,
    snapshot_requests: Posts,
    /// Live in the cloud and not in the inventory, or the other way round.
    disagreements: usize,
    /// Faults that hit no request: without them a case says nothing.
    idle_faults: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Posts {
    sent: usize,
    /// Of these, the ones that changed something.
    effective: usize,
}

const ONCE: Posts = Posts {
    sent: 1,
    effective: 1,
};
const ONCE_IN_VAIN: Posts = Posts {
    sent: 1,
    effective: 0,
};

impl Seen {
    /// One droplet, made by one request, in the inventory.
    fn completed() -> Seen {
        Seen {
            status: Status::Completed,
            code: None,
            findings: vec![],
            droplets: 1,
            snapshots: 0,
            creates: ONCE,
            snapshot_requests: Posts::default(),
            disagreements: 0,
            idle_faults: 0,
        }
    }

    /// The one create took effect, and nothing of it is left.
    fn undone(code: &str) -> Seen {
        Seen {
            status: Status::Compensated,
            code: Some(code.to_owned()),
            droplets: 0,
            ..Seen::completed()
        }
    }

    fn creates(self, sent: usize, effective: usize) -> Seen {
        Seen {
            creates: Posts { sent, effective },
            ..self
        }
    }

    fn finding(self, code: &str) -> Seen {
        Seen {
            findings: vec![code.to_owned()],
            ..self
        }
    }
}

impl Case {
    fn new(name: &'static str, faults: Vec<Fault>, end: Seen) -> Case {
        Case {
            name,
            faults,
            params: json!({}),
            end,
        }
    }

    fn params(self, params: Value) -> Case {
        Case { params, ..self }
    }

    /// An error says what differs.
    fn check(&self, seen: &Seen) -> Result<(), String> {
        if *seen == self.end {
            return Ok(());
        }
        Err(format!(
            "{}\n  ended  {seen:?}\n  wanted {:?}",
            self.name, self.end
        ))
    }
}

/// Runs everything at the same time, and fails with all that went wrong.
async fn all_of(cases: impl IntoIterator<Item = impl Future<Output = Result<(), String>>>) {
    let failures: Vec<String> = join_all(cases)
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn post() -> Matcher {
    requests("POST", "/v2/droplets")
}

fn deletes() -> Matcher {
    requests("DELETE", "/v2/droplets/*")
}

/// A matching request is answered like this, so many times.
fn answered(matcher: Matcher, times: u64, point: Point, status: u16, body: BodyForm) -> Fault {
    let answer = AnswerFault {
        point,
        status: Some(status),
        body,
        message: None,
        retry_after: None,
    };
    limited(matcher, times, FaultKind::Answer(answer))
}

fn reset(matcher: Matcher, times: u64, point: Point) -> Fault {
    limited(matcher, times, FaultKind::Reset { point })
}

fn limited(matcher: Matcher, times: u64, kind: FaultKind) -> Fault {
    Fault {
        times: Some(times),
        ..Fault::on(matcher, kind)
    }
}

/// A step that fails for good.
fn failing() -> Value {
    json!({
        "name": "fail", "component": "scripted",
        "params": { "run": [{ "permanent": { "code": "on-purpose", "message": "the last step fails" } }] },
    })
}

/// A step that is still at it when the test ends the saga.
fn sleeping() -> Value {
    json!({
        "name": "sleep", "component": "scripted",
        "params": { "run": [{ "again": { "after_ms": 600_000, "times": 10, "progress": "sleeping" } }] },
    })
}

/// A plan's own steps, as a definition has them.
fn step(name: &str, component: &str) -> Value {
    json!({ "name": name, "component": component })
}

fn create_steps() -> Vec<Value> {
    vec![
        step("create", "create-droplet"),
        step("wait", "wait-droplet-active"),
        step("register", "register-droplet"),
    ]
}

/// Whether a request was answered with a status below 300.
fn accepted(entry: &Entry) -> bool {
    matches!(entry.outcome, Outcome::Answered { status } if status < 300)
}

/// No listing by tag ever shows it: it can only be asked for by its id.
fn unlisted() -> Lag {
    Lag {
        tag_ms: FOR_EVER_MS,
        ..Lag::default()
    }
}

/// A snapshot's name is the label and the step's resource tag.
fn beginning_of(case: &str) -> String {
    format!("{case}-arcadia-r-")
}

fn tag_of(case: &str) -> String {
    format!("case:{case}")
}

/// Inputs for a droplet that has the case's name and tag.
fn wish(case: &str) -> Value {
    json!({
        "droplet_name": case, "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
        "droplet_tags": [tag_of(case)],
    })
}
