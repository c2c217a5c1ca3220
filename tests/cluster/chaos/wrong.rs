//! Histories that are wrong, each in one way.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    history::{Arrived, Droplet, Event, History, Intent, Owner, SagaEnd, Sent},
    rules::{Rule, broken},
};

fn owner(host: &str, fence: i64) -> Owner {
    Owner {
        saga: "s".to_owned(),
        host: host.to_owned(),
        fence,
    }
}

fn event(id: i64) -> Event {
    Event {
        id,
        saga: "s".to_owned(),
        kind: format!("kind-{id}"),
    }
}

fn intent(id: &str, host: &str, fence: i64, at_ms: i64) -> Intent {
    Intent {
        id: id.to_owned(),
        saga: "s".to_owned(),
        step: 0,
        phase: "run".to_owned(),
        once_key: Some("create".to_owned()),
        host: host.to_owned(),
        at_ms,
        owner: host.to_owned(),
        fence,
        method: "POST".to_owned(),
        path: "/v2/droplets".to_owned(),
        body: json!({ "name": "web-1" }),
        state: "answered".to_owned(),
        status: Some(202),
    }
}

fn sent(host: &str, left_ms: i64) -> Sent {
    Sent {
        host: host.to_owned(),
        left_ms,
        method: "POST".to_owned(),
        path: "/v2/droplets".to_owned(),
        body: json!({ "name": "web-1" }),
        arrived: Some(Arrived {
            took_effect: true,
            status: Some(202),
        }),
    }
}

/// A droplet was asked for by `a`, which died; `b` went on with it.
fn right() -> History {
    History {
        hosts: [("a".to_owned(), Some(200)), ("b".to_owned(), None)].into(),
        owners: vec![owner("a", 1), owner("b", 2)],
        intents: vec![intent("1", "a", 1, 100)],
        events: vec![event(1), event(2), event(3)],
        followed: vec![event(1), event(2)],
        sent: vec![sent("a", 101)],
        from_nowhere: Vec::new(),
        sagas: [(
            "s".to_owned(),
            SagaEnd {
                status: "completed".to_owned(),
                runs: vec!["succeeded".to_owned()],
                tags: vec!["arcadia-r-1".to_owned()],
                is_told: false,
            },
        )]
        .into(),
        accepted: vec![("key".to_owned(), "s".to_owned())],
        droplets: vec![droplet(7)],
        snapshots: Vec::new(),
        inventory: BTreeSet::from([7]),
        said: [("web-1".to_owned(), 1)].into(),
        snapshots_said: 0,
    }
}

fn droplet(id: i64) -> Droplet {
    Droplet {
        id,
        name: "web-1".to_owned(),
        tags: vec!["arcadia-r-1".to_owned()],
    }
}

/// Of the one rule that is broken.
fn breaks(rule: Rule, wrong: impl FnOnce(&mut History)) {
    let mut history = right();
    wrong(&mut history);
    let found: BTreeSet<Rule> = broken(&history).into_iter().map(|broken| broken.rule).collect();
    assert_eq!(found, BTreeSet::from([rule]));
}

#[test]
fn a_right_history_breaks_no_rule() {
    assert_eq!(broken(&right()), []);
}

#[test]
fn a_fence_that_stays_or_skips_is_found() {
    breaks(Rule::FencesGrow, |history| history.owners[1].fence = 1);
    breaks(Rule::FencesGrow, |history| history.owners[1].fence = 3);
}

#[test]
fn events_that_go_or_come_in_between_are_found() {
    breaks(Rule::EventsStay, |history| drop(history.events.remove(1)));
    breaks(Rule::EventsStay, |history| drop(history.followed.remove(0)));
    breaks(Rule::EventsStay, |history| {
        history.events[0].kind = "other".to_owned()
    });
    breaks(Rule::EventsStay, |history| {
        history.followed.extend([event(3), event(4)])
    });
}

#[test]
fn a_strangers_intent_is_found() {
    breaks(Rule::IntentsAreTheOwners, |history| {
        history.intents[0].owner = "b".to_owned()
    });
}

#[test]
fn a_request_without_an_intent_before_it_is_found() {
    let again = |history: &mut History| {
        let mut again = sent("a", 102);
        again.arrived = None;
        history.sent.push(again);
    };
    breaks(Rule::IntentsComeFirst, again);
    breaks(Rule::IntentsComeFirst, |history| {
        history.from_nowhere.push("DELETE /".to_owned())
    });
    for wrong in [
        |intent: &mut Intent| intent.at_ms = 102,
        |intent: &mut Intent| intent.path = "/v2/tags".to_owned(),
        |intent: &mut Intent| intent.body = Value::Null,
        |intent: &mut Intent| intent.state = "unsent".to_owned(),
    ] {
        let mut history = right();
        wrong(&mut history.intents[0]);
        assert!(
            broken(&history)
                .iter()
                .any(|broken| broken.rule == Rule::IntentsComeFirst)
        );
    }
}

#[test]
fn a_lost_host_that_sends_is_found() {
    breaks(Rule::TheLostAreSilent, |history| {
        history.hosts.insert("a".to_owned(), Some(100));
    });
}

#[test]
fn a_request_under_an_old_fence_is_found() {
    breaks(Rule::OldFencesAreSilent, |history| {
        let mut newer = intent("2", "b", 2, 90);
        newer.once_key = None;
        history.intents.push(newer);
        history.sent.push(sent("b", 91));
    });
}

#[test]
fn an_answer_that_nobody_gave_is_found() {
    breaks(Rule::AnswersAreTrue, |history| {
        history.intents[0].status = Some(500)
    });
    breaks(Rule::AnswersAreTrue, |history| history.sent[0].arrived = None);
    breaks(Rule::AnswersAreTrue, |history| history.sent.clear());
}

#[test]
fn a_second_effect_under_one_key_is_found() {
    breaks(Rule::OnceIsOnce, |history| {
        history.intents.push(intent("2", "b", 2, 300));
        history.sent.push(sent("b", 301));
    });
}

#[test]
fn a_saga_that_was_accepted_and_is_gone_is_found() {
    breaks(Rule::AcceptedIsKept, |history| {
        history.accepted.push(("other".to_owned(), "t".to_owned()));
    });
}

#[test]
fn a_completed_saga_with_a_step_undone_is_found() {
    breaks(Rule::CompletedIsDone, |history| {
        history.sagas.get_mut("s").unwrap().runs[0] = "failed".to_owned();
    });
}

#[test]
fn what_is_left_of_an_undone_saga_or_in_doubt_and_not_told_is_found() {
    for status in ["compensated", "cancelled"] {
        let gone = |history: &mut History| {
            history.sagas.get_mut("s").unwrap().status = status.to_owned();
            history.droplets.clear();
            history.inventory.clear();
            history.said.clear();
        };
        let doubtful = |history: &mut History| {
            gone(history);
            history.intents[0].state = "open".to_owned();
        };
        breaks(Rule::UndoneIsGone, doubtful);
        breaks(Rule::UndoneIsGone, |history| {
            history.sagas.get_mut("s").unwrap().status = status.to_owned();
        });
        let mut told = right();
        doubtful(&mut told);
        told.sagas.get_mut("s").unwrap().is_told = true;
        assert_eq!(broken(&told), []);
    }
    breaks(Rule::UndoneIsGone, |history| {
        history.sagas.get_mut("s").unwrap().status = "running".to_owned();
    });
}

#[test]
fn a_second_droplet_of_a_step_is_found() {
    breaks(Rule::OneDropletPerStep, |history| {
        history.droplets.push(droplet(8));
        history.inventory.insert(8);
        history.said.insert("web-1".to_owned(), 2);
    });
}

#[test]
fn a_cloud_that_is_not_what_is_said_is_found() {
    breaks(Rule::AllAgree, |history| history.droplets.clear());
    breaks(Rule::AllAgree, |history| history.inventory.clear());
    breaks(Rule::AllAgree, |history| history.said.clear());
    breaks(Rule::AllAgree, |history| history.snapshots_said = 1);
}
