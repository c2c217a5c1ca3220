//! Another version of a component for sagas in flight, through the whole engine with real components; and many stuck sagas
//! begun anew at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arcadia::{
    engine::{Repin, RepinProblem, Repinned, SagaFilter, Verb, VerbError, catalog::Misfit},
    saga::{Answer, AnswerVerdict, ComponentRef, IllegalEvent, Intent, Phase, SagaId, Status},
    simulator::Point,
    store::{Applied, Change, RecordIntent},
};
use serde_json::{Value, json};

use crate::{
    api_server::Api,
    support::{simulator::requests, stand::Stand},
    verbs::{ask, asked, fails, noop, open_findings, scripted},
};

const SCRIPTED: &[u8] = include_bytes!("../steps-wasm/examples/components/scripted.wasm");

/// `scripted` under another version, with something else in it; both of one length.
fn version(version: &str, changes: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = SCRIPTED.to_vec();
    let number = format!("\"version\": \"{version}\"");
    for (old, new) in [("\"version\": \"0.1.0\"", number.as_str())]
        .iter()
        .chain(changes)
    {
        assert_eq!(old.len(), new.len());
        let at: Vec<usize> = (0..bytes.len() - old.len())
            .filter(|&at| bytes[at..].starts_with(old.as_bytes()))
            .collect();
        assert!(!at.is_empty(), "{old} is not there");
        at.into_iter()
            .for_each(|at| bytes[at..at + old.len()].copy_from_slice(new.as_bytes()));
    }
    bytes
}

async fn push(stand: &Stand, bytes: Vec<u8>) -> ComponentRef {
    let catalog = stand.engine().catalog();
    let row = catalog
        .upload(Arc::from(bytes), None, "tester", false)
        .await
        .unwrap()
        .row;
    catalog
        .select(&format!("{}@sha256:{}", row.name, row.digest))
        .unwrap()
}

/// It calls what it doesn't know by another name.
async fn mended(stand: &Stand) -> ComponentRef {
    push(stand, version("0.2.0", &[("bad-script", "new-script")])).await
}

/// The undo of its first step is stuck at what 0.1.0 calls a bad script.
async fn stuck(stand: &Stand) -> SagaId {
    let steps = json!([
        scripted("a", json!([]), json!([{ "frobnicate": 1 }])),
        scripted("b", fails("broken"), json!([])),
    ]);
    let saga = stand.start(steps, json!({})).await;
    assert_eq!(stand.rest(saga).await.status, Status::NeedsAttention);
    saga
}

fn to(component: &ComponentRef) -> Repin {
    Repin {
        to: component.clone(),
        step: None,
        from_digest: None,
        dry_run: false,
    }
}

fn step(name: &str, component: &ComponentRef) -> Repin {
    Repin {
        step: Some(name.to_owned()),
        ..to(component)
    }
}

async fn repin(stand: &Stand, saga: SagaId, repin: Repin) -> Result<Repinned, VerbError> {
    stand.engine().repin(saga, repin, asked("a better one")).await
}

fn problems(repinned: &Repinned) -> Vec<(&str, Vec<RepinProblem>)> {
    let steps = repinned.steps.iter();
    steps
        .map(|step| (step.name.as_str(), step.problems.clone()))
        .collect()
}

async fn why_stuck(stand: &Stand, saga: SagaId) -> String {
    let findings = open_findings(stand, saga).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings[0].message.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_undo_is_retried_with_the_version_it_was_given() {
    let mut stand = Stand::new().await;
    let saga = stuck(&stand).await;
    assert!(why_stuck(&stand, saga).await.contains("bad-script"));
    let new = mended(&stand).await;
    let before = stand.engine().store().saga(saga).await.unwrap().unwrap();

    let dry = Repin {
        dry_run: true,
        ..to(&new)
    };
    let looked = repin(&stand, saga, dry).await.unwrap();
    assert_eq!((problems(&looked), looked.applied), (vec![("a", vec![])], false));
    let same = stand.engine().store().saga(saga).await.unwrap().unwrap();
    assert_eq!(
        (same.revision, &same.plan_digest),
        (before.revision, &before.plan_digest)
    );

    let done = repin(&stand, saga, to(&new)).await.unwrap();
    assert_eq!((problems(&done), done.applied), (vec![("a", vec![])], true));
    let row = stand.engine().store().saga(saga).await.unwrap().unwrap();
    assert_eq!(row.status, Status::NeedsAttention, "it restarts nothing");
    assert_ne!(row.plan_digest, before.plan_digest);
    let events = stand.engine().store().events(saga, 0, 1_000).await.unwrap();
    let event = events
        .iter()
        .find(|event| event.kind == "repin-requested")
        .unwrap();
    let detail = json!({ "version": "0.2.0", "digest": new.digest, "reason": "a better one" });
    assert_eq!(
        (event.actor.as_str(), event.step, event.detail.to_value()),
        ("tester", Some(0), detail)
    );
    let again = repin(&stand, saga, to(&new)).await.unwrap();
    assert_eq!((again.steps, again.applied), (vec![], false), "it has it already");

    stand.restart().await;
    ask(&stand, saga, Verb::Retry).await.unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::NeedsAttention);
    assert!(why_stuck(&stand, saga).await.contains("new-script"));
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_are_over_and_versions_that_promise_something_else_are_refused() {
    let stand = Stand::new().await;
    let asleep = json!([{ "again": { "after_ms": 600_000 } }]);
    let steps = json!([
        scripted("done", json!([]), json!([])),
        scripted("asleep", asleep, json!([])),
        scripted("later", json!([]), json!([])),
        noop("other"),
    ]);
    let saga = stand.start(steps, json!({})).await;
    let store = stand.engine().store().clone();
    until("the second step sleeps", async || {
        let steps = store.steps(saga).await.unwrap();
        steps.iter().any(|step| step.step == 1 && step.polls > 0)
    })
    .await;
    let new = mended(&stand).await;
    let over = repin(&stand, saga, step("done", &new)).await.unwrap();
    assert_eq!(problems(&over), [("done", vec![RepinProblem::StepOver])]);
    assert!(!over.applied);
    let other = repin(&stand, saga, step("other", &new)).await;
    assert!(
        matches!(other, Err(VerbError::OtherComponent { .. })),
        "{other:?}"
    );
    let nobody = repin(&stand, saga, step("nobody", &new)).await;
    assert!(matches!(nobody, Err(VerbError::UnknownStep { .. })), "{nobody:?}");

    let irreversible = [("\"irreversible\": false", "\"irreversible\": true ")];
    let irreversible = push(&stand, version("0.3.0", &irreversible)).await;
    let texts = push(
        &stand,
        version("0.4.0", &[("  \"type\": \"array\"", " \"type\": \"string\"")]),
    )
    .await;
    for (component, misfits) in [(&irreversible, 1), (&texts, 2)] {
        let refused = repin(&stand, saga, to(component)).await.unwrap();
        assert!(!refused.applied);
        let names: Vec<&str> = refused.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["asleep", "later"]);
        for step in &refused.steps {
            let expected = |problem: &RepinProblem| match problem {
                RepinProblem::Misfit(Misfit::Contract(_)) => *component == irreversible,
                RepinProblem::Misfit(Misfit::Params(_)) => *component == texts,
                _ => false,
            };
            assert!(step.problems.iter().all(expected), "{refused:?}");
            assert!(step.problems.len() >= misfits, "{refused:?}");
        }
    }
    stand
        .engine()
        .catalog()
        .retire(&new.digest, "tester")
        .await
        .unwrap();
    let retired = repin(&stand, saga, step("later", &new)).await.unwrap();
    assert!(
        matches!(
            retired.steps[0].problems[..],
            [RepinProblem::Misfit(Misfit::NotApproved(_))]
        ),
        "{retired:?}"
    );
    ask(&stand, saga, Verb::Cancel).await.unwrap();
    stand.rest(saga).await;
    let ended = repin(&stand, saga, to(&new)).await;
    assert!(
        matches!(ended, Err(VerbError::Refused(IllegalEvent::Ended))),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_a_request_on_its_way_keeps_its_component() {
    let stand = Stand::new().await;
    let run = json!([
        { "http": { "method": "GET", "path": "/v2/droplets", "save": "answer" } },
        { "again": { "after_ms": 600_000 } },
    ]);
    // Before a request is held: compiling may take longer than its guest waits.
    let new = mended(&stand).await;
    let hold = stand
        .control
        .hold(requests("GET", "/v2/droplets"), Point::BeforeEffect)
        .await;
    let steps = json!([scripted("it", run, json!([]))]);
    let saga = stand.start(steps, json!({})).await;
    stand.control.wait_held(hold).await;
    let called = repin(&stand, saga, to(&new)).await.unwrap();
    assert_eq!(problems(&called), [("it", vec![RepinProblem::CallInProgress])]);
    stand.control.release(hold).await;
    let store = stand.engine().store().clone();
    until("the step sleeps", async || {
        store.steps(saga).await.unwrap()[0].polls > 0
    })
    .await;

    // As a host leaves it that dies with the request on the wire.
    let fence = store.load(saga).await.unwrap().unwrap().fence;
    let intent = Intent {
        id: uuid::Uuid::from_u128(7),
        saga,
        step: 0,
        phase: Phase::Run,
        once_key: None,
        service: "digitalocean".to_owned(),
        identity: None,
        method: "POST".to_owned(),
        path: "/v2/droplets".to_owned(),
        request_hash: "00".to_owned(),
        redacted_body: None,
        at_ms: store.now_ms(),
    };
    let lost = Answer {
        intent: intent.id,
        verdict: AnswerVerdict::Lost,
        at_ms: store.now_ms(),
    };
    let record = Change::Intent(Box::new(RecordIntent { fence, intent }));
    let lost = Change::Answer(Box::new(lost));
    assert_eq!(
        store.commit(vec![record, lost]).await.unwrap(),
        [Applied::Done, Applied::Done]
    );
    let open = repin(&stand, saga, to(&new)).await.unwrap();
    assert_eq!(
        (problems(&open), open.applied),
        (vec![("it", vec![RepinProblem::OpenIntent])], false)
    );

    ask(&stand, saga, Verb::Cancel).await.unwrap();
    assert_eq!(stand.rest(saga).await.status, Status::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_saga_on_some_bytes_is_repinned_page_by_page_and_then_retried_by_code() {
    let stand = Stand::new().await;
    let (first, second) = (stuck(&stand).await, stuck(&stand).await);
    let ended = stand
        .start(json!([scripted("a", json!([]), json!([]))]), json!({}))
        .await;
    stand.rest(ended).await;
    let elsewhere = stand
        .start(
            json!([scripted("a", fails("broken"), fails("locked")), noop("b")]),
            json!({}),
        )
        .await;
    stand.rest(elsewhere).await;
    let engine = stand.engine();
    let old = engine.catalog().select("scripted").unwrap();
    let new = mended(&stand).await;
    let all = async |dry_run: bool, after: Option<SagaId>| {
        let why = asked("revoked");
        let all = engine
            .repin_all(&old.digest, new.clone(), after, dry_run, &why)
            .await
            .unwrap();
        assert_eq!(all.next, None);
        let sagas = all.sagas.into_iter();
        sagas
            .map(|(id, result)| (id, result.unwrap().applied))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        all(true, None).await,
        [(first, false), (second, false), (elsewhere, false)]
    );
    assert_eq!(
        all(true, Some(first)).await,
        [(second, false), (elsewhere, false)]
    );
    assert_eq!(
        all(false, None).await,
        [(first, true), (second, true), (elsewhere, true)]
    );
    assert_eq!(all(false, None).await, [], "none is left there");

    let retry = async |code: Option<&str>, why| {
        let all = engine
            .retry_all(SagaFilter::default(), code, None, why)
            .await
            .unwrap();
        assert!(all.next.is_none());
        let sagas = all.sagas.into_iter();
        sagas
            .map(|retried| (retried.row.id, retried.result.map(|result| result.is_ok())))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        retry(None, None).await,
        [(elsewhere, None), (second, None), (first, None)]
    );
    assert_eq!(retry(Some("nothing"), Some(asked("x"))).await, []);
    assert_eq!(
        retry(Some("bad-script"), Some(asked("mended"))).await,
        [(second, Some(true)), (first, Some(true))]
    );
    for saga in [first, second] {
        stand.rest(saga).await;
        assert!(why_stuck(&stand, saga).await.contains("new-script"));
    }
    let untouched = engine.store().events(elsewhere, 0, 1_000).await.unwrap();
    assert!(untouched.iter().all(|event| event.kind != "retry-requested"));
}

#[tokio::test]
async fn a_repin_over_http_says_what_would_change_and_what_speaks_against_it() {
    let api = Api::start().await;
    let old = api.engine.catalog().select("scripted").unwrap();
    let params = json!({ "run": [{ "again": { "after_ms": 600_000 } }] });
    let asleep = json!({ "name": "Asleep", "component": "scripted", "params": params });
    let first = json!({ "name": "first", "component": "scripted" });
    let saga = api.saga(json!([first, asleep])).await;
    api.asleep(&saga).await;
    for bytes in [
        version("0.2.0", &[]),
        version("0.3.0", &[("\"irreversible\": false", "\"irreversible\": true ")]),
        version("0.4.0", &[("  \"type\": \"array\"", " \"type\": \"string\"")]),
    ] {
        assert_eq!(api.upload("", bytes).await.status, 201);
    }
    let path = format!("/v1/sagas/{saga}/repin");
    let repin = async |to: &str, step: Option<&str>, dry_run: bool| {
        let body = json!({ "to": to, "step": step, "dry_run": dry_run, "reason": "because" });
        api.post(&path, body).await
    };
    for (to, step, code) in [
        ("scripted@0.2.0", Some("FIRST"), "step-over"),
        ("scripted@0.3.0", None, "other-contract"),
        ("scripted@0.4.0", Some("asleep"), "params-misfit"),
    ] {
        let dry = repin(to, step, true).await;
        assert_eq!(dry.status, 200, "{dry:?}");
        assert_eq!(dry.body["steps"][0]["problems"][0]["code"], code, "{dry:?}");
        assert_eq!(dry.body["applied"], false);
        let refused = repin(to, step, false).await;
        assert_eq!(
            (refused.status, refused.body["code"].as_str()),
            (409, Some(code)),
            "{refused:?}"
        );
    }
    let all = json!({ "from": format!("sha256:{}", old.digest), "to": "scripted@0.2.0", "dry_run": true });
    let would = api.post("/v1/sagas/repin", all.clone()).await;
    let item = &would.items()[0];
    assert_eq!((&item["id"], &item["applied"]), (&json!(saga), &json!(false)));
    assert_eq!(
        item["steps"].as_array().unwrap().len(),
        1,
        "what is over isn't meant: {item}"
    );
    assert_eq!(item["steps"][0]["from"]["version"], "0.1.0");
    let done = repin("scripted@0.2.0", None, false).await;
    assert_eq!(
        (done.status, &done.body["applied"]),
        (200, &json!(true)),
        "{done:?}"
    );
    let steps = api.get(&format!("/v1/sagas/{saga}/steps")).await;
    let versions: Vec<&Value> = steps
        .items()
        .iter()
        .map(|step| &step["component"]["version"])
        .collect();
    assert_eq!(versions, ["0.1.0", "0.2.0"]);
    assert_eq!(
        api.post("/v1/sagas/repin", all).await.body,
        json!({ "items": [], "next": null })
    );

    let stuck = json!([
        { "name": "a", "component": "scripted@0.1.0", "params": { "compensate": fails("locked") } },
        { "name": "b", "component": "scripted@0.1.0", "params": { "run": fails("broken") } },
    ]);
    let stuck = api.saga(stuck).await;
    assert_eq!(api.rest(&stuck).await["status"], "needs-attention");
    let would = api
        .post(
            "/v1/sagas/retry",
            json!({ "code": "locked", "kind": "test", "dry_run": true }),
        )
        .await;
    let expected = json!({
        "items": [{
            "id": stuck, "status": "needs-attention", "retried": false, "problem": null,
            "stuck": [{ "step": "a", "code": "locked", "message": "for good" }],
        }],
        "next_cursor": null,
    });
    assert_eq!((would.status, would.body), (200, expected));
    let other = json!({ "code": "locked", "definition": "strict", "reason": "mended" });
    assert!(api.post("/v1/sagas/retry", other).await.items().is_empty());
    let retried = api.post("/v1/sagas/retry", json!({ "reason": "mended" })).await;
    assert_eq!(
        (retried.items().len(), &retried.items()[0]["retried"]),
        (1, &json!(true)),
        "{retried:?}"
    );
}

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
