//! A naive model of a saga: it keeps no state, only the list of everything that happened, and answers each question by
//! reading that list from the beginning. Slow, and written without a look at how the core does it.
//!
//! Moment 0 is the accept; moment `n` is the n-th event.

use std::collections::BTreeSet;

use arcadia::saga::{ComponentRef, Event, Hold, Json, Pause, Plan, Status, StepIndex};

pub struct Model<'a> {
    pub(super) plan: &'a Plan,
    pub(super) start_ms: i64,
    pub log: Vec<(Event, i64)>,
    /// The first moment that turned the saga: looked up once per event, since every question asks for it.
    pub(super) turned: Option<Moment>,
    /// What held the saga from each moment to the next: looked up once, too.
    pub(super) held: Vec<BTreeSet<Hold>>,
}

pub type Moment = usize;

/// What a step does, with what can be told about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Doing {
    Waits,
    Runs(Phase),
    Ran(Ending),
    RunStuck,
    RunSkipped,
    Undoes(Ending, Phase),
    UndoStuck(Ending),
    UndoSkipped(Ending),
    Undone(Ending),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    pub attempt: u32,
    pub polls: u32,
    pub began_ms: i64,
    /// Earliest and latest time of the next call.
    pub wake_ms: (i64, i64),
    pub saved: Option<Json>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// The output, or whether the step said itself that it failed.
    pub output: Result<Json, SaidSo>,
    pub saved: Option<Json>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SaidSo(pub bool);

#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub status: Status,
    /// The step whose failure it was, or none for a cancel or a rollback.
    pub turned_by: Option<Option<StepIndex>>,
    pub pivot_passed: bool,
    pub paused: Option<Pause>,
    pub components: Vec<ComponentRef>,
    pub steps: Vec<Doing>,
}

impl<'a> Model<'a> {
    pub fn new(plan: &'a Plan, holds: BTreeSet<Hold>, start_ms: i64) -> Model<'a> {
        Model {
            plan,
            start_ms,
            log: Vec::new(),
            turned: None,
            held: vec![holds],
        }
    }

    /// The event happens to a saga that looks like `picture`; it tells nothing if it is a takeover of one that rests.
    pub fn happen(&mut self, event: Event, now_ms: i64, picture: &Picture) {
        let rests = picture.status == Status::NeedsAttention;
        if rests && matches!(event, Event::TakenOver { .. }) {
            return;
        }
        // What has ended is held by nothing, also when it comes back to life.
        let mut held = picture
            .paused
            .clone()
            .map(|pause| pause.holds)
            .unwrap_or_default();
        match &event {
            Event::Held { hold } => drop(held.insert(hold.clone())),
            Event::Released { hold } => drop(held.remove(hold)),
            _ => {}
        }
        self.held.push(held);
        self.log.push((event, now_ms));
        self.turned = (1..=self.log.len()).find(|&moment| self.turns(moment));
    }

    pub fn picture(&self) -> Picture {
        let turned = self.turned;
        let back = self.back();
        let steps: Vec<Doing> = (0..self.plan.steps.len())
            .map(|step| self.doing(step, &back))
            .collect();
        let status = self.status(&steps);
        Picture {
            status,
            paused: (!ended(status)).then(|| self.pause()).flatten(),
            components: (0..steps.len()).map(|step| self.component(step)).collect(),
            turned_by: turned.map(|moment| match self.event(moment) {
                Event::RunReturned { step, .. } => Some(*step),
                _ => None,
            }),
            pivot_passed: self.pivot_passed(self.log.len()),
            steps,
        }
    }

    /// Whether an event may happen to a saga that looks like `picture`.
    pub fn allows(&self, event: &Event, picture: &Picture) -> bool {
        let doing = |step: StepIndex| picture.steps.get(step);
        let ended = ended(picture.status);
        let turned = picture.turned_by.is_some();
        match event {
            Event::RunReturned { step, .. } => matches!(doing(*step), Some(Doing::Runs(_))),
            Event::RunSettled { step } => turned && matches!(doing(*step), Some(Doing::Runs(_))),
            Event::UndoReturned { step, .. } => matches!(doing(*step), Some(Doing::Undoes(..))),
            Event::PivotPassed { step } => {
                !turned && matches!(doing(*step), Some(Doing::Runs(_))) && self.plan.steps[*step].pivot
            }
            Event::CancelRequested { .. } => !ended && !picture.pivot_passed,
            Event::Retried | Event::Abandoned => picture.status == Status::NeedsAttention,
            Event::TakenOver { .. } => !ended,
            Event::RollbackRequested { .. } if picture.status == Status::Completed => !picture.pivot_passed,
            Event::RollbackRequested { .. } => !ended && turned,
            Event::Held { .. } | Event::Released { .. } => !ended,
            Event::Skipped { step } => {
                let stuck = matches!(doing(*step), Some(Doing::RunStuck | Doing::UndoStuck(_)));
                stuck && picture.status == Status::NeedsAttention
            }
            Event::Repinned { steps } => {
                let may = |(step, component): &(StepIndex, ComponentRef)| {
                    let call_to_come = match doing(*step) {
                        Some(Doing::Waits) => !turned,
                        Some(Doing::Ran(_)) => turned,
                        Some(Doing::Runs(_) | Doing::RunStuck | Doing::Undoes(..) | Doing::UndoStuck(_)) => {
                            true
                        }
                        Some(Doing::RunSkipped | Doing::UndoSkipped(_) | Doing::Undone(_)) | None => false,
                    };
                    call_to_come && self.plan.steps[*step].component.name == component.name
                };
                !ended && steps.iter().all(may)
            }
            Event::LateEffect { step } => {
                let undone = matches!(doing(*step), Some(Doing::Undone(_)));
                undone && self.plan.steps[*step].compensated && picture.status != Status::Abandoned
            }
        }
    }

    fn status(&self, steps: &[Doing]) -> Status {
        if self.log.iter().any(|(event, _)| *event == Event::Abandoned) {
            return Status::Abandoned;
        }
        let any = |wanted: fn(&Doing) -> bool| steps.iter().any(wanted);
        let works = any(|doing| matches!(doing, Doing::Runs(_) | Doing::Undoes(..)));
        let stuck = any(|doing| matches!(doing, Doing::RunStuck | Doing::UndoStuck(_)));
        let skipped = any(|doing| matches!(doing, Doing::RunSkipped | Doing::UndoSkipped(_)));
        let goes_on = works || (0..steps.len()).any(|step| self.only_held(step, steps));
        match self.turned {
            _ if stuck && !goes_on => Status::NeedsAttention,
            None if goes_on => Status::Running,
            Some(_) if goes_on => Status::Compensating,
            _ if skipped => Status::Abandoned,
            None => Status::Completed,
            Some(moment) => match self.event(moment) {
                Event::CancelRequested { .. } => Status::Cancelled,
                _ => Status::Compensated,
            },
        }
    }

    /// Nothing but a hold keeps the step from beginning, or its undo.
    fn only_held(&self, step: StepIndex, steps: &[Doing]) -> bool {
        let done = |before: &StepIndex| match &steps[*before] {
            Doing::Ran(ending) => ending.output.is_ok(),
            doing => *doing == Doing::RunSkipped,
        };
        let gone = |behind: StepIndex| {
            matches!(
                steps[behind],
                Doing::Waits | Doing::Undone(_) | Doing::UndoSkipped(_)
            )
        };
        match &steps[step] {
            Doing::Waits => self.turned.is_none() && self.plan.before(step).iter().all(done),
            Doing::Ran(_) => self.turned.is_some() && self.plan.behind(step).all(gone),
            _ => false,
        }
    }

    fn component(&self, step: StepIndex) -> ComponentRef {
        let repinned = self.log.iter().rev().find_map(|(event, _)| match event {
            Event::Repinned { steps } => steps.iter().rev().find(|(of, _)| *of == step),
            _ => None,
        });
        repinned.map_or_else(
            || self.plan.steps[step].component.clone(),
            |(_, component)| component.clone(),
        )
    }

    /// What holds it now, and since when something did all the time.
    fn pause(&self) -> Option<Pause> {
        let now = self.log.len();
        (!self.open(now)).then(|| Pause {
            since_ms: self.now_ms(self.pause_began(now)),
            holds: self.held[now].clone(),
        })
    }

    fn doing(&self, step: StepIndex, back: &[Option<Moment>]) -> Doing {
        let now = self.log.len();
        if !self.started(step) {
            return Doing::Waits;
        }
        let Some(ran) = self.ran_at(step) else {
            return if self.run_skipped_at(step).is_some() {
                Doing::RunSkipped
            } else if self.run_stuck(step, now) {
                Doing::RunStuck
            } else {
                Doing::Runs(self.run_phase(step))
            };
        };
        let ending = self.ending(step, ran);
        let Some(began) = back[step] else {
            return Doing::Ran(ending);
        };
        let round = self.undo_round(step, began, now);
        if self.undo_skipped(step, round, now) {
            Doing::UndoSkipped(ending)
        } else if self.undone(step, round, now) {
            Doing::Undone(ending)
        } else if self.undo_stuck(step, round, now) {
            Doing::UndoStuck(ending)
        } else {
            Doing::Undoes(ending, self.undo_phase(step, round))
        }
    }
}

fn ended(status: Status) -> bool {
    match status {
        Status::Completed | Status::Compensated | Status::Cancelled | Status::Abandoned => true,
        Status::Running | Status::Compensating | Status::NeedsAttention => false,
    }
}
