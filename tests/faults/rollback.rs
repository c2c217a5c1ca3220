//! Undoing a create: every droplet of the step is deleted, however its deletes fail.

use arcadia::simulator::{BodyForm, FaultKind, Lag, Point};

use super::{
    Case, Ground, Seen, all_of, answered, create_steps, deletes, failing, limited, post, reset, step, wish,
};

/// F16 on the way back, F12 and F13: all of them leave nothing.
fn cases() -> Vec<Case> {
    let (before, after) = (Point::BeforeEffect, Point::AfterEffect);
    let answer = |times, point, status| answered(deletes(), times, point, status, BodyForm::Proper);
    let table = [
        ("smooth", vec![]),
        ("busy", vec![answer(3, before, 422)]),
        ("effect-500", vec![answer(1, after, 500)]),
        ("effect-reset", vec![reset(deletes(), 1, after)]),
        ("in-vain-503", vec![answer(2, before, 503)]),
        ("in-vain-reset", vec![reset(deletes(), 2, before)]),
        ("ignored", vec![limited(deletes(), 1, FaultKind::DeleteIgnored)]),
        (
            "deleted-elsewhere",
            vec![limited(post(), 1, FaultKind::Vanish { after_ms: 300 })],
        ),
        ("twice", vec![limited(post(), 1, FaultKind::Twice)]),
        (
            "twice-and-lost",
            vec![limited(post(), 1, FaultKind::Twice), reset(post(), 1, after)],
        ),
        (
            "unlisted",
            vec![limited(post(), 1, FaultKind::Lag(super::unlisted()))],
        ),
        (
            "invisible-for-a-while",
            vec![limited(post(), 1, FaultKind::Lag(Lag::everywhere(1_000)))],
        ),
    ];
    table
        .into_iter()
        .map(|(name, faults)| Case::new(name, faults, Seen::undone("on-purpose")))
        .collect()
}

async fn create_and_undo(ground: &Ground, case: Case) -> Result<(), String> {
    ground.set_faults(case.name, &case.faults).await;
    let steps = vec![step("create", "create-droplet"), failing()];
    let saga = ground.plan(steps, wish(case.name)).await;
    case.check(&ground.seen(case.name, saga).await)
}

/// The droplet is active and in the inventory when it is undone.
async fn provision_and_undo(ground: &Ground, case: Case) -> Result<(), String> {
    ground.set_faults(case.name, &case.faults).await;
    let mut steps = create_steps();
    steps.push(failing());
    let saga = ground.plan(steps, wish(case.name)).await;
    case.check(&ground.seen(case.name, saga).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_droplet_that_is_undone_leaves_nothing_however_its_deletes_fail() {
    let ground = Ground::new().await;
    let (before, after) = (Point::BeforeEffect, Point::AfterEffect);
    let answer = |point, status, body| answered(deletes(), 1, point, status, body);
    let table = [
        ("registered-busy", answer(before, 422, BodyForm::Proper)),
        ("registered-in-vain-500", answer(before, 500, BodyForm::Proper)),
        ("registered-effect-500-html", answer(after, 500, BodyForm::Html)),
        ("registered-effect-reset", reset(deletes(), 1, after)),
        (
            "registered-ignored",
            limited(deletes(), 1, FaultKind::DeleteIgnored),
        ),
    ];
    let cases = table.map(|(name, fault)| Case::new(name, vec![fault], Seen::undone("on-purpose")));
    all_of(cases.into_iter().map(|case| provision_and_undo(&ground, case))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_is_undone_leaves_nothing_however_its_deletes_fail() {
    let ground = Ground::new().await;
    all_of(cases().into_iter().map(|case| create_and_undo(&ground, case))).await;
}
