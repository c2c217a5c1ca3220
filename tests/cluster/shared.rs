//! Hosts that come and go.

use std::time::{Duration, Instant};

use super::nodes::{LEASE, Place, SOON, all_rest, cancel, droplet, naps, until};

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_together_on_an_empty_database_make_its_tables_once() {
    let Some(place) = Place::new().await else { return };
    let (database, cloud) = (place.database.clone(), place.simulator.api_url());
    let started = (0..4).map(|_| {
        let arguments = ["--database".to_owned(), database.clone()];
        let cloud = cloud.clone();
        tokio::spawn(async move { crate::support::host::Host::start_with(&cloud, &arguments, None).await })
    });
    let started: Vec<_> = started.collect();
    let mut hosts = Vec::new();
    for host in started {
        hosts.push(host.await.unwrap());
    }
    let migrations =
        place.sql("select count(*), count(distinct version) from _sqlx_migrations where success");
    let (all, distinct) = migrations.split_once('|').unwrap();
    assert_eq!(all, distinct);
    assert_eq!(place.sql("select count(*) from installation"), "1");
    assert_eq!(place.sql("select count(*) from tokens"), "1");
    assert_eq!(place.sql("select count(*) from hosts where lost_ms is null"), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_hosts_sagas_go_on_within_its_lease_and_a_few_seconds() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    let (mut first, second, third) = (place.host().await, place.host().await, place.host().await);
    let mut sagas = Vec::new();
    for _ in 0..30 {
        sagas.push(first.saga(naps(3, 700)).await);
    }
    let provisioned = first.saga(droplet("web-1")).await;
    until("the droplet is asked for", async || place.posts().await == 1).await;
    first.kill();
    let killed = Instant::now();
    until("every saga has a new owner", async || {
        place.sql(&format!(
            "select count(*) from saga_runs where ended_ms is null and owner in (select id from hosts where lost_ms is not null) \
             or ended_ms is null and fence = 1 and id in ('{}')",
            sagas.join("','")
        )) == "0"
    })
    .await;
    let taken_after = killed.elapsed();
    assert!(taken_after < LEASE + Duration::from_secs(4), "{taken_after:?}");
    all_rest(&second, &sagas, "completed").await;
    assert_eq!(third.rest_of(&provisioned).await, "completed");
    assert_eq!(place.control.live_droplet_ids().await.len(), 1);
    assert_eq!(third.inventory().await, place.control.live_droplet_ids().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_asked_to_end_hands_over_at_once_and_exits_with_0() {
    // Nobody can be waiting for this lease.
    let Some(mut place) = Place::with_lease(Duration::from_secs(600)).await else {
        return;
    };
    let (mut first, second) = (place.host().await, place.host().await);
    let mut sagas = Vec::new();
    for _ in 0..10 {
        sagas.push(first.saga(naps(4, 800)).await);
    }
    let provisioned = first.saga(droplet("web-1")).await;
    until("the droplet is asked for", async || place.posts().await == 1).await;
    first.signal("TERM");
    assert_eq!(first.ends_within(SOON).await, Some(0));
    let ended = Instant::now();
    all_rest(&second, &sagas, "completed").await;
    assert_eq!(second.rest_of(&provisioned).await, "completed");
    assert!(ended.elapsed() < SOON);
    assert_eq!(place.control.live_droplet_ids().await.len(), 1);
    assert_eq!(place.posts().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_are_changed_through_any_host_and_tokens_hold_at_all() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    let (first, second) = (place.host().await, place.host().await);
    let saga = first.saga(naps(1, 600_000)).await;
    assert_eq!(cancel(&second, &saga).await, 200);
    assert_eq!(second.rest_of(&saga).await, "cancelled");
    assert_eq!(first.rest_of(&saga).await, "cancelled");
    assert_eq!(cancel(&first, &saga).await, 409);
    let hosts = first.get("/v1/hosts").await;
    assert_eq!(hosts["items"].as_array().unwrap().len(), 2);
    assert!(hosts["items"][0]["lease_until"].is_string(), "{hosts}");
}
