//! The provider says 429: nobody asks again before the time that it named, and nothing fails for it.

use std::time::Duration;

use arcadia::{
    saga::Status,
    simulator::{AnswerFault, BodyForm, FaultKind, Point},
};
use serde_json::json;

use super::{Case, Ground, Posts, Seen, all_of, limited, post, wish};

fn told_to_wait(retry_after: Option<&str>) -> FaultKind {
    FaultKind::Answer(AnswerFault {
        point: Point::BeforeEffect,
        status: Some(429),
        body: BodyForm::Proper,
        message: None,
        retry_after: retry_after.map(str::to_owned),
    })
}

/// F8: the time in seconds, and as a date.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_told_to_wait_goes_out_again_when_the_time_is_over() {
    let ground = Ground::new().await;
    for (name, dated) in [("in-seconds", false), ("by-date", true)] {
        let until = jiff::Timestamp::now() + Duration::from_secs(3);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&until)
            .unwrap();
        let retry_after = if dated { date.as_str() } else { "2" };
        ground
            .set_faults(name, &[limited(post(), 1, told_to_wait(Some(retry_after)))])
            .await;
        let saga = ground
            .define("provision_droplet", wish(name), ("", &json!({})))
            .await;
        let case = Case::new(name, vec![], Seen::completed().creates(2, 1));
        all_of([async { case.check(&ground.seen(name, saga).await) }]).await;
        let posts = ground.journal(name, "POST").await;
        let [refused, sent] = posts.as_slice() else {
            panic!("{name}: {posts:?}")
        };
        let waited_ms = sent.at_ms - refused.ended_ms.unwrap();
        assert!(waited_ms >= 1_900 || dated, "{name}: {waited_ms} ms");
        let second_ms = u64::try_from(until.as_second()).unwrap() * 1_000;
        assert!(sent.at_ms + 50 >= second_ms || !dated, "{name}: too early");
    }
}

/// F8: an absurd time, and none at all. Both are waited for, within bounds, without a storm of requests; a cancel meanwhile is
/// heard at once, and needs no request.
#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_or_missing_time_pauses_everything_and_a_cancel_still_works() {
    let wait = async |name: &'static str, retry_after: Option<&'static str>| {
        let ground = Ground::new().await;
        ground
            .set_faults(name, &[limited(post(), 1_000, told_to_wait(retry_after))])
            .await;
        let saga = ground
            .define("provision_droplet", wish(name), ("", &json!({})))
            .await;
        ground
            .until("the refused create", || async {
                let posts = ground.journal(name, "POST").await;
                posts.iter().any(|entry| entry.ended_ms.is_some()).then_some(())
            })
            .await;
        let before = ground.stand.control.journal().await.len();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(
            ground.stand.control.journal().await.len(),
            before,
            "{name}: a storm"
        );
        ground.cancel(saga).await;
        let end = Seen {
            status: Status::Cancelled,
            code: None,
            creates: Posts {
                sent: 1,
                effective: 0,
            },
            ..Seen::undone("")
        };
        let ended = Case::new(name, vec![], end).check(&ground.seen(name, saga).await);
        assert_eq!(
            ground.stand.control.journal().await.len(),
            before,
            "{name}: asked although paused"
        );
        ended
    };
    all_of([wait("absurd", Some("1000000000")), wait("missing", None)]).await;
}
