//! A machine whose clock is set while its host runs, or while it is down: nothing comes early, late, or to another host.

use std::time::{Duration, Instant};

use arcadia::simulator::Simulator;
use jiff::Timestamp;
use serde_json::Value;

use super::nodes::{Place, SCRIPTED, droplet, naps};
use crate::support::{clock::MachineClock, host::Host, simulator::Control};

const HOUR_MS: i64 = 3_600_000;
const YEARS_MS: i64 = 10 * 365 * 24 * HOUR_MS;
const STEPS_MS: [i64; 6] = [HOUR_MS, -HOUR_MS, YEARS_MS, 0, -2 * HOUR_MS, YEARS_MS];
const NAP: Duration = Duration::from_millis(700);
const NAPS: u64 = 8;
/// Late, on a machine that is busy with other tests.
const LATE: Duration = Duration::from_secs(15);

/// Kinds and times of a saga's events, milliseconds since the Unix epoch.
async fn events(host: &Host, saga: &str) -> Vec<(String, i64)> {
    let events = host.get(&format!("/v1/sagas/{saga}/events?limit=200")).await;
    let event = |row: &Value| {
        let at: Timestamp = row["at"].as_str().unwrap().parse().unwrap();
        (row["kind"].as_str().unwrap().to_owned(), at.as_millisecond())
    };
    events["items"].as_array().unwrap().iter().map(event).collect()
}

/// What the host takes for the present, or has taken for it: it makes the ids of its sagas with it, which never go back.
fn made_ms(saga: &str) -> i64 {
    let (seconds, nanoseconds) = saga
        .parse::<uuid::Uuid>()
        .unwrap()
        .get_timestamp()
        .unwrap()
        .to_unix();
    i64::try_from(seconds).unwrap() * 1_000 + i64::from(nanoseconds) / 1_000_000
}

/// Sets the clock every half second, with a saga begun at each time; all its sagas.
async fn begin_while_the_clock_jumps(host: &Host, clock: &MachineClock) -> Vec<String> {
    let mut sagas = vec![
        host.saga(naps(NAPS, 700)).await,
        host.saga(droplet("web-1")).await,
    ];
    let mut furthest_ms = 0;
    for step_ms in STEPS_MS {
        clock.set(step_ms);
        furthest_ms = step_ms.max(furthest_ms);
        let saga = host.saga(naps(NAPS, 700)).await;
        let off_ms = made_ms(&saga) - Timestamp::now().as_millisecond();
        assert!(
            (off_ms - furthest_ms).abs() < 60_000,
            "the clock has not been set: {off_ms} ms"
        );
        sagas.push(saga);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    sagas
}

/// All of them are done, in their usual time, and say so by the right clock.
async fn in_usual_time(host: &Host, sagas: &[String], from_ms: i64) {
    for saga in sagas {
        assert_eq!(host.rest_of(saga).await, "completed");
    }
    let until_ms = Timestamp::now().as_millisecond();
    for saga in sagas {
        let events = events(host, saga).await;
        let times: Vec<i64> = events.iter().map(|(_, at_ms)| *at_ms).collect();
        assert!(times.is_sorted(), "{events:?}");
        assert!(
            from_ms <= times[0] && *times.last().unwrap() <= until_ms,
            "{from_ms} {events:?} {until_ms}"
        );
        let naps: Vec<_> = events.iter().filter(|(kind, _)| kind == "step-again").collect();
        // The others are the droplet's.
        let naps = if naps.len() as u64 == NAPS {
            naps
        } else {
            Vec::new()
        };
        for pair in naps.windows(2) {
            let slept = Duration::from_millis(u64::try_from(pair[1].1 - pair[0].1).unwrap());
            assert!(NAP <= slept && slept < NAP + LATE, "{slept:?}: {events:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jumping_clock_changes_nothing_for_a_host_among_others() {
    let Some(mut place) = Place::with_lease(Duration::from_secs(10)).await else {
        return;
    };
    let clock = MachineClock::new();
    let (database, cloud) = (place.database.clone(), place.simulator.api_url());
    let second = place.host().await;
    let first = place.host_in(&database, &cloud, clock.environment()).await;
    let from_ms = Timestamp::now().as_millisecond();
    let sagas = begin_while_the_clock_jumps(&first, &clock).await;
    in_usual_time(&second, &sagas, from_ms).await;
    for saga in &sagas {
        assert!(place.owner(saga).ends_with("|1"), "nobody took it");
    }
    assert_eq!(
        place.sql("select count(*) from hosts where lost_ms is not null"),
        "0"
    );
    assert_eq!(place.posts().await, 1);
}

async fn host_on_a_file(clock: &MachineClock) -> (Simulator, Host) {
    let simulator = super::nodes::quick_simulator().await;
    let host = Host::start_in(&simulator.api_url(), &[], None, clock.environment()).await;
    host.upload(SCRIPTED).await;
    (simulator, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jumping_clock_changes_nothing_for_a_host_on_a_file() {
    let clock = MachineClock::new();
    let (simulator, host) = host_on_a_file(&clock).await;
    let from_ms = Timestamp::now().as_millisecond();
    let sagas = begin_while_the_clock_jumps(&host, &clock).await;
    in_usual_time(&host, &sagas, from_ms).await;
    assert_eq!(Control::of(&simulator).live_droplet_ids().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_while_the_host_was_down_keeps_nothing_waiting_for_the_difference() {
    let clock = MachineClock::new();
    let (_simulator, mut host) = host_on_a_file(&clock).await;
    for step_ms in [-HOUR_MS, HOUR_MS, -HOUR_MS] {
        let saga = host.saga(naps(1, 2_000)).await;
        let asleep = async || events(&host, &saga).await.last().unwrap().0 == "step-again";
        super::nodes::until("it sleeps", asleep).await;
        host.kill();
        clock.set(step_ms);
        host.restart().await;
        let began = Instant::now();
        assert_eq!(host.rest_of(&saga).await, "completed");
        assert!(began.elapsed() < LATE, "{:?}", began.elapsed());
        let events = events(&host, &saga).await;
        assert!(events.is_sorted_by_key(|(_, at_ms)| *at_ms), "{events:?}");
    }
    assert!(host.log().contains("behind the newest time"), "{}", host.log());
}
