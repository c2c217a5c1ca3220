//! Answers that calls share: one listing for a hundred sagas that poll. Bounded in number, bytes and age; time is an argument, in
//! milliseconds of a monotonic clock.
//!
//! A saga never gets an answer from before its own last change: neither one whose request left before that change had ended, nor
//! any while a change is on the wire.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::exchange::WireAnswer;
use crate::saga::SagaId;

/// No shared answer is older, whatever a guest accepts.
pub const MAX_SHARED_AGE_MS: i64 = 60_000;
/// A change that ended longer ago can't be younger than any answer that is kept or on its way: those are at most
/// [`MAX_SHARED_AGE_MS`] and an exchange old.
const REMEMBER_CHANGES_MS: i64 = 240_000;
const MAX_ANSWERS: usize = 256;
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Path, query and headers of a GET to one service.
pub(super) type Question = [u8; 32];

#[derive(Debug)]
pub(super) struct SharedAnswer {
    pub answer: WireAnswer,
    pub left_ms: i64,
    pub arrived_ms: i64,
}

#[derive(Debug)]
pub(super) enum Lookup {
    Hit(Arc<SharedAnswer>),
    /// Somebody has asked the same, late enough for this saga: wait for that answer.
    Join(watch::Receiver<Option<Arc<SharedAnswer>>>),
    /// Nobody has: ask, and tell those who join.
    Lead(Lead),
}

/// The duty to ask. Dropping it without an answer sends those who joined to ask again.
#[derive(Debug)]
pub(super) struct Lead {
    shared: Shared,
    question: Question,
    left_ms: i64,
    tell: watch::Sender<Option<Arc<SharedAnswer>>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<Question, Arc<SharedAnswer>>,
    bytes: usize,
    asking: HashMap<Question, Asking>,
    changes: HashMap<SagaId, Changes>,
    next_sweep_ms: i64,
}

#[derive(Debug)]
struct Asking {
    left_ms: i64,
    answer: watch::Receiver<Option<Arc<SharedAnswer>>>,
}

#[derive(Debug, Default)]
struct Changes {
    on_wire: usize,
    last_ended_ms: Option<i64>,
}

impl Shared {
    pub fn lookup(&self, question: Question, saga: SagaId, max_age_ms: u32, now: i64) -> Lookup {
        let mut state = self.lock();
        state.sweep(now);
        let max_age_ms = i64::from(max_age_ms).min(MAX_SHARED_AGE_MS);
        if let Some(held) = state.answers.get(&question)
            && now - held.arrived_ms <= max_age_ms
            && state.is_after_changes(saga, held.left_ms)
        {
            return Lookup::Hit(Arc::clone(held));
        }
        if let Some(asking) = state.asking.get(&question)
            && state.is_after_changes(saga, asking.left_ms)
        {
            return Lookup::Join(asking.answer.clone());
        }
        let (tell, answer) = watch::channel(None);
        // A later question takes the place of an earlier one that is still out: it suits more sagas.
        state.asking.insert(question, Asking { left_ms: now, answer });
        Lookup::Lead(Lead {
            shared: self.clone(),
            question,
            left_ms: now,
            tell,
        })
    }

    /// Still good for the saga once it has arrived: a branch of the saga may have changed something meanwhile.
    pub fn suits(&self, saga: SagaId, answer: &SharedAnswer) -> bool {
        self.lock().is_after_changes(saga, answer.left_ms)
    }

    /// A request of the saga that may change something is about to leave; it lasts until the guard is dropped.
    pub fn change(&self, saga: SagaId, now: impl Fn() -> i64 + Send + 'static) -> Change {
        self.lock().changes.entry(saga).or_default().on_wire += 1;
        Change {
            shared: self.clone(),
            saga,
            now: Box::new(now),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_after_changes(&self, saga: SagaId, left_ms: i64) -> bool {
        match self.changes.get(&saga) {
            None => true,
            Some(changes) => {
                changes.on_wire == 0 && changes.last_ended_ms.is_none_or(|ended_ms| left_ms > ended_ms)
            }
        }
    }

    /// At most once a second: everything too old to matter.
    fn sweep(&mut self, now: i64) {
        if now < self.next_sweep_ms {
            return;
        }
        self.next_sweep_ms = now + 1_000;
        self.answers
            .retain(|_, held| now - held.arrived_ms <= MAX_SHARED_AGE_MS);
        self.bytes = self.answers.values().map(|held| held.answer.body.len()).sum();
        self.changes.retain(|_, changes| {
            changes.on_wire > 0
                || changes
                    .last_ended_ms
                    .is_some_and(|ended_ms| now - ended_ms <= REMEMBER_CHANGES_MS)
        });
    }

    fn keep(&mut self, question: Question, answer: &Arc<SharedAnswer>) {
        if self
            .answers
            .get(&question)
            .is_some_and(|held| held.left_ms > answer.left_ms)
        {
            return;
        }
        self.forget(question);
        while self.answers.len() >= MAX_ANSWERS || self.bytes + answer.answer.body.len() > MAX_BYTES {
            let Some(oldest) = self
                .answers
                .iter()
                .min_by_key(|(_, held)| held.arrived_ms)
                .map(|(key, _)| *key)
            else {
                break;
            };
            self.forget(oldest);
        }
        self.bytes += answer.answer.body.len();
        self.answers.insert(question, Arc::clone(answer));
    }

    fn forget(&mut self, question: Question) {
        if let Some(held) = self.answers.remove(&question) {
            self.bytes -= held.answer.body.len();
        }
    }
}

impl Lead {
    /// Only a 200 is shared. Those who joined get it even if it is too large or too old to be kept.
    pub fn finish(self, answer: WireAnswer, arrived_ms: i64) -> Arc<SharedAnswer> {
        let shareable = answer.status == 200;
        let answer = Arc::new(SharedAnswer {
            answer,
            left_ms: self.left_ms,
            arrived_ms,
        });
        if shareable {
            self.shared.lock().keep(self.question, &answer);
            self.tell.send_replace(Some(Arc::clone(&answer)));
        }
        answer
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state
            .asking
            .get(&self.question)
            .is_some_and(|asking| asking.answer.same_channel(&self.tell.subscribe()))
        {
            state.asking.remove(&self.question);
        }
    }
}

/// A change on the wire.
pub(super) struct Change {
    shared: Shared,
    saga: SagaId,
    now: Box<dyn Fn() -> i64 + Send>,
}

impl Drop for Change {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let now = (self.now)();
        if let Some(changes) = state.changes.get_mut(&self.saga) {
            changes.on_wire = changes.on_wire.saturating_sub(1);
            changes.last_ended_ms = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LIST: Question = [1; 32];

    fn saga(number: u128) -> SagaId {
        SagaId(Uuid::from_u128(number))
    }

    fn answer(status: u16) -> WireAnswer {
        WireAnswer {
            status,
            headers: Vec::new(),
            body: vec![b'x'; 10],
        }
    }

    fn lead(shared: &Shared, by: SagaId, now: i64) -> Lead {
        match shared.lookup(LIST, by, 0, now) {
            Lookup::Lead(lead) => lead,
            other => panic!("{other:?}"),
        }
    }

    fn kind(shared: &Shared, by: SagaId, max_age_ms: u32, now: i64) -> &'static str {
        match shared.lookup(LIST, by, max_age_ms, now) {
            Lookup::Hit(_) => "hit",
            Lookup::Join(_) => "join",
            Lookup::Lead(_) => "lead",
        }
    }

    #[test]
    fn an_answer_is_shared_up_to_the_age_that_is_accepted() {
        let shared = Shared::default();
        lead(&shared, saga(1), 1_000).finish(answer(200), 1_500);
        assert_eq!(kind(&shared, saga(2), 500, 2_000), "hit");
        assert_eq!(kind(&shared, saga(2), 499, 2_000), "lead");
        assert_eq!(kind(&shared, saga(2), u32::MAX, 61_500), "hit");
        assert_eq!(kind(&shared, saga(2), u32::MAX, 61_501), "lead");
    }

    #[test]
    fn those_who_ask_meanwhile_wait_for_the_same_answer() {
        let shared = Shared::default();
        let leading = lead(&shared, saga(1), 0);
        let Lookup::Join(mut waiting) = shared.lookup(LIST, saga(2), 0, 5) else {
            panic!("not joined");
        };
        leading.finish(answer(200), 10);
        assert!(
            waiting
                .borrow_and_update()
                .as_ref()
                .is_some_and(|shared| shared.arrived_ms == 10)
        );
    }

    #[test]
    fn only_a_200_is_shared_and_a_failed_question_is_asked_again() {
        let shared = Shared::default();
        let leading = lead(&shared, saga(1), 0);
        let Lookup::Join(waiting) = shared.lookup(LIST, saga(2), 0, 5) else {
            panic!("not joined");
        };
        leading.finish(answer(404), 10);
        assert!(waiting.borrow().is_none());
        assert!(waiting.has_changed().is_err(), "told that nobody asks any more");
        assert_eq!(kind(&shared, saga(2), 60_000, 11), "lead");
    }

    #[test]
    fn a_saga_sees_nothing_from_before_its_own_change_while_others_do() {
        let shared = Shared::default();
        lead(&shared, saga(1), 1_000).finish(answer(200), 1_100);
        let change = shared.change(saga(1), || 2_000);
        assert_eq!(kind(&shared, saga(1), 60_000, 1_200), "lead", "on the wire");
        assert_eq!(kind(&shared, saga(2), 60_000, 1_200), "hit");
        drop(change);
        assert_eq!(
            kind(&shared, saga(1), 60_000, 2_001),
            "lead",
            "left before the change ended"
        );
        lead(&shared, saga(2), 2_000).finish(answer(200), 2_500);
        assert_eq!(
            kind(&shared, saga(1), 60_000, 2_501),
            "lead",
            "left at the same moment"
        );
        lead(&shared, saga(2), 2_600).finish(answer(200), 2_700);
        assert_eq!(kind(&shared, saga(1), 60_000, 2_701), "hit");
    }

    #[test]
    fn a_saga_does_not_join_a_question_that_left_before_its_change() {
        let shared = Shared::default();
        let early = lead(&shared, saga(2), 1_000);
        drop(shared.change(saga(1), || 1_500));
        let late = lead(&shared, saga(1), 1_600);
        drop(late.finish(answer(200), 1_650));
        // The early answer, arriving last, doesn't replace the later one.
        early.finish(answer(200), 1_700);
        assert_eq!(kind(&shared, saga(1), 60_000, 1_701), "hit");
    }

    #[test]
    fn memory_is_bounded() {
        let shared = Shared::default();
        for number in 0..2_000_u32 {
            let mut question = [0; 32];
            question[..4].copy_from_slice(&number.to_be_bytes());
            let Lookup::Lead(leading) = shared.lookup(question, saga(1), 0, i64::from(number)) else {
                panic!("not leading");
            };
            leading.finish(answer(200), i64::from(number));
            drop(shared.change(saga(u128::from(number)), move || i64::from(number)));
        }
        let state = shared.lock();
        assert_eq!(
            (state.answers.len(), state.bytes, state.asking.len()),
            (MAX_ANSWERS, MAX_ANSWERS * 10, 0)
        );
        drop(state);
        lead(&shared, saga(1), 1_000_000).finish(answer(404), 1_000_000);
        let state = shared.lock();
        assert_eq!((state.answers.len(), state.bytes, state.changes.len()), (0, 0, 0));
    }
}
