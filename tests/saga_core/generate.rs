//! Random lives of random plans of up to eight steps: the core and the naive model tell the same story.

use std::collections::BTreeSet;

use arcadia::saga::{
    CallEnd, CompensatePolicy, Event, Failure, Json, MAX_TAKEOVERS, Moment, Outcome, RunEnd, RunPolicy, Saga,
    SagaId, Status, StepState, Turning, Verdict, apply,
};
use uuid::Uuid;

use super::{
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
    ];
    assert!(rare.iter().all(|&count| count > 100), "{seen:?}");
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
}

fn live(dice: &mut Dice, seen: &mut Seen) {
    let shapes = shapes(dice);
    let plan = plan(&shapes, run_policy(dice), compensate_policy(dice));
    let start_ms = 1_700_000_000_000;
    let mut model = Model::new(&plan, start_ms);
    let mut expected = model.picture();
    let mut saga = Saga::accept(
        SagaId(Uuid::from_u128(1)),
        plan.clone(),
        BTreeSet::new(),
        start_ms,
    );
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
                model.happen(event, now_ms, &expected);
                saga = next;
                expected = model.picture();
                compare(&saga, &expected, &model, now_ms);
                seen.attention += u64::from(saga.status == Status::NeedsAttention);
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
        StepState::RunSkipped { .. } | StepState::UndoSkipped { .. } => {
            unreachable!("nothing is skipped in these lives")
        }
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

/// SplitMix64: small, and the same everywhere for ever.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let length = u64::try_from(items.len()).expect("short");
        (length > 0).then(|| &items[usize::try_from(self.below(length)).expect("short")])
    }

    fn pause_ms(&mut self) -> i64 {
        let longest = if self.percent(3) { 80_000 } else { 900 };
        self.below(longest).cast_signed()
    }

    /// Mostly what the saga waits for, sometimes anything.
    fn event(&mut self, saga: &Saga, number: u64) -> Event {
        let steps: Vec<usize> = (0..saga.steps.len()).collect();
        let in_state = |matches: fn(&StepState) -> bool| {
            steps
                .iter()
                .copied()
                .filter(|&step| matches(&saga.steps[step]))
                .collect::<Vec<_>>()
        };
        let running = in_state(|state| matches!(state, StepState::Running(_)));
        let undoing = in_state(|state| matches!(state, StepState::Undoing { .. }));
        let pivots: Vec<usize> = running
            .iter()
            .copied()
            .filter(|&step| saga.plan.steps[step].pivot)
            .collect();
        let any = *self.pick(&steps).expect("a plan has steps");
        // Hosts die in bursts.
        if saga.takeovers > 0 && self.percent(85) {
            return Event::TakenOver { calling: true };
        }
        match self.below(100) {
            0..=2 => Event::CancelRequested {
                actor: "ada".to_owned(),
                reason: None,
            },
            3..=8 => Event::Retried,
            9 => Event::Abandoned,
            10..=11 => Event::RunSettled { step: any },
            12..=13 => Event::RunReturned {
                step: any,
                end: self.end(number),
            },
            14..=15 => Event::UndoReturned {
                step: any,
                end: self.end(number),
            },
            16 => Event::PivotPassed { step: any },
            17..=19 => Event::TakenOver {
                calling: self.percent(80),
            },
            20..=34 if !pivots.is_empty() => Event::PivotPassed { step: pivots[0] },
            _ => match (self.pick(&running), self.pick(&undoing)) {
                (Some(&step), _) if saga.turning.is_some() && self.percent(50) => Event::RunSettled { step },
                (Some(&step), None) => Event::RunReturned {
                    step,
                    end: self.end(number),
                },
                (None, Some(&step)) => Event::UndoReturned {
                    step,
                    end: self.end(number),
                },
                (Some(&running), Some(&undoing)) => {
                    let end = self.end(number);
                    if self.percent(50) {
                        Event::RunReturned { step: running, end }
                    } else {
                        Event::UndoReturned { step: undoing, end }
                    }
                }
                (None, None) => Event::Retried,
            },
        }
    }

    /// `number` makes each output and each saved state another one.
    fn end(&mut self, number: u64) -> CallEnd {
        let failure = || Failure::new("broken", "it broke");
        let outcome = match self.below(100) {
            0..=39 => Outcome::Done(Json::of(&number)),
            40..=61 => Outcome::Again {
                after_ms: self.below(3_000),
                saved: self.percent(70).then(|| Json::of(&number)),
                progress: None,
            },
            62..=76 => Outcome::Transient {
                failure: failure(),
                retry_after_ms: self.percent(30).then(|| self.below(5_000)),
            },
            77..=82 => Outcome::Permanent(failure()),
            83..=92 => Outcome::Trap(failure()),
            _ => Outcome::Timeout,
        };
        CallEnd {
            outcome,
            starved: self.percent(20),
        }
    }
}
