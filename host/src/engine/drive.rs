//! Driving a saga: every event goes through [`Engine::advance`], everything that a state wants through [`Engine::pump`].
//!
//! Between two lines here the process may die. What is then lost is only memory: the rows are the state before the event
//! or the one after it, and `pump` on the next start wants the same things again.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::OwnedMutexGuard;

use super::{
    Engine,
    accounts::SERVICE_CHANGED,
    findings, history, late,
    live::{Calling, Entry, Live},
    request::Asked,
    unreadable::UNREADABLE,
};
use crate::{
    saga::{self, Command, Event, IllegalEvent, Intent, Moment, Phase, Saga, SagaId, StepIndex, Writes},
    store::{Advance, Applied, Change, NewFinding, Page, ResourceFilter, ResourceRow, StoreError, Watch},
};

/// How long a call may go on after its saga has turned.
const UNWANTED_CALL: Duration = Duration::from_secs(30);
/// A saga that next wakes later than this is forgotten until then.
const KEEP_MS: i64 = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("there is no such saga")]
    Unknown,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    #[error(transparent)]
    Refused(#[from] IllegalEvent),
    /// Somebody else changed or owns the saga: what is in memory is worth nothing.
    #[error("another host owns the saga")]
    Fenced,
    #[error("a cancel is recorded, or the saga has turned")]
    Turned,
    /// This change can't be stored, others can.
    #[error("the change can't be stored: {0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What comes with an event.
pub struct With {
    pub asked: Asked,
    pub writes: Option<(StepIndex, Phase, Writes)>,
    pub intent: Option<Intent>,
}

impl With {
    pub fn nothing() -> With {
        With {
            asked: history::host(),
            writes: None,
            intent: None,
        }
    }
}

impl Engine {
    /// The saga's entry, locked and loaded.
    pub(super) async fn open(&self, saga: SagaId) -> Result<OwnedMutexGuard<Entry>, OpenError> {
        let mut entry = self.table.lock(saga).await;
        if entry.live.is_none() {
            match self.store.load(saga).await {
                Ok(Some(loaded)) => {
                    if loaded.open_findings.contains(UNREADABLE) {
                        self.tell_readable(saga).await;
                    }
                    entry.live = Some(Live::loaded(loaded));
                }
                Ok(None) => {
                    self.table.give_up(saga, &mut entry);
                    return Err(OpenError::Unknown);
                }
                Err(error) => {
                    self.table.give_up(saga, &mut entry);
                    self.tell_unreadable(saga, &error).await;
                    return Err(error.into());
                }
            }
        }
        Ok(entry)
    }

    /// Applies an event and makes the new state durable. After an error the saga in memory is what it was; after `Fenced` the
    /// caller gives the entry up.
    pub(super) async fn advance(
        &self,
        live: &mut Live,
        event: Event,
        with: With,
    ) -> Result<(), AdvanceError> {
        if live.fence.owner != self.host {
            return Err(AdvanceError::Fenced);
        }
        let moment = Moment {
            now_ms: self.store.now_ms(),
            dice: (self.dice)(),
        };
        let before = live.saga.clone();
        let (after, commands) = saga::apply(&before, event.clone(), moment)?;
        if after == *before && with.writes.is_none() {
            return Ok(());
        }
        let after = Arc::new(after);
        let rests = commands.iter().any(|command| matches!(command, Command::Rest(_)));
        let free_keys = commands
            .iter()
            .filter_map(|command| match command {
                Command::FreeKeys { step, phase } => Some((*step, *phase)),
                Command::Call { .. } | Command::Settle { .. } | Command::Rest(_) => None,
            })
            .collect();
        let needs = needs_of_people(&before, &after);
        let mut resolved_codes = if needs.fewer {
            findings::STUCK_CODES.to_vec()
        } else {
            Vec::new()
        };
        if after.status.is_final() && live.accounts.told() {
            resolved_codes.push(SERVICE_CHANGED);
        }
        let written = with
            .writes
            .as_ref()
            .map(|(step, _, writes)| (*step, writes.clone()));
        let (findings, watch) = if rests || needs.moved {
            self.left(live, &after, [rests, needs.moved], &written, moment.now_ms)
                .await?
        } else {
            (Vec::new(), None)
        };
        let advance = Advance {
            fence: live.fence,
            from_revision: before.revision,
            changed_steps: changed(&before, &after),
            events: history::events(&before, &after, &event, &with.asked),
            findings,
            repinned: (after.plan != before.plan).then(|| Arc::from(after.plan.digest())),
            saga: after.clone(),
            writes: with.writes,
            free_keys,
            resolved_codes,
            intent: with.intent,
            watch,
            at_ms: moment.now_ms,
        };
        match self.writer.submit(Change::Advance(Box::new(advance))).await? {
            Applied::Done => {}
            Applied::Fenced | Applied::Duplicate { .. } => return Err(AdvanceError::Fenced),
            Applied::Turned => return Err(AdvanceError::Turned),
            Applied::Failed(reason) => return Err(AdvanceError::Failed(reason)),
        }
        live.saga = after;
        if let Some((step, writes)) = written {
            live.keep(step, &writes);
        }
        self.watchers.tell(&live.saga);
        Ok(())
    }

    /// What a saga leaves for people, and to be watched. The journal and the inventory are asked only for sagas that may have
    /// touched the world.
    async fn left(
        &self,
        live: &Live,
        after: &Saga,
        [rests, moved]: [bool; 2],
        written: &Option<(StepIndex, Writes)>,
        now_ms: i64,
    ) -> Result<(Vec<NewFinding>, Option<Watch>), StoreError> {
        let touched = live.has_intents.load(Ordering::Acquire)
            || written
                .as_ref()
                .is_some_and(|(_, writes)| !writes.inventory.is_empty());
        if !touched {
            return Ok((findings::of(after, rests, moved, &[], &[], None), None));
        }
        let journal = self.store.journal(after.id).await?;
        let watch = if rests && after.status.is_final() && late::is_wanted(after, &journal) {
            let before = self.store.watch(after.id).await?;
            let installation = self.store.installation();
            late::watch_of(&self.watching, installation, after, &journal, before, now_ms)
        } else {
            None
        };
        let mut resources = self.resources_of(after.id).await?;
        if let Some((step, writes)) = written {
            findings::overlay(&mut resources, after, *step, writes);
        }
        let findings = findings::of(after, rests, moved, &journal, &resources, watch.as_ref());
        Ok((findings, watch))
    }

    /// What the inventory has of the saga, deleted things too.
    pub(super) async fn resources_of(&self, saga: SagaId) -> Result<Vec<ResourceRow>, StoreError> {
        let filter = ResourceFilter {
            saga: Some(saga),
            with_deleted: true,
            ..ResourceFilter::default()
        };
        let page = Page {
            limit: 1_000,
            after: None,
        };
        self.store.resources(&filter, page).await
    }

    /// Reads the saga anew, after `Fenced` or once its owner has changed. Calls that were begun under another fence than its present one
    /// are ended: what they bring counts no more. False: it is another host's. After an error everything is as it was.
    pub(super) async fn reload(&self, live: &mut Live) -> Result<bool, StoreError> {
        let Some(loaded) = self.store.load(live.saga.id).await? else {
            return Ok(false);
        };
        let fresh = Live::loaded(loaded);
        if fresh.fence == live.fence {
            live.saga = fresh.saga;
            live.context = fresh.context;
        } else {
            let before = std::mem::replace(live, fresh);
            before
                .calling
                .values()
                .for_each(|calling| calling.cut.notify_one());
        }
        Ok(live.fence.owner == self.host)
    }

    /// Carries out what the saga wants: starts what is due, sets timers for what isn't, ends what is no longer wanted.
    pub(super) async fn pump(self: &Arc<Self>, live: &mut Live) -> Result<(), AdvanceError> {
        self.follow_holds(live).await?;
        loop {
            let mut settled = None;
            let now_ms = self.store.now_ms();
            for command in saga::wanted(&live.saga) {
                match command {
                    Command::Call {
                        step,
                        phase,
                        not_before_ms,
                    } => {
                        if live.calling.contains_key(&(step, phase)) {
                            continue;
                        }
                        if not_before_ms <= now_ms {
                            self.start_call(live, step, phase);
                        } else {
                            self.timers.set(not_before_ms, live.saga.id, now_ms);
                        }
                    }
                    Command::Settle { step } => match live.calling.get(&(step, Phase::Run)) {
                        Some(calling) => end_soon(calling),
                        None => settled = Some(step),
                    },
                    Command::FreeKeys { .. } | Command::Rest(_) => {}
                }
            }
            match settled {
                Some(step) => {
                    self.advance(live, Event::RunSettled { step }, With::nothing())
                        .await?
                }
                None => return Ok(()),
            }
        }
    }

    /// Pumps, and gives the entry up when it is worth nothing or not needed for a while.
    pub(super) async fn go_on(self: &Arc<Self>, mut entry: OwnedMutexGuard<Entry>) {
        let Some(live) = entry.live.as_mut() else { return };
        let saga = live.saga.id;
        if live.fence.owner != self.host {
            self.table.give_up(saga, &mut entry);
            return;
        }
        let pumped = self.pump(live).await;
        let busy = !live.calling.is_empty();
        let soon_ms = self.store.now_ms().saturating_add(KEEP_MS);
        let soon = saga::wanted(&live.saga).iter().any(|command| match command {
            Command::Call { not_before_ms, .. } => *not_before_ms <= soon_ms,
            Command::Settle { .. } | Command::FreeKeys { .. } | Command::Rest(_) => false,
        });
        match pumped {
            Ok(()) if busy || soon => {}
            Ok(()) => self.table.give_up(saga, &mut entry),
            Err(AdvanceError::Store(error)) if !busy => {
                tracing::warn!(%saga, %error, "the saga can't be stored; it is taken up again by the next scan");
                self.table.give_up(saga, &mut entry);
            }
            Err(error) => {
                tracing::warn!(%saga, %error, "the saga was changed elsewhere, or can't go on here");
                if !busy {
                    self.table.give_up(saga, &mut entry);
                }
            }
        }
    }

    /// A saga is due: somebody's sleep is over.
    pub(super) async fn wake(self: &Arc<Self>, saga: SagaId) {
        match self.open(saga).await {
            Ok(entry) => self.go_on(entry).await,
            Err(OpenError::Unknown) => {}
            // Said when it was opened.
            Err(OpenError::Store(StoreError::Corrupt { .. })) => {}
            Err(OpenError::Store(error)) => {
                tracing::warn!(%saga, %error, "the saga can't be loaded; it is taken up again by the next scan");
            }
        }
    }
}

fn changed(before: &Saga, after: &Saga) -> Vec<StepIndex> {
    (0..after.steps.len())
        .filter(|&step| before.steps[step] != after.steps[step])
        .collect()
}

/// Tells the guest, and ends it when it does not listen.
fn end_soon(calling: &Calling) {
    if calling.unwanted.swap(true, Ordering::AcqRel) {
        return;
    }
    let cut = calling.cut.clone();
    tokio::spawn(async move {
        tokio::time::sleep(UNWANTED_CALL).await;
        cut.notify_one();
    });
}

/// How what the steps need people for has changed.
struct Needs {
    /// A step needs them no more: tried again, or undone.
    fewer: bool,
    /// Or a stuck step was skipped.
    moved: bool,
}

fn needs_of_people(before: &Saga, after: &Saga) -> Needs {
    let mut needs = Needs {
        fewer: false,
        moved: false,
    };
    for (old, new) in before.steps.iter().zip(&after.steps) {
        let (needed, needed_now) = (
            findings::needs_person(old).is_some(),
            findings::needs_person(new).is_some(),
        );
        needs.fewer |= needed && !needed_now;
        needs.moved |= needed && old != new;
    }
    needs
}
