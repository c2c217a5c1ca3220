//! The create: at most one droplet, whatever becomes of its request and its answer.

use arcadia::{
    saga::Status,
    simulator::{BodyForm, FaultKind, Lag, Point},
};
use serde_json::json;

use super::{Case, FOR_EVER_MS, Ground, Seen, all_of, answered, limited, post, reset, wish};
use crate::support::simulator::requests;

async fn provision(ground: &Ground, case: Case) -> Result<(), String> {
    ground.set_faults(case.name, &case.faults).await;
    let saga = ground
        .define("provision_droplet", wish(case.name), ("wait", &case.params))
        .await;
    case.check(&ground.seen(case.name, saga).await)
}

fn lag(lag: Lag) -> FaultKind {
    FaultKind::Lag(lag)
}

/// F1, F3, and 403: the droplet is there, and nobody said so.
fn without_a_clear_answer() -> Vec<Case> {
    use BodyForm::{CutOff, Empty, Html, Proper, Truncated};
    let after = Point::AfterEffect;
    let mut cases = vec![
        Case::new("made-reset", vec![reset(post(), 1, after)], Seen::completed()),
        Case::new(
            "made-closed",
            vec![limited(post(), 1, FaultKind::Close { point: after })],
            Seen::completed(),
        ),
        Case::new(
            "made-slowly",
            vec![limited(
                post(),
                1,
                FaultKind::Slow {
                    point: after,
                    delay_ms: 700,
                },
            )],
            Seen::completed(),
        ),
    ];
    let answers = [
        ("made-500", 500, Proper),
        ("made-502-html", 502, Html),
        ("made-503", 503, Proper),
        ("made-504-empty", 504, Empty),
        ("made-403", 403, Proper),
        ("made-202-empty", 202, Empty),
        ("made-202-html", 202, Html),
        ("made-202-truncated", 202, Truncated),
        ("made-202-cut-off", 202, CutOff),
    ];
    cases.extend(answers.map(|(name, status, body)| {
        Case::new(
            name,
            vec![answered(post(), 1, after, status, body)],
            Seen::completed(),
        )
    }));
    cases
}

/// F4: nothing is there. The statuses that prove it leave no doubt behind; all others do.
fn without_effect() -> Vec<Case> {
    use BodyForm::{CutOff, Html, Proper};
    let before = Point::BeforeEffect;
    let doubt = || {
        Seen::undone("create-in-doubt")
            .creates(1, 0)
            .finding("open-intent")
    };
    let mut cases = vec![
        Case::new("lost-reset", vec![reset(post(), 1, before)], doubt()),
        Case::new(
            "lost-closed",
            vec![limited(post(), 1, FaultKind::Close { point: before })],
            doubt(),
        ),
    ];
    let answers = [
        ("lost-500", 500, Proper),
        ("lost-502-html", 502, Html),
        ("lost-503", 503, Proper),
        ("lost-403", 403, Proper),
        ("lost-202-cut-off", 202, CutOff),
    ];
    cases.extend(answers.map(|(name, status, body)| {
        Case::new(name, vec![answered(post(), 1, before, status, body)], doubt())
    }));
    let refusals = [("refused-400", 400), ("refused-422", 422)];
    cases.extend(refusals.map(|(name, status)| {
        let faults = vec![answered(post(), 1, before, status, Proper)];
        Case::new(name, faults, Seen::undone("create-refused").creates(1, 0))
    }));
    // The credential is the operator's affair: nothing was made, and the same create goes out once it is in order.
    let faults = vec![answered(post(), 2, before, 401, Proper)];
    cases.push(Case::new("refused-401", faults, Seen::completed().creates(3, 1)));
    cases
}

/// F5 and F6: the droplet is there and is seen late, in one way of looking or in all.
fn seen_late() -> Vec<Case> {
    let lost = || reset(post(), 1, Point::AfterEffect);
    let short = Lag::everywhere(500);
    let hidden = |lag: Lag| vec![lost(), limited(post(), 1, FaultKind::Lag(lag))];
    // Nothing shows it for ever: the saga is undone, the doubt stays, and so does the droplet.
    let unseen = Seen {
        droplets: 1,
        disagreements: 1,
        ..Seen::undone("create-in-doubt").finding("open-intent")
    };
    vec![
        Case::new(
            "late-answered",
            vec![limited(post(), 1, lag(short))],
            Seen::completed(),
        ),
        Case::new("late-everywhere", hidden(short), Seen::completed()),
        Case::new(
            "late-by-tag",
            hidden(Lag {
                tag_ms: FOR_EVER_MS,
                ..Lag::default()
            }),
            Seen::completed(),
        ),
        Case::new(
            "late-by-name",
            hidden(Lag {
                name_ms: FOR_EVER_MS,
                ..Lag::default()
            }),
            Seen::completed(),
        ),
        Case::new(
            "late-by-id",
            hidden(Lag {
                get_ms: 700,
                ..Lag::default()
            }),
            Seen::completed(),
        ),
        Case::new("late-for-ever", hidden(Lag::everywhere(FOR_EVER_MS)), unseen),
        Case::new(
            "late-apparition",
            vec![limited(
                post(),
                1,
                FaultKind::Late {
                    after_ms: FOR_EVER_MS,
                },
            )],
            Seen::undone("create-in-doubt")
                .creates(1, 0)
                .finding("open-intent"),
        ),
    ]
}

/// F13: one request, two droplets.
fn doubled() -> Vec<Case> {
    let lost = || reset(post(), 1, Point::AfterEffect);
    let twice = || limited(post(), 1, FaultKind::Twice);
    vec![
        Case::new("twice-lost", vec![lost(), twice()], Seen::completed()),
        Case::new(
            "twice-lost-and-stubborn",
            vec![
                lost(),
                twice(),
                answered(
                    requests("DELETE", "/v2/droplets/*"),
                    2,
                    Point::BeforeEffect,
                    422,
                    BodyForm::Proper,
                ),
            ],
            Seen::completed(),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_makes_one_droplet_or_none_whatever_becomes_of_its_answer() {
    let ground = Ground::new().await;
    let cases = [without_a_clear_answer(), without_effect(), seen_late(), doubled()];
    all_of(cases.into_iter().flatten().map(|case| provision(&ground, case))).await;
}

/// Cancelled while the create is in doubt: what shows up before the settle window ends is deleted by the rollback.
/// The request keeps no answer, which a person is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_cancelled_in_doubt_is_looked_for_to_the_end_of_the_window_and_undone() {
    let ground = Ground::new().await;
    let name = "cancelled-in-doubt";
    let faults = [
        reset(post(), 1, Point::AfterEffect),
        limited(post(), 1, FaultKind::Lag(Lag::everywhere(6_000))),
    ];
    ground.set_faults(name, &faults).await;
    let params = json!({ "settle_ms": 10_000 });
    let saga = ground
        .define("provision_droplet", wish(name), ("create", &params))
        .await;
    ground
        .until("the step to sleep between two looks", || async {
            let steps = ground.stand.engine().store().steps(saga).await.unwrap();
            (steps.first()?.polls > 0).then_some(())
        })
        .await;
    ground.cancel(saga).await;
    let end = Seen {
        status: Status::Cancelled,
        code: None,
        ..Seen::undone("").finding("open-intent")
    };
    let case = Case::new(name, vec![], end);
    all_of([async { case.check(&ground.seen(name, saga).await) }]).await;
}
