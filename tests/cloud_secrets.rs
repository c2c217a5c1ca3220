//! What must not get out: the credential, and requests to anywhere but the service.

use std::{
    io,
    process::Command,
    sync::{Arc, Mutex},
};

use arcadia::cloud::{FetchError, Grant, Outgoing, Secret, ServiceConfig, Services, ServicesError};
use tracing_subscriber::fmt::MakeWriter;

use super::cloud_bench::{Bench, Reply, TOKEN, Upstream, config, create_once, get, post};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

#[tokio::test]
async fn the_credential_is_sent_and_shown_nowhere_else() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);

    let echo = format!("{{\"you_sent\":\"Bearer {TOKEN}\"}}");
    let echo_headers = format!("x-echo: {TOKEN}\r\nset-cookie: session={TOKEN}\r\nlocation: /{TOKEN}\r\n");
    let upstream = Upstream::start(vec![
        Reply::with(202, &echo_headers, &echo),
        Reply::with(200, &echo_headers, &echo),
        Reply::json(401, &echo),
        Reply::Reset,
        Reply::WriteAndClose(format!("{TOKEN} is not HTTP\r\n\r\n").into_bytes()),
    ])
    .await;
    let bench = Bench::at(&upstream.url);
    let body = format!("{{\"name\":\"{TOKEN}\",\"user_data\":\"#!/bin/sh\"}}");
    let mut seen = format!("{:?}", bench.services);
    seen += &format!("{:?}", bench.fetch(create_once(&body)).await);
    seen += &format!("{:?}", bench.fetch(get("/v2/account")).await);
    for _ in 0..3 {
        let result = bench.fetch(post("/v2/droplets", "{}")).await;
        seen += &format!("{result:?}");
        seen += &result.unwrap_err().to_string();
        bench.services.resume("digitalocean");
    }
    seen += &format!("{:?}", bench.fetch(create_once(&body)).await.unwrap());
    seen += &format!("{:?}", bench.ledger.records.lock().unwrap());
    // Bodies are printed as numbers: look at them as text too.
    let replay = bench.fetch(create_once(&body)).await.unwrap();
    seen += &String::from_utf8(replay.body).unwrap();
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();

    let bytes = format!("{:?}", TOKEN.as_bytes());
    let bytes = bytes.trim_matches(['[', ']']);
    for text in [&seen, &log] {
        assert!(!text.contains(TOKEN), "{text}");
        assert!(!text.contains(bytes), "{text}");
    }
    assert!(!seen.contains("#!/bin/sh"), "{seen}");
    assert!(!seen.contains("session="), "{seen}");
    assert!(log.contains("/v2/droplets"), "the log was captured: {log}");
    for arrived in upstream.arrived() {
        assert!(
            arrived
                .head
                .contains(&format!("authorization: Bearer {TOKEN}\r\n")),
            "{}",
            arrived.head
        );
        assert!(arrived.head.contains("user-agent: arcadia/"), "{}", arrived.head);
    }
}

#[tokio::test]
async fn redirects_are_answers() {
    let elsewhere = Upstream::start(vec![]).await;
    let location = format!("location: {}/v2/droplets\r\n", elsewhere.url);
    let script = [301, 302, 303, 307, 308].map(|status| Reply::with(status, &location, ""));
    let upstream = Upstream::start(script.into_iter().collect()).await;
    let bench = Bench::at(&upstream.url);
    for status in [301, 302, 303, 307, 308] {
        assert_eq!(bench.fetch(get("/v2/droplets")).await.unwrap().status, status);
    }
    assert_eq!((upstream.arrived().len(), elsewhere.connections()), (5, 0));
}

/// Runs itself again with proxies in the environment: a process's own environment can't be changed while it has threads.
#[tokio::test(flavor = "multi_thread")]
async fn proxies_of_the_environment_are_ignored() {
    const CHILD: &str = "ARCADIA_TEST_WITH_PROXIES";
    if std::env::var_os(CHILD).is_some() {
        let upstream = Upstream::start(vec![]).await;
        let bench = Bench::at(&upstream.url);
        bench.fetch(get("/v2/droplets")).await.unwrap();
        bench.fetch(post("/v2/droplets", "{}")).await.unwrap();
        assert_eq!(upstream.arrived().len(), 2);
        return;
    }
    let proxy = Upstream::start(vec![]).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "cloud_secrets::proxies_of_the_environment_are_ignored"])
        .env(CHILD, "1");
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        child.env(name, &proxy.url);
    }
    for name in ["no_proxy", "NO_PROXY", "REQUEST_METHOD"] {
        child.env_remove(name);
    }
    let output = tokio::task::spawn_blocking(move || child.output())
        .await
        .unwrap()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn what_is_not_granted_or_not_well_formed_never_leaves() {
    let upstream = Upstream::start(vec![]).await;
    let bench = Bench {
        grants: vec![Grant {
            service: "digitalocean".to_owned(),
            methods: vec!["GET".to_owned()],
            path_prefixes: vec!["/v2/droplets".to_owned()],
        }],
        ..Bench::at(&upstream.url)
    };
    let denied = [
        (get("/v2/account"), "digitalocean: GET /v2/account"),
        (get("/v2/droplets2"), "digitalocean: GET /v2/droplets2"),
        (create_once("{}"), "digitalocean: POST /v2/droplets"),
        (
            Outgoing {
                service: "elsewhere".to_owned(),
                ..get("/v2/droplets")
            },
            "elsewhere: GET /v2/droplets (no service of this name is configured)",
        ),
    ];
    for (request, text) in denied {
        assert_eq!(
            bench.fetch(request).await,
            Err(FetchError::Denied(text.to_owned()))
        );
    }
    let header = |name: &str, value: &str| Outgoing {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..get("/v2/droplets")
    };
    for request in [
        get("/v2/droplets/../account"),
        get("/v2/droplets/%2e%2e/account"),
        get("/v2/droplets/..%2faccount"),
        get("/v2/droplets\r\nhost: evil"),
        header("authorization", "Bearer mine"),
        header("Host", "evil"),
        header("x-note", "a\r\nhost: evil"),
        header("x-note\r\nhost", "evil"),
        header("x-http-method-override", "DELETE"),
    ] {
        let result = bench.fetch(request.clone()).await;
        assert!(
            matches!(result, Err(FetchError::InvalidRequest(_))),
            "{request:?}: {result:?}"
        );
    }
    assert_eq!((upstream.connections(), bench.ledger.words().len()), (0, 0));

    let query = Outgoing {
        query: vec![("name".to_owned(), "a b&c=d#e/../\r\n".to_owned())],
        ..get("/v2/droplets")
    };
    bench.fetch(query).await.unwrap();
    assert_eq!(
        upstream.lines(),
        ["GET /v2/droplets?name=a+b%26c%3Dd%23e%2F..%2F%0D%0A"]
    );
}

#[tokio::test]
async fn a_base_url_may_have_a_path_and_grants_are_below_it() {
    let upstream = Upstream::start(vec![]).await;
    let bench = Bench::at(&format!("{}/proxy/", upstream.url));
    bench.fetch(get("/v2/droplets")).await.unwrap();
    assert_eq!(upstream.lines(), ["GET /proxy/v2/droplets"]);
}

#[tokio::test]
async fn configurations_that_would_leak_or_can_t_work_are_refused() {
    let with = |change: &dyn Fn(&mut ServiceConfig)| {
        let mut config = config("https://api.example.com");
        change(&mut config);
        Services::new(vec![config]).map(|_| ())
    };
    assert!(with(&|_| ()).is_ok());
    assert!(with(&|config| config.base_url = "http://[::1]:80".to_owned()).is_ok());
    let public = |config: &mut ServiceConfig| config.base_url = "http://api.example.com".to_owned();
    assert!(matches!(with(&public), Err(ServicesError::BaseUrl { .. })));
    let without_credential = |config: &mut ServiceConfig| {
        public(config);
        config.credential = None;
    };
    assert!(with(&without_credential).is_ok());
    for url in [
        "",
        "api.example.com",
        "ftp://x",
        "https://u:p@x",
        "https://u@x",
        "https://x?a=b",
        "https://x#f",
        "file:///etc",
    ] {
        let result = with(&|config| config.base_url = url.to_owned());
        assert!(
            matches!(result, Err(ServicesError::BaseUrl { .. })),
            "{url}: {result:?}"
        );
    }
    for name in ["", "Digital", "a b", "a/b"] {
        assert!(
            matches!(
                with(&|config| config.name = name.to_owned()),
                Err(ServicesError::Name(_))
            ),
            "{name}"
        );
    }
    for secret in ["a\nb", " "] {
        let result = with(&|config| config.credential = Some(Secret::new(secret)));
        assert!(matches!(result, Err(ServicesError::Credential(_))), "{result:?}");
    }
    assert!(matches!(
        with(&|config| config.per_minute = 0),
        Err(ServicesError::Budget(_))
    ));
    let twice = Services::new(vec![config("https://x"), config("https://x")]);
    assert!(matches!(twice, Err(ServicesError::Twice(_))));
}
