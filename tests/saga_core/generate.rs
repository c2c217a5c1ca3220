//! Random lives of random plans of up to eight steps: the core and the naive model tell the same story.

use std::collections::BTreeSet;

use arcadia::saga::{
    CompensatePolicy, Event, Hold, MAX_TAKEOVERS, Moment, RunEnd, RunPolicy, Saga, SagaId, Status, StepState,
    Turning, Verdict, apply,
};
use uuid::Uuid;

use super::{
    dice::Dice,
    invariants::{check_state, check_transition},
    model::{Doing, Ending, Model, Phase, Picture, SaidSo},
    plans::{Shape, pivots_are_ordered, plan},
};

const CASES: u64 = 10_000;
const MAX_EVENTS: u64 = 60;
/// Set it to repeat a run.
const SEED: &str = "SAGA_CORE_SEED";

#[test]
fn ten_thousand_random_lives_go_as_a_naive_model_says() {
    let seed = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().1);
    println!("{SEED}={seed}");
    let mut seen = Seen::default();
    for case in 0..CASES {
        live(
            &mut Dice(seed.wrapping_add(case.wrapping_mul(0x1000_0001))),
            &mut seen,
        );
    }
    println!("{seen:?}");
    let rare = [
        seen.completed,
        seen.back,
        seen.attention,
        seen.crash_loops,
        seen.past_pivot,
        seen.refused,
        seen.accepted_paused,
        seen.paused,
        seen.ended_in_a_pause,
        seen.rolled_back,
        seen.late,
        seen.skipped,
        seen.skipped_and_turned,
        seen.repinned,
    ];
    assert!(rare.iter().all(|&count| count > 50), "{seen:?}");
}

/// What the lives went through, so that a generator that went blind is noticed.
#[derive(Debug, Default)]
struct Seen {
    events: u64,
    refused: u64,
    completed: u64,
    back: u64,
    attention: u64,
    crash_loops: u64,
    past_pivot: u64,
    accepted_paused: u64,
    paused: u64,
    /// Calls that came to their end in a pause.
    ended_in_a_pause: u64,
    rolled_back: u64,
    late: u64,
    skipped: u64,
    skipped_and_turned: u64,
    repinned: u64,
}

impl Seen {
    /// A change that was legal.
    fn change(&mut self, event: &Event, before: &Saga, after: &Saga) {
        let skips = |saga: &Saga| {
            let mut steps = saga.steps.iter();
            steps.any(|state| matches!(state, StepState::RunSkipped { .. }))
        };
        self.attention += u64::from(after.status == Status::NeedsAttention);
        self.paused += u64::from(before.paused.is_none() && after.paused.is_some());
        let turns = before.turning.is_none() && after.turning.is_some();
        self.skipped_and_turned += u64::from(turns && skips(before));
        match event {
            Event::RunReturned { .. } | Event::UndoReturned { .. } => {
                self.ended_in_a_pause += u64::from(before.paused.is_some());
            }
            Event::RollbackRequested { .. } => self.rolled_back += u64::from(turns),
            Event::LateEffect { .. } => self.late += 1,
            Event::Skipped { .. } => self.skipped += 1,
            Event::Repinned { .. } => self.repinned += 1,
            Event::RunSettled { .. }
            | Event::PivotPassed { .. }
            | Event::CancelRequested { .. }
            | Event::Held { .. }
            | Event::Released { .. }
            | Event::Retried
            | Event::Abandoned
            | Event::TakenOver { .. } => {}
        }
    }
}

fn live(dice: &mut Dice, seen: &mut Seen) {
    let shapes = shapes(dice);
    let plan = plan(&shapes, run_policy(dice), compensate_policy(dice));
    let start_ms = 1_700_000_000_000;
    let count = if dice.percent(20) { 1 + dice.below(3) } else { 0 };
    let holds: BTreeSet<Hold> = (0..count).map(|_| dice.hold()).collect();
    seen.accepted_paused += u64::from(!holds.is_empty());
    let mut model = Model::new(&plan, holds.clone(), start_ms);
    let mut expected = model.picture();
    let mut saga = Saga::accept(SagaId(Uuid::from_u128(1)), plan.clone(), holds, start_ms);
    let mut now_ms = start_ms;
    compare(&saga, &expected, &model, now_ms);
    for number in 0..dice.below(MAX_EVENTS) {
        now_ms += dice.pause_ms();
        let event = dice.event(&saga, number);
        let moment = Moment {
            now_ms,
            dice: dice.next(),
        };
        let allowed = model.allows(&event, &expected);
        match apply(&saga, event.clone(), moment) {
            Err(refusal) => {
                assert!(!allowed, "{refusal:?} for {event:?}\n{:#?}\n{saga:#?}", model.log);
                seen.refused += 1;
            }
            Ok((next, commands)) => {
                assert!(allowed, "legal: {event:?}\n{:#?}\n{saga:#?}", model.log);
                check_transition(&saga, &event, &next, &commands);
                seen.change(&event, &saga, &next);
                model.happen(event, now_ms, &expected);
                saga = next;
                expected = model.picture();
                compare(&saga, &expected, &model, now_ms);
            }
        }
        seen.events += 1;
        seen.crash_loops += u64::from(saga.takeovers > MAX_TAKEOVERS);
        if saga.status.is_final() && dice.percent(50) {
            break;
        }
    }
    check_state(&saga, &|| format!("{saga:?}"));
    seen.past_pivot += u64::from(saga.pivot_passed);
    match saga.status {
        Status::Completed => seen.completed += 1,
        Status::Compensated | Status::Cancelled => seen.back += 1,
        Status::Running | Status::Compensating | Status::NeedsAttention | Status::Abandoned => {}
    }
}

fn compare(saga: &Saga, expected: &Picture, model: &Model<'_>, now_ms: i64) {
    let mut expected = expected.clone();
    let found = picture(saga);
    // The model knows a wait by its bounds only.
    for (expected, found) in expected.steps.iter_mut().zip(&found.steps) {
        match (expected, found) {
            (Doing::Runs(expected), Doing::Runs(found))
            | (Doing::Undoes(_, expected), Doing::Undoes(_, found)) => {
                let (soonest, latest) = expected.wake_ms;
                assert!(
                    (soonest..=latest).contains(&found.wake_ms.0),
                    "at {now_ms} it sleeps until {}, not within {soonest} and {latest}\n{:#?}",
                    found.wake_ms.0,
                    model.log
                );
                expected.wake_ms = found.wake_ms;
            }
            _ => {}
        }
    }
    assert_eq!(expected, found, "at {now_ms}, after\n{:#?}", model.log);
}

fn picture(saga: &Saga) -> Picture {
    Picture {
        status: saga.status,
        turned_by: saga.turning.as_ref().map(|turning| match turning {
            Turning::Failure { step, .. } => Some(*step),
            Turning::Cancel { .. } | Turning::Rollback { .. } => None,
        }),
        pivot_passed: saga.pivot_passed,
        paused: saga.paused.clone(),
        components: saga
            .plan
            .steps
            .iter()
            .map(|step| step.component.clone())
            .collect(),
        steps: saga.steps.iter().map(doing).collect(),
    }
}

fn doing(state: &StepState) -> Doing {
    let phase = |work: &arcadia::saga::Work| Phase {
        attempt: work.attempt,
        polls: work.polls,
        began_ms: work.began_ms,
        wake_ms: (work.wake_ms, work.wake_ms),
        saved: work.saved.clone(),
    };
    match state {
        StepState::Pending => Doing::Waits,
        StepState::Running(work) => Doing::Runs(phase(work)),
        StepState::Ran(run) => Doing::Ran(ending(run)),
        StepState::RunStuck { .. } => Doing::RunStuck,
        StepState::Undoing { run, work } => Doing::Undoes(ending(run), phase(work)),
        StepState::UndoStuck { run, .. } => Doing::UndoStuck(ending(run)),
        StepState::Undone { run } => Doing::Undone(ending(run)),
        StepState::RunSkipped { .. } => Doing::RunSkipped,
        StepState::UndoSkipped { run, .. } => Doing::UndoSkipped(ending(run)),
    }
}

fn ending(run: &RunEnd) -> Ending {
    Ending {
        output: match &run.verdict {
            Verdict::Succeeded(output) => Ok(output.clone()),
            Verdict::Failed(_) => Err(SaidSo(true)),
            Verdict::Unfinished => Err(SaidSo(false)),
        },
        saved: run.saved.clone(),
    }
}

fn shapes(dice: &mut Dice) -> Vec<Shape> {
    let size = 1 + dice.below(8);
    let sequence = dice.percent(30);
    let shape = |step: u64, dice: &mut Dice| Shape {
        after: (0..step)
            .filter(|before| {
                if sequence {
                    before + 1 == step
                } else {
                    dice.percent(35)
                }
            })
            .map(|before| usize::try_from(before).expect("at most 8"))
            .collect(),
        pivot: dice.percent(if sequence { 20 } else { 8 }),
        compensated: dice.percent(75),
    };
    loop {
        let shapes: Vec<Shape> = (0..size).map(|step| shape(step, dice)).collect();
        if pivots_are_ordered(&shapes) {
            return if dice.percent(50) {
                listed_anyhow(&shapes, dice)
            } else {
                shapes
            };
        }
    }
}

/// The same graph, its steps listed in any order: some before those that they wait for.
fn listed_anyhow(shapes: &[Shape], dice: &mut Dice) -> Vec<Shape> {
    let mut places: Vec<(u64, usize)> = (0..shapes.len()).map(|step| (dice.next(), step)).collect();
    places.sort_unstable();
    let place_of = |step: usize| {
        places
            .iter()
            .position(|&(_, other)| other == step)
            .expect("each has one")
    };
    let moved = places.iter().map(|&(_, step)| Shape {
        after: shapes[step]
            .after
            .iter()
            .map(|&before| place_of(before))
            .collect(),
        ..shapes[step].clone()
    });
    moved.collect()
}

fn run_policy(dice: &mut Dice) -> RunPolicy {
    RunPolicy {
        max_attempts: 1 + u32::try_from(dice.below(4)).expect("small"),
        backoff_base_ms: dice.below(3) * 500,
        backoff_max_ms: 1 + dice.below(4_000),
        total_ms: 1_000 + dice.below(60_000),
        call_timeout_ms: 1_000,
    }
}

fn compensate_policy(dice: &mut Dice) -> CompensatePolicy {
    CompensatePolicy {
        backoff_base_ms: 1 + dice.below(1_000),
        backoff_max_ms: 1 + dice.below(4_000),
        total_ms: 1_000 + dice.below(60_000),
        call_timeout_ms: 1_000,
    }
}
