//! The simulator's faults in whether and how it answers, each seen by a client.

use std::{error::Error, io, time::Duration};

use arcadia::simulator::{AnswerFault, BodyForm, FaultKind, Lag, Matcher, Outcome, Point};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    provider::{Bench, wish},
    simulator::requests,
};

const CREATE: &str = "/v2/droplets";

fn creates() -> Matcher {
    requests("POST", CREATE)
}

fn answer(point: Point, status: u16, body: BodyForm) -> FaultKind {
    FaultKind::Answer(AnswerFault {
        point,
        status: Some(status),
        body,
        message: None,
        retry_after: None,
    })
}

fn is_reset(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionReset) {
            return true;
        }
        source = cause.source();
    }
    false
}

#[tokio::test]
async fn f1_f4_a_reset_connection_leaves_a_droplet_or_none_as_the_point_says() {
    for (point, left) in [(Point::AfterEffect, 1), (Point::BeforeEffect, 0)] {
        let bench = Bench::new().await;
        bench
            .control
            .fault_once(creates(), FaultKind::Reset { point })
            .await;
        let lost = bench
            .cloud
            .send(Method::POST, CREATE, Some(&wish("web-1", "a")))
            .await;
        let error = lost.expect_err("no answer");
        assert!(is_reset(&error), "{error:?}");
        assert_eq!(bench.control.live_droplet_ids().await.len(), left);
        assert_eq!(bench.cloud.ids_by_tag("a").await.len(), left);
        let entry = &bench.control.journal_of("POST", "a").await[0];
        assert_eq!((entry.effects.len(), entry.outcome), (left, Outcome::Dropped));
        bench.cloud.create("web-2", "b").await;
    }
}

#[tokio::test]
async fn a_closed_connection_is_no_reset() {
    let bench = Bench::new().await;
    let close = FaultKind::Close {
        point: Point::AfterEffect,
    };
    bench.control.fault_once(creates(), close).await;
    let lost = bench
        .cloud
        .send(Method::POST, CREATE, Some(&wish("web-1", "a")))
        .await;
    assert!(!is_reset(&lost.expect_err("no answer")));
    assert_eq!(bench.control.droplet_count().await.live, 1);
}

#[tokio::test]
async fn f2_a_slow_answer_comes_after_the_clients_patience_and_the_effect_stays() {
    let bench = Bench::new().await;
    let slow = FaultKind::Slow {
        point: Point::AfterEffect,
        delay_ms: 60_000,
    };
    bench.control.fault_once(creates(), slow).await;
    let body = wish("web-1", "a");
    let answer = bench.cloud.send(Method::POST, CREATE, Some(&body));
    assert!(
        tokio::time::timeout(Duration::from_millis(200), answer)
            .await
            .is_err()
    );
    assert_eq!(bench.cloud.ids_by_tag("a").await.len(), 1);
}

#[tokio::test]
async fn f3_an_unreadable_answer_hides_a_droplet_that_is_there() {
    for (status, form) in [
        (500, BodyForm::Proper),
        (502, BodyForm::Html),
        (503, BodyForm::Proper),
        (504, BodyForm::Empty),
        (202, BodyForm::Html),
        (202, BodyForm::Empty),
        (202, BodyForm::Truncated),
    ] {
        let bench = Bench::new().await;
        bench
            .control
            .fault_once(creates(), answer(Point::AfterEffect, status, form))
            .await;
        let body = wish("web-1", "a");
        let got = bench
            .cloud
            .send(Method::POST, CREATE, Some(&body))
            .await
            .expect("an answer");
        assert_eq!(got.status().as_u16(), status);
        let text = got.text().await.expect("a whole body");
        let read: Result<Value, _> = serde_json::from_str(&text);
        assert!(read.is_err() || read.is_ok_and(|body| body.get("droplet").is_none()));
        assert_eq!(bench.control.droplet_count().await.live, 1);
    }
}

#[tokio::test]
async fn f3_a_body_can_break_off_in_the_middle() {
    let bench = Bench::new().await;
    bench
        .control
        .fault_once(creates(), answer(Point::AfterEffect, 202, BodyForm::CutOff))
        .await;
    let body = wish("web-1", "a");
    let got = bench
        .cloud
        .send(Method::POST, CREATE, Some(&body))
        .await
        .expect("a head");
    assert_eq!(got.status(), 202);
    assert!(got.bytes().await.is_err());
}

#[tokio::test]
async fn f4_a_500_before_the_effect_leaves_nothing() {
    for status in [500, 503] {
        let bench = Bench::new().await;
        let fails = answer(Point::BeforeEffect, status, BodyForm::Proper);
        bench.control.fault_once(creates(), fails).await;
        let (got, body) = bench
            .cloud
            .json(Method::POST, CREATE, Some(&wish("web-1", "a")))
            .await;
        assert_eq!((got, body["id"].is_string()), (status, true));
        assert_eq!(bench.control.droplet_count().await.ever, 0);
        assert!(bench.control.journal_of("POST", "a").await[0].effects.is_empty());
    }
}

/// By tag, by name, by id and in the plain listing, each for itself.
#[tokio::test]
async fn f5_each_way_of_looking_lags_for_itself() {
    for (lag, seen) in [
        (json!({"tag_ms": 500}), [0, 1, 1, 1]),
        (json!({"name_ms": 5_000}), [1, 0, 1, 1]),
        (json!({"list_ms": 60_000}), [1, 1, 0, 1]),
        (json!({"get_ms": 60_000}), [1, 1, 1, 0]),
    ] {
        let bench = Bench::new().await;
        let fault = json!({"match": {"method": "POST"}, "fault": {"kind": "lag"}});
        let mut fault = fault;
        fault["fault"]
            .as_object_mut()
            .expect("an object")
            .extend(lag.as_object().expect("an object").clone());
        let fault = serde_json::from_value(fault).expect("a fault");
        bench.control.add_fault(fault).await;
        let id = bench.cloud.create("web-1", "a").await;
        let looks = async || {
            let mut totals = Vec::new();
            for query in ["?tag_name=a", "?name=web-1", ""] {
                let body = bench.cloud.get(&format!("/v2/droplets{query}")).await;
                totals.push(body["meta"]["total"].as_u64().expect("a total"));
            }
            let path = format!("/v2/droplets/{id}");
            let status = bench.cloud.status(Method::GET, &path, None).await;
            totals.push(u64::from(status == 200));
            totals
        };
        let lag_ms = lag.as_object().and_then(|lag| lag.values().next()?.as_u64());
        bench.control.advance(lag_ms.expect("a lag") - 1).await;
        assert_eq!(looks().await, seen, "{lag}");
        bench.control.advance(1).await;
        assert_eq!(looks().await, [1, 1, 1, 1], "{lag}");
    }
}

#[tokio::test]
async fn faults_are_chosen_by_tag_by_number_and_by_a_seeded_chance() {
    let hits = async |fault: Value, tags: &[&str]| {
        let bench = Bench::new().await;
        let mut fault = fault;
        fault["fault"] = json!({"kind": "answer", "point": "before-effect", "status": 503});
        let fault = serde_json::from_value(fault).expect("a fault");
        bench.control.add_fault(fault).await;
        let mut hits = Vec::new();
        for tag in tags {
            let body = wish("web-1", tag);
            hits.push(bench.cloud.status(Method::POST, CREATE, Some(&body)).await == 503);
        }
        hits
    };
    let tags = ["a", "b", "A", "a"];
    let by_tag = json!({"match": {"method": "POST", "path": "/v2/droplets", "tag": "a"}});
    assert_eq!(hits(by_tag, &tags).await, [true, false, true, true]);
    let second = json!({"match": {"tag": "a"}, "nth": 2});
    assert_eq!(hits(second, &tags).await, [false, false, true, false]);
    let chance = || json!({"probability": 0.5});
    let (first, again) = (hits(chance(), &["a"; 40]).await, hits(chance(), &["a"; 40]).await);
    assert_eq!(first, again, "the seed decides");
    let count = first.iter().filter(|hit| **hit).count();
    assert!((8..=32).contains(&count), "{count} of 40");
}

#[tokio::test]
async fn f5_a_lagging_list_shows_what_was_made_only_later() {
    let bench = Bench::new().await;
    let reset = FaultKind::Reset {
        point: Point::AfterEffect,
    };
    bench.control.fault_once(creates(), reset).await;
    bench
        .control
        .fault_once(creates(), FaultKind::Lag(Lag::everywhere(5_000)))
        .await;
    let lost = bench
        .cloud
        .send(Method::POST, CREATE, Some(&wish("web-1", "a")))
        .await;
    lost.expect_err("no answer");
    let id = bench
        .control
        .live_droplet_ids()
        .await
        .pop_first()
        .expect("a droplet");
    let seen = || async {
        let by_name = bench.cloud.get("/v2/droplets?name=web-1").await["meta"]["total"].clone();
        let by_id = bench
            .cloud
            .status(Method::GET, &format!("/v2/droplets/{id}"), None)
            .await;
        (bench.cloud.ids_by_tag("a").await.len(), by_name, by_id)
    };
    bench.control.advance(4_999).await;
    assert_eq!(seen().await, (0, json!(0), 404));
    bench.control.advance(1).await;
    assert_eq!(seen().await, (1, json!(1), 200));
}

#[tokio::test]
async fn f6_a_late_droplet_appears_long_after_the_reset_and_counts_for_its_request() {
    let bench = Bench::new().await;
    bench
        .control
        .fault_once(creates(), FaultKind::Late { after_ms: 3_600_000 })
        .await;
    let lost = bench
        .cloud
        .send(Method::POST, CREATE, Some(&wish("web-1", "a")))
        .await;
    assert!(is_reset(&lost.expect_err("no answer")));
    bench.control.advance(3_599_999).await;
    assert_eq!(bench.control.droplet_count().await.ever, 0);
    bench.control.advance(1).await;
    assert_eq!(bench.cloud.ids_by_tag("a").await.len(), 1);
    assert_eq!(bench.control.journal_of("POST", "a").await[0].effects.len(), 1);
}

#[tokio::test]
async fn f8_a_429_says_retry_after_in_any_words_or_not_at_all() {
    let bench = Bench::new().await;
    for words in [
        Some("7"),
        Some("Wed, 21 Oct 2026 07:28:00 GMT"),
        Some("1000000000"),
        None,
    ] {
        let kind = FaultKind::Answer(AnswerFault {
            point: Point::BeforeEffect,
            status: Some(429),
            body: BodyForm::Proper,
            message: None,
            retry_after: words.map(String::from),
        });
        bench.control.fault_once(Matcher::default(), kind).await;
        let got = bench
            .cloud
            .send(Method::GET, "/v2/account", None)
            .await
            .expect("an answer");
        assert_eq!(got.status(), 429);
        let header = got
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok());
        assert_eq!(header, words);
        assert_eq!(got.headers()["ratelimit-remaining"], "0");
    }
}
