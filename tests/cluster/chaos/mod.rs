//! Three hosts, each on a machine of its own, and everything that can happen to them at any moment: SIGKILL, SIGSTOP, SIGTERM, their
//! lines to the database and to the cloud cut or slow, their connections ended by the server. Sagas of every kind are asked for
//! meanwhile, through whichever host answers. Then all is well again, everything comes to rest, and [`rules`] are laid to what happened.
//!
//! `ARCADIA_CHAOS_SECONDS` says how long (the default is short), `ARCADIA_SEED` repeats what was chosen; what it then meets is the machine's.

mod history;
mod load;
mod machine;
mod record;
mod rules;
mod wrong;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use self::{
    history::History,
    load::Doors,
    machine::{Machine, Trouble},
    record::{Record, Recorded},
    rules::{Broken, Rule, broken},
};
use super::nodes::Place;

const MACHINES: usize = 3;
const RESTS_IN: Duration = Duration::from_secs(120);
/// Something that shows up late is looked for ten seconds after a saga's end, and later again; a delete is done a little after its answer.
const AGREES_IN: Duration = Duration::from_secs(60);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_three_hosts_the_promise_holds() {
    let seconds = number("ARCADIA_CHAOS_SECONDS").unwrap_or(15);
    let seed = number("ARCADIA_SEED").unwrap_or_else(rand::random);
    println!("ARCADIA_SEED={seed} ARCADIA_CHAOS_SECONDS={seconds}");
    let Some(mut place) = Place::new().await else {
        return;
    };
    let mut machines = Vec::new();
    for _ in 0..MACHINES {
        machines.push(Machine::start(&mut place).await);
    }
    let record = Record::begin(&place);
    let doors = Doors {
        urls: Arc::new(Mutex::new(urls(&machines))),
        token: machines[0].host.token(),
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    let load = load::load(doors.clone(), place.control.clone(), seed, until);
    let load = tokio::spawn(load);
    let suffered = storm(&place, &mut machines, &doors, seed, until).await;
    let accepted = load.await.unwrap();
    let recorded = rest(record, &mut machines, &doors).await;
    let (history, found) = settle(&recorded, &place, &machines, &accepted).await;
    println!(
        "{} sagas, {} requests, {suffered:?}",
        history.sagas.len(),
        history.sent.len()
    );
    println!("{:?}", ends(&history));
    let panicked = machines
        .iter()
        .any(|machine| machine.host.log().contains("panicked"));
    if panicked || !found.is_empty() {
        for (number, machine) in machines.iter().enumerate() {
            let path = std::env::temp_dir().join(format!("arcadia-chaos-{seed}-{number}.log"));
            std::fs::write(&path, machine.host.log()).unwrap();
            println!("{}: {:?}", path.display(), machine.lives);
        }
        panic!(
            "ARCADIA_SEED={seed} ARCADIA_CHAOS_SECONDS={seconds}: a host panicked ({panicked}), or {found:#?}"
        );
    }
}

fn urls(machines: &[Machine]) -> Vec<String> {
    machines
        .iter()
        .map(|machine| machine.host.url().to_owned())
        .collect()
}

/// How often each thing happened.
async fn storm(
    place: &Place,
    machines: &mut [Machine],
    doors: &Doors,
    seed: u64,
    until: Instant,
) -> BTreeMap<String, usize> {
    let mut rng = StdRng::seed_from_u64(!seed);
    let mut suffered: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = |what: String| *suffered.entry(what).or_default() += 1;
    let mut next = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        for machine in machines.iter_mut() {
            machine.look_after().await;
        }
        *doors.urls.lock().unwrap() = urls(machines);
        tokio::time::sleep(Duration::from_millis(50)).await;
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + Duration::from_millis(rng.random_range(200..1_500));
        if rng.random_range(0..8) == 0 {
            place.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and application_name like 'arcadia-%' and random() < 0.3",
            );
            count("Terminated".to_owned());
            continue;
        }
        let which = rng.random_range(0..machines.len());
        let trouble = Trouble::any(&mut rng);
        if machines[which].is_well() && !machines[which].host.has_ended() {
            let name = format!("{trouble:?}");
            count(name.split('(').next().unwrap_or_default().to_owned());
            machines[which].suffer(trouble).await;
        }
    }
    suffered
}

/// All hosts are well, and nothing is under way any more.
async fn rest(record: Record, machines: &mut [Machine], doors: &Doors) -> Recorded {
    for machine in machines.iter_mut() {
        machine.cure();
    }
    let recorded = record.end();
    let began = Instant::now();
    loop {
        for machine in machines.iter_mut() {
            machine.look_after().await;
        }
        *doors.urls.lock().unwrap() = urls(machines);
        let under_way = recorded.under_way();
        if under_way.is_empty() {
            return recorded;
        }
        assert!(began.elapsed() < RESTS_IN, "not at rest: {under_way:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What is to be told of the end is looked at until it is as it should be, or for long enough.
async fn settle(
    recorded: &Recorded,
    place: &Place,
    machines: &[Machine],
    accepted: &[(load::Order, String)],
) -> (History, Vec<Broken>) {
    let began = Instant::now();
    loop {
        let history = recorded.history(place, machines, accepted).await;
        let found = broken(&history);
        let may_come = |broken: &Broken| {
            matches!(
                broken.rule,
                Rule::AllAgree | Rule::UndoneIsGone | Rule::OneDropletPerStep
            )
        };
        if found.is_empty() || !found.iter().all(may_come) || began.elapsed() > AGREES_IN {
            return (history, found);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn ends(history: &History) -> BTreeMap<&str, usize> {
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for saga in history.sagas.values() {
        *ends.entry(&saga.status).or_default() += 1;
    }
    ends
}
