//! How the naive model reads its list: when steps began, ended, got stuck, and what was undone when.

use arcadia::saga::{CallEnd, Event, MAX_TAKEOVERS, Outcome, StepIndex};

use super::{
    calls::{Backoff, attempt, is_poll, saved},
    model::{Ending, Model, Moment, Phase, SaidSo},
};

impl Model<'_> {
    // --- the list ---------------------------------------------------------------------------------------------------

    pub(super) fn event(&self, moment: Moment) -> &Event {
        &self.log[moment - 1].0
    }

    pub(super) fn now_ms(&self, moment: Moment) -> i64 {
        if moment == 0 {
            self.start_ms
        } else {
            self.log[moment - 1].1
        }
    }

    fn moments(&self) -> impl DoubleEndedIterator<Item = Moment> + use<> {
        1..=self.log.len()
    }

    /// Nothing holds it from this moment to the next.
    pub(super) fn open(&self, moment: Moment) -> bool {
        self.held[moment].is_empty()
    }

    /// Since when it has been held all the time.
    pub(super) fn pause_began(&self, moment: Moment) -> Moment {
        let open = (0..=moment).rev().find(|&past| self.open(past));
        open.map_or(0, |open| open + 1)
    }

    /// How long it was held between two moments.
    fn held_ms(&self, from: Moment, until: Moment) -> i64 {
        (from..until)
            .filter(|&moment| !self.open(moment))
            .map(|moment| self.now_ms(moment + 1) - self.now_ms(moment))
            .sum()
    }

    /// How long it has lasted, pauses left out.
    fn age_ms(&self, began: Moment, moment: Moment) -> i64 {
        self.now_ms(moment) - self.now_ms(began) - self.held_ms(began, moment)
    }

    fn skip(&self, step: StepIndex, moment: Moment) -> bool {
        *self.event(moment) == Event::Skipped { step }
    }

    fn retried_within(&self, after: Moment, until: Moment) -> bool {
        (after + 1..=until).any(|moment| *self.event(moment) == Event::Retried)
    }

    pub(super) fn pivot_passed(&self, until: Moment) -> bool {
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
                Event::RunReturned { .. }
                | Event::UndoReturned { .. }
                | Event::Retried
                | Event::Skipped { .. }
                | Event::LateEffect { .. } => in_a_row = 0,
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
    pub(super) fn turns(&self, moment: Moment) -> bool {
        match self.event(moment) {
            Event::CancelRequested { .. } | Event::RollbackRequested { .. } => true,
            Event::RunReturned { step, .. } => !self.pivot_passed(moment) && self.run_fails(*step, moment),
            _ => false,
        }
    }

    fn done_at(&self, step: StepIndex) -> Option<Moment> {
        let is_done = |end: &CallEnd| matches!(end.outcome, Outcome::Done(_));
        self.moments()
            .find(|&moment| self.run_end(step, moment).is_some_and(is_done))
    }

    /// When an operator let the saga go on without it.
    pub(super) fn run_skipped_at(&self, step: StepIndex) -> Option<Moment> {
        let turned = self.turned.unwrap_or(Moment::MAX);
        self.moments()
            .find(|&moment| moment < turned && self.skip(step, moment))
    }

    /// When everything that the step waits for was done or skipped, and nothing held the saga.
    fn ready_at(&self, step: StepIndex) -> Option<Moment> {
        let over = |step| self.done_at(step).or(self.run_skipped_at(step));
        let after = &self.plan.steps[step].after;
        let ready = after
            .iter()
            .try_fold(0, |latest, &before| Some(latest.max(over(before)?)))?;
        (ready..=self.log.len()).find(|&moment| self.open(moment))
    }

    pub(super) fn started(&self, step: StepIndex) -> bool {
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
        let age_ms = self.age_ms(self.run_began(step, moment), moment);
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

    pub(super) fn run_stuck(&self, step: StepIndex, moment: Moment) -> bool {
        let turned = self.turned.unwrap_or(Moment::MAX);
        let sticks = |past: Moment| {
            let crashed = || {
                self.is_crash(past)
                    && self.ready_at(step).is_some_and(|ready| ready < past)
                    && self.done_at(step).is_none_or(|done| done > past)
                    && self.run_skipped_at(step).is_none_or(|skipped| skipped > past)
            };
            past < turned && ((self.pivot_passed(past) && self.run_fails(step, past)) || crashed())
        };
        let skipped = self.run_skipped_at(step).is_some_and(|skipped| skipped <= moment);
        let last = (1..=moment).rev().find(|&past| sticks(past));
        !skipped && last.is_some_and(|past| !self.retried_within(past, moment))
    }

    /// When it was over with `run` for good.
    pub(super) fn ran_at(&self, step: StepIndex) -> Option<Moment> {
        if let Some(done) = self.done_at(step) {
            return Some(done);
        }
        let turned = self.turned?;
        let skipped = self.run_skipped_at(step).is_some();
        if skipped || self.run_stuck(step, turned) || self.run_end(step, turned).is_some() {
            return Some(turned);
        }
        (turned + 1..=self.log.len()).find(|&moment| {
            self.run_end(step, moment).is_some() || *self.event(moment) == Event::RunSettled { step }
        })
    }

    pub(super) fn ending(&self, step: StepIndex, ran: Moment) -> Ending {
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

    pub(super) fn run_phase(&self, step: StepIndex) -> Phase {
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

    /// When the undo of each step began first.
    pub(super) fn back(&self) -> Vec<Option<Moment>> {
        let mut back = vec![None; self.plan.steps.len()];
        // Each round tells of those whose followers the rounds before told of.
        for _ in 0..back.len() {
            back = (0..back.len())
                .map(|step| self.undo_began_first(step, &back))
                .collect();
        }
        back
    }

    /// When everything was in place for it: the saga had turned, the step's own run was over, what stands on it was gone, and
    /// nothing held the saga.
    fn undo_began_first(&self, step: StepIndex, back: &[Option<Moment>]) -> Option<Moment> {
        if !self.started(step) {
            return None;
        }
        let gone = |behind: StepIndex, moment: Moment| {
            !self.started(behind)
                || back[behind].is_some_and(|began| {
                    let round = self.undo_round(behind, began, moment);
                    began <= moment
                        && (self.undone(behind, round, moment) || self.undo_skipped(behind, round, moment))
                })
        };
        let own = self.turned?.max(self.ran_at(step)?);
        (own..=self.log.len())
            .find(|&moment| self.open(moment) && self.plan.behind(step).all(|behind| gone(behind, moment)))
    }

    /// When the undo that goes on at `moment`, or was the last one then, began: at first, or as something showed up late.
    pub(super) fn undo_round(&self, step: StepIndex, began: Moment, moment: Moment) -> Moment {
        (began + 1..=moment)
            .rev()
            .find(|&past| *self.event(past) == Event::LateEffect { step })
            .unwrap_or(began)
    }

    pub(super) fn undone(&self, step: StepIndex, round: Moment, moment: Moment) -> bool {
        let is_done = |end: &CallEnd| matches!(end.outcome, Outcome::Done(_));
        let mut since = round + 1..=moment;
        !self.plan.steps[step].compensated || since.any(|past| self.undo_end(step, past).is_some_and(is_done))
    }

    pub(super) fn undo_skipped(&self, step: StepIndex, round: Moment, moment: Moment) -> bool {
        (round + 1..=moment).any(|past| self.skip(step, past))
    }

    fn undo_began(&self, step: StepIndex, round: Moment, moment: Moment) -> Moment {
        (round + 1..moment)
            .rev()
            .find(|&past| *self.event(past) == Event::Retried && self.undo_stuck(step, round, past - 1))
            .unwrap_or(round)
    }

    fn undo_fails(&self, step: StepIndex, round: Moment, moment: Moment) -> bool {
        let Some(end) = self.undo_end(step, moment) else {
            return false;
        };
        let age_ms = self.age_ms(self.undo_began(step, round, moment), moment);
        let late = age_ms >= self.plan.steps[step].compensate.total_ms.cast_signed();
        match &end.outcome {
            Outcome::Done(_) => false,
            Outcome::Permanent(_) => true,
            Outcome::Again { .. } | Outcome::Transient { .. } | Outcome::Trap(_) | Outcome::Timeout => late,
        }
    }

    /// Of a step that is not undone.
    pub(super) fn undo_stuck(&self, step: StepIndex, round: Moment, moment: Moment) -> bool {
        let last = (round + 1..=moment)
            .rev()
            .find(|&past| self.undo_fails(step, round, past) || self.is_crash(past));
        last.is_some_and(|past| !self.retried_within(past, moment))
    }

    pub(super) fn undo_phase(&self, step: StepIndex, round: Moment) -> Phase {
        let now = self.log.len() + 1;
        let began = self.undo_began(step, round, now);
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
        let now = self.log.len();
        // The clock is set forward by a pause once that is over.
        let pauses_until = if self.open(now) {
            now
        } else {
            self.pause_began(now)
        };
        let shifted_ms = |until: Moment| self.now_ms(began) + self.held_ms(began, until);
        let begun_ms = self.now_ms(began);
        let polls = ends.iter().filter(|(_, end)| is_poll(end)).count();
        let wake_ms = ends
            .split_last()
            .map_or((begun_ms, begun_ms), |((moment, end), earlier)| {
                let now_ms = self.now_ms(*moment);
                let (soonest, latest) = backoff.wait_ms(end, attempt(earlier));
                let last_look_ms = (shifted_ms(*moment) + backoff.total_ms.cast_signed()).max(now_ms);
                let at = |wait_ms: u64| now_ms.saturating_add_unsigned(wait_ms).min(last_look_ms);
                (at(soonest), at(latest))
            });
        Phase {
            attempt: attempt(ends),
            polls: u32::try_from(polls).expect("a short list"),
            began_ms: shifted_ms(pauses_until),
            wake_ms,
            saved: saved(ends),
        }
    }
}
