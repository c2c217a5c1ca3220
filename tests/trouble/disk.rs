//! Disks that fail under a host with sagas in flight.

use std::os::unix::process::ExitStatusExt as _;

use reqwest::Method;
use serde_json::json;

use super::{
    Stage,
    sagas::{provision, sleeper},
};
use crate::{
    cli_binary::{arcadia, exit_code, text},
    support::disk::Trouble,
};

const SIGABRT: i32 = 6;

/// Nothing can be written for a while: nothing is accepted, nothing acknowledged is lost, and sagas go on by themselves.
async fn a_disk_that_takes_nothing_for_a_while(trouble: Trouble) {
    let case = format!("{trouble:?}");
    let mut stage = Stage::set().await;
    let asleep = stage.accept(sleeper(600_000)).await;
    stage.load().await;
    stage.base.suffer(trouble);
    stage.base.wait_met().await;
    for number in 0..5 {
        let (request, _) = provision(100 + number);
        stage
            .refused(Method::POST, "/v1/sagas", Some(request), "store-unavailable")
            .await;
    }
    let reason = json!({ "reason": case });
    for verb in ["cancel", "pause"] {
        let path = format!("/v1/sagas/{asleep}/{verb}");
        stage
            .refused(Method::POST, &path, Some(reason.clone()), "store-unavailable")
            .await;
    }
    let all = Some(json!({ "reason": case }));
    stage
        .refused(Method::POST, "/v1/sagas/pause", all, "store-unavailable")
        .await;
    let token = json!({ "name": "late", "scope": "read" });
    stage
        .refused(Method::POST, "/v1/tokens", Some(token), "store-unavailable")
        .await;
    stage.refused(Method::GET, "/readyz", None, "not-ready").await;
    // What is there can be looked at all the same.
    for path in [
        "/healthz",
        "/v1/sagas",
        &format!("/v1/sagas/{asleep}"),
        "/v1/findings",
        "/v1/hosts",
    ] {
        stage.host.get(path).await;
    }
    stage.base.recover();
    stage.wait_ready().await;
    let answer = stage
        .host
        .send(Method::POST, &format!("/v1/sagas/{asleep}/cancel"), Some(reason))
        .await;
    assert!(matches!(answer, Some((200 | 202, _))), "{case}: {answer:?}");
    stage.acknowledged.insert(asleep, "cancelled");
    stage.accept(provision(200)).await;
    stage.check(&case).await;
    let findings = stage.host.get("/v1/findings").await;
    assert_eq!(findings["items"], json!([]), "{case}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_accepted_and_sagas_go_on_once_there_is_room() {
    a_disk_that_takes_nothing_for_a_while(Trouble::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_that_became_read_only_nothing_is_accepted_and_sagas_go_on_once_it_can_be_written() {
    a_disk_that_takes_nothing_for_a_while(Trouble::ReadOnly).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_nothing_to_do_is_ready_again_by_itself_after_a_full_disk() {
    let stage = Stage::set().await;
    stage.base.suffer(Trouble::Full);
    let (request, _) = sleeper(1);
    stage
        .refused(Method::POST, "/v1/sagas", Some(request), "store-unavailable")
        .await;
    stage.refused(Method::GET, "/readyz", None, "not-ready").await;
    stage.base.recover();
    stage.wait_ready().await;
    stage.check("idle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_ends_the_process_and_what_was_acknowledged_is_there() {
    let mut stage = Stage::set().await;
    stage.load().await;
    let mut suffering = false;
    // Until nobody answers any more: what is answered 202 is there afterwards, whenever it was.
    for number in 0.. {
        if number == 5 {
            stage.base.suffer(Trouble::Lost);
            suffering = true;
        }
        let (request, end) = sleeper(number);
        match stage.host.send(Method::POST, "/v1/sagas", Some(request)).await {
            Some((202, body)) if !suffering || stage.base.met() == 0 => {
                let saga = body["id"].as_str().unwrap().to_owned();
                stage.acknowledged.insert(saga, end);
            }
            None => break,
            other => panic!("{other:?}\n{}", stage.host.log()),
        }
    }
    let status = stage.host.ended().await;
    let log = stage.host.log();
    assert_eq!(status.signal(), Some(SIGABRT), "{status}\n{log}");
    assert!(
        log.contains("could not be made durable: the process ends, start it again"),
        "{log}"
    );
    stage.base.recover();
    stage.host.restart().await;
    stage.check("a failed fsync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_of_whatever_is_written_ends_the_process_before_it_is_answered() {
    let asked = [
        (Method::POST, "/v1/sagas", sleeper(1).0),
        (
            Method::POST,
            "/v1/tokens",
            json!({ "name": "other", "scope": "read" }),
        ),
        (Method::POST, "/v1/sagas/pause", json!({ "reason": "a test" })),
    ];
    for (method, path, body) in asked {
        let mut stage = Stage::set().await;
        stage.base.suffer(Trouble::Lost);
        let answer = stage.host.send(method.clone(), path, Some(body.clone())).await;
        assert_eq!(answer, None, "{method} {path}");
        let status = stage.host.ended().await;
        assert_eq!(
            status.signal(),
            Some(SIGABRT),
            "{path}: {status}\n{}",
            stage.host.log()
        );
        stage.base.recover();
        stage.host.restart().await;
        let answer = stage.host.send(method.clone(), path, Some(body)).await;
        assert!(
            matches!(answer, Some((200..=202, _))),
            "{method} {path}: {answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_can_not_be_read_is_told_and_nothing_acknowledged_is_lost() {
    let mut stage = Stage::set().await;
    stage.load().await;
    // With nothing of the file in memory.
    stage.host.restart().await;
    stage.base.suffer(Trouble::Broken);
    stage
        .refused(Method::GET, "/v1/sagas", None, "store-unavailable")
        .await;
    stage.base.recover();
    if stage.host.send(Method::GET, "/healthz", None).await.is_none() {
        stage.host.restart().await;
    }
    stage.check("unreadable for a while").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_on_the_same_file_is_refused_and_the_first_goes_on() {
    let mut stage = Stage::set().await;
    stage.load().await;
    let second = arcadia()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(stage.host.database().parent().unwrap())
        .output()
        .unwrap();
    let said = text(&second.stderr);
    assert_eq!(exit_code(&second), 1, "{said}");
    let file = stage.host.database();
    let told = format!(
        "another host has the database {} open; stop it first",
        file.display()
    );
    assert!(said.contains(&told), "{said}");
    stage.check("a second host").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_on_a_disk_that_takes_nothing_does_not_start_and_says_why() {
    let cases = [
        (Trouble::ReadOnly, "readonly database", "its file system writable"),
        (Trouble::Full, "disk I/O error", "make room"),
    ];
    for (trouble, reason, advice) in cases {
        let mut stage = Stage::set().await;
        stage.load().await;
        stage.host.kill();
        stage.base.suffer(trouble);
        drop(stage.host.spawn());
        let status = stage.host.ended().await;
        let log = stage.host.log();
        assert_eq!(status.code(), Some(1), "{status}\n{log}");
        let said = log.lines().last().unwrap_or_default();
        for part in [
            "can't open the database",
            "arcadia.db can't be written",
            reason,
            advice,
        ] {
            assert!(said.contains(part), "{trouble:?}: {said}");
        }
        stage.base.recover();
        stage.host.restart().await;
        stage.check(&format!("started on {trouble:?}")).await;
    }
}
