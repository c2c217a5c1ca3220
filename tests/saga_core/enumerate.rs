//! Every reachable state of every plan of one, two and three steps, and of the graphs of four that differ in kind, with every
//! event.

use std::collections::{BTreeSet, HashSet, VecDeque};

use arcadia::saga::{
    CallEnd, Command, Event, Hold, Json, Moment, Outcome, Phase, RunEnd, RunPolicy, Saga, SagaId, Status,
    StepState, Turning, Verdict, apply, wanted,
};
use uuid::Uuid;

use super::{
    invariants::{check_state, check_transition, expected_refusal},
    plans::{Shape, every_shape, graphs, is_sequence, plan},
    space::{COMPENSATE, Flavours, RUN, START_MS, canonical, every_event, failure, late, on_time},
};

#[derive(Default)]
struct Counts {
    plans: u64,
    sequences: u64,
    states: u64,
    changed: u64,
    unchanged: u64,
    illegal: u64,
}

#[test]
fn every_event_in_every_reachable_state_of_small_plans_is_a_new_state_or_refused() {
    for size in 1..=3 {
        let mut counts = Counts::default();
        for shapes in every_shape(size) {
            counts.plans += 1;
            counts.sequences += u64::from(is_sequence(&shapes));
            explore(&shapes, RUN, &mut counts);
        }
        println!(
            "plans of {size} steps: {} ({} of them sequences); {counts}",
            counts.plans, counts.sequences
        );
        assert!(counts.plans >= 4 && counts.changed > 0 && counts.illegal > 0);
    }
}

/// One attempt, so that four steps have no more states than can be tried in seconds.
#[test]
fn every_event_in_every_reachable_state_of_branches_that_part_and_meet_is_a_new_state_or_refused() {
    for (name, shapes) in graphs() {
        let mut counts = Counts::default();
        let once = RunPolicy {
            max_attempts: 1,
            ..RUN
        };
        explore(&shapes, once, &mut counts);
        println!("{name}: {counts}");
        assert!(counts.states > 100 && counts.changed > 0 && counts.illegal > 0);
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} reachable states x events: {} new states, {} without change, {} refused",
            self.states, self.changed, self.unchanged, self.illegal
        )
    }
}

fn explore(shapes: &[Shape], run: RunPolicy, counts: &mut Counts) {
    let events = every_event(shapes.len());
    let plan = plan(shapes, run, COMPENSATE);
    let first = Saga::accept(
        SagaId(Uuid::from_u128(1)),
        plan.clone(),
        BTreeSet::new(),
        START_MS,
    );
    check_state(&first, &|| format!("\n{first:?}"));
    let mut rests = [lucky, unlucky, tardy].map(|end| (end as Scheduler, HashSet::new()));
    let mut seen: HashSet<u64> = HashSet::new();
    let mut queue = VecDeque::from([canonical(first, &plan)]);
    seen.insert(key(&queue[0]));
    while let Some(saga) = queue.pop_front() {
        counts.states += 1;
        for (end, known) in &mut rests {
            comes_to_rest(&saga, *end, known);
        }
        for flavours in &events {
            let expected = expected_refusal(&saga, &flavours[0].0);
            for (event, moment) in tried(flavours, expected.is_some(), counts.states) {
                match apply(&saga, event.clone(), *moment) {
                    Err(refusal) => {
                        assert_eq!(Some(refusal), expected, "{event:?}\n{saga:?}");
                        counts.illegal += 1;
                    }
                    Ok((next, commands)) => {
                        assert_eq!(None, expected, "{event:?}\n{saga:?}");
                        check_transition(&saga, event, &next, &commands);
                        if next == saga {
                            counts.unchanged += 1;
                            continue;
                        }
                        counts.changed += 1;
                        let next = canonical(next, &plan);
                        if seen.insert(key(&next)) {
                            queue.push_back(next);
                        }
                    }
                }
            }
        }
    }
}

/// All flavours of what is legal. Of what is to be refused one, another one in each state: the refusal has nothing to do with
/// the flavour, and thousands of states see to it that each is refused somewhere in each way.
fn tried(flavours: &Flavours, refused: bool, state: u64) -> &[(Event, Moment)] {
    if !refused {
        return flavours;
    }
    let count = u64::try_from(flavours.len()).expect("few");
    let one = usize::try_from(state % count).expect("few");
    &flavours[one..=one]
}

/// All that tells canonical states of one plan apart, one byte for each of at most four steps.
fn key(saga: &Saga) -> u64 {
    let verdict = |run: &RunEnd| match run.verdict {
        Verdict::Succeeded(_) => 0,
        Verdict::Failed(_) => 1,
        Verdict::Unfinished => 2,
    };
    let turning = match saga.turning {
        None => 0,
        Some(Turning::Failure { .. }) => 1,
        Some(Turning::Cancel { .. }) => 2,
        Some(Turning::Rollback { .. }) => 3,
    };
    let of_step = |state: &StepState| match state {
        StepState::Pending => 0,
        StepState::RunStuck { .. } => 1,
        StepState::RunSkipped { .. } => 2,
        StepState::Running(work) => 100 + u64::from(work.attempt),
        StepState::Ran(run) => 10 + verdict(run),
        StepState::Undoing { run, .. } => 20 + verdict(run),
        StepState::UndoStuck { run, .. } => 30 + verdict(run),
        StepState::UndoSkipped { run, .. } => 50 + verdict(run),
        StepState::Undone { run } => 40 + verdict(run),
    };
    assert!(saga.steps.len() <= 4);
    let head = [
        u64::from(saga.status == Status::Abandoned),
        turning,
        u64::from(saga.paused.is_some()) << 1 | u64::from(saga.pivot_passed),
        u64::from(saga.takeovers),
    ];
    head.into_iter()
        .chain(saga.steps.iter().map(of_step))
        .fold(0, |key, byte| key << 8 | byte)
}

/// How a call of this phase ends, and whether it is over its total time.
type Scheduler = fn(Phase) -> (Outcome, bool);

/// Once it is released, a scheduler that carries out every want, calls ending as `end` says, always comes to a status that
/// needs nothing more. `known` are states that are known to.
fn comes_to_rest(saga: &Saga, end: Scheduler, known: &mut HashSet<u64>) {
    let plan = &saga.plan;
    let mut saga = saga.clone();
    if saga.paused.is_some() {
        let released = Event::Released { hold: Hold::All };
        let (released, _) = apply(&saga, released, on_time()).expect("a paused saga has not ended");
        saga = canonical(released, plan);
    }
    let mut way = Vec::new();
    // A step takes at most two attempts and one undo.
    for _ in 0..4 * saga.steps.len() + 1 {
        let here = key(&saga);
        if known.contains(&here) {
            known.extend(way);
            return;
        }
        way.push(here);
        let Some(want) = wanted(&saga).pop() else {
            assert!(
                saga.status.is_final() || saga.status == Status::NeedsAttention,
                "{saga:?}"
            );
            known.extend(way);
            return;
        };
        let (event, moment) = match want {
            Command::Settle { step } => (Event::RunSettled { step }, on_time()),
            Command::Call { step, phase, .. } => {
                let (outcome, is_late) = end(phase);
                let end = CallEnd {
                    outcome,
                    starved: false,
                };
                let event = match phase {
                    Phase::Run => Event::RunReturned { step, end },
                    Phase::Compensate => Event::UndoReturned { step, end },
                };
                (event, if is_late { late() } else { on_time() })
            }
            Command::FreeKeys { .. } | Command::Rest(_) => panic!("not a want: {want:?}"),
        };
        let (next, _) = apply(&saga, event, moment).expect("what is wanted is legal");
        saga = canonical(next, plan);
    }
    panic!("it never comes to rest: {saga:?}");
}

fn lucky(_: Phase) -> (Outcome, bool) {
    (Outcome::Done(Json::trusted("1")), false)
}

/// Calls of `run` break until nothing is left to try; the undo works.
fn unlucky(phase: Phase) -> (Outcome, bool) {
    match phase {
        Phase::Run => (Outcome::Trap(failure()), false),
        Phase::Compensate => lucky(phase),
    }
}

/// Nothing is ever done within its total time.
fn tardy(_: Phase) -> (Outcome, bool) {
    let again = Outcome::Again {
        after_ms: 1,
        saved: None,
        progress: None,
    };
    (again, true)
}
