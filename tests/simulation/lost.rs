//! Answers that are lost, wrong or late, and look-ups that don't see yet what is there: each with deaths on top.

use std::{collections::BTreeMap, time::Instant};

use arcadia::{
    saga::Status,
    simulator::{AnswerFault, BodyForm, Fault, FaultKind, Lag, Listing, Matcher, Point, Strange},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    lab,
    scenario::{Plan, Scenario, Then},
    search::{Deaths, Tally, all, is_thorough, run, seed, tell},
};

const HOUR_MS: u64 = 3_600_000;
/// Deaths that are tried per scenario, unless all are.
const DEATHS: usize = 2;

const ANY_END: &[Status] = &[Status::Completed, Status::Compensated];
const UNDONE: &[Status] = &[Status::Compensated];
const DONE: &[Status] = &[Status::Completed];
const CANCELLED_OR_SO: &[Status] = &[Status::Cancelled, Status::Compensated, Status::Completed];

fn on(method: &str, path: &str) -> Matcher {
    Matcher {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        ..Matcher::default()
    }
}

pub fn create() -> Matcher {
    on("POST", "/v2/droplets")
}

fn delete() -> Matcher {
    on("DELETE", "/v2/droplets/*")
}

fn snapshot() -> Matcher {
    on("POST", "/v2/droplets/*/actions")
}

fn list() -> Matcher {
    on("GET", "/v2/droplets")
}

fn times(times: u64, matcher: Matcher, fault: FaultKind) -> Fault {
    Fault {
        times: Some(times),
        ..Fault::on(matcher, fault)
    }
}

pub fn once(matcher: Matcher, fault: FaultKind) -> Fault {
    times(1, matcher, fault)
}

pub fn reset(point: Point) -> FaultKind {
    FaultKind::Reset { point }
}

fn answer(point: Point, status: Option<u16>, body: BodyForm, retry_after: Option<&str>) -> FaultKind {
    FaultKind::Answer(AnswerFault {
        point,
        status,
        body,
        message: None,
        retry_after: retry_after.map(str::to_owned),
    })
}

type Named = (String, FaultKind);

/// What can become of the answer to a request that changes something.
fn answers() -> Vec<Named> {
    let mut all: Vec<Named> = Vec::new();
    for point in [Point::BeforeEffect, Point::AfterEffect] {
        all.push((format!("reset {point:?}"), reset(point)));
        all.push((format!("closed {point:?}"), FaultKind::Close { point }));
        let delay_ms = 130_000;
        all.push((format!("slow {point:?}"), FaultKind::Slow { point, delay_ms }));
        for (status, body) in [
            (500, BodyForm::Proper),
            (502, BodyForm::Html),
            (503, BodyForm::Proper),
            (504, BodyForm::Empty),
        ] {
            let kind = answer(point, Some(status), body, None);
            all.push((format!("{status} {point:?}"), kind));
        }
    }
    for body in [
        BodyForm::Truncated,
        BodyForm::CutOff,
        BodyForm::Empty,
        BodyForm::Html,
    ] {
        let kind = answer(Point::AfterEffect, None, body, None);
        all.push((format!("{body:?}"), kind));
    }
    for retry_after in [
        None,
        Some("3"),
        Some("0"),
        Some("99999999"),
        Some("soon"),
        Some("Thu, 01 Jan 2026 00:01:00 GMT"),
    ] {
        let kind = answer(Point::BeforeEffect, Some(429), BodyForm::Proper, retry_after);
        all.push((format!("429 {retry_after:?}"), kind));
    }
    all
}

fn named(plan: &str, fault: &str, scenario: Scenario) -> Scenario {
    Scenario {
        name: format!("{plan}, {fault}"),
        trouble: fault.to_owned(),
        after_ms: 200_000,
        ..scenario
    }
}

/// What is made, with its faults; as it is, failing later, and cancelled.
fn made(fault: &str, faults: &[Fault], after_ms: u64) -> Vec<Scenario> {
    let with = |scenario: Scenario| Scenario {
        faults: faults.to_vec(),
        after_ms,
        thorough: true,
        ..scenario
    };
    let mut all = vec![
        with(named(
            "provision",
            fault,
            Scenario::new("", Plan::Provision, ANY_END),
        )),
        with(named(
            "failing",
            fault,
            Scenario::new("", Plan::FailingProvision, UNDONE),
        )),
    ];
    // While the create is on the wire; while it is looked for; later.
    for at_ms in [15, 3_000, 30_000] {
        let scenario = Scenario {
            then: Then::Cancel { after_ms: at_ms },
            ..Scenario::new("", Plan::Provision, CANCELLED_OR_SO)
        };
        all.push(with(named(&format!("cancelled at {at_ms}"), fault, scenario)));
    }
    all
}

pub fn creates() -> Vec<Scenario> {
    let single = answers().into_iter();
    single
        .flat_map(|(name, kind)| made(&name, &[once(create(), kind)], 200_000))
        .collect()
}

/// The droplet is there, and not seen; with the answer, and without.
pub fn lags() -> Vec<Scenario> {
    let mut all = Vec::new();
    for lag_ms in [500, 5_000, 60_000, HOUR_MS] {
        let after_ms = if lag_ms == HOUR_MS { 3 * HOUR_MS } else { 400_000 };
        let none = Lag::default();
        for (way, lag) in [
            ("every look-up", Lag::everywhere(lag_ms)),
            (
                "tags",
                Lag {
                    tag_ms: lag_ms,
                    ..none
                },
            ),
            (
                "names",
                Lag {
                    name_ms: lag_ms,
                    ..none
                },
            ),
            (
                "ids",
                Lag {
                    get_ms: lag_ms,
                    ..none
                },
            ),
        ] {
            let lags = once(create(), FaultKind::Lag(lag));
            let name = format!("{way} lag {lag_ms}");
            all.extend(made(&name, std::slice::from_ref(&lags), after_ms));
            let lost = once(create(), reset(Point::AfterEffect));
            all.extend(made(&format!("{name}, lost"), &[lags, lost], after_ms));
        }
    }
    all
}

/// Things that happen to a droplet after its create was accepted.
pub fn fates() -> Vec<Scenario> {
    let mut all = Vec::new();
    let lost = || once(create(), reset(Point::AfterEffect));
    for (name, kind, after_ms) in [
        ("an hour late", FaultKind::Late { after_ms: HOUR_MS }, 3 * HOUR_MS),
        (
            "placement fails",
            FaultKind::PlacementFails { after_ms: 2_000 },
            200_000,
        ),
        (
            "placement fails late",
            FaultKind::PlacementFails { after_ms: 12_000 },
            200_000,
        ),
        (
            "create errors",
            FaultKind::CreateErrors { after_ms: 2_000 },
            200_000,
        ),
        (
            "deleted while new",
            FaultKind::Vanish { after_ms: 1_000 },
            200_000,
        ),
        (
            "deleted while active",
            FaultKind::Vanish { after_ms: 8_000 },
            200_000,
        ),
        // The audit comes after an hour, and holds it to be a stray 10 minutes later.
        ("twice", FaultKind::Twice, 2 * HOUR_MS),
    ] {
        let fate = once(create(), kind.clone());
        all.extend(made(name, std::slice::from_ref(&fate), after_ms));
        if !matches!(kind, FaultKind::Late { .. }) {
            all.extend(made(&format!("{name}, lost"), &[fate, lost()], after_ms));
        }
    }
    let untagged = || {
        let strange = Strange {
            null_tags: true,
            ..Strange::default()
        };
        Fault::on(on("GET", "/v2/droplets**"), FaultKind::Strange(strange))
    };
    let never = Lag {
        tag_ms: 1_000 * HOUR_MS,
        ..Lag::default()
    };
    let unseen = || once(create(), FaultKind::Lag(never));
    for (name, faults) in [
        ("tags never arrive", vec![untagged(), unseen()]),
        ("tags never arrive, lost", vec![untagged(), unseen(), lost()]),
    ] {
        let scenarios = made(name, &faults, HOUR_MS).into_iter();
        all.extend(scenarios.map(|scenario| Scenario {
            // Nobody can find what bears no tag.
            thorough: false,
            ..scenario
        }));
    }
    all
}

/// Answers to what takes away: of a destroy, and of an undo.
pub fn deletes() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut kinds = answers();
    // A pause of an hour, which is as long as a step may take: a destroy then needs a person.
    kinds.retain(|(name, _)| !name.contains("99999999"));
    for (status, point) in [
        (422, Point::BeforeEffect),
        (404, Point::AfterEffect),
        (404, Point::BeforeEffect),
    ] {
        kinds.push((
            format!("{status} {point:?}"),
            answer(point, Some(status), BodyForm::Proper, None),
        ));
    }
    kinds.push(("ignored".to_owned(), FaultKind::DeleteIgnored));
    for (name, kind) in kinds {
        for count in [1, 3] {
            let faults = vec![times(count, delete(), kind.clone())];
            for (plan, scenario) in [
                ("destroy", Scenario::new("", Plan::Destroy, DONE)),
                ("failing", Scenario::new("", Plan::FailingProvision, UNDONE)),
            ] {
                all.push(Scenario {
                    faults: faults.clone(),
                    after_ms: 300_000,
                    thorough: true,
                    ..named(plan, &format!("delete {name} {count}x"), scenario)
                });
            }
        }
    }
    all
}

pub fn snapshots() -> Vec<Scenario> {
    let mut all = Vec::new();
    let lost = || once(snapshot(), reset(Point::AfterEffect));
    let mut cases: Vec<(String, Vec<Fault>, u64)> = answers()
        .into_iter()
        .map(|(name, kind)| (name, vec![once(snapshot(), kind)], 300_000))
        .collect();
    for (name, kind, after_ms) in [
        ("errors", FaultKind::ActionErrors, 300_000),
        ("comes twice", FaultKind::Twice, 300_000),
        ("lags 5 s", FaultKind::SnapshotLag { lag_ms: 5_000 }, 300_000),
        ("lags 60 s", FaultKind::SnapshotLag { lag_ms: 60_000 }, 400_000),
        (
            "lags an hour",
            FaultKind::SnapshotLag { lag_ms: HOUR_MS },
            3 * HOUR_MS,
        ),
    ] {
        let fault = once(snapshot(), kind);
        cases.push((name.to_owned(), vec![fault.clone()], after_ms));
        cases.push((format!("{name}, lost"), vec![fault, lost()], after_ms));
    }
    let undo = on("DELETE", "/v2/snapshots/*");
    cases.push((
        "undo lost".to_owned(),
        vec![once(undo.clone(), reset(Point::AfterEffect))],
        300_000,
    ));
    cases.push((
        "undo unsent".to_owned(),
        vec![once(undo, reset(Point::BeforeEffect))],
        300_000,
    ));
    for (name, faults, after_ms) in cases {
        for (plan, scenario) in [
            ("snapshot", Scenario::new("", Plan::Snapshot, ANY_END)),
            (
                "failing snapshot",
                Scenario::new("", Plan::FailingSnapshot, UNDONE),
            ),
        ] {
            all.push(Scenario {
                faults: faults.clone(),
                after_ms,
                thorough: true,
                ..named(plan, &name, scenario)
            });
        }
    }
    all
}

/// Listings that fail, lie or show nothing, with the create's answer lost.
pub fn listings() -> Vec<Scenario> {
    let mut all = Vec::new();
    let lie = |listing: Listing| FaultKind::Listing(listing);
    let mut cases: Vec<Named> = vec![
        (
            "empty".to_owned(),
            lie(Listing {
                empty: true,
                ..Listing::default()
            }),
        ),
        ("resets".to_owned(), reset(Point::AfterEffect)),
    ];
    for (status, body, retry_after) in [
        (500, BodyForm::Proper, None),
        (502, BodyForm::Html, None),
        (503, BodyForm::Empty, None),
        (429, BodyForm::Proper, Some("5")),
    ] {
        cases.push((
            format!("{status}"),
            answer(Point::BeforeEffect, Some(status), body, retry_after),
        ));
    }
    for body in [
        BodyForm::Truncated,
        BodyForm::CutOff,
        BodyForm::Empty,
        BodyForm::Html,
    ] {
        cases.push((format!("{body:?}"), answer(Point::AfterEffect, None, body, None)));
    }
    for (name, kind) in cases {
        for count in [2, 6] {
            let faults = vec![
                once(create(), reset(Point::AfterEffect)),
                times(count, list(), kind.clone()),
            ];
            all.extend(made(&format!("listing {name} {count}x, lost"), &faults, 400_000));
        }
    }
    all
}

/// Each scenario without a death, and with one at some points, or at all.
pub fn with_deaths(what: &str, scenarios: &[Scenario]) {
    lab::warm();
    let (began, seed) = (Instant::now(), seed());
    let alive = all(scenarios, |scenario| run(scenario, &[]));
    let mut rng = StdRng::seed_from_u64(seed);
    let mut deaths: Vec<(usize, Deaths)> = Vec::new();
    let mut points = 0;
    for (index, outcome) in alive.iter().enumerate() {
        points += outcome.points;
        if is_thorough() {
            deaths.extend((1..=outcome.points).map(|point| (index, vec![point])));
        } else {
            deaths.extend((0..DEATHS).map(|_| (index, vec![rng.random_range(1..=outcome.points)])));
        }
    }
    let died = all(&deaths, |(index, deaths)| run(&scenarios[*index], deaths));
    let mut tally = Tally::default();
    let mut met: BTreeMap<&str, bool> = BTreeMap::new();
    for (scenario, outcome) in scenarios.iter().zip(&alive) {
        tally.add(scenario, outcome);
        *met.entry(&scenario.trouble).or_default() |= outcome.met;
    }
    for ((index, _), outcome) in deaths.iter().zip(&died) {
        tally.add(&scenarios[*index], outcome);
    }
    tell(&format!(
        "{what}: {} scenarios; {} deaths at {points} points (ARCADIA_SEED={seed}; at all with ARCADIA_SIMULATION=all); ends {:?}; {:.0} runs/s",
        scenarios.len(),
        died.len(),
        tally.ends,
        (alive.len() + died.len()) as f64 / began.elapsed().as_secs_f64(),
    ));
    tally.is_clean();
    let unmet: Vec<&str> = met
        .into_iter()
        .filter(|(_, met)| !met)
        .map(|(trouble, _)| trouble)
        .collect();
    assert!(unmet.is_empty(), "no request met these faults: {unmet:?}");
}
