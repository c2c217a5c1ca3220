//! Holds: a test stops a request where it wants, also to kill the client meanwhile.

use std::time::Duration;

use arcadia::simulator::{HoldState, Matcher, Outcome, Point};
use reqwest::Method;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    provider::{Bench, wish},
    simulator::requests,
};

fn creates() -> Matcher {
    requests("POST", "/v2/droplets")
}

/// A client that is cut off as by kill -9: the system closes its socket, and nothing more is sent.
async fn doomed_create(bench: &Bench) -> TcpStream {
    let body = wish("web-1", "a").to_string();
    let address = bench.simulator.api_url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let head = format!(
        "POST /v2/droplets HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer sim-token\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(head.as_bytes())
        .await
        .expect("room in the socket");
    stream
        .write_all(body.as_bytes())
        .await
        .expect("room in the socket");
    stream
}

#[tokio::test]
async fn a_request_held_before_its_effect_has_it_when_released() {
    let bench = Bench::new().await;
    let hold = bench.control.hold(creates(), Point::BeforeEffect).await;
    assert_eq!(bench.control.hold_state(hold).await, HoldState::Waiting);
    let cloud = bench.cloud.clone();
    let create = tokio::spawn(async move { cloud.create("web-1", "a").await });
    let request = bench.control.wait_held(hold).await;
    assert_eq!(
        (request.body, request.outcome),
        (wish("web-1", "a"), Outcome::Open)
    );
    assert_eq!(bench.control.droplet_count().await.ever, 0);
    assert!(!create.is_finished());

    bench.control.release(hold).await;
    let id = create.await.expect("an answer");
    assert!(bench.control.live_droplet_ids().await.contains(&id));
    assert_eq!(
        bench.control.hold_state(hold).await,
        HoldState::Released { seq: Some(1) }
    );
}

#[tokio::test]
async fn a_request_held_after_its_effect_has_it_though_the_client_dies() {
    let bench = Bench::new().await;
    let hold = bench.control.hold(creates(), Point::AfterEffect).await;
    let client = doomed_create(&bench).await;
    assert_eq!(bench.control.wait_held(hold).await.effects.len(), 1);
    drop(client);
    bench.control.release(hold).await;
    assert_eq!(bench.control.droplet_count().await.live, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_killed_while_held_before_the_effect_causes_none_however_soon_the_release_comes() {
    let bench = Bench::new().await;
    for round in 0..50 {
        let hold = bench.control.hold(creates(), Point::BeforeEffect).await;
        let client = doomed_create(&bench).await;
        bench.control.wait_held(hold).await;
        if round % 2 == 0 {
            client.set_zero_linger().expect("an open socket");
        }
        drop(client);
        bench.control.release(hold).await;
    }
    // A later request goes through the same simulator, so everything before it has been decided.
    bench.cloud.create("web-2", "b").await;
    assert_eq!(bench.control.droplet_count().await.ever, 1);
    let doomed = bench.control.journal_of("POST", "a").await;
    assert!(doomed.iter().all(|entry| entry.effects.is_empty()), "{doomed:?}");
}

#[tokio::test]
async fn the_death_of_a_client_is_noticed_without_a_release() {
    let bench = Bench::new().await;
    let hold = bench.control.hold(creates(), Point::BeforeEffect).await;
    let client = doomed_create(&bench).await;
    let request = bench.control.wait_held(hold).await;
    drop(client);
    let noticed = async {
        while bench.control.hold_state(hold).await != (HoldState::ClientGone { seq: request.seq }) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), noticed)
        .await
        .expect("it is noticed");
    let entry = &bench.control.journal().await[0];
    assert_eq!((entry.outcome, entry.effects.len()), (Outcome::ClientGone, 0));
}

#[tokio::test]
async fn a_hold_chooses_by_tag_path_and_number_and_stops_nothing_else() {
    let bench = Bench::new().await;
    let id = bench.active_droplet("a").await;
    bench.cloud.create("web-2", "b").await;
    let of_tag = Matcher {
        tag: Some("a".into()),
        ..requests("*", "/v2/droplets/*")
    };
    let of_tag = Matcher {
        method: Some("DELETE".into()),
        ..of_tag
    };
    let hold = bench.control.hold(of_tag, Point::BeforeEffect).await;
    let second = bench.control.hold_nth(creates(), 2, Point::BeforeEffect).await;
    assert_eq!(
        bench
            .cloud
            .status(Method::GET, &format!("/v2/droplets/{id}"), None)
            .await,
        200
    );
    bench.cloud.create("web-3", "c").await;

    let cloud = bench.cloud.clone();
    let delete = tokio::spawn(async move {
        cloud
            .status(Method::DELETE, &format!("/v2/droplets/{id}"), None)
            .await
    });
    bench.control.wait_held(hold).await;
    let cloud = bench.cloud.clone();
    let create = tokio::spawn(async move { cloud.create("web-4", "d").await });
    let held = bench.control.wait_held(second).await;
    assert_eq!(held.body["name"], json!("web-4"));
    bench.control.release(hold).await;
    bench.control.release(second).await;
    assert_eq!(delete.await.expect("an answer"), 204);
    create.await.expect("an answer");
}

#[tokio::test]
async fn a_hold_released_before_its_request_came_stops_nothing() {
    let bench = Bench::new().await;
    let hold = bench.control.hold(creates(), Point::BeforeEffect).await;
    bench.control.release(hold).await;
    bench.cloud.create("web-1", "a").await;
    assert_eq!(
        bench.control.hold_state(hold).await,
        HoldState::Released { seq: None }
    );
}
