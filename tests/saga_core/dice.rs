//! What happens next in a random life.

use arcadia::saga::{CallEnd, ComponentRef, Event, Failure, Hold, Json, Outcome, Saga, Status, StepState};

use super::plans::component;

/// SplitMix64: small, and the same everywhere for ever.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let length = u64::try_from(items.len()).expect("short");
        (length > 0).then(|| &items[usize::try_from(self.below(length)).expect("short")])
    }

    pub fn pause_ms(&mut self) -> i64 {
        let longest = if self.percent(3) { 80_000 } else { 900 };
        self.below(longest).cast_signed()
    }

    /// Mostly what the saga waits for, sometimes anything.
    pub fn event(&mut self, saga: &Saga, number: u64) -> Event {
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
        if let Some(event) = self.verb(saga) {
            return event;
        }
        // Hosts die in bursts.
        if saga.takeovers > 0 && self.percent(85) {
            return Event::TakenOver { calling: true };
        }
        match self.below(100) {
            0..=2 => Event::CancelRequested {
                actor: "ada".to_owned(),
                reason: None,
            },
            3..=6 => Event::Retried,
            7 => Event::Abandoned,
            8 => Event::Skipped { step: any },
            9 => Event::LateEffect { step: any },
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

    /// What operators and late answers do, where it changes something; now and then where it doesn't.
    fn verb(&mut self, saga: &Saga) -> Option<Event> {
        let steps: Vec<usize> = (0..saga.steps.len()).collect();
        let any = *self.pick(&steps)?;
        if let Some(pause) = &saga.paused
            && self.percent(20)
        {
            let holds: Vec<Hold> = pause.holds.iter().cloned().collect();
            let hold = self.pick(&holds)?.clone();
            return Some(Event::Released { hold });
        }
        let of = |matches: fn(&StepState) -> bool| {
            let found = steps.iter().copied().filter(|&step| matches(&saga.steps[step]));
            found.collect::<Vec<_>>()
        };
        let stuck = of(|state| matches!(state, StepState::RunStuck { .. } | StepState::UndoStuck { .. }));
        let undone = of(|state| matches!(state, StepState::Undone { .. }));
        if saga.status == Status::NeedsAttention && self.percent(30) {
            return self.pick(&stuck).map(|&step| Event::Skipped { step });
        }
        let skipped = of(|state| matches!(state, StepState::RunSkipped { .. }));
        if !skipped.is_empty() && !saga.pivot_passed && self.percent(40) {
            return Some(Event::CancelRequested {
                actor: "ada".to_owned(),
                reason: None,
            });
        }
        if self.percent(10) {
            return self.pick(&undone).map(|&step| Event::LateEffect { step });
        }
        if self.percent(if saga.status == Status::Completed { 50 } else { 1 }) {
            return Some(Event::RollbackRequested {
                actor: "ada".to_owned(),
                reason: None,
            });
        }
        match self.below(100) {
            0..=3 => Some(Event::Held { hold: self.hold() }),
            4 => Some(Event::Released { hold: self.hold() }),
            5..=6 => Some(Event::Repinned {
                steps: (0..=self.below(2))
                    .map(|more| {
                        let step = any + usize::try_from(more).expect("small");
                        (step, self.component())
                    })
                    .collect(),
            }),
            _ => None,
        }
    }

    pub fn hold(&mut self) -> Hold {
        match self.below(5) {
            0 => Hold::Saga,
            1 => Hold::Definition,
            2 => Hold::All,
            number => Hold::Service(format!("service-{number}")),
        }
    }

    fn component(&mut self) -> ComponentRef {
        let other = component();
        ComponentRef {
            name: if self.percent(10) {
                "another".to_owned()
            } else {
                other.name.clone()
            },
            version: format!("{}.0.0", 2 + self.below(5)),
            ..other
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
