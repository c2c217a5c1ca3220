//! The finite space behind small plans: states up to what the core never looks at, and every event in every flavour.

use std::sync::Arc;

use arcadia::saga::{
    CallEnd, CompensatePolicy, ComponentRef, Event, Failure, Hold, Json, MAX_TAKEOVERS, Moment, Outcome,
    Plan, RunEnd, RunPolicy, Saga, StepState, Turning, Verdict, Work,
};

use super::plans::component;

pub const START_MS: i64 = 1_000_000;
const TOTAL_MS: u64 = 50_000;

pub const RUN: RunPolicy = RunPolicy {
    max_attempts: 2,
    backoff_base_ms: 100,
    backoff_max_ms: 1_000,
    total_ms: TOTAL_MS,
    call_timeout_ms: 1_000,
};

pub const COMPENSATE: CompensatePolicy = CompensatePolicy {
    backoff_base_ms: 100,
    backoff_max_ms: 1_000,
    total_ms: TOTAL_MS,
    call_timeout_ms: 1_000,
};

pub fn on_time() -> Moment {
    Moment {
        now_ms: START_MS,
        dice: 7,
    }
}

/// When every phase that has begun is over its total time.
pub fn late() -> Moment {
    Moment {
        now_ms: START_MS + TOTAL_MS.cast_signed(),
        dice: 7,
    }
}

pub fn failure() -> Failure {
    Failure::new("broken", "it broke")
}

/// How a call can end, in every flavour that the core could tell apart.
pub fn outcomes() -> Vec<CallEnd> {
    let call = |outcome, starved| CallEnd { outcome, starved };
    let again = Outcome::Again {
        after_ms: 500,
        saved: Some(Json::trusted("2")),
        progress: Some("waiting".to_owned()),
    };
    let transient = |retry_after_ms| Outcome::Transient {
        failure: failure(),
        retry_after_ms,
    };
    vec![
        call(Outcome::Done(Json::trusted("1")), false),
        call(again.clone(), false),
        call(again, true),
        call(transient(None), false),
        call(transient(Some(u64::MAX)), true),
        call(Outcome::Permanent(failure()), false),
        call(Outcome::Trap(failure()), false),
        // Starving excuses nothing but `again` and `transient`.
        call(Outcome::Trap(failure()), true),
        call(Outcome::Timeout, false),
    ]
}

/// Another version of what every step here is pinned to.
fn other_component() -> ComponentRef {
    ComponentRef {
        version: "2.0.0".to_owned(),
        ..component()
    }
}

/// One event in all its flavours: whether it is refused is the same for all of them.
pub type Flavours = Vec<(Event, Moment)>;

/// Every event, for every step and for one that isn't there; on time, and late where a deadline could matter.
pub fn every_event(steps: usize) -> Vec<Flavours> {
    let asked = || ("ada".to_owned(), None);
    let (actor, reason) = asked();
    let mut timeless = vec![
        Event::Retried,
        Event::Abandoned,
        Event::TakenOver { calling: false },
        Event::TakenOver { calling: true },
        Event::CancelRequested { actor, reason },
        Event::Held { hold: Hold::All },
        Event::Released { hold: Hold::Saga },
    ];
    let (actor, reason) = asked();
    timeless.push(Event::RollbackRequested { actor, reason });
    let mut timed = vec![vec![Event::Released { hold: Hold::All }]];
    for step in 0..=steps {
        timeless.push(Event::RunSettled { step });
        timeless.push(Event::PivotPassed { step });
        timeless.push(Event::Skipped { step });
        timeless.push(Event::LateEffect { step });
        timeless.push(Event::Repinned {
            steps: vec![(step, other_component())],
        });
        let ends = || outcomes().into_iter();
        timed.push(ends().map(|end| Event::RunReturned { step, end }).collect());
        timed.push(ends().map(|end| Event::UndoReturned { step, end }).collect());
    }
    let on_time_only = timeless.into_iter().map(|event| vec![(event, on_time())]);
    let both = timed.into_iter().map(|flavours| {
        let at = |event: Event| [(event.clone(), on_time()), (event, late())];
        flavours.into_iter().flat_map(at).collect()
    });
    on_time_only.chain(both).collect()
}

/// The same state with everything set aside that the core carries along but never decides by: the age of phases (every
/// event is tried both on time and late), texts, outputs, saved states and component versions, the age of a pause, poll counts, attempts of `compensate`, and
/// takeovers between the first and the last that is put up with. `plan` is the one it was accepted with.
pub fn canonical(mut saga: Saga, plan: &Arc<Plan>) -> Saga {
    saga.revision = 1;
    saga.plan = Arc::clone(plan);
    if let Some(pause) = &mut saga.paused {
        pause.since_ms = START_MS;
    }
    saga.takeovers = match saga.takeovers {
        0 => 0,
        1..=MAX_TAKEOVERS => MAX_TAKEOVERS,
        _ => MAX_TAKEOVERS + 1,
    };
    if let Some(Turning::Failure { step, code, message }) = &mut saga.turning {
        *step = 0;
        code.clear();
        message.clear();
    }
    let turned = saga.turning.is_some();
    for state in &mut saga.steps {
        match state {
            StepState::Running(work) => *work = begun(work.attempt),
            StepState::RunStuck {
                failure: known,
                saved,
            }
            | StepState::RunSkipped {
                failure: known,
                saved,
            } => {
                *known = failure();
                *saved = None;
            }
            StepState::Undoing { run, work } => {
                *run = ended();
                *work = begun(1);
            }
            StepState::UndoStuck { run, failure: known } | StepState::UndoSkipped { run, failure: known } => {
                *run = ended();
                *known = failure();
            }
            StepState::Ran(run) if turned => *run = ended(),
            StepState::Undone { run } => *run = ended(),
            StepState::Ran(run) => {
                // Before the turning a step's run has ended in success or not at all.
                assert!(matches!(run.verdict, Verdict::Succeeded(_)), "{run:?}");
                *run = RunEnd {
                    verdict: Verdict::Succeeded(Json::trusted("1")),
                    saved: None,
                };
            }
            StepState::Pending => {}
        }
    }
    saga
}

fn begun(attempt: u32) -> Work {
    Work {
        attempt,
        ..Work::begin(START_MS)
    }
}

/// How the run ended that is to be undone: `compensate` is told, the core doesn't ask.
fn ended() -> RunEnd {
    RunEnd {
        verdict: Verdict::Unfinished,
        saved: None,
    }
}
