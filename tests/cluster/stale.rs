//! Hosts that stand still, or can't reach their database, while others go on; and what they do when they come back.

use std::time::{Duration, Instant};

use super::{
    line::Line,
    nodes::{LEASE, LEASE_LOST, Place, SOON, address_of, by, droplet, naps, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stood_still_past_its_lease_writes_nothing_and_ends() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    let (mut first, second) = (place.host().await, place.host().await);
    let saga = first.saga(naps(40, 100)).await;
    until("the saga is under way", async || {
        place.sql(&format!(
            "select count(*) from saga_events where saga_id = '{saga}'"
        )) != "1"
    })
    .await;
    first.signal("STOP");
    until("another host owns the saga", async || {
        place.owner(&saga).ends_with("|2")
    })
    .await;
    first.signal("CONT");
    assert_eq!(first.ends_within(SOON).await, LEASE_LOST);
    assert!(first.log().contains("lease is lost"), "{}", first.log());
    assert_eq!(second.rest_of(&saga).await, "completed");
    assert!(place.owner(&saga).ends_with("|2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_host_stood_still_between_intent_and_sending_never_leaves() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    let line = Line::to(address_of(&place.simulator.api_url()));
    let (database, cloud) = (place.database.clone(), by(&place.simulator.api_url(), &line));
    let mut first = place.host_by(&database, &cloud).await;
    let second = place.host_by(&database, &cloud).await;
    // It has read the account by then, over a connection that stays open.
    let warm = first.saga(droplet("warm")).await;
    assert_eq!(first.rest_of(&warm).await, "completed");
    line.keep_busy().await;
    let saga = first.saga(droplet("web-1")).await;
    until("the intent is durable", async || {
        place.sql("select count(*) from http_journal where state = 'open' and method = 'POST'") == "1"
    })
    .await;
    assert_eq!(place.posts().await, 1, "only the first droplet's");
    first.signal("STOP");
    until("another host owns the saga", async || {
        place.owner(&saga).ends_with("|2")
    })
    .await;
    line.mend();
    first.signal("CONT");
    assert_eq!(first.ends_within(SOON).await, LEASE_LOST);
    // What the stale host knows, that nothing has left, is evidence: the new owner asks for the droplet itself.
    assert_eq!(second.rest_of(&saga).await, "completed");
    assert_eq!(place.posts().await, 2);
    assert_eq!(place.control.live_droplet_ids().await.len(), 2);
    let states = place.sql(&format!(
        "select state from http_journal where saga_id = '{saga}' and method = 'POST' order by id"
    ));
    assert_eq!(states, "unsent\nanswered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_cut_off_from_its_database_stops_before_its_lease_is_over() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    let line = Line::to(address_of(&place.database));
    let (database, cloud) = (by(&place.database, &line), place.simulator.api_url());
    // The first host makes the token.
    let second = place.host().await;
    let mut first = place.host_by(&database, &cloud).await;
    let saga = first.saga(droplet("web-1")).await;
    until("the droplet is asked for", async || place.posts().await == 1).await;
    let seen = Instant::now();
    line.cut();
    until("another host owns the saga", async || {
        place.owner(&saga).ends_with("|2")
    })
    .await;
    assert!(seen.elapsed() < LEASE + Duration::from_secs(5));
    let requests = place.control.journal().await.len();
    assert_eq!(second.rest_of(&saga).await, "completed");
    assert_eq!(place.control.live_droplet_ids().await.len(), 1);
    assert!(place.control.journal().await.len() > requests);
    line.mend();
    assert_eq!(first.ends_within(SOON).await, LEASE_LOST);
    assert_eq!(place.posts().await, 1);
}
