//! Dying at each point, and at each pair of points: the second one is a point of the host that took over.

use std::time::Instant;

use rand::{SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    lab,
    scenario::Scenario,
    search::{Deaths, Outcome, Tally, all, is_thorough, run, seed, tell},
};

/// How many pairs of points are tried.
#[derive(Clone, Copy, Debug)]
pub enum Pairs {
    All,
    /// So many, chosen by the seed.
    Some(usize),
}

/// Runs a scenario without a death, with one at each point, and with two; fails with what is broken.
pub fn everywhere(scenario: &Scenario, pairs: Pairs) {
    lab::warm();
    let (began, seed) = (Instant::now(), seed());
    let alive = run(scenario, &[]);
    let single: Vec<Deaths> = (1..=alive.points).map(|point| vec![point]).collect();
    let once = all(&single, |deaths| run(scenario, deaths));
    let seconds = |(first, outcome): (&Deaths, &Outcome)| -> Vec<Deaths> {
        (1..=outcome.points)
            .map(|second| vec![first[0], second])
            .collect()
    };
    let every: Vec<Deaths> = single.iter().zip(&once).flat_map(seconds).collect();
    let chosen: Vec<Deaths> = match pairs {
        Pairs::Some(count) if !is_thorough() => {
            let mut rng = StdRng::seed_from_u64(seed);
            every.sample(&mut rng, count).cloned().collect()
        }
        Pairs::Some(_) | Pairs::All => every.clone(),
    };
    let twice = all(&chosen, |deaths| run(scenario, deaths));
    let mut tally = Tally::default();
    for outcome in [&alive].into_iter().chain(&once).chain(&twice) {
        tally.add(scenario, outcome);
    }
    let reached = |outcomes: &[Outcome]| outcomes.iter().filter(|outcome| outcome.reached).count();
    let (reached_once, reached_twice) = (reached(&once), reached(&twice));
    tell(&format!(
        "{}: {reached_once} of {} points; {reached_twice} of {} pairs{}; ends {:?}; {:.0} runs/s",
        scenario.name,
        once.len(),
        every.len(),
        if chosen.len() < every.len() {
            format!(" (a sample by ARCADIA_SEED={seed}; all with ARCADIA_SIMULATION=all)")
        } else {
            String::new()
        },
        tally.ends,
        (1 + once.len() + twice.len()) as f64 / began.elapsed().as_secs_f64(),
    ));
    tally.is_clean();
    assert_eq!(
        reached_once,
        once.len(),
        "{}: points were not reached",
        scenario.name
    );
    assert_eq!(
        reached_twice,
        chosen.len(),
        "{}: pairs were not reached",
        scenario.name
    );
}
