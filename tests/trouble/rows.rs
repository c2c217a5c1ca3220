//! Rows that make no sense.

use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    Base, Stage,
    database::Database,
    sagas::{provision, sleeper},
};
use crate::support::{disk::Disk, host::Host};

/// What a disk or a hasty hand makes of one saga's rows: what it is, the statement, and the one that puts it right again.
const DAMAGES: [(&str, &str, &str); 8] = [
    (
        "a step's state that is no JSON",
        "update saga_step_results set saved = '{\"x\":' where saga_id = '{saga}' and step = 1",
        "update saga_step_results set saved = '{\"x\":1}' where saga_id = '{saga}' and step = 1",
    ),
    (
        "a step's output that is no JSON",
        "update saga_step_results set output = 'first' where saga_id = '{saga}' and step = 0",
        "update saga_step_results set output = '{\"first\":true}' where saga_id = '{saga}' and step = 0",
    ),
    (
        "a step in an unknown state",
        "update saga_step_results set state = 'dancing' where saga_id = '{saga}' and step = 1",
        "update saga_step_results set state = 'running' where saga_id = '{saga}' and step = 1",
    ),
    (
        "an unknown status",
        "update saga_runs set status = 'asleep' where id = '{saga}'",
        "update saga_runs set status = 'running' where id = '{saga}'",
    ),
    (
        "inputs that are no JSON",
        "update saga_runs set inputs = '{' where id = '{saga}'",
        "update saga_runs set inputs = '{}' where id = '{saga}'",
    ),
    (
        "a value that is no JSON",
        "update saga_context set value = '[1' where saga_id = '{saga}' and key = 'a'",
        "update saga_context set value = '[1]' where saga_id = '{saga}' and key = 'a'",
    ),
    (
        "a plan that is missing",
        "update saga_runs set plan_digest = 'gone-' || plan_digest where id = '{saga}'",
        "update saga_runs set plan_digest = substr(plan_digest, 6) where id = '{saga}'",
    ),
    (
        "a plan that is no JSON",
        "update saga_plans set body = body || '}' where digest = (select plan_digest from saga_runs where id = '{saga}')",
        "update saga_plans set body = substr(body, 1, length(body) - 1)
         where digest = (select plan_digest from saga_runs where id = '{saga}')",
    ),
];

/// Rows are damaged, and put right, while no host runs.
trait Edited: Base {
    /// For these sagas, one row for each.
    async fn edit(&self, host: &Host, edits: &[(&str, &str)]);
}

impl Edited for Disk {
    async fn edit(&self, host: &Host, edits: &[(&str, &str)]) {
        let options = SqliteConnectOptions::new()
            .filename(host.database())
            .foreign_keys(false);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        for (saga, statement) in edits {
            let statement = statement.replace("{saga}", saga);
            let edited = sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
                .execute(&mut connection)
                .await
                .unwrap();
            assert_eq!(edited.rows_affected(), 1, "{statement}");
        }
        connection.close().await.unwrap();
    }
}

impl Edited for Database {
    async fn edit(&self, _: &Host, edits: &[(&str, &str)]) {
        for (saga, statement) in edits {
            let statement = statement.replace("{saga}", saga);
            let edited = self.sql(&format!(
                "set session_replication_role = replica; with edited as ({statement} returning 1) select count(*) from edited"
            ));
            assert_eq!(edited, "1", "{statement}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_rows_make_no_sense_stands_still_and_says_so_and_all_others_go_on() {
    rows_that_make_no_sense(Stage::set().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_too_a_saga_whose_rows_make_no_sense_stands_still_and_says_so_and_all_others_go_on() {
    let Some(database) = Database::new() else { return };
    rows_that_make_no_sense(Stage::on(database).await).await;
}

async fn rows_that_make_no_sense(mut stage: Stage<impl Edited>) {
    let mut damaged = Vec::new();
    for number in 0..DAMAGES.len() as u64 {
        let (request, end) = sleeper(3_000 + number);
        damaged.push(stage.accept((request, end)).await);
    }
    for number in 0..3 {
        stage.accept(provision(number)).await;
        stage.accept(sleeper(1_000)).await;
    }
    // Asleep in their second step.
    for saga in &damaged {
        loop {
            let steps = stage.host.get(&format!("/v1/sagas/{saga}/steps")).await;
            if steps["items"][1]["run"]["polls"]
                .as_u64()
                .is_some_and(|polls| polls >= 1)
            {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    stage.host.kill();
    let pairs = |which: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
        let statements = DAMAGES.iter().map(which);
        damaged
            .iter()
            .map(String::as_str)
            .zip(statements)
            .collect::<Vec<_>>()
    };
    stage
        .base
        .edit(&stage.host, &pairs(|(_, damage, _)| damage))
        .await;
    stage.host.restart().await;
    let sound: Vec<_> = stage
        .acknowledged
        .iter()
        .filter(|(saga, _)| !damaged.contains(saga))
        .collect();
    for (saga, end) in sound {
        assert_eq!(
            stage.host.rest_of(saga).await,
            *end,
            "{saga}\n{}",
            stage.host.log()
        );
    }
    stage.check_cloud("beside unreadable sagas").await;
    for (saga, (damage, _, _)) in damaged.iter().zip(DAMAGES) {
        told(&stage, saga, damage).await;
    }
    // Listings have all that can be read.
    let listed = stage.host.get("/v1/sagas?limit=3").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 3, "{listed}");
    assert!(listed["next_cursor"].is_string(), "{listed}");
    let listed = stage.host.get("/v1/sagas?limit=200").await;
    // Two rows of sagas themselves are damaged: the status and the inputs.
    assert_eq!(
        listed["items"].as_array().unwrap().len(),
        stage.acknowledged.len() - 2,
        "{listed}"
    );

    stage.host.kill();
    stage
        .base
        .edit(&stage.host, &pairs(|(_, _, repair)| repair))
        .await;
    stage.host.restart().await;
    stage.check("rows put right").await;
    let findings = stage.host.get("/v1/findings").await;
    assert_eq!(findings["items"], json!([]));
}

/// A line in the log, a finding that says what to do, and answers that are neither internal nor invented.
async fn told(stage: &Stage<impl Base>, saga: &str, damage: &str) {
    let path = format!("/v1/findings?saga={saga}");
    let mut finding = json!(null);
    for _ in 0..1_500 {
        finding = stage.host.get(&path).await["items"][0].clone();
        if !finding.is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(
        finding["code"],
        "saga-unreadable",
        "{damage}\n{}",
        stage.host.log()
    );
    let message = finding["message"].as_str().unwrap();
    assert!(message.contains(saga), "{damage}: {message}");
    let advice = finding["advice"].as_str().unwrap();
    assert!(
        advice.contains("backup") && advice.contains("sqlite3"),
        "{damage}: {advice}"
    );
    let log = stage.host.log();
    let line = log
        .lines()
        .find(|line| line.contains(saga) && line.contains("it stands still"));
    assert!(
        line.is_some_and(|line| line.contains("ERROR")),
        "{damage}: {line:?}"
    );

    let because = Some(json!({ "reason": damage }));
    let verb = stage
        .host
        .send(Method::POST, &format!("/v1/sagas/{saga}/cancel"), because)
        .await;
    let Some((500, body)) = verb else {
        panic!("{damage}: {verb:?}");
    };
    assert_eq!(body["code"], "unreadable", "{damage}");
    assert!(
        body["detail"].as_str().unwrap().contains(saga),
        "{damage}: {body}"
    );
    for path in ["", "/steps", "/events", "/context", "/requests", "/logs"] {
        let shown = stage
            .host
            .send(Method::GET, &format!("/v1/sagas/{saga}{path}"), None)
            .await;
        match shown {
            Some((200, _)) => {}
            Some((500, body)) => assert_eq!(body["code"], "unreadable", "{damage}: {path}"),
            other => panic!("{damage}: {path}: {other:?}"),
        }
    }
}
