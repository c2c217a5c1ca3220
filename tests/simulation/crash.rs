//! Dying at each point, and at each pair of points: the second one is a point of the host that took over.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use rand::{SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{evidence::Evidence, lab, promise, run::Run, scenario::Scenario};

/// Broken promises that are told before a search ends.
const ENOUGH: usize = 5;

/// How many pairs of points are tried.
#[derive(Clone, Copy, Debug)]
pub enum Pairs {
    All,
    /// So many, chosen by the seed.
    Some(usize),
}

/// Where the hosts of a run die, one after the other.
type Deaths = Vec<u64>;

struct Outcome {
    /// How many points the last host reached.
    points: u64,
    /// Where the hosts died, in words.
    places: Vec<String>,
    reached: bool,
    status: &'static str,
    broken: Vec<String>,
}

fn run(scenario: &Scenario, deaths: &[u64]) -> Outcome {
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
    if !scenario.ends.contains(&evidence.row.status) {
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
        status: evidence.row.status.as_str(),
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
fn all<T: Sync, R: Send>(todo: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
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

/// Runs a scenario without a death, with one at each point, and with two; fails with what is broken.
pub fn everywhere(scenario: &Scenario, pairs: Pairs) {
    let pairs = if std::env::var("ARCADIA_PAIRS").is_ok_and(|pairs| pairs == "all") {
        Pairs::All
    } else {
        pairs
    };
    let seed: u64 = std::env::var("ARCADIA_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    lab::warm();
    let began = Instant::now();
    let alive = run(scenario, &[]);
    let single: Vec<Deaths> = (1..=alive.points).map(|point| vec![point]).collect();
    let once = all(&single, |deaths| run(scenario, deaths));
    let every: Vec<Deaths> = single
        .iter()
        .zip(&once)
        .flat_map(|(first, outcome)| (1..=outcome.points).map(|second| vec![first[0], second]))
        .collect();
    let chosen: Vec<Deaths> = match pairs {
        Pairs::All => every.clone(),
        Pairs::Some(count) => {
            let mut rng = StdRng::seed_from_u64(seed);
            every.sample(&mut rng, count).cloned().collect()
        }
    };
    let twice = all(&chosen, |deaths| run(scenario, deaths));
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    let mut broken = Vec::new();
    for outcome in [&alive].into_iter().chain(&once).chain(&twice) {
        *ends.entry(outcome.status).or_default() += usize::from(outcome.reached);
        if !outcome.broken.is_empty() {
            broken.push(format!(
                "dying at {:?}: {}",
                outcome.places,
                outcome.broken.join("; ")
            ));
        }
    }
    let reached = |outcomes: &[Outcome]| outcomes.iter().filter(|outcome| outcome.reached).count();
    let runs = 1 + once.len() + twice.len();
    println!(
        "{}: {} of {} points; {} of {} pairs ({} tried{}); {ends:?}; {:.0} runs/s",
        scenario.name,
        reached(&once),
        once.len(),
        reached(&twice),
        every.len(),
        chosen.len(),
        if matches!(pairs, Pairs::Some(_)) {
            format!(", ARCADIA_SEED={seed}")
        } else {
            String::new()
        },
        runs as f64 / began.elapsed().as_secs_f64(),
    );
    assert!(
        broken.is_empty(),
        "{}: {} runs break the promise, among them\n{}",
        scenario.name,
        broken.len(),
        broken[..broken.len().min(ENOUGH)].join("\n")
    );
    assert_eq!(
        reached(&once),
        once.len(),
        "{}: points were not reached",
        scenario.name
    );
    assert_eq!(
        reached(&twice),
        twice.len(),
        "{}: pairs were not reached",
        scenario.name
    );
}
