//! The finite space behind small plans: states up to what the core never looks at, and every event in every flavour.

use arcadia::saga::{
    CallEnd, CompensatePolicy, Event, Failure, Json, MAX_TAKEOVERS, Moment, Outcome, RunEnd, RunPolicy, Saga,
    StepState, Turning, Verdict, Work,
};

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

/// Every event, for every step and for one that isn't there, on time and late.
pub fn every_event(steps: usize) -> Vec<(Event, Moment)> {
    let mut events = vec![
        Event::Retried,
        Event::Abandoned,
        Event::TakenOver { calling: false },
        Event::TakenOver { calling: true },
        Event::CancelRequested {
            actor: "ada".to_owned(),
            reason: None,
        },
    ];
    for step in 0..=steps {
        events.push(Event::RunSettled { step });
        events.push(Event::PivotPassed { step });
        for end in outcomes() {
            events.push(Event::RunReturned {
                step,
                end: end.clone(),
            });
            events.push(Event::UndoReturned { step, end });
        }
    }
    events
        .into_iter()
        .flat_map(|event| [(event.clone(), on_time()), (event, late())])
        .collect()
}

/// The same state with everything set aside that the core carries along but never decides by: the age of phases (every
/// event is tried both on time and late), texts, outputs and saved states, poll counts, attempts of `compensate`, and
/// takeovers between the first and the last that is put up with.
pub fn canonical(mut saga: Saga) -> Saga {
    saga.revision = 1;
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
    for state in &mut saga.steps {
        match state {
            StepState::Running(work) => *work = begun(work.attempt),
            StepState::RunStuck {
                failure: known,
                saved,
            } => {
                *known = failure();
                *saved = None;
            }
            StepState::Undoing { run, work } => {
                *run = ended(run);
                *work = begun(1);
            }
            StepState::UndoStuck { run, failure: known } => {
                *run = ended(run);
                *known = failure();
            }
            StepState::Ran(run) | StepState::Undone { run } => *run = ended(run),
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

fn ended(run: &RunEnd) -> RunEnd {
    let verdict = match &run.verdict {
        Verdict::Succeeded(_) => Verdict::Succeeded(Json::trusted("1")),
        Verdict::Failed(_) => Verdict::Failed(failure()),
        Verdict::Unfinished => Verdict::Unfinished,
    };
    RunEnd { verdict, saved: None }
}
