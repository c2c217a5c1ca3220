//! A service that refuses the host's credential, or that somebody paused: sagas wait, nobody turns, and all go on afterwards.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use arcadia::{
    engine::{Asked, FindingRow, Page, ServiceStatus, Verb},
    saga::{Hold, Pause, SagaId, Status},
    simulator::Rules,
};
use serde_json::{Value, json};

use crate::{
    api_server::Api,
    cli_binary::{Host, exit_code, text},
    support::stand::Stand,
};

const SERVICE: &str = "digitalocean";

async fn stand() -> Stand {
    let rules = Rules {
        activation_ms: 3_000,
        delete_ms: 1_500,
        ..Rules::default()
    };
    Stand::with(rules, |store| Arc::new(store)).await
}

fn wish() -> Value {
    json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    })
}

fn asked(reason: &str) -> Asked {
    Asked {
        actor: "ann".to_owned(),
        reason: Some(reason.to_owned()),
    }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn steps_done(stand: &Stand, saga: SagaId, count: u32) {
    until("the step is done", async || {
        let row = stand.engine().store().saga(saga).await.unwrap().unwrap();
        (row.steps_done >= count).then_some(())
    })
    .await;
}

async fn is_held(stand: &Stand, saga: SagaId) -> bool {
    let row = stand.engine().store().saga(saga).await.unwrap().unwrap();
    let Some(paused) = row.paused else { return false };
    let pause: Pause = serde_json::from_str(paused.as_str()).unwrap();
    pause.holds == BTreeSet::from([Hold::Service(SERVICE.to_owned())])
}

async fn findings(stand: &Stand, open_only: bool) -> Vec<FindingRow> {
    let page = Page {
        limit: 100,
        after: None,
    };
    let rows = stand
        .engine()
        .store()
        .findings(None, open_only, page)
        .await
        .unwrap();
    rows.into_iter()
        .filter(|row| row.code == "service-paused")
        .collect()
}

/// Everything that was asked but for the account.
async fn requests(stand: &Stand) -> usize {
    let entries = stand.control.journal().await;
    entries.iter().filter(|entry| entry.path != "/v2/account").count()
}

fn status(stand: &Stand) -> ServiceStatus {
    stand.engine().service(SERVICE).unwrap()
}

async fn paused_by(stand: &Stand, who: &str) {
    until("the service is paused", async || {
        let paused = status(stand).paused;
        paused.is_some_and(|row| row.by == who).then_some(())
    })
    .await;
}

async fn kinds(stand: &Stand, saga: SagaId) -> BTreeSet<String> {
    let events = stand.engine().store().events(saga, 0, 1_000).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

/// Sagas in every phase: about to look for its active droplet, going back, destroying.
struct Running {
    provision: SagaId,
    undo: SagaId,
    destroy: SagaId,
}

async fn in_every_phase(stand: &Stand) -> Running {
    let there = stand.define("provision_droplet", wish()).await;
    assert_eq!(stand.rest(there).await.status, Status::Completed);
    let droplet = *stand.control.live_droplet_ids().await.first().unwrap();
    let undo = stand.define("provision_droplet", wish()).await;
    steps_done(stand, undo, 1).await;
    let provision = stand.define("provision_droplet", wish()).await;
    steps_done(stand, provision, 1).await;
    let target = json!({ "droplet_provider_id": droplet.to_string() });
    let destroy = stand.define("destroy_droplet", target).await;
    stand
        .engine()
        .verb(undo, Verb::Cancel, asked("enough"))
        .await
        .unwrap();
    until("both are being deleted", async || {
        let entries = stand.control.journal().await;
        (entries.iter().filter(|entry| entry.method == "DELETE").count() == 2).then_some(())
    })
    .await;
    Running {
        provision,
        undo,
        destroy,
    }
}

async fn wait_and_go_on(stand: &mut Stand, revoked: Value, restart: bool) {
    let running = in_every_phase(stand).await;
    let all = [running.provision, running.undo, running.destroy];
    let mut before = Vec::new();
    stand.control.patch(json!({ "tokens": revoked })).await;
    paused_by(stand, "host").await;
    for saga in all {
        until("it is held", async || is_held(stand, saga).await.then_some(())).await;
        before.push(stand.engine().store().saga(saga).await.unwrap().unwrap());
    }
    let new = stand.define("provision_droplet", wish()).await;
    assert!(is_held(stand, new).await, "held from the start");
    let finding = until("the finding", async || findings(stand, true).await.pop()).await;
    assert!(
        finding.saga.is_none() && finding.message.contains(SERVICE),
        "{finding:?}"
    );
    assert!(
        finding.advice.contains("arcadia service resume digitalocean"),
        "{finding:?}"
    );

    if restart {
        stand.restart().await;
        assert_eq!(status(stand).paused.unwrap().by, "host");
    }
    let sent = requests(stand).await;
    let probes = stand.control.journal().await.len();
    until("it is asked again, and again", async || {
        (stand.control.journal().await.len() >= probes + 2).then_some(())
    })
    .await;
    assert_eq!(
        requests(stand).await,
        sent,
        "nothing but the account is asked for"
    );
    for (saga, before) in all.into_iter().zip(before) {
        let row = stand.engine().store().saga(saga).await.unwrap().unwrap();
        assert_eq!(
            (row.status, row.steps_done, &row.turning),
            (before.status, before.steps_done, &before.turning)
        );
        let kinds = kinds(stand, saga).await;
        for bad in ["step-failed", "step-stuck", "undo-stuck"] {
            assert!(!kinds.contains(bad), "{kinds:?}");
        }
    }
    assert_eq!(
        findings(stand, false).await.len(),
        1,
        "one finding, however often it is asked"
    );

    let back = json!([{ "token": "sim-token", "name": "back" }]);
    stand.control.patch(json!({ "tokens": back })).await;
    assert_eq!(stand.rest(running.provision).await.status, Status::Completed);
    assert_eq!(stand.rest(running.undo).await.status, Status::Cancelled);
    assert_eq!(stand.rest(running.destroy).await.status, Status::Completed);
    assert_eq!(stand.rest(new).await.status, Status::Completed);
    until("the finding is resolved", async || {
        findings(stand, true).await.is_empty().then_some(())
    })
    .await;
    assert!(status(stand).paused.is_none());
    assert_eq!(stand.control.live_droplet_ids().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_in_the_middle_makes_every_saga_wait() {
    wait_and_go_on(&mut stand().await, json!([]), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_by_the_host_survives_it_and_is_taken_back_by_the_next_one() {
    wait_and_go_on(&mut stand().await, json!([]), true).await;
}

/// An account that was told before and isn't now: it is not about one thing that the token may not do.
#[tokio::test(flavor = "multi_thread")]
async fn a_403_on_everything_makes_every_saga_wait() {
    let locked = json!([{ "token": "sim-token", "name": "locked", "scopes": [] }]);
    wait_and_go_on(&mut stand().await, locked, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_s_pause_waits_for_a_person() {
    let mut stand = stand().await;
    let saga = stand.define("provision_droplet", wish()).await;
    steps_done(&stand, saga, 1).await;
    let paused = stand
        .engine()
        .pause_service(SERVICE, asked("maintenance"))
        .await
        .unwrap();
    assert_eq!(
        paused.paused.map(|row| (row.by, row.reason)),
        Some(("ann".to_owned(), Some("maintenance".to_owned())))
    );
    until("it is held", async || is_held(&stand, saga).await.then_some(())).await;
    assert_eq!(findings(&stand, false).await, [], "whoever paused it knows");
    stand.restart().await;
    let sent = stand.control.journal().await.len();
    assert_eq!(status(&stand).paused.unwrap().by, "ann");
    assert!(is_held(&stand, saga).await);
    assert_eq!(
        stand.control.journal().await.len(),
        sent,
        "it isn't even asked for its account"
    );
    let resumed = stand
        .engine()
        .resume_service(SERVICE, asked("done"))
        .await
        .unwrap();
    assert!(resumed.paused.is_none());
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
    let events = stand.engine().store().events(saga, 0, 1_000).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .filter(|event| ["paused", "resumed"].contains(&event.kind.as_str()))
        .map(|event| {
            (
                event.kind.as_str(),
                event.actor.as_str(),
                event.detail.to_value()["reason"].clone(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("paused", "ann", json!("maintenance")),
            ("resumed", "ann", json!("done"))
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_can_take_the_host_s_pause_over_and_resuming_a_service_that_still_refuses_pauses_it_again() {
    let stand = stand().await;
    let saga = stand.define("provision_droplet", wish()).await;
    steps_done(&stand, saga, 1).await;
    stand.control.patch(json!({ "tokens": [] })).await;
    paused_by(&stand, "host").await;
    until("the finding", async || findings(&stand, true).await.pop()).await;
    stand
        .engine()
        .resume_service(SERVICE, asked("try"))
        .await
        .unwrap();
    paused_by(&stand, "host").await;
    until("the finding, once more", async || {
        findings(&stand, true).await.pop()
    })
    .await;
    stand
        .engine()
        .pause_service(SERVICE, asked("mine now"))
        .await
        .unwrap();
    paused_by(&stand, "ann").await;
    assert_eq!(findings(&stand, true).await, []);
    let back = json!([{ "token": "sim-token", "name": "back" }]);
    stand.control.patch(json!({ "tokens": back })).await;
    stand
        .engine()
        .resume_service(SERVICE, asked("it is well"))
        .await
        .unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Completed);
}

#[tokio::test]
async fn services_are_listed_paused_and_resumed_over_http() {
    let api = Api::start().await;
    let listed = api.get("/v1/services").await;
    let service = &listed.items()[0];
    let url = service["base_url"].as_str().unwrap();
    assert_eq!(
        service,
        &json!({
            "name": "test", "base_url": url, "identity": url.trim_end_matches('/'), "note": null,
            "per_minute": 10_000, "left_in_minute": 10_000, "per_hour": 100_000, "left_in_hour": 100_000, "paused": null,
        })
    );
    let paused = api
        .post("/v1/services/test/pause", json!({ "reason": "night" }))
        .await;
    assert_eq!(paused.status, 200, "{paused:?}");
    let since = &paused.body["paused"]["since"];
    assert_eq!(
        paused.body["paused"],
        json!({ "by": "admin", "reason": "night", "since": since })
    );
    let again = api.post("/v1/services/test/pause", json!({})).await;
    assert_eq!(again.body["paused"], paused.body["paused"], "it stays as it is");
    let call = json!({ "http": { "service": "test", "method": "POST", "path": "/things" } });
    let saga = api
        .saga(json!([{ "name": "caller", "component": "scripted", "params": { "run": [call] } }]))
        .await;
    let held = api.get(&format!("/v1/sagas/{saga}")).await;
    assert!(!held.body["paused"].is_null(), "{held:?}");
    let resumed = api.post("/v1/services/test/resume", json!({})).await;
    assert_eq!((resumed.status, &resumed.body["paused"]), (200, &Value::Null));
    assert_eq!(api.rest(&saga).await["status"], "completed");
    let resumed = api.post("/v1/services/test/resume", json!({})).await;
    assert_eq!(resumed.status, 200, "twice changes nothing");
}

#[test]
fn services_are_listed_paused_and_resumed_by_command() {
    let folder = tempfile::tempdir().unwrap();
    let services = folder.path().join("services.toml");
    let toml = "[services.cloud]\nbase_url = \"http://127.0.0.1:1\"\nper_minute = 10\nper_hour = 100\n";
    std::fs::write(&services, toml).unwrap();
    let host = Host::serve_with(
        &folder.path().join("data"),
        ["--services", services.to_str().unwrap()],
    );
    let listed = text(&host.run(["service", "list"]).stdout);
    assert!(
        listed.contains("http://127.0.0.1:1") && listed.contains("10/10"),
        "{listed}"
    );
    let paused = host.run(["service", "pause", "cloud", "--reason", "night"]);
    assert_eq!(
        text(&paused.stdout),
        "service cloud is paused\n  next: arcadia service resume cloud\n"
    );
    let listed = text(&host.run(["service", "list"]).stdout);
    assert!(listed.contains("by admin: night"), "{listed}");
    let resumed = host.json(["service", "resume", "cloud"]);
    assert!(resumed["paused"].is_null(), "{resumed}");
    let unknown = host.run(["service", "pause", "nobody"]);
    assert_eq!(exit_code(&unknown), 1);
    assert!(
        text(&unknown.stderr).contains("no service"),
        "{}",
        text(&unknown.stderr)
    );
}
