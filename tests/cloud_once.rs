//! `once`: at most one request per key, whatever came of it.

use std::{sync::Arc, time::Duration};

use arcadia::{
    cloud::{FetchError, IntentRefused, Outgoing, Recorded, Response, recorded},
    saga::{Phase, RecordState},
};
use tokio::sync::Semaphore;

use super::cloud_bench::{Bench, Ledger, Reply, Upstream, create_once, get, post};

const DROPLET: &str = "{\"droplet\":{\"id\":7}}";

/// What the guest saw, in one word.
fn word(result: &Result<Response, FetchError>) -> String {
    match result {
        Ok(response) if response.replayed => format!("{} again", response.status),
        Ok(response) => response.status.to_string(),
        Err(FetchError::Unavailable(_)) => "unavailable".to_owned(),
        Err(FetchError::Interrupted(_)) => "interrupted".to_owned(),
        Err(FetchError::ResponseTooLarge(_)) => "too large".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// The first answer, what the guest and the journal make of it, what the same request gets then, and how many requests arrived.
#[tokio::test]
async fn a_key_is_free_again_only_when_nothing_happened() {
    let html = || Reply::with(200, "content-type: text/html\r\n", "<html>");
    let short = || {
        let text = format!(
            "HTTP/1.1 202 x\r\ncontent-length: {}\r\n\r\n{{\"droplet\":",
            DROPLET.len()
        );
        Reply::WriteAndClose(text.into_bytes())
    };
    let large = || Reply::with(202, "", &"x".repeat(arcadia::cloud::MAX_RESPONSE_BYTES + 1));
    let table: Vec<(&str, Reply, &str, &str, &str, usize)> = vec![
        (
            "created",
            Reply::json(202, DROPLET),
            "202",
            "conclusive",
            "202 again",
            1,
        ),
        (
            "no body",
            Reply::json(202, ""),
            "202",
            "inconclusive",
            "202 again",
            1,
        ),
        ("not JSON", html(), "200", "inconclusive", "200 again", 1),
        (
            "broken JSON",
            Reply::json(202, "{\"droplet\":"),
            "202",
            "inconclusive",
            "202 again",
            1,
        ),
        (
            "redirect",
            Reply::with(302, "location: /v2/elsewhere\r\n", ""),
            "302",
            "inconclusive",
            "302 again",
            1,
        ),
        ("invalid", Reply::json(422, "{}"), "422", "refused", "200", 2),
        ("bad", Reply::json(400, "{}"), "400", "refused", "200", 2),
        (
            "not in the list",
            Reply::json(404, "{}"),
            "404",
            "inconclusive",
            "404 again",
            1,
        ),
        (
            "forbidden",
            Reply::json(403, "{}"),
            "403",
            "inconclusive",
            "403 again",
            1,
        ),
        (
            "unauthorized",
            Reply::json(401, "{}"),
            "unavailable",
            "refused",
            "200",
            2,
        ),
        (
            "server error",
            Reply::json(500, "{}"),
            "500",
            "inconclusive",
            "500 again",
            1,
        ),
        (
            "unavailable",
            Reply::json(503, "{}"),
            "503",
            "inconclusive",
            "503 again",
            1,
        ),
        ("reset", Reply::Reset, "interrupted", "lost", "InDoubt", 1),
        ("cut off", short(), "interrupted", "lost", "InDoubt", 1),
        ("too large", large(), "too large", "inconclusive", "202 again", 1),
    ];
    for (case, reply, first, journal, second, arrivals) in table {
        let upstream = Upstream::start(vec![reply]).await;
        let bench = Bench::at(&upstream.url);
        assert_eq!(word(&bench.fetch(create_once("{}")).await), first, "{case}");
        assert_eq!(bench.ledger.words(), [journal], "{case}");
        bench.services.resume("digitalocean");
        assert_eq!(
            word(&bench.fetch(create_once("{}")).await),
            second,
            "{case}, again"
        );
        assert_eq!(upstream.arrived().len(), arrivals, "{case}");
    }
}

#[tokio::test]
async fn a_429_is_returned_frees_the_key_and_pauses_the_service() {
    let upstream = Upstream::start(vec![Reply::with(429, "Retry-After: 7\r\n", "{}")]).await;
    let bench = Bench::at(&upstream.url);
    assert_eq!(word(&bench.fetch(create_once("{}")).await), "429");
    assert_eq!(bench.ledger.words(), ["refused"]);
    for request in [create_once("{}"), get("/v2/droplets")] {
        match bench.fetch(request).await {
            Err(FetchError::RateLimited(wait_ms)) => assert!((6_000..=7_500).contains(&wait_ms), "{wait_ms}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        bench.ledger.words(),
        ["refused"],
        "no intent for what can't leave"
    );
    assert_eq!(upstream.arrived().len(), 1);
}

#[tokio::test]
async fn a_replay_carries_the_whole_body_and_its_age_by_the_journal_s_clock() {
    let upstream = Upstream::start(vec![Reply::json(202, DROPLET)]).await;
    let bench = Bench::at(&upstream.url);
    bench.fetch(create_once("{}")).await.unwrap();
    bench.ledger.advance(90_000);
    let expected = Response {
        status: 202,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: DROPLET.as_bytes().to_vec(),
        replayed: true,
        age_ms: 90_000,
    };
    assert_eq!(bench.fetch(create_once("{}")).await.unwrap(), expected);
    let records = bench.ledger.records.lock().unwrap();
    assert_eq!(
        recorded(records.last(), 1_700_000_090_000),
        Recorded::Answered(expected)
    );
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused_and_doubt_comes_first() {
    let others = || {
        let other_query = Outgoing {
            query: vec![("a".to_owned(), "b".to_owned())],
            ..create_once("{}")
        };
        let other_path = Outgoing {
            path: "/v2/droplets/7".to_owned(),
            ..create_once("{}")
        };
        let other_method = Outgoing {
            method: "PUT".to_owned(),
            ..create_once("{}")
        };
        let no_body = Outgoing {
            body: None,
            ..create_once("{}")
        };
        [create_once("{ }"), other_query, other_path, other_method, no_body]
    };
    let upstream = Upstream::start(vec![Reply::json(202, DROPLET), Reply::Reset]).await;
    let bench = Bench::at(&upstream.url);
    bench.fetch(create_once("{}")).await.unwrap();
    for other in others() {
        assert_eq!(bench.fetch(other).await, Err(FetchError::KeyReused));
    }
    let other_header = Outgoing {
        headers: vec![("x-note".to_owned(), "n".to_owned())],
        ..create_once("{}")
    };
    assert_eq!(
        word(&bench.fetch(other_header).await),
        "202 again",
        "headers aren't compared"
    );

    let doubtful = Bench::at(&upstream.url);
    assert_eq!(word(&doubtful.fetch(create_once("{}")).await), "interrupted");
    for other in others() {
        assert_eq!(doubtful.fetch(other).await, Err(FetchError::InDoubt));
    }
    assert_eq!(upstream.arrived().len(), 2);
}

#[tokio::test]
async fn a_refused_connection_is_recorded_as_unsent_and_the_key_is_free() {
    // A port that nobody listens on: bound, then let go.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let bench = Bench::at(&format!("http://{address}"));
    for _ in 0..2 {
        let result = bench.fetch(create_once("{}")).await;
        assert!(matches!(result, Err(FetchError::Connect(_))), "{result:?}");
    }
    assert_eq!(bench.ledger.words(), ["unsent", "unsent"]);
    assert_eq!(recorded(None, 0), Recorded::Never);
}

#[tokio::test]
async fn without_a_durable_intent_nothing_leaves() {
    let upstream = Upstream::start(vec![]).await;
    let bench = Bench::at(&upstream.url);
    let refusals = [
        (IntentRefused::Cancelled, FetchError::Cancelled),
        (IntentRefused::Fenced, FetchError::Fenced),
        (
            IntentRefused::Unavailable("disk".to_owned()),
            FetchError::Unavailable("disk".to_owned()),
        ),
    ];
    for (refused, seen) in refusals {
        *bench.ledger.refuse.lock().unwrap() = Some(refused);
        assert_eq!(bench.fetch(create_once("{}")).await, Err(seen.clone()));
        assert_eq!(bench.fetch(post("/v2/droplets", "{}")).await, Err(seen));
    }
    bench.idle().await;
    assert_eq!((bench.ledger.words().len(), upstream.connections()), (0, 0));
}

#[tokio::test]
async fn a_request_leaves_only_after_its_intent_is_durable() {
    let upstream = Upstream::start(vec![Reply::json(202, DROPLET)]).await;
    let bench = Arc::new(Bench::at(&upstream.url));
    let disk = Arc::new(Semaphore::new(0));
    *bench.ledger.slow_disk.lock().unwrap() = Some(Arc::clone(&disk));
    let fetching = Arc::clone(&bench);
    let call = tokio::spawn(async move { fetching.fetch(create_once("{}")).await });
    let early = tokio::time::timeout(Duration::from_millis(100), upstream.next_arrival()).await;
    assert!(
        early.is_err() && upstream.connections() == 0,
        "nothing may leave before the disk has answered"
    );
    disk.add_permits(2);
    assert_eq!(word(&call.await.unwrap()), "202");
}

/// The guest is cut off while its intent is being written: nothing leaves, and the next call isn't left in doubt.
#[tokio::test]
async fn a_call_cut_off_before_its_intent_is_durable_sends_nothing() {
    let upstream = Upstream::start(vec![Reply::json(202, DROPLET)]).await;
    let bench = Arc::new(Bench::at(&upstream.url));
    let disk = Arc::new(Semaphore::new(0));
    *bench.ledger.slow_disk.lock().unwrap() = Some(Arc::clone(&disk));
    let cut_off = tokio::time::timeout(Duration::from_millis(50), bench.fetch(create_once("{}"))).await;
    assert!(cut_off.is_err());
    disk.add_permits(2);
    bench.idle().await;
    assert_eq!(
        (bench.ledger.words(), upstream.connections()),
        (vec!["unsent"], 0)
    );

    disk.add_permits(2);
    assert_eq!(word(&bench.fetch(create_once("{}")).await), "202");
}

#[tokio::test]
async fn requests_without_once_are_journaled_one_by_one_without_the_body_of_the_answer() {
    let upstream = Upstream::start(vec![
        Reply::json(200, DROPLET),
        Reply::json(404, "{\"id\":\"not_found\"}"),
        Reply::json(403, "{}"),
        Reply::Reset,
        Reply::json(204, ""),
    ])
    .await;
    let bench = Bench::at(&upstream.url);
    let delete = || Outgoing {
        method: "DELETE".to_owned(),
        body: None,
        ..post("/v2/droplets/7", "")
    };
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(word(&bench.fetch(delete()).await));
    }
    assert_eq!(seen, ["200", "404", "403", "interrupted", "204"]);
    assert_eq!(
        bench.ledger.words(),
        ["conclusive", "refused", "inconclusive", "lost", "conclusive"]
    );
    for state in bench.ledger.states() {
        if let RecordState::Answered { response, .. } | RecordState::Refused { response, .. } = state {
            assert_eq!(response.body, Vec::<u8>::new());
        }
    }
}

#[tokio::test]
async fn keys_of_other_phases_and_steps_are_other_keys() {
    let upstream = Upstream::start(vec![Reply::json(202, DROPLET)]).await;
    let bench = Bench::at(&upstream.url);
    bench.fetch(create_once("{}")).await.unwrap();
    let other_saga = Ledger::of(2);
    assert_eq!(word(&bench.fetch_as(&other_saga, create_once("{}")).await), "200");
    let intent = bench.ledger.records.lock().unwrap()[0].intent.clone();
    assert_eq!(
        (intent.phase, intent.once_key.as_deref()),
        (Phase::Run, Some("create"))
    );
    assert_eq!(
        (intent.method.as_str(), intent.path.as_str()),
        ("POST", "/v2/droplets")
    );
}
