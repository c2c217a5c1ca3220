//! Streams, log lines, requests and batches over real HTTP.

use std::{collections::BTreeSet, time::Duration};

use arcadia::api::{HEARTBEAT, MAX_STREAMS};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api_server::{Api, answer, sleeper};

/// How long a message may take.
const SOON: Duration = Duration::from_secs(30);

/// One message of a stream: its name, its id, its data.
#[derive(Debug, Clone, PartialEq)]
struct Message {
    name: String,
    id: i64,
    data: Value,
}

struct Stream {
    answer: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(api: &Api, path: &str, last: Option<i64>) -> Stream {
        let mut request = api.request(Method::GET, path);
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Stream {
            answer,
            text: String::new(),
        }
    }

    /// `None`: the stream has ended.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let fields: Vec<(String, String)> = block
                    .lines()
                    .filter(|line| !line.starts_with(':'))
                    .map(|line| line.split_once(": ").expect("a field"))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                self.text = rest.to_owned();
                if fields.is_empty() {
                    continue;
                }
                let field = |name| {
                    fields
                        .iter()
                        .find(|(field, _)| field == name)
                        .map(|(_, value)| value)
                };
                return Some(Message {
                    name: field("event")?.clone(),
                    id: field("id")?.parse().unwrap(),
                    data: serde_json::from_str(field("data")?).unwrap(),
                });
            }
            let chunk = tokio::time::timeout(SOON, self.answer.chunk()).await;
            let chunk = chunk.expect("something in time").unwrap()?;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    async fn until_it_ends(mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }
}

/// Ids of the events in the messages.
fn event_ids<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Vec<i64> {
    messages
        .into_iter()
        .flat_map(|message| message.data["events"].as_array().into_iter().flatten())
        .map(id_of)
        .collect()
}

fn id_of(row: &Value) -> i64 {
    row["id"].as_str().unwrap().parse().unwrap()
}

async fn stored_events(api: &Api, saga: &str) -> Vec<i64> {
    let events = api.get(&format!("/v1/sagas/{saga}/events?limit=200")).await;
    events.items().iter().map(id_of).collect()
}

/// Three steps, the first of which sleeps a little, so that there is something to follow.
fn lively() -> Value {
    json!([
        { "name": "one", "component": "scripted", "params": { "run": [{ "again": { "after_ms": 300 } }] } },
        { "name": "two", "component": "noop" },
        { "name": "three", "component": "noop" },
    ])
}

#[tokio::test]
async fn a_saga_is_followed_from_its_snapshot_to_its_end() {
    let api = Api::start().await;
    let saga = api.saga(lively()).await;
    let messages = Stream::open(&api, &format!("/v1/sagas/{saga}/stream"), None)
        .await
        .until_it_ends()
        .await;
    let (first, last) = (&messages[0], messages.last().unwrap());
    assert_eq!(first.name, "snapshot");
    assert_eq!(first.data["saga"]["status"], "running");
    assert!(messages.len() > 1);
    assert!(messages[1..].iter().all(|message| message.name == "change"));
    assert_eq!(
        last.data["saga"],
        api.get(&format!("/v1/sagas/{saga}")).await.body
    );
    assert_eq!(last.data["saga"]["status"], "completed");
    assert_eq!(
        &last.data["steps"],
        &api.get(&format!("/v1/sagas/{saga}/steps")).await.body["items"]
    );
    let stored = stored_events(&api, &saga).await;
    let told = event_ids(&messages);
    assert_eq!(told, stored[stored.len() - told.len()..], "{messages:?}");
    assert!(messages.iter().all(|message| {
        let newest = event_ids([message]).last().copied();
        newest.is_none_or(|newest| newest == message.id)
    }));
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_what_it_missed_once() {
    let api = Api::start().await;
    let saga = api.saga(lively()).await;
    api.rest(&saga).await;
    let path = format!("/v1/sagas/{saga}/stream");
    let stored = stored_events(&api, &saga).await;
    for (seen, id) in stored.iter().enumerate() {
        let request = api.request(Method::GET, &path).header("last-event-id", *id);
        if seen + 1 == stored.len() {
            assert_eq!(answer(request).await.status, 204, "all of it was told");
            continue;
        }
        let messages = Stream::open(&api, &path, Some(*id)).await.until_it_ends().await;
        assert_eq!(messages[0].name, "change");
        assert_eq!(event_ids(&messages), stored[seen + 1..], "after {id}");
    }
    let restored = Stream::open(&api, &path, Some(i64::MAX))
        .await
        .until_it_ends()
        .await;
    assert_eq!(
        restored[0].name, "snapshot",
        "an id from before a restore says nothing"
    );
    assert_eq!(restored[0].data["saga"]["status"], "completed");
}

#[tokio::test]
async fn all_sagas_are_followed_in_order_and_by_filter() {
    let api = Api::start().await;
    let old = api.saga(json!([{ "name": "one", "component": "noop" }])).await;
    api.rest(&old).await;
    let mut all = Stream::open(&api, "/v1/stream", None).await;
    let mut mine = Stream::open(&api, "/v1/stream?deployment_id=mine", None).await;
    let snapshot = all.next().await.unwrap();
    assert_eq!(snapshot.name, "snapshot");
    assert_eq!(
        (&snapshot.data["sagas"][0]["id"], &snapshot.data["more"]),
        (&json!(old), &json!(false))
    );
    assert_eq!(mine.next().await.unwrap().data["sagas"], json!([]));

    let mut sagas = BTreeSet::new();
    for deployment in ["mine", "yours", "yours"] {
        let body = json!({ "kind": "test", "steps": lively(), "deployment_id": deployment });
        let started = api.post("/v1/sagas", body).await;
        sagas.insert(started.body["id"].as_str().unwrap().to_owned());
    }
    let mut stored = Vec::new();
    for saga in &sagas {
        api.rest(saga).await;
        stored.extend(stored_events(&api, saga).await);
    }
    stored.sort();
    let mut messages = Vec::new();
    while event_ids(&messages).len() < stored.len() {
        messages.push(all.next().await.unwrap());
    }
    assert_eq!(event_ids(&messages), stored, "each once, in order");
    for seen in [0, messages.len() / 2] {
        let mut resumed = Stream::open(&api, "/v1/stream", Some(messages[seen].id)).await;
        let mut told = Vec::new();
        while event_ids(&told).len() < event_ids(&messages[seen + 1..]).len() {
            told.push(resumed.next().await.unwrap());
        }
        assert_eq!(event_ids(&told), event_ids(&messages[seen + 1..]));
    }
    loop {
        let change = mine.next().await.unwrap();
        assert_eq!(change.data["saga"]["deployment_id"], "mine");
        let events = change.data["events"].as_array().unwrap();
        if events.iter().any(|event| event["kind"] == "completed") {
            break;
        }
    }
}

#[tokio::test]
async fn a_reader_that_reads_nothing_slows_nobody_and_misses_nothing() {
    let api = Api::start().await;
    let mut lazy = Stream::open(&api, "/v1/stream", None).await;
    let batch: Vec<Value> = (0..400)
        .map(|_| json!({ "start": { "kind": "test", "steps": [{ "name": "one", "component": "noop" }] } }))
        .collect();
    let started = api.post("/v1/sagas/batch", json!({ "sagas": batch })).await;
    let mut waiting: BTreeSet<String> = started
        .items()
        .iter()
        .map(|item| item["started"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(waiting.len(), 400);
    for saga in &waiting {
        assert_eq!(api.rest(saga).await["status"], "completed");
    }
    lazy.next().await.unwrap();
    let mut newest = 0;
    while !waiting.is_empty() {
        let change = lazy.next().await.unwrap();
        for id in event_ids([&change]) {
            assert!(id > newest, "{id} after {newest}");
            newest = id;
        }
        if change.data["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["kind"] == "completed")
        {
            waiting.remove(change.data["saga"]["id"].as_str().unwrap());
        }
    }
}

#[tokio::test]
async fn streams_have_a_limit_and_end_with_the_server() {
    let mut api = Api::start().await;
    let saga = api.saga(json!([sleeper("one")])).await;
    let path = format!("/v1/sagas/{saga}/stream");
    let mut streams = Vec::new();
    for _ in 0..MAX_STREAMS - 1 {
        streams.push(Stream::open(&api, &path, None).await);
    }
    streams.push(Stream::open(&api, "/v1/stream", None).await);
    let refused = api.get("/v1/stream").await;
    assert_eq!(
        (
            refused.status,
            refused.body["code"].as_str(),
            refused.header("retry-after")
        ),
        (503, Some("overloaded"), Some("5"))
    );
    assert_eq!(api.get(&path).await.status, 503);
    let ended = tokio::time::timeout(Duration::from_secs(8), api.end());
    ended.await.expect("nobody has to be cut off");
    for stream in streams {
        assert!(stream.until_it_ends().await.len() <= 2);
    }
}

/// Waits for as long as a heartbeat takes: the clock of a real connection can't be moved.
#[tokio::test]
async fn an_idle_stream_has_a_heartbeat() {
    let api = Api::start().await;
    let saga = api.saga(json!([sleeper("one")])).await;
    api.asleep(&saga).await;
    let mut stream = Stream::open(&api, &format!("/v1/sagas/{saga}/stream"), None).await;
    assert_eq!(stream.next().await.unwrap().name, "snapshot");
    let beat = tokio::time::timeout(HEARTBEAT * 2, stream.answer.chunk()).await;
    let beat = beat.expect("a heartbeat in time").unwrap().unwrap();
    assert!(beat.starts_with(b":") && beat.ends_with(b"\n\n"), "{beat:?}");
}

#[tokio::test]
async fn what_steps_say_is_read_page_by_page() {
    let api = Api::start().await;
    let said: Vec<Value> = (0..5)
        .map(|number| json!({ "log": format!("line {number}") }))
        .collect();
    let saga = api
        .saga(json!([{ "name": "talker", "component": "scripted", "params": { "run": said } }]))
        .await;
    api.rest(&saga).await;
    api.engine.shutdown(Duration::from_secs(1)).await;
    let mut lines = Vec::new();
    let mut next = format!("/v1/sagas/{saga}/logs?limit=2");
    loop {
        let page = api.get(&next).await;
        lines.extend(page.items().clone());
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        next = format!("/v1/sagas/{saga}/logs?limit=2&cursor={cursor}");
    }
    let messages: Vec<&str> = lines
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages, ["line 0", "line 1", "line 2", "line 3", "line 4"]);
    assert_eq!(
        (&lines[0]["step"], &lines[0]["phase"], &lines[0]["level"]),
        (&json!("talker"), &json!("run"), &json!("info"))
    );
}

#[tokio::test]
async fn requests_that_may_have_changed_the_world_are_listed() {
    let api = Api::start().await;
    let post = |path: &str, once: Value| json!({ "http": { "service": "test", "method": "POST", "path": path, "once": once, "body": { "name": "web", "password": "hunter2" } } });
    let saga = api
        .saga(
            json!([{ "name": "caller", "component": "scripted", "params": { "run": [
            post("/things", json!({ "key": "make" })), post("/again", json!({ "key": "again" }))
        ] } }]),
        )
        .await;
    assert_eq!(api.rest(&saga).await["status"], "completed");
    let first = api.get(&format!("/v1/sagas/{saga}/requests?limit=1")).await;
    let request = &first.items()[0];
    let shown = json!({
        "id": request["id"], "at": request["at"], "ended_at": request["ended_at"], "body": request["body"],
        "step": "caller", "phase": "run", "service": "test", "method": "POST", "path": "/things",
        "identity": request["identity"], "once_key": "make", "state": "answered", "status": 200,
    });
    assert_eq!(request, &shown);
    assert!(request["ended_at"].is_string());
    let identity = request["identity"].as_str().unwrap();
    assert!(
        identity.starts_with("http://127.0.0.1:") && !identity.contains('#'),
        "{identity}"
    );
    assert!(!first.body.to_string().contains("hunter2"), "{first:?}");
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = api
        .get(&format!("/v1/sagas/{saga}/requests?cursor={cursor}"))
        .await;
    let paths: Vec<&Value> = rest.items().iter().map(|request| &request["path"]).collect();
    assert_eq!(paths, ["/again"]);
}

#[tokio::test]
async fn each_saga_of_a_batch_is_decided_for_itself() {
    let api = Api::start().await;
    let good = json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }] });
    let batch = json!({ "sagas": [
        { "start": good, "idempotency_key": "a" },
        { "start": { "definition": "nope" } },
        { "start": good, "idempotency_key": "a" },
        { "start": { "kind": "test", "steps": good["steps"], "deployment_id": "other" }, "idempotency_key": "a" },
        { "start": { "kind": "test", "steps": [{ "name": "one", "component": "nothing" }] } },
        { "start": good, "idempotency_key": "" },
        { "start": good, "more": 1 },
        7,
        { "start": good },
    ] });
    let got = api.post("/v1/sagas/batch", batch.clone()).await;
    assert_eq!(got.status, 200, "{got:?}");
    let told: Vec<(u64, &str, &str)> = got
        .items()
        .iter()
        .map(|item| {
            (
                item["status"].as_u64().unwrap(),
                item["problem"]["code"].as_str().unwrap_or_default(),
                item["problem"]["errors"][0]["pointer"]
                    .as_str()
                    .unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        (202, "", ""),
        (422, "invalid-request", "/sagas/1/start/definition"),
        (202, "", ""),
        (422, "idempotency-key-reused", ""),
        (422, "invalid-request", "/sagas/4/start/steps/0/component"),
        (422, "invalid-request", "/sagas/5/idempotency_key"),
        (422, "invalid-request", "/sagas/6/more"),
        (422, "invalid-request", "/sagas/7"),
        (202, "", ""),
    ];
    assert_eq!(told, expected, "{got:?}");
    let started = |index: usize| &got.items()[index]["started"]["id"];
    assert_eq!(started(0), started(2));
    let replays: Vec<bool> = [0, 2].map(|index| got.items()[index]["replayed"] == true).into();
    assert_eq!(replays.iter().filter(|replayed| **replayed).count(), 1);
    assert_eq!(api.get("/v1/sagas").await.items().len(), 2);
    let again = api.post("/v1/sagas/batch", batch).await;
    assert_eq!(&again.items()[0]["started"]["id"], started(0));
    assert_eq!(again.items()[0]["replayed"], true);
}

#[tokio::test]
async fn a_batch_has_1_to_500_sagas_and_its_own_limit_of_bytes() {
    let api = Api::start().await;
    let start = json!({ "start": { "kind": "test", "steps": [{ "name": "one", "component": "noop" }], "inputs": { "pad": "x".repeat(1_000) } } });
    for count in [0, 501] {
        let got = api
            .post("/v1/sagas/batch", json!({ "sagas": vec![&start; count] }))
            .await;
        assert_eq!(
            (got.status, &got.body["errors"][0]["pointer"]),
            (422, &json!("/sagas"))
        );
    }
    assert!(api.get("/v1/sagas").await.items().is_empty());
    let most = api
        .post("/v1/sagas/batch", json!({ "sagas": vec![&start; 500] }))
        .await;
    assert_eq!(most.status, 200);
    let ids: BTreeSet<&str> = most
        .items()
        .iter()
        .map(|item| item["started"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 500);
    for body in ["", "{\"sagas\":[1,", "{\"sagas\":[1]} x"] {
        let request = api.request(Method::POST, "/v1/sagas/batch");
        let got = answer(request.header("content-type", "application/json").body(body)).await;
        assert_eq!(
            (got.status, got.body["code"].as_str()),
            (400, Some("invalid-json")),
            "{body}"
        );
    }
    let large = api
        .post("/v1/sagas/batch", json!({ "sagas": ["x".repeat(9 << 20)] }))
        .await;
    assert_eq!(large.status, 413);
}
