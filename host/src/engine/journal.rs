//! The durable journal as one step's call sees it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::{
    Engine,
    accounts::{Accounts, SERVICE_CHANGED, Tell},
    drive::{AdvanceError, With},
    history,
    live::Live,
};
use crate::{
    cloud::{self, FetchError, Identity, IntentRefused, Journal},
    saga::{Answer, AnswerVerdict, Event, IllegalEvent, Intent, JournalRecord, Phase, SagaId, StepIndex},
    step::Recorded,
    store::{Applied, Change, Fence, RecordIntent, SagaFindings},
};

/// Between two tries to store an answer, while the database is away.
const ANSWER_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct StepJournal {
    engine: Arc<Engine>,
    saga: SagaId,
    step: StepIndex,
    phase: Phase,
    fence: Fence,
    /// The first mutating intent of this call carries the saga over its pivot.
    pivot: bool,
    has_intents: Arc<AtomicBool>,
    accounts: Arc<Accounts>,
}

impl Engine {
    /// Whether requests of the saga may go to the service with this identity. Tells people when that changes.
    pub(super) async fn check_account(
        &self,
        saga: SagaId,
        fence: Fence,
        accounts: &Accounts,
        service: &str,
        identity: &Identity,
    ) -> bool {
        let (admitted, tell) = accounts.check(service, identity);
        if !self.tell_account(saga, fence, &tell).await {
            accounts.untold(&tell);
        }
        admitted
    }

    /// False: it has to be told again.
    async fn tell_account(&self, saga: SagaId, fence: Fence, tell: &Tell) -> bool {
        let (resolved_codes, findings) = match tell {
            Tell::Nothing => return true,
            Tell::Open(finding) => {
                tracing::warn!(%saga, "{}", finding.message);
                (Vec::new(), vec![finding.clone()])
            }
            Tell::Resolve => (vec![SERVICE_CHANGED], Vec::new()),
        };
        let change = Change::Findings(Box::new(SagaFindings {
            saga,
            fence,
            resolved_codes,
            findings,
            at_ms: self.store.now_ms(),
        }));
        match self.writer.submit(change).await {
            // Fenced: it is another owner's to tell.
            Ok(Applied::Done | Applied::Fenced | Applied::Turned | Applied::Duplicate { .. }) => true,
            Ok(Applied::Failed(reason)) => {
                tracing::error!(%saga, reason, "a finding can't be stored");
                true
            }
            Err(error) => {
                tracing::warn!(%saga, %error, "a finding can't be stored yet");
                false
            }
        }
    }
}

impl StepJournal {
    pub fn new(engine: &Arc<Engine>, live: &Live, step: StepIndex, phase: Phase) -> StepJournal {
        StepJournal {
            engine: engine.clone(),
            saga: live.saga.id,
            step,
            phase,
            fence: live.fence,
            pivot: phase == Phase::Run && live.saga.plan.steps[step].pivot,
            has_intents: live.has_intents.clone(),
            accounts: live.accounts.clone(),
        }
    }

    /// Denied, a call is told `unavailable`: it costs its step nothing, and the step waits.
    pub async fn admit(&self, service: &str, identity: &Identity) -> Result<(), FetchError> {
        let admitted = self
            .engine
            .check_account(self.saga, self.fence, &self.accounts, service, identity)
            .await;
        if admitted {
            return Ok(());
        }
        self.engine.services.doubt_identity(service);
        Err(FetchError::Unavailable(another_account(service)))
    }

    /// The account in the keys of the saga's resources.
    pub fn account(&self, service: &str, identity: &Identity) -> String {
        self.accounts.account(service, identity)
    }

    /// While the journal can't be read, what was sent is open: never "never".
    pub async fn recall(&self, phase: Phase, key: &str) -> Recorded {
        match self.latest(phase, key).await {
            Ok(record) => cloud::recorded(record.as_ref(), self.now_ms()),
            Err(_) => Recorded::Open(None),
        }
    }

    /// The intent and the passing of the pivot are one transaction: a cancel comes before both, or is refused.
    async fn pass_pivot(self, intent: Intent) -> Result<(), IntentRefused> {
        let mut entry = self
            .engine
            .open(self.saga)
            .await
            .map_err(|e| IntentRefused::Unavailable(e.to_string()))?;
        let Some(live) = entry.live.as_mut() else {
            return Err(IntentRefused::Fenced);
        };
        if live.fence != self.fence {
            return Err(IntentRefused::Fenced);
        }
        if live.saga.pivot_passed {
            drop(entry);
            return self.record(intent).await;
        }
        let with = With {
            asked: history::host(),
            writes: None,
            intent: Some(intent),
        };
        match self
            .engine
            .advance(live, Event::PivotPassed { step: self.step }, with)
            .await
        {
            Ok(()) => Ok(()),
            Err(AdvanceError::Turned | AdvanceError::Refused(IllegalEvent::Turned)) => {
                Err(IntentRefused::Cancelled)
            }
            Err(AdvanceError::Fenced | AdvanceError::Refused(_)) => Err(IntentRefused::Fenced),
            Err(AdvanceError::Failed(reason)) => Err(IntentRefused::Unavailable(reason)),
            Err(AdvanceError::Store(error)) => Err(IntentRefused::Unavailable(error.to_string())),
        }
    }

    async fn record(&self, intent: Intent) -> Result<(), IntentRefused> {
        let change = Change::Intent(Box::new(RecordIntent {
            fence: self.fence,
            intent,
        }));
        match self.engine.writer.submit(change).await {
            Ok(Applied::Done) => Ok(()),
            Ok(Applied::Turned) => Err(IntentRefused::Cancelled),
            Ok(Applied::Fenced | Applied::Duplicate { .. }) => Err(IntentRefused::Fenced),
            Ok(Applied::Failed(reason)) => Err(IntentRefused::Unavailable(reason)),
            Err(error) => Err(IntentRefused::Unavailable(error.to_string())),
        }
    }
}

fn another_account(service: &str) -> String {
    format!("{service} reaches another account now than when this saga used it")
}

#[async_trait]
impl Journal for StepJournal {
    fn now_ms(&self) -> i64 {
        self.engine.store.now_ms()
    }

    fn owner(&self) -> (SagaId, StepIndex, Phase) {
        (self.saga, self.step, self.phase)
    }

    async fn admits(&self, service: &str, identity: &Identity) -> Result<(), FetchError> {
        self.admit(service, identity).await
    }

    async fn intend(&self, intent: Intent) -> Result<(), IntentRefused> {
        if let Some(identity) = &intent.identity
            && !self.accounts.bind(&intent.service, identity)
        {
            return Err(IntentRefused::Unavailable(another_account(&intent.service)));
        }
        if !self.engine.lease.is_usable() {
            return Err(IntentRefused::Fenced);
        }
        self.has_intents.store(true, Ordering::Release);
        if !self.pivot {
            return self.record(intent).await;
        }
        // A task of its own: a guest that is cut off must not leave the saga in memory behind the one on disk.
        match tokio::spawn(self.clone().pass_pivot(intent)).await {
            Ok(passed) => passed,
            Err(error) => Err(IntentRefused::Unavailable(error.to_string())),
        }
    }

    async fn answer(&self, mut answer: Answer) {
        loop {
            match self
                .engine
                .writer
                .submit(Change::Answer(Box::new(answer.clone())))
                .await
            {
                Ok(Applied::Failed(reason)) => {
                    tracing::error!(saga = %self.saga, reason, "an answer can't be journaled; its intent stays open");
                    if answer.verdict == AnswerVerdict::Lost {
                        return;
                    }
                    // That the exchange has ended can be said all the same.
                    answer.verdict = AnswerVerdict::Lost;
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(saga = %self.saga, %error, "an answer can't be journaled yet");
                    tokio::time::sleep(ANSWER_AGAIN).await;
                }
            }
        }
    }

    async fn latest(&self, phase: Phase, once_key: &str) -> Result<Option<JournalRecord>, IntentRefused> {
        self.engine
            .store
            .journal_latest(self.saga, self.step, phase, once_key)
            .await
            .map_err(|error| IntentRefused::Unavailable(error.to_string()))
    }
}
