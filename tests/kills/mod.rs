//! SIGKILL, round after round: real hosts on one database, one simulator, sagas of every kind in flight. In each round a host is
//! killed: at random, amid the accepting of new sagas, or while a chosen request is at a chosen point of its way, before or after
//! its effect, its answer, and what is done with that. What was not answered is asked for again under the same key. After the last
//! round everything comes to rest, and the promise is checked on the whole of it.
//!
//! `ARCADIA_KILL_ROUNDS` says how many rounds (200 in CI), `ARCADIA_SEED` repeats what was chosen; what the kills then meet is
//! the machine's. The summary says how often each kind of moment was met, and 200 rounds that miss one are no proof: they fail.

mod asking;
mod evidence;
mod history;
mod moment;
mod order;
mod promise;
mod round;
mod site;
mod wire;

use std::time::Instant;

use rand::{SeedableRng as _, rngs::StdRng};

use crate::support::postgres;
use evidence::Evidence;
use site::{Database, Site};

/// With so many rounds, every kind of moment must have been met.
const MEETS_ALL: u32 = 200;

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

async fn kill_round_after_round(database: Database) {
    let rounds: u32 = number("ARCADIA_KILL_ROUNDS").unwrap_or(10);
    let seed: u64 = number("ARCADIA_SEED").unwrap_or_else(rand::random);
    let again = format!("ARCADIA_SEED={seed} ARCADIA_KILL_ROUNDS={rounds}");
    println!("{again} on {database:?}");
    let began = Instant::now();
    let mut site = Site::open(&database).await;
    for round in 0..rounds {
        // Of its own: how long something took in one round changes nothing in the next.
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(round.into()));
        site.round(&mut rng).await;
    }
    let killed = began.elapsed();
    site.come_to_rest().await;
    let rested = began.elapsed();
    let evidence = Evidence::of(&mut site).await;
    let wrong = promise::broken(&evidence);
    let (deck, ends) = (&site.deck, evidence.ends());
    println!(
        "{database:?}: {rounds} kills in {killed:.1?}, at rest after {rested:.1?}, checked after {:.1?}",
        began.elapsed()
    );
    println!(
        "{deck}\n{ends:?}\n{} requests left the hosts, {} histories were read, {} leases lost",
        evidence.exchanges.len(),
        site.histories.readings,
        site.leases_lost
    );
    let never_met = if rounds < MEETS_ALL {
        Vec::new()
    } else {
        deck.never_met()
    };
    assert!(
        wrong.is_empty() && never_met.is_empty(),
        "{again}\n{}\nnever met: {never_met:?}\n{}",
        wrong.join("\n"),
        site.log_tail()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_on_sqlite_may_be_killed_at_any_moment() {
    kill_round_after_round(Database::Folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_on_postgresql_may_be_killed_at_any_moment() {
    let Some(server) = postgres::shared() else {
        return;
    };
    kill_round_after_round(Database::Postgres(server.database())).await;
}
