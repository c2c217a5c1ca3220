//! What holds of every transition, whatever the plan.

use std::collections::BTreeSet;

use arcadia::saga::{
    Command, Event, Hold, IllegalEvent, Phase, Plan, RunEnd, Saga, Status, StepState, Turning, Verdict,
    wanted,
};

/// Panics, naming what is broken, unless `before` may become `after` by `event`.
pub fn check_transition(before: &Saga, event: &Event, after: &Saga, commands: &[Command]) {
    let seen = || format!("\nbefore {before:?}\nevent {event:?}\nafter {after:?}\ncommands {commands:?}");
    let changed = differ(before, after);
    assert_eq!(
        after.revision,
        before.revision + u64::from(changed),
        "revision{}",
        seen()
    );
    assert_eq!(after.id, before.id, "identity{}", seen());
    check_plan(before, event, after, &seen);
    let back_to_life = match event {
        Event::RollbackRequested { .. } => before.status == Status::Completed,
        Event::LateEffect { .. } => matches!(before.status, Status::Compensated | Status::Cancelled),
        _ => false,
    };
    assert!(
        !before.status.is_final() || back_to_life,
        "a saga that has ended changes no more{}",
        seen()
    );
    check_pause(before, event, after, &seen);
    assert!(
        before.turning.is_none() || after.turning == before.turning,
        "it turns once{}",
        seen()
    );
    assert!(
        !before.pivot_passed || after.pivot_passed,
        "a pivot stays passed{}",
        seen()
    );
    assert!(
        changed || commands.is_empty(),
        "nothing changed, nothing is wanted{}",
        seen()
    );
    assert_eq!(
        after.takeovers,
        takeovers(before, event, after),
        "takeovers in a row{}",
        seen()
    );
    for step in 0..after.steps.len() {
        check_step(before, after, step, &seen);
    }
    check_state(after, &seen);
    check_commands(before, event, after, commands, &seen);
}

/// In a row: whatever shows that the saga's calls can end begins the count anew, and so does what puts other calls in their place.
fn takeovers(before: &Saga, event: &Event, after: &Saga) -> u32 {
    match event {
        _ if before.turning.is_none() && after.turning.is_some() => 0,
        Event::RunReturned { .. }
        | Event::UndoReturned { .. }
        | Event::Retried
        | Event::Skipped { .. }
        | Event::LateEffect { .. } => 0,
        Event::TakenOver { calling: true } if before.status != Status::NeedsAttention => before.takeovers + 1,
        Event::TakenOver { .. }
        | Event::RunSettled { .. }
        | Event::PivotPassed { .. }
        | Event::CancelRequested { .. }
        | Event::RollbackRequested { .. }
        | Event::Held { .. }
        | Event::Released { .. }
        | Event::Repinned { .. }
        | Event::Abandoned => before.takeovers,
    }
}

/// In anything but the revision.
fn differ(before: &Saga, after: &Saga) -> bool {
    let Saga {
        id,
        plan,
        status,
        turning,
        paused,
        pivot_passed,
        takeovers,
        revision: _,
        steps,
    } = before;
    (*id, plan, *status, turning) != (after.id, &after.plan, after.status, &after.turning)
        || (paused, *pivot_passed, *takeovers, steps)
            != (&after.paused, after.pivot_passed, after.takeovers, &after.steps)
}

/// What a saga is pinned to stays, but for the components of repinned steps.
fn check_plan(before: &Saga, event: &Event, after: &Saga, seen: &dyn Fn() -> String) {
    if !matches!(event, Event::Repinned { .. }) {
        assert_eq!(after.plan, before.plan, "plan{}", seen());
        return;
    }
    let mut expected = Plan::clone(&before.plan);
    if let Event::Repinned { steps } = event {
        for (step, component) in steps {
            expected.steps[*step].component = component.clone();
        }
    }
    assert_eq!(*after.plan, expected, "plan{}", seen());
}

/// Holds come and go by their own events only, and nothing begins under one.
fn check_pause(before: &Saga, event: &Event, after: &Saga, seen: &dyn Fn() -> String) {
    fn holds(saga: &Saga) -> Option<&BTreeSet<Hold>> {
        saga.paused.as_ref().map(|pause| &pause.holds)
    }
    let mut expected = holds(before).cloned().unwrap_or_default();
    match event {
        Event::Held { hold } => drop(expected.insert(hold.clone())),
        Event::Released { hold } => drop(expected.remove(hold)),
        _ => {}
    }
    if after.status.is_final() {
        expected.clear();
    }
    let expected = (!expected.is_empty()).then_some(&expected);
    assert_eq!(holds(after), expected, "holds{}", seen());
    for (old, new) in before.steps.iter().zip(&after.steps) {
        let begins = matches!(
            (old, new),
            (StepState::Pending, StepState::Running(_))
                | (
                    StepState::Ran(_) | StepState::Running(_),
                    StepState::Undoing { .. } | StepState::Undone { .. }
                )
        );
        assert!(
            !begins || after.paused.is_none(),
            "it begins while paused{}",
            seen()
        );
    }
}

/// What holds of every state by itself.
pub fn check_state(saga: &Saga, seen: &dyn Fn() -> String) {
    let any = |matches: fn(&StepState) -> bool| saga.steps.iter().any(matches);
    let all = |matches: fn(&StepState) -> bool| saga.steps.iter().all(matches);
    let stuck = any(|state| matches!(state, StepState::RunStuck { .. } | StepState::UndoStuck { .. }));
    let working = any(|state| matches!(state, StepState::Running(_) | StepState::Undoing { .. }));
    let turned = saga.turning.is_some();
    assert!(
        !(saga.pivot_passed && turned),
        "past a pivot nothing turns{}",
        seen()
    );
    assert_eq!(
        saga.status == Status::Completed,
        !turned && all(succeeded) && saga.status != Status::Abandoned,
        "completed when, and only when, every step succeeded{}",
        seen()
    );
    let nothing_left = all(|state| matches!(state, StepState::Pending | StepState::Undone { .. }));
    let ended_back = matches!(saga.status, Status::Compensated | Status::Cancelled);
    assert_eq!(
        ended_back,
        turned && nothing_left,
        "back at the start when, and only when, all is undone{}",
        seen()
    );
    match &saga.turning {
        Some(Turning::Cancel { .. }) => assert_ne!(saga.status, Status::Compensated, "cancelled{}", seen()),
        Some(Turning::Failure { .. } | Turning::Rollback { .. }) => {
            assert_ne!(saga.status, Status::Cancelled, "compensated{}", seen());
        }
        None => assert_ne!(
            saga.status,
            Status::Compensating,
            "it goes back for a reason{}",
            seen()
        ),
    }
    assert!(
        !turned || saga.status != Status::Running,
        "a turned saga does not run{}",
        seen()
    );
    if saga.status != Status::Abandoned {
        assert_eq!(
            saga.status == Status::NeedsAttention,
            stuck && !working && !waits_for_release(saga),
            "it needs a person when, and only when, something is stuck and nothing else goes on{}",
            seen()
        );
    }
    let rests = saga.status.is_final() || saga.status == Status::NeedsAttention;
    if saga.paused.is_none() {
        assert_eq!(
            rests,
            wanted(saga).is_empty(),
            "it rests, or wants something{}",
            seen()
        );
    } else {
        let is_call = |want: &Command| matches!(want, Command::Call { .. });
        assert!(!wanted(saga).iter().any(is_call), "called while paused{}", seen());
    }
    assert!(!rests || !working, "nothing works at rest{}", seen());
    let wants = wanted(saga);
    for (step, state) in saga.steps.iter().enumerate() {
        assert_eq!(
            wants.contains(&Command::Settle { step }),
            turned && matches!(state, StepState::Running(_)),
            "once turned, also under a hold, the end of step {step}'s run is waited for{}",
            seen()
        );
        let plan = &saga.plan.steps[step];
        let before_done = plan.after.iter().all(|&before| lets_on(&saga.steps[before]));
        assert!(
            *state == StepState::Pending || before_done || turned,
            "step {step} began too early{}",
            seen()
        );
        let undo = matches!(state, StepState::Undoing { .. } | StepState::UndoStuck { .. });
        assert!(
            !undo || (turned && plan.compensated),
            "step {step} is undone without need{}",
            seen()
        );
    }
}

/// What may begin as soon as nothing holds the saga.
fn waits_for_release(saga: &Saga) -> bool {
    saga.steps.iter().enumerate().any(|(step, state)| match state {
        StepState::Pending => {
            saga.turning.is_none()
                && saga.plan.steps[step]
                    .after
                    .iter()
                    .all(|&before| lets_on(&saga.steps[before]))
        }
        StepState::Ran(_) => saga.turning.is_some() && nothing_stands_on(saga, step),
        _ => false,
    })
}

fn nothing_stands_on(saga: &Saga, step: usize) -> bool {
    let gone = |state: &StepState| {
        matches!(
            state,
            StepState::Pending | StepState::Undone { .. } | StepState::UndoSkipped { .. }
        )
    };
    saga.plan.behind(step).all(|behind| gone(&saga.steps[behind]))
}

fn check_step(before: &Saga, after: &Saga, step: usize, seen: &dyn Fn() -> String) {
    let (old, new) = (&before.steps[step], &after.steps[step]);
    if old == new {
        return;
    }
    if matches!(new, StepState::Running(_)) && !matches!(old, StepState::Running(_)) {
        assert!(
            after.turning.is_none(),
            "step {step} starts after the turning{}",
            seen()
        );
    }
    let undo_begins = matches!(new, StepState::Undoing { .. } | StepState::Undone { .. })
        && matches!(
            old,
            StepState::Running(_)
                | StepState::Ran(_)
                | StepState::RunStuck { .. }
                | StepState::RunSkipped { .. }
        );
    assert!(
        !undo_begins || nothing_stands_on(after, step),
        "step {step} is undone before what stands on it{}",
        seen()
    );
    let legal = match (old, new) {
        (StepState::Pending, StepState::Running(_))
        | (StepState::Running(_), StepState::Running(_) | StepState::RunStuck { .. })
        | (StepState::RunStuck { .. }, StepState::Running(_) | StepState::RunSkipped { .. }) => true,
        // The undo may begin in the same transition in which the call ends.
        (
            StepState::Running(_) | StepState::RunStuck { .. } | StepState::RunSkipped { .. },
            StepState::Ran(_) | StepState::Undoing { .. } | StepState::Undone { .. },
        ) => true,
        (StepState::Ran(run), StepState::Undoing { run: kept, .. } | StepState::Undone { run: kept })
        | (
            StepState::Undoing { run, .. },
            StepState::Undoing { run: kept, .. }
            | StepState::UndoStuck { run: kept, .. }
            | StepState::Undone { run: kept },
        )
        | (
            StepState::UndoStuck { run, .. },
            StepState::Undoing { run: kept, .. } | StepState::UndoSkipped { run: kept, .. },
        )
        | (StepState::Undone { run }, StepState::Undoing { run: kept, .. }) => run == kept,
        _ => false,
    };
    assert!(legal, "step {step} jumps{}", seen());
}

/// Wants are announced when they are new, and a rest once.
fn check_commands(
    before: &Saga,
    event: &Event,
    after: &Saga,
    commands: &[Command],
    seen: &dyn Fn() -> String,
) {
    let (old, new) = (wanted(before), wanted(after));
    for want in &new {
        let step = match want {
            Command::Call { step, .. } | Command::Settle { step } => *step,
            Command::FreeKeys { .. } | Command::Rest(_) => panic!("not a want: {want:?}{}", seen()),
        };
        let moved = before.steps[step] != after.steps[step];
        if !old.contains(want) || (moved && matches!(want, Command::Call { .. })) {
            assert!(commands.contains(want), "{want:?} is not announced{}", seen());
        }
    }
    for command in commands {
        match command {
            Command::Call { .. } | Command::Settle { .. } => {
                assert!(new.contains(command), "{command:?} is not wanted{}", seen());
            }
            Command::FreeKeys { step, phase } => {
                let was_stuck = match phase {
                    Phase::Run => matches!(before.steps[*step], StepState::RunStuck { .. }),
                    Phase::Compensate => matches!(before.steps[*step], StepState::UndoStuck { .. }),
                };
                assert!(
                    was_stuck && *event == Event::Retried,
                    "{command:?} frees keys{}",
                    seen()
                );
            }
            Command::Rest(status) => {
                assert!(
                    *status == after.status && before.status != *status && new.is_empty(),
                    "{command:?}{}",
                    seen()
                );
            }
        }
    }
    let rests = after.status.is_final() || after.status == Status::NeedsAttention;
    let announced = commands.contains(&Command::Rest(after.status));
    assert_eq!(
        announced,
        rests && after.status != before.status,
        "the rest is announced once{}",
        seen()
    );
    if *event == Event::Retried {
        let stuck =
            |state: &&StepState| matches!(state, StepState::RunStuck { .. } | StepState::UndoStuck { .. });
        let freed = commands
            .iter()
            .filter(|command| matches!(command, Command::FreeKeys { .. }))
            .count();
        assert_eq!(
            freed,
            before.steps.iter().filter(stuck).count(),
            "keys of what was stuck{}",
            seen()
        );
    }
}

/// Which pairs are refused, written from the table of DESIGN's verbs and not from the code.
pub fn expected_refusal(saga: &Saga, event: &Event) -> Option<IllegalEvent> {
    let ended = saga.status.is_final();
    let step_is = |step: usize, matches: fn(&StepState) -> bool| saga.steps.get(step).is_some_and(matches);
    let running = |step: usize| step_is(step, |state| matches!(state, StepState::Running(_)));
    let undoing = |step: usize| step_is(step, |state| matches!(state, StepState::Undoing { .. }));
    let out_of_place = Some(IllegalEvent::OutOfPlace);
    match event {
        Event::RunReturned { step, .. } => {
            if running(*step) {
                None
            } else {
                out_of_place
            }
        }
        Event::RunSettled { step } => {
            if running(*step) && saga.turning.is_some() {
                None
            } else {
                out_of_place
            }
        }
        Event::UndoReturned { step, .. } => {
            if undoing(*step) {
                None
            } else {
                out_of_place
            }
        }
        Event::PivotPassed { step } => {
            if !running(*step) {
                out_of_place
            } else if saga.turning.is_some() {
                Some(IllegalEvent::Turned)
            } else if saga.plan.steps[*step].pivot {
                None
            } else {
                out_of_place
            }
        }
        Event::CancelRequested { .. } if ended => Some(IllegalEvent::Ended),
        Event::CancelRequested { .. } => saga.pivot_passed.then_some(IllegalEvent::PivotPassed),
        Event::RollbackRequested { .. } => match saga.status {
            Status::Completed => saga.pivot_passed.then_some(IllegalEvent::PivotPassed),
            _ if ended => Some(IllegalEvent::Ended),
            _ => saga.turning.is_none().then_some(IllegalEvent::NotCompleted),
        },
        Event::Held { .. } | Event::Released { .. } => ended.then_some(IllegalEvent::Ended),
        Event::Skipped { .. } if saga.status != Status::NeedsAttention => Some(IllegalEvent::NotStuck),
        Event::Skipped { step } if *step >= saga.steps.len() => out_of_place,
        Event::Skipped { step } => {
            let stuck =
                |state: &StepState| matches!(state, StepState::RunStuck { .. } | StepState::UndoStuck { .. });
            (!step_is(*step, stuck)).then_some(IllegalEvent::NotStuck)
        }
        Event::Repinned { .. } if ended => Some(IllegalEvent::Ended),
        Event::Repinned { steps } => steps.iter().find_map(|(step, _)| match saga.steps.get(*step) {
            None => out_of_place,
            Some(StepState::Pending) => saga.turning.is_some().then_some(IllegalEvent::StepOver),
            Some(state @ StepState::Ran(_)) => {
                (succeeded(state) && saga.turning.is_none()).then_some(IllegalEvent::StepOver)
            }
            Some(StepState::RunSkipped { .. } | StepState::UndoSkipped { .. } | StepState::Undone { .. }) => {
                Some(IllegalEvent::StepOver)
            }
            Some(_) => None,
        }),
        Event::LateEffect { step } => {
            let undone = step_is(*step, |state| matches!(state, StepState::Undone { .. }));
            if undone && saga.status == Status::Abandoned {
                Some(IllegalEvent::Ended)
            } else if undone && saga.plan.steps[*step].compensated {
                None
            } else {
                out_of_place
            }
        }
        Event::Retried | Event::Abandoned => {
            (saga.status != Status::NeedsAttention).then_some(IllegalEvent::NotStuck)
        }
        Event::TakenOver { .. } => ended.then_some(IllegalEvent::Ended),
    }
}

fn succeeded(state: &StepState) -> bool {
    matches!(
        state,
        StepState::Ran(RunEnd {
            verdict: Verdict::Succeeded(_),
            ..
        })
    )
}

/// Steps behind it may go on.
fn lets_on(state: &StepState) -> bool {
    succeeded(state) || matches!(state, StepState::RunSkipped { .. })
}
