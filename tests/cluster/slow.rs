//! Hosts whose way to the database is slow: too slow for their lease, or only slow.

use std::time::{Duration, Instant};

use arcadia::simulator::{Entry, Fault, FaultKind, Point};
use serde_json::{Value, json};

use super::{
    line::{Delays, Line},
    nodes::{LEASE_LOST, Place, SOON, address_of, all_rest, by, droplet, naps, until},
};
use crate::support::simulator::requests;

const READ_TAKES: Duration = Duration::from_millis(50);

/// Asks the cloud, and asks again, for five seconds: what is read needs no database.
fn reads() -> Value {
    let read = json!({ "http": { "service": "digitalocean", "method": "GET", "path": "/v2/regions" } });
    let reads = vec![read; 5_000 / READ_TAKES.as_millis() as usize];
    let step = json!({
        "name": "read", "component": "scripted", "run": { "call_timeout_ms": 60_000 },
        "params": { "run": reads, "compensate": [] }
    });
    json!({ "kind": "test", "steps": [step] })
}

/// Makes a tag once, and sleeps before and after that.
fn tag(name: &str, sleep_ms: u64) -> Value {
    let sleep = json!({ "again": { "after_ms": sleep_ms } });
    let make = json!({ "http": {
        "service": "digitalocean", "method": "POST", "path": "/v2/tags", "body": { "name": name }, "once": { "key": "tag" }
    } });
    let step = json!({
        "name": "tag", "component": "scripted", "run": { "call_timeout_ms": 60_000 },
        "params": { "run": [sleep, make, sleep], "compensate": [] }
    });
    json!({ "kind": "test", "steps": [step] })
}

/// What came over this line.
fn of<'a>(journal: &'a [Entry], line: &Line) -> Vec<&'a Entry> {
    let line = line.address.to_string();
    journal.iter().filter(|entry| entry.host == line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_database_is_too_slow_sends_nothing_once_its_lease_is_over() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    let slow = FaultKind::Slow {
        point: Point::AfterEffect,
        delay_ms: u64::try_from(READ_TAKES.as_millis()).unwrap(),
    };
    place
        .control
        .add_fault(Fault::on(requests("GET", "/v2/regions"), slow))
        .await;
    let (to_database, to_cloud) = (
        Line::to(address_of(&place.database)),
        Line::to(address_of(&place.simulator.api_url())),
    );
    let second = place.host().await;
    let (database, cloud) = (
        by(&place.database, &to_database),
        by(&place.simulator.api_url(), &to_cloud),
    );
    let mut first = place.host_by(&database, &cloud).await;
    let reading = first.saga(reads()).await;
    let provisioned = first.saga(droplet("web-1")).await;
    until("both are under way", async || {
        let journal = place.control.journal().await;
        let paths: Vec<&str> = of(&journal, &to_cloud).iter().map(|entry| &*entry.path).collect();
        place.posts().await == 1 && paths.contains(&"/v2/regions")
    })
    .await;
    to_database.slow(Delays::each_way(Duration::from_secs(1)));
    let slowed_ms = place.control.state().await.now_ms;
    until("another host owns the sagas", async || {
        place.owner(&reading).ends_with("|2") && place.owner(&provisioned).ends_with("|2")
    })
    .await;
    let lease = place.sql("select lease_until_ms, lost_ms from hosts where lost_ms is not null");
    let (until_ms, lost_ms) = lease.split_once('|').unwrap();
    let (until_ms, lost_ms): (u64, u64) = (until_ms.parse().unwrap(), lost_ms.parse().unwrap());
    assert!(until_ms <= lost_ms);
    to_database.mend();
    assert_eq!(first.ends_within(SOON).await, LEASE_LOST);
    let journal = place.control.journal().await;
    let last_ms = of(&journal, &to_cloud).last().unwrap().at_ms;
    assert!(last_ms < until_ms, "{} ms too late", last_ms - until_ms);
    assert!(last_ms >= slowed_ms + 1_000, "it was at work until then");
    all_rest(&second, &[reading, provisioned], "completed").await;
    assert_eq!(place.posts().await, 1);
    assert_eq!(place.control.live_droplet_ids().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_database_is_slow_but_answers_within_its_lease_keeps_its_sagas() {
    let Some(mut place) = Place::with_lease(Duration::from_secs(6)).await else {
        return;
    };
    let to_database = Line::to(address_of(&place.database));
    let (database, cloud) = (by(&place.database, &to_database), place.simulator.api_url());
    let second = place.host().await;
    let first = place.host_by(&database, &cloud).await;
    to_database.slow(Delays::each_way(Duration::from_millis(100)));
    let saga = first.saga(tag("slow", 300)).await;
    assert_eq!(second.rest_of(&saga).await, "completed");
    assert!(place.owner(&saga).ends_with("|1"), "nobody took it");
    assert_eq!(
        place.sql("select count(*) from hosts where lost_ms is not null"),
        "0"
    );
    assert_eq!(place.posts().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_a_slow_database_holds_up_no_other() {
    let Some(mut place) = Place::with_lease(Duration::from_secs(60)).await else {
        return;
    };
    let to_database = Line::to(address_of(&place.database));
    let (database, cloud) = (by(&place.database, &to_database), place.simulator.api_url());
    let second = place.host().await;
    let first = place.host_by(&database, &cloud).await;
    for _ in 0..10 {
        first.saga(naps(50, 100)).await;
    }
    to_database.slow(Delays::each_way(Duration::from_secs(1)));
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(10) {
        let asked = Instant::now();
        let saga = second.saga(naps(1, 10)).await;
        assert_eq!(second.rest_of(&saga).await, "completed");
        slowest = slowest.max(asked.elapsed());
    }
    // In a transaction of the slow one there are several ways there and back, two seconds each.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}
