//! Another account behind a service: what a saga did in the first one is neither looked for nor undone in the second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arcadia::{
    engine::{Asked, FindingRow, Page, Verb},
    saga::{SagaId, Status},
    simulator::{FaultKind, Point, Rules},
    store::ResourceFilter,
};
use serde_json::{Value, json};

use crate::support::{
    simulator::{Control, requests},
    stand::Stand,
};

const FIRST: &str = "a7c1a2b0-5d2e-4b8c-9a51-0c3d5c1f7e01";
const SECOND: &str = "b7c1a2b0-5d2e-4b8c-9a51-0c3d5c1f7e02";

async fn stand() -> Stand {
    let rules = Rules {
        account_uuid: FIRST.to_owned(),
        activation_ms: 300,
        delete_ms: 100,
        ..Rules::default()
    };
    Stand::with(rules, |store| Arc::new(store)).await
}

/// Creates a droplet, then sleeps until somebody changes that.
fn create_then_sleep() -> Value {
    let quick = json!({ "poll_interval_ms": 100, "settle_ms": 1_500, "absence_recheck_ms": 100 });
    json!([
        { "name": "create", "component": "create-droplet", "params": quick },
        { "name": "sleep", "component": "scripted", "params": { "run": [{ "again": { "after_ms": 3_600_000 } }] } },
    ])
}

fn wish() -> Value {
    json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    })
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn findings(stand: &Stand, saga: SagaId, open_only: bool) -> Vec<FindingRow> {
    let page = Page {
        limit: 100,
        after: None,
    };
    stand
        .engine()
        .store()
        .findings(Some(saga), open_only, page)
        .await
        .unwrap()
}

async fn sleeps(stand: &Stand, saga: SagaId) {
    until("the second step sleeps", async || {
        let row = stand.engine().store().saga(saga).await.unwrap().unwrap();
        (row.steps_done == 1).then_some(())
    })
    .await;
}

async fn cancel(stand: &Stand, saga: SagaId) {
    let asked = Asked {
        actor: "tester".to_owned(),
        reason: None,
    };
    stand.engine().verb(saga, Verb::Cancel, asked).await.unwrap();
}

async fn held_by_service(stand: &Stand, saga: SagaId) -> bool {
    let row = stand.engine().store().saga(saga).await.unwrap().unwrap();
    row.paused
        .is_some_and(|paused| paused.as_str().contains("digitalocean"))
}

/// Requests that are no probe, so far.
async fn asked(control: &Control) -> usize {
    let entries = control.journal().await;
    entries.iter().filter(|entry| entry.path != "/v2/account").count()
}

async fn changed(stand: &Stand, saga: SagaId) -> FindingRow {
    until("the finding", async || {
        let mut open = findings(stand, saga, true).await;
        (open.len() == 1).then(|| open.remove(0))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_droplet_of_one_account_is_not_looked_for_in_another() {
    let mut stand = stand().await;
    let saga = stand.start(create_then_sleep(), wish()).await;
    sleeps(&stand, saga).await;
    let droplets = stand.control.live_droplet_ids().await;
    assert_eq!(droplets.len(), 1);

    stand.control.patch(json!({ "account_uuid": SECOND })).await;
    stand.restart().await;
    let before = asked(&stand.control).await;
    cancel(&stand, saga).await;
    let finding = changed(&stand, saga).await;
    assert_eq!(finding.code, "service-changed");
    let url = stand.simulator.api_url();
    for part in [
        "digitalocean",
        &format!("{url}#{FIRST}"),
        &format!("{url}#{SECOND}"),
    ] {
        assert!(
            finding.message.contains(part),
            "{part} is not in {}",
            finding.message
        );
    }
    // It waits with its clocks standing still: nothing has left, nobody has given up, and there is one finding. Another start
    // changes nothing about that.
    for restart in [false, true] {
        if restart {
            stand.restart().await;
        }
        until("it is held", async || {
            held_by_service(&stand, saga).await.then_some(())
        })
        .await;
        until("the account is known", async || {
            let status = stand.engine().service("digitalocean").unwrap();
            status.service.identity.map(drop)
        })
        .await;
        assert!(held_by_service(&stand, saga).await);
    }
    let row = stand.engine().store().saga(saga).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Compensating);
    assert_eq!(asked(&stand.control).await, before, "reads included");
    assert_eq!(stand.control.live_droplet_ids().await, droplets);
    assert_eq!(findings(&stand, saga, false).await.len(), 1);

    stand.control.patch(json!({ "account_uuid": FIRST })).await;
    stand.restart().await;
    assert_eq!(stand.rest(saga).await.status, Status::Cancelled);
    assert!(stand.control.live_droplet_ids().await.is_empty());
    assert_eq!(
        findings(&stand, saga, true).await,
        [],
        "resolved when a request passed"
    );
    assert_eq!(findings(&stand, saga, false).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_saga_uses_the_new_account_while_an_old_one_waits() {
    let mut stand = stand().await;
    let old = stand.start(create_then_sleep(), wish()).await;
    sleeps(&stand, old).await;
    stand.control.patch(json!({ "account_uuid": SECOND })).await;
    stand.restart().await;
    cancel(&stand, old).await;
    changed(&stand, old).await;
    let new = stand.define("provision_droplet", wish()).await;
    assert_eq!(stand.rest(new).await.status, Status::Completed);
    let filter = ResourceFilter::default();
    let page = Page {
        limit: 10,
        after: None,
    };
    let rows = stand.engine().store().resources(&filter, page).await.unwrap();
    let mut accounts: Vec<_> = rows
        .iter()
        .map(|row| (row.saga, row.resource.key.account.as_str()))
        .collect();
    accounts.sort();
    let mut expected = vec![(old, FIRST), (new, SECOND)];
    expected.sort();
    assert_eq!(accounts, expected);
}

/// Without a restart: a 401 pauses the service, and whoever resumes it takes the account that it then has.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_noticed_in_the_middle_of_a_run() {
    let stand = stand().await;
    let saga = stand.start(create_then_sleep(), wish()).await;
    sleeps(&stand, saga).await;
    let unauthorized = FaultKind::Answer(arcadia::simulator::AnswerFault {
        point: Point::BeforeEffect,
        status: Some(401),
        body: arcadia::simulator::BodyForm::Proper,
        message: None,
        retry_after: None,
    });
    stand
        .control
        .fault_once(requests("GET", "/v2/droplets**"), unauthorized)
        .await;
    stand.control.patch(json!({ "account_uuid": SECOND })).await;
    cancel(&stand, saga).await;
    until("the service is paused", async || {
        stand.engine().service("digitalocean").unwrap().paused.map(drop)
    })
    .await;
    let asked = Asked {
        actor: "tester".to_owned(),
        reason: None,
    };
    stand
        .engine()
        .resume_service("digitalocean", asked)
        .await
        .unwrap();
    let finding = changed(&stand, saga).await;
    assert_eq!(finding.code, "service-changed");
    assert_eq!(stand.control.live_droplet_ids().await.len(), 1);
}

/// A token that may not read its account: sagas run, and a wider one later finds their rows.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_becomes_readable_is_taken_to_be_the_same() {
    let mut stand = stand().await;
    let narrow = json!([{
        "token": "sim-token", "name": "narrow",
        "scopes": ["droplet:create", "droplet:read", "droplet:delete", "tag:read", "tag:create", "actions:read", "regions:read",
                   "sizes:read", "image:read", "ssh_key:read", "vpc:read"],
    }]);
    stand.control.patch(json!({ "tokens": narrow })).await;
    stand.restart().await;
    let undone = stand.start(create_then_sleep(), wish()).await;
    sleeps(&stand, undone).await;
    let kept = stand.define("provision_droplet", wish()).await;
    assert_eq!(stand.rest(kept).await.status, Status::Completed);
    let accounts = async |stand: &Stand| {
        let filter = ResourceFilter::default();
        let page = Page {
            limit: 10,
            after: None,
        };
        let rows = stand.engine().store().resources(&filter, page).await.unwrap();
        rows.into_iter()
            .map(|row| (row.resource.key.account, row.resource.key.provider_id))
            .collect::<Vec<_>>()
    };
    let rows = accounts(&stand).await;
    assert_eq!(rows.iter().filter(|(account, _)| account.is_empty()).count(), 2);

    let wide = json!([{ "token": "sim-token", "name": "wide" }]);
    stand.control.patch(json!({ "tokens": wide })).await;
    stand.restart().await;
    cancel(&stand, undone).await;
    assert_eq!(stand.rest(undone).await.status, Status::Cancelled);
    let live = accounts(&stand).await;
    assert_eq!(live.len(), 1, "its own row ended with it: {live:?}");
    let target = json!({ "droplet_provider_id": live[0].1 });
    let destroyed = stand.define("destroy_droplet", target).await;
    assert_eq!(stand.rest(destroyed).await.status, Status::Completed);
    assert_eq!(accounts(&stand).await, []);
    assert!(stand.control.live_droplet_ids().await.is_empty());
}
