//! Faults: what goes wrong, for which requests, and how often. Several faults may hit one request: those that bend the
//! effect add up, and the first that bends the answer decides it.

use serde::{Deserialize, Serialize};

use super::{
    matcher::{Arrival, Matcher},
    options::Lag,
    world::{Activation, Birth, Listing, Twist},
};

/// A fault as `POST /faults` takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    #[serde(default, rename = "match")]
    pub matcher: Matcher,
    /// Only the n-th matching request, counted from 1 and from when the fault was set.
    #[serde(default)]
    pub nth: Option<u64>,
    /// How many requests it hits at most.
    #[serde(default)]
    pub times: Option<u64>,
    /// How likely a matching request is hit, by the simulator's seed.
    #[serde(default)]
    pub probability: Option<f64>,
    pub fault: FaultKind,
}

impl Fault {
    /// This fault for every request that matches.
    pub fn on(matcher: Matcher, fault: FaultKind) -> Self {
        Self {
            matcher,
            nth: None,
            times: None,
            probability: None,
            fault,
        }
    }

    /// For the next request that matches, and no other.
    pub fn once(matcher: Matcher, fault: FaultKind) -> Self {
        Self {
            times: Some(1),
            ..Self::on(matcher, fault)
        }
    }
}

/// What goes wrong. The `F` numbers are those of the scenarios that the kind serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FaultKind {
    /// The connection is reset (RST) without an answer: F1 after the effect, F4 before it.
    Reset { point: Point },
    /// The connection is closed (FIN) without an answer.
    Close { point: Point },
    /// The answer comes this much real time later: F2 after the effect.
    Slow { point: Point, delay_ms: u64 },
    /// Another answer than the true one: F3 after the effect, F4 before it; F8, F16, F18 by status.
    Answer(AnswerFault),
    /// F5: what this request creates is seen late.
    Lag(Lag),
    /// F6: the effect of a create takes place later; without a fault for the answer, the connection is reset now.
    Late { after_ms: u64 },
    /// F9.
    Activation(Activation),
    /// F10: accepted, then gone, with an errored create action.
    PlacementFails { after_ms: u64 },
    /// F11: accepted, then the create action errors and the droplet stays `new`.
    CreateErrors { after_ms: u64 },
    /// F12: the droplet made or addressed by the request is deleted by somebody else.
    Vanish { after_ms: u64 },
    /// F13, F15: the effect takes place twice.
    Twice,
    /// F15: the action that this request starts ends as errored.
    ActionErrors,
    /// F15: the snapshot is listed only this long after its action completed.
    SnapshotLag { lag_ms: u64 },
    /// F16: 204, and the droplet stays.
    DeleteIgnored,
    /// F17, F19: a listing that doesn't tell the truth.
    Listing(Listing),
    /// F21: fields and values that no client knows.
    Strange(Strange),
}

/// Where in the life of a request something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    BeforeEffect,
    AfterEffect,
}

/// An answer that replaces the true one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerFault {
    /// Before the effect, there is none.
    pub point: Point,
    /// None keeps the true status.
    #[serde(default)]
    pub status: Option<u16>,
    #[serde(default)]
    pub body: BodyForm,
    #[serde(default)]
    pub message: Option<String>,
    /// Sent as it is: seconds, an HTTP date, nonsense.
    #[serde(default)]
    pub retry_after: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodyForm {
    /// What belongs to the status: the true body below 300, an error above.
    #[default]
    Proper,
    /// The page of a proxy.
    Html,
    Empty,
    /// A whole HTTP message with half a JSON document.
    Truncated,
    /// Half a body, then the connection closes.
    CutOff,
}

/// Things in an answer that the documentation doesn't have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Strange {
    pub extra_fields: bool,
    pub null_tags: bool,
    pub droplet_status: Option<String>,
    pub action_status: Option<String>,
}

/// A fault in the book, with how often it matched and hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostedFault {
    pub id: u64,
    pub fault: Fault,
    pub matched: u64,
    pub hits: u64,
}

/// What the faults do to one request.
#[derive(Debug, Default)]
pub(super) struct Harm {
    pub(super) twist: Twist,
    pub(super) delay_before_ms: u64,
    pub(super) delay_after_ms: u64,
    pub(super) ending: Option<(Point, Ending)>,
    pub(super) strange: Option<Strange>,
    /// The faults that hit, for the journal.
    pub(super) hit: Vec<u64>,
}

/// How a request ends instead of with its true answer.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    Reset,
    Close,
    Answer(AnswerFault),
}

/// All faults that are set.
#[derive(Debug, Default)]
pub(super) struct FaultBook {
    posted: Vec<PostedFault>,
    last_id: u64,
}

impl FaultBook {
    pub(super) fn post(&mut self, fault: Fault) -> u64 {
        self.last_id += 1;
        self.posted.push(PostedFault {
            id: self.last_id,
            fault,
            matched: 0,
            hits: 0,
        });
        self.last_id
    }

    pub(super) fn posted(&self) -> &[PostedFault] {
        &self.posted
    }

    /// Takes away one fault, or all; says how many.
    pub(super) fn withdraw(&mut self, id: Option<u64>) -> usize {
        let before = self.posted.len();
        self.posted.retain(|posted| id.is_some_and(|id| id != posted.id));
        before - self.posted.len()
    }

    /// Decides which faults hit a request that has just arrived.
    pub(super) fn strike(&mut self, arrival: &Arrival<'_>, mut chance: impl FnMut(f64) -> bool) -> Harm {
        let mut harm = Harm::default();
        for posted in &mut self.posted {
            if !posted.fault.matcher.matches(arrival) {
                continue;
            }
            posted.matched += 1;
            let due = posted.fault.nth.is_none_or(|nth| nth == posted.matched)
                && posted.fault.times.is_none_or(|times| posted.hits < times)
                && posted.fault.probability.is_none_or(&mut chance);
            if due {
                posted.hits += 1;
                harm.hit.push(posted.id);
                harm.add(&posted.fault.fault);
            }
        }
        if harm.twist.late_ms.is_some() && harm.ending.is_none() {
            harm.ending = Some((Point::AfterEffect, Ending::Reset));
        }
        harm
    }
}

impl Harm {
    fn add(&mut self, kind: &FaultKind) {
        let twist = &mut self.twist;
        match kind {
            FaultKind::Reset { point } => self.end(*point, Ending::Reset),
            FaultKind::Close { point } => self.end(*point, Ending::Close),
            FaultKind::Answer(answer) => self.end(answer.point, Ending::Answer(answer.clone())),
            FaultKind::Slow { point, delay_ms } => match point {
                Point::BeforeEffect => self.delay_before_ms += delay_ms,
                Point::AfterEffect => self.delay_after_ms += delay_ms,
            },
            FaultKind::Lag(lag) => twist.lag = Some(*lag),
            FaultKind::Late { after_ms } => twist.late_ms = Some(*after_ms),
            FaultKind::Activation(activation) => twist.birth = Birth::Activation(*activation),
            FaultKind::PlacementFails { after_ms } => {
                twist.birth = Birth::PlacementFails { after_ms: *after_ms };
            }
            FaultKind::CreateErrors { after_ms } => {
                twist.birth = Birth::ActionErrors { after_ms: *after_ms };
            }
            FaultKind::Vanish { after_ms } => twist.vanish_ms = Some(*after_ms),
            FaultKind::Twice => twist.twice = true,
            FaultKind::ActionErrors => twist.action_errors = true,
            FaultKind::SnapshotLag { lag_ms } => twist.snapshot_lag_ms = Some(*lag_ms),
            FaultKind::DeleteIgnored => twist.delete_ignored = true,
            FaultKind::Listing(listing) => twist.listing = *listing,
            FaultKind::Strange(strange) => self.strange = Some(strange.clone()),
        }
    }

    fn end(&mut self, point: Point, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some((point, ending));
        }
    }

    /// How the request ends before it has an effect, if a fault says so.
    pub(super) fn ending_at(&self, wanted: Point) -> Option<Ending> {
        let (point, ending) = self.ending.as_ref()?;
        (*point == wanted).then(|| ending.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn hits(book: &mut FaultBook, requests: usize) -> Vec<bool> {
        let query = BTreeMap::new();
        let strike = |_| {
            let arrival = Arrival {
                method: "POST",
                path: "/v2/droplets",
                query: &query,
                body: "",
                tags: Vec::new(),
            };
            !book.strike(&arrival, |_| true).hit.is_empty()
        };
        (0..requests).map(strike).collect()
    }

    #[test]
    fn a_fault_for_the_second_request_hits_no_other() {
        let mut book = FaultBook::default();
        book.post(Fault {
            nth: Some(2),
            ..Fault::on(Matcher::default(), FaultKind::Twice)
        });
        assert_eq!(hits(&mut book, 4), [false, true, false, false]);
    }

    #[test]
    fn a_fault_is_spent_after_its_times_and_gone_when_withdrawn() {
        let mut book = FaultBook::default();
        book.post(Fault::once(Matcher::default(), FaultKind::Twice));
        assert_eq!(hits(&mut book, 2), [true, false]);
        let id = book.post(Fault::on(Matcher::default(), FaultKind::Twice));
        assert_eq!(hits(&mut book, 2), [true, true]);
        assert_eq!(book.withdraw(Some(id)), 1);
        assert_eq!(hits(&mut book, 1), [false]);
        assert_eq!(book.withdraw(None), 1);
    }

    #[test]
    fn a_fault_reads_as_it_is_written() {
        let text = r#"{"match":{"method":"POST"},"times":1,"fault":{"kind":"answer","point":"after-effect","status":502,"body":"html"}}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        let answer = AnswerFault {
            point: Point::AfterEffect,
            status: Some(502),
            body: BodyForm::Html,
            message: None,
            retry_after: None,
        };
        let matcher = Matcher {
            method: Some("POST".into()),
            ..Matcher::default()
        };
        assert_eq!(fault, Fault::once(matcher, FaultKind::Answer(answer)));
    }
}
