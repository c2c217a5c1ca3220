//! A naive model of a saga: it keeps no state, only the list of everything that happened, and answers each question by
//! reading that list from the beginning. Slow, and written without a look at how the core does it.
//!
//! Moment 0 is the accept; moment `n` is the n-th event.

use arcadia::saga::{CallEnd, Event, Json, MAX_TAKEOVERS, Outcome, Plan, Status, StepIndex};

use super::calls::{Backoff, attempt, is_poll, saved};

pub struct Model<'a> {
    plan: &'a Plan,
    start_ms: i64,
    pub log: Vec<(Event, i64)>,
    /// The first moment that turned the saga: looked up once per event, since every question asks for it.
    turned: Option<Moment>,
}

pub type Moment = usize;

/// What a step does, with what can be told about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Doing {
    Waits,
    Runs(Phase),
    Ran(Ending),
    RunStuck,
    Undoes(Ending, Phase),
    UndoStuck(Ending),
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
    /// The step whose failure it was, or none for a cancel.
    pub turned_by: Option<Option<StepIndex>>,
    pub pivot_passed: bool,
    pub steps: Vec<Doing>,
}

impl<'a> Model<'a> {
    pub fn new(plan: &'a Plan, start_ms: i64) -> Model<'a> {
        Model {
            plan,
            start_ms,
            log: Vec::new(),
            turned: None,
        }
    }

    /// The event happens to a saga that looks like `picture`; it tells nothing if it is a takeover of one that rests.
    pub fn happen(&mut self, event: Event, now_ms: i64, picture: &Picture) {
        let rests = picture.status == Status::NeedsAttention;
        if !(rests && matches!(event, Event::TakenOver { .. })) {
            self.log.push((event, now_ms));
            self.turned = (1..=self.log.len()).find(|&moment| self.turns(moment));
        }
    }

    pub fn picture(&self) -> Picture {
        let turned = self.turned;
        let undone = self.undone();
        let steps: Vec<Doing> = (0..self.plan.steps.len())
            .map(|step| self.doing(step, &undone))
            .collect();
        Picture {
            status: self.status(&steps),
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
        let ended = !matches!(
            picture.status,
            Status::Running | Status::Compensating | Status::NeedsAttention
        );
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
            Event::RollbackRequested { .. }
            | Event::Held { .. }
            | Event::Released { .. }
            | Event::Skipped { .. }
            | Event::Repinned { .. }
            | Event::LateEffect { .. } => unreachable!("not in these lives"),
        }
    }

    fn status(&self, steps: &[Doing]) -> Status {
        if self.log.iter().any(|(event, _)| *event == Event::Abandoned) {
            return Status::Abandoned;
        }
        let works = steps
            .iter()
            .any(|doing| matches!(doing, Doing::Runs(_) | Doing::Undoes(..)));
        let stuck = steps
            .iter()
            .any(|doing| matches!(doing, Doing::RunStuck | Doing::UndoStuck(_)));
        match (self.turned, works, stuck) {
            (_, false, true) => Status::NeedsAttention,
            (None, true, _) => Status::Running,
            (None, false, false) => Status::Completed,
            (Some(_), true, _) => Status::Compensating,
            (Some(moment), false, false) => match self.event(moment) {
                Event::CancelRequested { .. } => Status::Cancelled,
                _ => Status::Compensated,
            },
        }
    }

    fn doing(&self, step: StepIndex, undone: &[Option<Moment>]) -> Doing {
        let now = self.log.len();
        if !self.started(step) {
            return Doing::Waits;
        }
        let Some(ran) = self.ran_at(step) else {
            return if self.run_stuck(step, now) {
                Doing::RunStuck
            } else {
                Doing::Runs(self.run_phase(step))
            };
        };
        let ending = self.ending(step, ran);
        match self.undo_ready(step, undone) {
            None => Doing::Ran(ending),
            Some(_) if undone[step].is_some() => Doing::Undone(ending),
            Some(ready) if self.undo_stuck(step, ready, now) => Doing::UndoStuck(ending),
            Some(ready) => Doing::Undoes(ending, self.undo_phase(step, ready)),
        }
    }

    // --- the list ---------------------------------------------------------------------------------------------------

    fn event(&self, moment: Moment) -> &Event {
        &self.log[moment - 1].0
    }

    fn now_ms(&self, moment: Moment) -> i64 {
        if moment == 0 {
            self.start_ms
        } else {
            self.log[moment - 1].1
        }
    }

    fn moments(&self) -> impl DoubleEndedIterator<Item = Moment> + use<> {
        1..=self.log.len()
    }

    fn retried_within(&self, after: Moment, until: Moment) -> bool {
        (after + 1..=until).any(|moment| *self.event(moment) == Event::Retried)
    }

    fn pivot_passed(&self, until: Moment) -> bool {
        (1..=until).any(|moment| matches!(self.event(moment), Event::PivotPassed { .. }))
    }

    fn run_end(&self, step: StepIndex, moment: Moment) -> Option<&CallEnd> {
        match self.event(moment) {
            Event::RunReturned { step: of, end } if *of == step => Some(end),
            _ => None,
        }
    }

    fn undo_end(&self, step: StepIndex, moment: Moment) -> Option<&CallEnd> {
        match self.event(moment) {
            Event::UndoReturned { step: of, end } if *of == step => Some(end),
            _ => None,
        }
    }

    /// The takeover at which somebody has to look.
    fn is_crash(&self, moment: Moment) -> bool {
        if *self.event(moment) != (Event::TakenOver { calling: true }) {
            return false;
        }
        let mut in_a_row = 0;
        for past in 1..=moment {
            match self.event(past) {
                Event::TakenOver { calling } => in_a_row += u32::from(*calling),
                Event::RunReturned { .. } | Event::UndoReturned { .. } | Event::Retried => in_a_row = 0,
                _ => {}
            }
            if self.turned == Some(past) {
                in_a_row = 0;
            }
        }
        in_a_row > MAX_TAKEOVERS
    }

    // --- forward ----------------------------------------------------------------------------------------------------

    /// Would turn the saga if nothing had turned it before.
    fn turns(&self, moment: Moment) -> bool {
        match self.event(moment) {
            Event::CancelRequested { .. } => true,
            Event::RunReturned { step, .. } => !self.pivot_passed(moment) && self.run_fails(*step, moment),
            _ => false,
        }
    }

    fn done_at(&self, step: StepIndex) -> Option<Moment> {
        let is_done = |end: &CallEnd| matches!(end.outcome, Outcome::Done(_));
        self.moments()
            .find(|&moment| self.run_end(step, moment).is_some_and(is_done))
    }

    /// When everything that the step waits for was done.
    fn ready_at(&self, step: StepIndex) -> Option<Moment> {
        self.plan.steps[step]
            .after
            .iter()
            .try_fold(0, |latest, &before| Some(latest.max(self.done_at(before)?)))
    }

    fn started(&self, step: StepIndex) -> bool {
        let turned = self.turned.unwrap_or(Moment::MAX);
        self.ready_at(step).is_some_and(|ready| ready < turned)
    }

    /// When the phase began in which the step is at `moment`: when it was ready, or when it was last freed.
    fn run_began(&self, step: StepIndex, moment: Moment) -> Moment {
        let freed = (1..moment)
            .rev()
            .find(|&past| *self.event(past) == Event::Retried && self.run_stuck(step, past - 1));
        freed.or(self.ready_at(step)).unwrap_or(0)
    }

    /// Ends of calls in the phase that goes on at `moment`.
    fn run_ends(&self, step: StepIndex, moment: Moment) -> Vec<(Moment, &CallEnd)> {
        let began = self.run_began(step, moment);
        (began + 1..moment)
            .filter_map(|past| Some((past, self.run_end(step, past)?)))
            .collect()
    }

    fn run_fails(&self, step: StepIndex, moment: Moment) -> bool {
        let Some(end) = self.run_end(step, moment) else {
            return false;
        };
        let policy = self.plan.steps[step].run;
        let age_ms = self.now_ms(moment) - self.now_ms(self.run_began(step, moment));
        let late = age_ms >= policy.total_ms.cast_signed();
        let spent = attempt(&self.run_ends(step, moment)) >= policy.max_attempts;
        match &end.outcome {
            Outcome::Done(_) => false,
            Outcome::Permanent(_) => true,
            Outcome::Again { .. } => late,
            Outcome::Transient { .. } => late || (spent && !end.starved),
            Outcome::Trap(_) | Outcome::Timeout => late || spent,
        }
    }

    fn run_stuck(&self, step: StepIndex, moment: Moment) -> bool {
        let turned = self.turned.unwrap_or(Moment::MAX);
        let sticks = |past: Moment| {
            let crashed = || {
                self.is_crash(past)
                    && self.ready_at(step).is_some_and(|ready| ready < past)
                    && self.done_at(step).is_none_or(|done| done > past)
            };
            past < turned && ((self.pivot_passed(past) && self.run_fails(step, past)) || crashed())
        };
        let last = (1..=moment).rev().find(|&past| sticks(past));
        last.is_some_and(|past| !self.retried_within(past, moment))
    }

    /// When it was over with `run` for good.
    fn ran_at(&self, step: StepIndex) -> Option<Moment> {
        if let Some(done) = self.done_at(step) {
            return Some(done);
        }
        let turned = self.turned?;
        if self.run_stuck(step, turned) || self.run_end(step, turned).is_some() {
            return Some(turned);
        }
        (turned + 1..=self.log.len()).find(|&moment| {
            self.run_end(step, moment).is_some() || *self.event(moment) == Event::RunSettled { step }
        })
    }

    fn ending(&self, step: StepIndex, ran: Moment) -> Ending {
        let end = self.run_end(step, ran);
        let output = match end.map(|end| &end.outcome) {
            Some(Outcome::Done(output)) => Ok(output.clone()),
            Some(Outcome::Permanent(_) | Outcome::Transient { .. }) => Err(SaidSo(true)),
            Some(Outcome::Again { .. } | Outcome::Trap(_) | Outcome::Timeout) | None => Err(SaidSo(false)),
        };
        let mut ends = self.run_ends(step, ran);
        ends.extend(end.map(|end| (ran, end)));
        Ending {
            output,
            saved: saved(&ends),
        }
    }

    fn run_phase(&self, step: StepIndex) -> Phase {
        let now = self.log.len() + 1;
        let policy = self.plan.steps[step].run;
        let backoff = Backoff {
            floor_ms: 0,
            base_ms: policy.backoff_base_ms,
            max_ms: policy.backoff_max_ms,
            total_ms: policy.total_ms,
        };
        let mut phase = self.phase(&self.run_ends(step, now), self.run_began(step, now), backoff);
        if let Some(turned) = self.turned {
            let (soonest, latest) = phase.wake_ms;
            let turned_ms = self.now_ms(turned);
            phase.wake_ms = (soonest.min(turned_ms), latest.min(turned_ms));
        }
        phase
    }

    // --- back -------------------------------------------------------------------------------------------------------

    /// When each step was undone. A round tells of those whose followers the rounds before told of.
    fn undone(&self) -> Vec<Option<Moment>> {
        let mut undone = vec![None; self.plan.steps.len()];
        loop {
            let told = (0..undone.len())
                .map(|step| self.undone_at(step, &undone))
                .collect();
            if told == undone {
                return told;
            }
            undone = told;
        }
    }

    fn undone_at(&self, step: StepIndex, undone: &[Option<Moment>]) -> Option<Moment> {
        let ready = self.undo_ready(step, undone)?;
        if !self.plan.steps[step].compensated {
            return Some(ready);
        }
        let is_done = |end: &CallEnd| matches!(end.outcome, Outcome::Done(_));
        self.moments()
            .find(|&moment| self.undo_end(step, moment).is_some_and(is_done))
    }

    /// When everything was in place for the step's undo: the saga had turned, the step's own run was over, and what stands on
    /// it was undone.
    fn undo_ready(&self, step: StepIndex, undone: &[Option<Moment>]) -> Option<Moment> {
        if !self.started(step) {
            return None;
        }
        let own = self.turned?.max(self.ran_at(step)?);
        self.plan
            .behind(step)
            .filter(|&behind| self.started(behind))
            .try_fold(own, |latest, behind| Some(latest.max(undone[behind]?)))
    }

    fn undo_began(&self, step: StepIndex, ready: Moment, moment: Moment) -> Moment {
        (ready + 1..moment)
            .rev()
            .find(|&past| *self.event(past) == Event::Retried && self.undo_stuck(step, ready, past - 1))
            .unwrap_or(ready)
    }

    fn undo_fails(&self, step: StepIndex, ready: Moment, moment: Moment) -> bool {
        let Some(end) = self.undo_end(step, moment) else {
            return false;
        };
        let age_ms = self.now_ms(moment) - self.now_ms(self.undo_began(step, ready, moment));
        let late = age_ms >= self.plan.steps[step].compensate.total_ms.cast_signed();
        match &end.outcome {
            Outcome::Done(_) => false,
            Outcome::Permanent(_) => true,
            Outcome::Again { .. } | Outcome::Transient { .. } | Outcome::Trap(_) | Outcome::Timeout => late,
        }
    }

    fn undo_stuck(&self, step: StepIndex, ready: Moment, moment: Moment) -> bool {
        let last = (ready + 1..=moment)
            .rev()
            .find(|&past| self.undo_fails(step, ready, past) || self.is_crash(past));
        last.is_some_and(|past| !self.retried_within(past, moment))
    }

    fn undo_phase(&self, step: StepIndex, ready: Moment) -> Phase {
        let now = self.log.len() + 1;
        let began = self.undo_began(step, ready, now);
        let ends: Vec<_> = (began + 1..now)
            .filter_map(|past| Some((past, self.undo_end(step, past)?)))
            .collect();
        let policy = self.plan.steps[step].compensate;
        let backoff = Backoff {
            floor_ms: policy.backoff_base_ms,
            base_ms: policy.backoff_base_ms,
            max_ms: policy.backoff_max_ms,
            total_ms: policy.total_ms,
        };
        self.phase(&ends, began, backoff)
    }

    fn phase(&self, ends: &[(Moment, &CallEnd)], began: Moment, backoff: Backoff) -> Phase {
        let began_ms = self.now_ms(began);
        let polls = ends.iter().filter(|(_, end)| is_poll(end)).count();
        let wake_ms = ends
            .split_last()
            .map_or((began_ms, began_ms), |((moment, end), earlier)| {
                let now_ms = self.now_ms(*moment);
                let (soonest, latest) = backoff.wait_ms(end, attempt(earlier));
                let last_look_ms = (began_ms + backoff.total_ms.cast_signed()).max(now_ms);
                let at = |wait_ms: u64| now_ms.saturating_add_unsigned(wait_ms).min(last_look_ms);
                (at(soonest), at(latest))
            });
        Phase {
            attempt: attempt(ends),
            polls: u32::try_from(polls).expect("a short list"),
            began_ms,
            wake_ms,
            saved: saved(ends),
        }
    }
}
