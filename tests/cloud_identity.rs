//! Whose account a service reaches: read before anything else is sent, once for all who wait, and again when in doubt.

use std::sync::Arc;

use arcadia::cloud::{FetchError, IdentityProbe, ServiceConfig, Services};

use super::cloud_bench::{Bench, Ledger, Reply, TOKEN, Upstream, config, get, post};

const ACCOUNT: &str = r#"{"account":{"uuid":"user-1","team":{"uuid":"team-1"}}}"#;
const READ: &str = "GET /v2/account";

fn probed(url: &str) -> ServiceConfig {
    ServiceConfig {
        identity: ServiceConfig::digitalocean(None).identity,
        // The host asks, whatever steps may.
        allow: config(url)
            .allow
            .into_iter()
            .map(|grant| arcadia::cloud::Grant {
                path_prefixes: vec!["/v2/droplets".to_owned()],
                ..grant
            })
            .collect(),
        ..config(url)
    }
}

fn bench(url: &str) -> Bench {
    Bench {
        services: Services::new(vec![probed(url)]).unwrap(),
        ..Bench::at(url)
    }
}

fn identities(ledger: &Ledger) -> Vec<Option<String>> {
    let records = ledger.records.lock().unwrap();
    records
        .iter()
        .map(|record| record.intent.identity.clone())
        .collect()
}

#[tokio::test]
async fn the_account_is_read_once_before_anything_else_and_stands_in_the_intent() {
    let (slow, answer_now) = Reply::json(200, ACCOUNT).held();
    let upstream = Upstream::start(vec![slow]).await;
    let bench = Arc::new(bench(&upstream.url));
    let mut calls = tokio::task::JoinSet::new();
    for saga in 0..20 {
        let bench = Arc::clone(&bench);
        calls.spawn(async move {
            bench
                .fetch_as(&Ledger::of(saga), get("/v2/droplets/1"))
                .await
                .unwrap();
        });
    }
    upstream.next_arrival().await;
    assert_eq!(upstream.lines(), [READ]);
    // Whoever asked first may be gone: the others still get the answer.
    let gone = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.fetch(get("/v2/droplets/2")).await }
    });
    gone.abort();
    answer_now.add_permits(1);
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    bench.fetch(post("/v2/droplets", "{}")).await.unwrap();
    let reads = upstream.lines().iter().filter(|line| *line == READ).count();
    assert_eq!(reads, 1);
    assert_eq!(
        identities(&bench.ledger),
        [Some(format!("{}#team-1", upstream.url))]
    );
    let head = &upstream.arrived()[0].head.to_lowercase();
    assert!(
        head.contains(&format!("authorization: bearer {TOKEN}")),
        "the service's own credential"
    );
}

#[tokio::test]
async fn while_the_account_can_t_be_read_nothing_is_sent_and_nobody_hammers() {
    for (reply, told) in [
        (Reply::json(500, "{}"), "answered 500"),
        (Reply::json(429, "{}"), "answered 429"),
        (Reply::json(401, "{}"), "refuses the host's credential"),
        (Reply::Reset, "can't be read"),
    ] {
        let upstream = Upstream::start(vec![reply]).await;
        let bench = bench(&upstream.url);
        for request in [
            get("/v2/droplets"),
            post("/v2/droplets", "{}"),
            get("/v2/droplets"),
        ] {
            match bench.fetch(request).await {
                Err(error @ FetchError::Unavailable(_)) => {
                    assert!(error.starves() && error.to_string().contains(told), "{error}")
                }
                other => panic!("{told}: {other:?}"),
            }
        }
        assert_eq!(upstream.lines(), [READ], "{told}");
        assert!(bench.ledger.words().is_empty());
    }
}

#[tokio::test]
async fn an_account_that_may_not_be_read_stops_nothing() {
    for reply in [
        Reply::json(403, "{}"),
        Reply::json(404, "{}"),
        Reply::json(200, "{}"),
    ] {
        let upstream = Upstream::start(vec![reply]).await;
        let bench = bench(&upstream.url);
        bench.fetch(post("/v2/droplets", "{}")).await.unwrap();
        assert_eq!(identities(&bench.ledger), [Some(upstream.url.clone())]);
        let identity = bench.services.known_identity("digitalocean").unwrap();
        assert!(identity.note().is_some());
        // Somebody who needs it may ask again, but not at once.
        bench.services.doubt_identity("digitalocean");
        assert!(bench.services.known_identity("digitalocean").is_some());
    }
}

#[tokio::test]
async fn a_401_closes_the_service_and_puts_the_account_in_doubt() {
    let other = r#"{"account":{"uuid":"user-2","team":null}}"#;
    let upstream = Upstream::start(vec![
        Reply::json(200, ACCOUNT),
        Reply::json(202, "{}"),
        Reply::json(401, "{}"),
        Reply::json(200, other),
    ])
    .await;
    let bench = bench(&upstream.url);
    bench.fetch(post("/v2/droplets", "{}")).await.unwrap();
    assert!(bench.fetch(get("/v2/droplets/1")).await.is_err());
    match bench.fetch(get("/v2/droplets/1")).await {
        Err(error @ FetchError::Unavailable(_)) => {
            assert!(error.to_string().contains("is paused"), "{error}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(upstream.arrived().len(), 3, "nothing more is sent");
    bench.services.resume("digitalocean");
    bench.fetch(post("/v2/droplets", "{}")).await.unwrap();
    let account = |id: &str| Some(format!("{}#{id}", upstream.url));
    assert_eq!(identities(&bench.ledger), [account("team-1"), account("user-2")]);
}

#[tokio::test]
async fn without_a_probe_the_origin_is_the_identity_and_nothing_is_asked() {
    let upstream = Upstream::start(vec![]).await;
    let elsewhere = ServiceConfig {
        origin: Some("simulator".to_owned()),
        ..config(&upstream.url)
    };
    for (config, origin) in [
        (config(&upstream.url), upstream.url.as_str()),
        (elsewhere, "simulator"),
    ] {
        let bench = Bench {
            services: Services::new(vec![config]).unwrap(),
            ..Bench::at(&upstream.url)
        };
        bench.fetch(post("/v2/droplets", "{}")).await.unwrap();
        assert_eq!(identities(&bench.ledger), [Some(origin.to_owned())]);
    }
    assert_eq!(upstream.lines(), ["POST /v2/droplets", "POST /v2/droplets"]);
}

#[tokio::test]
async fn a_probe_that_can_t_work_is_refused_at_once() {
    for (path, pointers) in [
        ("v2/account", vec!["/a"]),
        ("/v2/../x", vec!["/a"]),
        ("/v2/account", vec![]),
        ("/v2/account", vec!["account"]),
    ] {
        let config = ServiceConfig {
            identity: Some(IdentityProbe {
                path: path.to_owned(),
                pointers: pointers.into_iter().map(str::to_owned).collect(),
            }),
            ..config("http://127.0.0.1:1")
        };
        let error = Services::new(vec![config]).unwrap_err();
        assert!(error.to_string().contains("identity"), "{error}");
    }
}
