//! The exchange belongs to the host: what happens on the wire, whatever becomes of the call.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use arcadia::{
    cloud::{FetchError, MAX_RESPONSE_BYTES, Outgoing, Services},
    saga::RecordState,
};
use tokio::sync::Semaphore;

use super::cloud_bench::{Bench, Ledger, Reply, Upstream, config, create_once, get, post};

const DROPLET: &str = "{\"droplet\":{\"id\":7}}";

#[tokio::test]
async fn an_answer_after_the_guest_s_timeout_is_still_recorded() {
    let (reply, answer_now) = Reply::json(202, DROPLET).held();
    let upstream = Upstream::start(vec![reply]).await;
    let bench = Bench::at(&upstream.url);
    let impatient = Outgoing {
        timeout_ms: Some(300),
        ..create_once("{}")
    };
    assert_eq!(bench.fetch(impatient).await, Err(FetchError::Timeout));
    assert_eq!(bench.ledger.words(), ["on the wire"]);
    assert_eq!(bench.fetch(create_once("{}")).await, Err(FetchError::InDoubt));
    answer_now.add_permits(1);
    bench.idle().await;
    assert_eq!(bench.ledger.words(), ["conclusive"]);
    let replay = bench.fetch(create_once("{}")).await.unwrap();
    assert_eq!(
        (replay.replayed, replay.body.as_slice()),
        (true, DROPLET.as_bytes())
    );
    assert_eq!(upstream.arrived().len(), 1);
}

#[tokio::test]
async fn dropping_the_call_leaves_the_exchange_running_to_its_end() {
    let (reply, answer_now) = Reply::json(202, DROPLET).held();
    let upstream = Upstream::start(vec![reply]).await;
    let bench = Arc::new(Bench::at(&upstream.url));
    let calling = Arc::clone(&bench);
    let call = tokio::spawn(async move { calling.fetch(create_once("{}")).await });
    upstream.next_arrival().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());

    let (saga, step, phase) = {
        let intent = bench.ledger.records.lock().unwrap()[0].intent.clone();
        (intent.saga, intent.step, intent.phase)
    };
    let idle = bench.services.idle(saga, step, phase);
    let busy = tokio::time::timeout(Duration::from_millis(50), idle).await;
    assert!(busy.is_err(), "the exchange is on the wire");
    let disk = Arc::new(Semaphore::new(0));
    *bench.ledger.slow_disk.lock().unwrap() = Some(Arc::clone(&disk));
    answer_now.add_permits(1);
    let idle = bench.services.idle(saga, step, phase);
    let busy = tokio::time::timeout(Duration::from_millis(100), idle).await;
    assert!(busy.is_err(), "the answer isn't durable");
    disk.add_permits(1);
    bench.idle().await;
    assert_eq!(bench.ledger.words(), ["conclusive"], "idle means recorded");
}

#[tokio::test]
async fn an_exchange_without_an_answer_ends_at_its_limit_as_lost() {
    let upstream = Upstream::start(vec![Reply::Silence]).await;
    let services =
        Services::with_exchange_limit(vec![config(&upstream.url)], Duration::from_millis(200)).unwrap();
    let bench = Bench {
        services,
        ..Bench::at(&upstream.url)
    };
    assert_eq!(bench.fetch(create_once("{}")).await, Err(FetchError::Timeout));
    let at_ms = 1_700_000_000_000;
    assert_eq!(
        bench.ledger.states(),
        [RecordState::Open {
            ended_at_ms: Some(at_ms)
        }]
    );
}

/// Every mutating request has a connection of its own, and one that is reset is not sent again by the HTTP library, also when
/// kept connections would have been there to use.
#[tokio::test]
async fn a_request_that_changes_something_is_never_sent_twice() {
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let mut script = vec![Reply::json(200, "{}"), Reply::json(200, "{}")];
        script.extend([
            Reply::Reset,
            Reply::json(200, "{}"),
            Reply::Reset,
            Reply::WriteAndClose(Vec::new()),
        ]);
        let upstream = Upstream::start(script).await;
        let bench = Bench::at(&upstream.url);
        let change = |number: usize| Outgoing {
            method: method.to_owned(),
            ..post(&format!("/v2/things/{number}"), "{}")
        };
        // Two kept connections at the most.
        bench.fetch(get("/v2/droplets")).await.unwrap();
        bench.fetch(get("/v2/droplets")).await.unwrap();
        for (number, ok) in [(0, false), (1, true), (2, false), (3, false)] {
            let result = bench.fetch(change(number)).await;
            match result {
                Ok(_) => assert!(ok, "{method} {number}"),
                Err(FetchError::Interrupted(_)) => assert!(!ok, "{method} {number}"),
                Err(error) => panic!("{method} {number}: {error:?}"),
            }
        }
        let changes: Vec<_> = upstream
            .arrived()
            .into_iter()
            .filter(|arrived| arrived.line.starts_with(method))
            .collect();
        let lines: Vec<&str> = changes.iter().map(|arrived| arrived.line.as_str()).collect();
        let expected: Vec<String> = (0..4)
            .map(|number| format!("{method} /v2/things/{number}"))
            .collect();
        assert_eq!(lines, expected);
        assert!(
            changes.iter().all(|arrived| arrived.nth == 0),
            "on a fresh connection"
        );
        let connections: HashSet<usize> = changes.iter().map(|arrived| arrived.connection).collect();
        assert_eq!(connections.len(), 4);
    }
}

/// The server closes as soon as it has accepted: the library can't know whether the request was written, so it is in doubt.
#[tokio::test]
async fn a_connection_closed_before_the_answer_is_doubt_not_a_failed_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let closing = tokio::spawn(async move {
        let mut accepted = 0;
        while let Ok(Ok((stream, _))) =
            tokio::time::timeout(Duration::from_millis(500), listener.accept()).await
        {
            drop(stream);
            accepted += 1;
        }
        accepted
    });
    let bench = Bench::at(&url);
    let result = bench.fetch(create_once("{}")).await;
    assert!(matches!(result, Err(FetchError::Interrupted(_))), "{result:?}");
    assert_eq!(bench.ledger.words(), ["lost"]);
    assert_eq!(closing.await.unwrap(), 1);
}

#[tokio::test]
async fn reads_share_a_connection_and_are_not_journaled() {
    let upstream = Upstream::start(vec![]).await;
    let bench = Bench::at(&upstream.url);
    let head = Outgoing {
        method: "HEAD".to_owned(),
        ..get("/v2/droplets")
    };
    bench.fetch(get("/v2/droplets")).await.unwrap();
    bench.fetch(get("/v2/droplets")).await.unwrap();
    assert_eq!(upstream.connections(), 1);
    // The upstream answers a HEAD with a body, which breaks the connection, not the answer.
    assert_eq!(bench.fetch(head).await.unwrap().body, Vec::<u8>::new());
    assert!(bench.ledger.words().is_empty());
}

#[tokio::test]
async fn reads_end_in_words_of_their_own() {
    let short = b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nabc".to_vec();
    let large = "x".repeat(MAX_RESPONSE_BYTES + 1);
    let exact = "x".repeat(MAX_RESPONSE_BYTES);
    let upstream = Upstream::start(vec![
        Reply::WriteAndClose(short),
        Reply::Reset,
        Reply::with(200, "", &large),
        Reply::with(200, "", &exact),
        Reply::json(401, "{}"),
        Reply::json(404, "{}"),
        Reply::Silence,
    ])
    .await;
    let bench = Bench::at(&upstream.url);
    let read = || bench.fetch(get("/v2/droplets/7"));
    assert!(matches!(read().await, Err(FetchError::Interrupted(_))));
    assert!(matches!(read().await, Err(FetchError::Interrupted(_))));
    assert_eq!(
        read().await,
        Err(FetchError::ResponseTooLarge(MAX_RESPONSE_BYTES as u64))
    );
    assert_eq!(read().await.unwrap().body.len(), MAX_RESPONSE_BYTES);
    assert!(matches!(read().await, Err(FetchError::Unavailable(_))));
    bench.services.resume("digitalocean");
    assert_eq!(read().await.unwrap().status, 404);
    let impatient = Outgoing {
        timeout_ms: Some(100),
        ..get("/v2/droplets/7")
    };
    assert_eq!(bench.fetch(impatient).await, Err(FetchError::Timeout));
}

#[tokio::test]
async fn a_used_up_budget_refuses_before_anything_is_written() {
    let upstream = Upstream::start(vec![]).await;
    let config = arcadia::cloud::ServiceConfig {
        per_minute: 2,
        ..config(&upstream.url)
    };
    let bench = Bench {
        services: Services::new(vec![config]).unwrap(),
        ..Bench::at(&upstream.url)
    };
    let started = Instant::now();
    bench.fetch(create_once("{}")).await.unwrap();
    bench.fetch(get("/v2/droplets")).await.unwrap();
    for request in [post("/v2/droplets", "{}"), get("/v2/droplets")] {
        match bench.fetch(request).await {
            Err(FetchError::RateLimited(wait_ms)) => {
                // Clocks that count whole milliseconds differ by one.
                let passed = u64::try_from(started.elapsed().as_millis()).unwrap() + 1;
                assert!((61_000 - passed..=61_000).contains(&wait_ms), "{wait_ms}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        bench.fetch(create_once("{}")).await.unwrap().replayed,
        "a replay costs nothing"
    );
    assert_eq!((bench.ledger.words().len(), upstream.arrived().len()), (1, 2));
}

#[tokio::test]
async fn refused_connections_cost_no_budget() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let config = arcadia::cloud::ServiceConfig {
        per_minute: 1,
        ..config(&url)
    };
    let bench = Bench {
        services: Services::new(vec![config]).unwrap(),
        ..Bench::at(&url)
    };
    for _ in 0..3 {
        assert!(matches!(
            bench.fetch(post("/v2/droplets", "{}")).await,
            Err(FetchError::Connect(_))
        ));
        assert!(matches!(
            bench.fetch(get("/v2/droplets")).await,
            Err(FetchError::Connect(_))
        ));
    }
}

#[tokio::test]
async fn calls_share_a_read_but_never_one_from_before_their_own_change() {
    let (slow_list, list_now) = Reply::json(200, "[1]").held();
    let upstream = Upstream::start(vec![slow_list]).await;
    let bench = Arc::new(Bench::at(&upstream.url));
    let list = || Outgoing {
        query: vec![("tag_name".to_owned(), "managed".to_owned())],
        max_age_ms: Some(60_000),
        ..get("/v2/droplets")
    };
    let mut calls = Vec::new();
    for saga in 0..20 {
        let (bench, list) = (Arc::clone(&bench), list());
        calls.push(tokio::spawn(async move {
            bench.fetch_as(&Ledger::of(saga), list).await
        }));
    }
    upstream.next_arrival().await;
    // The one whose request it is goes away; the others still get the answer.
    calls.remove(0).abort();
    list_now.add_permits(1);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().body, b"[1]");
    }
    assert_eq!(upstream.lines(), ["GET /v2/droplets?tag_name=managed"]);

    let changing = Ledger::of(3);
    bench
        .fetch_as(&changing, post("/v2/droplets", "{}"))
        .await
        .unwrap();
    assert_eq!(
        bench.fetch_as(&Ledger::of(4), list()).await.unwrap().body,
        b"[1]",
        "others may still share it"
    );
    assert_eq!(
        bench.fetch_as(&changing, list()).await.unwrap().body,
        b"{}",
        "its own request"
    );
    assert_eq!(upstream.arrived().len(), 3);
    let fresh = Outgoing {
        max_age_ms: None,
        ..list()
    };
    bench.fetch_as(&Ledger::of(4), fresh).await.unwrap();
    assert_eq!(upstream.arrived().len(), 4);
}
