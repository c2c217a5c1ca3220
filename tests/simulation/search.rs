//! Runs, many of them, and what they come to.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{evidence::Evidence, promise, run::Run, scenario::Scenario};

/// Broken promises that are told before a search ends.
const ENOUGH: usize = 5;

/// Most requests that a scenario's saga has on the wire at once.
const BRANCHES: usize = 3;

/// Where the hosts of a run die, one after the other.
pub type Deaths = Vec<u64>;

pub struct Outcome {
    /// How many points the last host reached.
    pub points: u64,
    /// Where the hosts died, in words.
    pub places: Vec<String>,
    pub reached: bool,
    pub status: &'static str,
    /// Every fault of the scenario has hit a request.
    pub met: bool,
    pub broken: Vec<String>,
}

pub fn run(scenario: &Scenario, deaths: &[u64]) -> Outcome {
    let mut run = Run::new(scenario);
    let mut places = Vec::new();
    for &deadly in deaths {
        let life = run.life(deadly);
        if !life.died {
            return Outcome {
                points: life.points.len() as u64,
                places,
                reached: false,
                status: "",
                met: false,
                broken: Vec::new(),
            };
        }
        places.push(format!("{deadly} ({})", life.points.last().unwrap()));
    }
    let last = run.life(0);
    let saga = run.saga().unwrap();
    let evidence = Evidence::of(&run, saga);
    let mut broken = promise::broken(&evidence);
    broken.extend(
        run.pasts
            .iter()
            .filter_map(|past| promise::continues(past, &evidence.events)),
    );
    if scenario.thorough {
        broken.extend(promise::unfound(&evidence));
    }
    if last.died {
        broken.push("the saga does not come to rest".to_owned());
    }
    let status = evidence.row.status;
    let unrecorded = promise::unrecorded(&evidence);
    if scenario.faults.is_empty() && unrecorded > deaths.len() * BRANCHES {
        broken.push(format!("{unrecorded} answers are not in the journal"));
    }
    if scenario.faults.is_empty() && status != scenario.ends[0] {
        let excused = |step| evidence.is_in_doubt(step) && !evidence.was_made(step);
        if !(0..evidence.saga.steps.len()).any(excused) {
            broken.push("no request is in doubt that could have kept it from its end".to_owned());
        }
    }
    if !scenario.ends.contains(&status) {
        broken.push(format!(
            "it ended {}, because {:?}",
            evidence.row.status.as_str(),
            evidence.row.turning
        ));
    }
    if !broken.is_empty() {
        broken.push(story(&evidence));
    }
    Outcome {
        points: last.points.len() as u64,
        places,
        reached: true,
        status: status.as_str(),
        met: evidence.hit == scenario.faults.len(),
        broken,
    }
}

/// What happened, for whoever has to find out why.
fn story(evidence: &Evidence) -> String {
    let mut text = String::from("\n");
    for event in &evidence.events {
        text += &format!(
            "    {} {} {:?} {}\n",
            event.at_ms,
            event.kind,
            event.step,
            event.detail.as_str()
        );
    }
    for record in &evidence.intents {
        let intent = &record.intent;
        text += &format!(
            "    intent at {} {} {} {:?}\n",
            intent.at_ms, intent.method, intent.path, record.state
        );
    }
    for entry in evidence.requests.iter().filter(|entry| entry.method != "GET") {
        text += &format!(
            "    request {} {} {} {:?} {:?}\n",
            entry.at_ms, entry.method, entry.path, entry.effects, entry.outcome
        );
    }
    for finding in &evidence.findings {
        text += &format!("    finding {} {}\n", finding.code, finding.message);
    }
    text + &format!("    watch {:?}\n", evidence.watch)
}

/// Carries out what is to be done on two threads; the answers in order.
pub fn all<T: Sync, R: Send>(todo: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = todo.get(index) else { return };
                    let answer = work(item);
                    done.lock().unwrap().insert(index, answer);
                }
            });
        }
    });
    done.into_inner().unwrap().into_values().collect()
}

/// Every point and pair instead of a sample.
pub fn is_thorough() -> bool {
    std::env::var("ARCADIA_SIMULATION").is_ok_and(|how| how == "all")
}

pub fn seed() -> u64 {
    let given = std::env::var("ARCADIA_SEED").ok();
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random)
}

/// For the log, whether the test passes or not.
pub fn tell(line: &str) {
    // A log that can't be written is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// How runs ended, and what they broke.
#[derive(Default)]
pub struct Tally {
    pub ends: BTreeMap<&'static str, usize>,
    broken: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, scenario: &Scenario, outcome: &Outcome) {
        *self.ends.entry(outcome.status).or_default() += usize::from(outcome.reached);
        if !outcome.broken.is_empty() {
            let (places, broken) = (&outcome.places, outcome.broken.join("; "));
            self.broken
                .push(format!("{}, dying at {places:?}: {broken}", scenario.name));
        }
    }

    pub fn is_clean(&self) {
        let some = &self.broken[..self.broken.len().min(ENOUGH)];
        assert!(
            some.is_empty(),
            "{} runs break the promise, among them\n{}",
            self.broken.len(),
            some.join("\n")
        );
    }
}
