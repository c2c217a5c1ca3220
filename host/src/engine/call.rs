//! One call of a step: what it is given, the host that it talks to, and what becomes of its end.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{
    Engine,
    catalog::CatalogError,
    drive::{AdvanceError, OpenError, With},
    history,
    journal::StepJournal,
    live::{Calling, Live},
};
use crate::{
    cloud::{EXCHANGE_LIMIT, FetchError, Grant, Outgoing, Response},
    saga::{
        CallEnd, CloudResource, Event, Failure, JournalRecord, Json, Outcome, Phase, RecordState,
        ResourceKey, SagaId, StepIndex, StepState, Work, Writes, effect_of, id,
    },
    step::{Call, CallHost, Ended, LogLine, Prior, Recorded, Unsaved},
    store::{Applied, Change, Checkpoint, Fence, NewLog, StoreError},
};

/// Between two tries to store what a call brought, while the database is away.
const STORE_AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// The saga is locked: what the call is given is one state of it.
    pub(super) fn start_call(self: &Arc<Self>, live: &mut Live, step: StepIndex, phase: Phase) {
        if self.is_ending() || live.fence.owner != self.host {
            return;
        }
        let Some(call) = self.call_of(live, step, phase) else {
            return;
        };
        let calling = Calling {
            unwanted: Arc::new(AtomicBool::new(false)),
            cut: Arc::new(Notify::new()),
        };
        let host = Arc::new(CallContext {
            engine: self.clone(),
            saga: live.saga.id,
            step,
            step_name: call.step.clone(),
            phase,
            scope: live.saga.plan.steps[step].scope.clone(),
            fence: live.fence,
            unwanted: calling.unwanted.clone(),
            journal: Arc::new(StepJournal::new(self, live, step, phase)),
            grants: std::sync::OnceLock::new(),
            accounts: std::sync::OnceLock::new(),
        });
        let digest = live.saga.plan.steps[step].component.digest.clone();
        let cut = calling.cut.clone();
        live.calling.insert((step, phase), calling);
        self.calls.begin(live.saga.id);
        let engine = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = engine.call_once(call, digest, host.clone(), cut) => {
                    engine.call_ended(&host, ended).await;
                }
                // The death of a host is no failure of a step: the next owner calls it again.
                () = engine.lease.lost() => {}
            }
            engine.calls.end(host.saga);
        });
    }

    /// `None`: the state does not want this call.
    fn call_of(&self, live: &Live, step: StepIndex, phase: Phase) -> Option<Call> {
        let saga = &live.saga;
        let plan_step = &saga.plan.steps[step];
        let (work, prior, total_ms, call_timeout_ms): (&Work, _, _, _) = match (&saga.steps[step], phase) {
            (StepState::Running(work), Phase::Run) => {
                (work, None, plan_step.run.total_ms, plan_step.run.call_timeout_ms)
            }
            (StepState::Undoing { run, work }, Phase::Compensate) => {
                let prior = Prior {
                    verdict: run.verdict.clone(),
                    effect: crate::saga::Effect::Maybe,
                    state: run.saved.clone(),
                };
                (
                    work,
                    Some(prior),
                    plan_step.compensate.total_ms,
                    plan_step.compensate.call_timeout_ms,
                )
            }
            _ => return None,
        };
        let installation = self.store.installation();
        let identity = |what: &[u8]| {
            id::hash_of(&[
                what,
                installation.as_bytes(),
                saga.id.0.as_bytes(),
                plan_step.name.as_bytes(),
                phase.as_str().as_bytes(),
            ])
        };
        let age_ms = u64::try_from(self.store.now_ms().saturating_sub(work.began_ms)).unwrap_or(0);
        Some(Call {
            saga: saga.id,
            kind: saga.plan.kind.as_str().to_owned(),
            deployment_id: live.header.deployment_id.clone(),
            triggered_by: live.header.triggered_by.clone(),
            step: plan_step.name.clone(),
            phase,
            attempt: work.attempt,
            polls: work.polls,
            idempotency_key: data_encoding::HEXLOWER.encode(&identity(b"idempotency-key")[..20]),
            resource_tag: id::resource_tag(installation, saga.id, &plan_step.name),
            phase_age_ms: age_ms,
            remaining_ms: total_ms.saturating_sub(age_ms),
            state: work.saved.clone(),
            prior,
            inputs: live.header.inputs.clone(),
            params: plan_step.params.clone(),
            outputs: Arc::new(outputs(live)),
            context: live.shown_to(step),
            writable: Vec::new(),
            grants: Arc::from([]),
            seed: identity(b"random"),
            call_timeout_ms,
            memory_bytes: None,
        })
    }

    /// From the pinned component to the end of the guest.
    async fn call_once(
        &self,
        mut call: Call,
        digest: String,
        host: Arc<CallContext>,
        cut: Arc<Notify>,
    ) -> Ended {
        if let Some(prior) = &mut call.prior {
            self.services.idle(host.saga, host.step, Phase::Run).await;
            match self.store.journal(host.saga).await {
                Ok(records) => {
                    let of_run = records
                        .iter()
                        .filter(|r| r.intent.step == host.step && r.intent.phase == Phase::Run);
                    if of_run.clone().any(|record| is_on_the_wire(record, host.now_ms())) {
                        let why = "a request of the step is still on the wire, from another host";
                        return starved("unavailable", why.to_owned());
                    }
                    prior.effect = effect_of(of_run.map(|record| &record.state));
                }
                Err(error) => return starved("unavailable", error.to_string()),
            }
        }
        let pinned = match self.catalog.pinned(&digest).await {
            Ok(pinned) => pinned,
            // Says nothing about the step: it costs it nothing.
            Err(error @ (CatalogError::NotNow { .. } | CatalogError::Store(StoreError::Unavailable(_)))) => {
                return starved("unavailable", error.to_string());
            }
            Err(error) => return broken("component-unavailable", error.to_string()),
        };
        let grants = match self.catalog.granted(&digest) {
            Ok(grants) => grants,
            Err(error) => return broken("component-unavailable", error.to_string()),
        };
        call.writable = pinned.manifest.writes.clone();
        call.grants = grants.clone();
        call.memory_bytes = pinned.manifest.memory_bytes;
        host.grants.get_or_init(|| grants);
        let called = async {
            match self.accounts_of(&host).await {
                Ok(accounts) => {
                    host.accounts.get_or_init(|| accounts);
                    self.runtime.call(&pinned.component, call, host.clone()).await
                }
                Err(error) => starved("unavailable", error.to_string()),
            }
        };
        tokio::select! {
            ended = called => ended,
            () = cut.notified() => broken("cut-off", "the saga no longer wanted the call, and it went on for 30 s".to_owned()),
        }
    }

    /// The account behind each service that the call may use. The guest is called only when all are known, and the saga's own:
    /// it may write down what it knows before it asks anybody.
    async fn accounts_of(&self, host: &CallContext) -> Result<BTreeMap<String, String>, FetchError> {
        let mut accounts = BTreeMap::new();
        for grant in host.grants.get().into_iter().flat_map(|grants| grants.iter()) {
            if accounts.contains_key(&grant.service) {
                continue;
            }
            if let Some(identity) = self.services.identity(&grant.service, host.now_ms()).await? {
                host.journal.admit(&grant.service, &identity).await?;
                let account = host.journal.account(&grant.service, &identity);
                accounts.insert(grant.service.clone(), account);
            }
        }
        Ok(accounts)
    }

    /// Stores what the call brought, however long the database is away; then the saga goes on. Nothing of a lost host's can be stored:
    /// the next owner calls the step again.
    async fn call_ended(self: &Arc<Self>, call: &CallContext, mut ended: Ended) {
        let (saga, step, phase) = (call.saga, call.step, call.phase);
        loop {
            let mut entry = match self.open(saga).await {
                Ok(entry) => entry,
                Err(OpenError::Unknown) => return,
                Err(OpenError::Store(_)) if self.lease.is_lost() => return,
                Err(OpenError::Store(error)) => {
                    tracing::warn!(%saga, %error, "what a step brought can't be stored yet");
                    tokio::time::sleep(STORE_AGAIN).await;
                    continue;
                }
            };
            let Some(live) = entry.live.as_mut() else { return };
            // Another call of the same step may be in progress by now, under another fence.
            if live.fence != call.fence || !live.calling.contains_key(&(step, phase)) {
                tracing::warn!(%saga, step, "a call ended that this host no longer answers for; its end is dropped");
                return;
            }
            let event = match phase {
                Phase::Run => Event::RunReturned {
                    step,
                    end: ended.end.clone(),
                },
                Phase::Compensate => Event::UndoReturned {
                    step,
                    end: ended.end.clone(),
                },
            };
            let writes = (!ended.writes.is_empty()).then(|| (step, phase, ended.writes.clone()));
            match self
                .advance(
                    live,
                    event,
                    With {
                        asked: history::host(),
                        writes,
                        intent: None,
                    },
                )
                .await
            {
                Err(AdvanceError::Store(_)) if self.lease.is_lost() => return,
                Err(AdvanceError::Store(error)) => {
                    tracing::warn!(%saga, %error, "what a step brought can't be stored yet");
                    drop(entry);
                    self.tell_unreadable(saga, &error).await;
                    tokio::time::sleep(STORE_AGAIN).await;
                    continue;
                }
                Err(AdvanceError::Failed(reason)) if !ended.writes.is_empty() => {
                    tracing::error!(%saga, step, reason, "what a step wanted to keep can't be stored; the call counts as failed");
                    ended = broken("not-saved", reason);
                    continue;
                }
                Err(AdvanceError::Fenced) => match self.reload(live).await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(_) if self.lease.is_lost() => return,
                    Err(error) => {
                        tracing::warn!(%saga, %error, "the saga can't be read, and what a step brought can't be stored yet");
                        drop(entry);
                        self.tell_unreadable(saga, &error).await;
                        tokio::time::sleep(STORE_AGAIN).await;
                        continue;
                    }
                },
                Ok(()) => drop(live.calling.remove(&(step, phase))),
                Err(error @ (AdvanceError::Refused(_) | AdvanceError::Turned | AdvanceError::Failed(_))) => {
                    tracing::error!(%saga, step, %error, "the end of a call does not fit the saga");
                    live.calling.remove(&(step, phase));
                }
            }
            self.go_on(entry).await;
            return;
        }
    }
}

/// Whether a host that lives may still be reading its answer. None of its own is, where this is asked.
fn is_on_the_wire(record: &JournalRecord, now_ms: i64) -> bool {
    let longest_ms = i64::try_from(2 * EXCHANGE_LIMIT.as_millis()).unwrap_or(i64::MAX);
    record.state == (RecordState::Open { ended_at_ms: None })
        && now_ms.saturating_sub(record.intent.at_ms) < longest_ms
}

fn outputs(live: &Live) -> BTreeMap<String, Json> {
    let saga = &live.saga;
    (0..saga.steps.len())
        .filter_map(|step| {
            let output = saga.output_of(step)?;
            Some((saga.plan.steps[step].name.to_ascii_lowercase(), output.clone()))
        })
        .collect()
}

fn broken(code: &str, message: String) -> Ended {
    let outcome = Outcome::Trap(Failure::new(code, message));
    Ended {
        end: CallEnd {
            outcome,
            starved: false,
        },
        writes: Writes::default(),
    }
}

fn starved(code: &str, message: String) -> Ended {
    let outcome = Outcome::Transient {
        failure: Failure::new(code, message),
        retry_after_ms: Some(1_000),
    };
    Ended {
        end: CallEnd {
            outcome,
            starved: true,
        },
        writes: Writes::default(),
    }
}

fn level_name(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG => "debug",
        tracing::Level::TRACE => "trace",
    }
}

/// What a guest can reach, for one call.
pub struct CallContext {
    engine: Arc<Engine>,
    saga: SagaId,
    step: StepIndex,
    step_name: String,
    phase: Phase,
    scope: String,
    fence: Fence,
    unwanted: Arc<AtomicBool>,
    journal: Arc<StepJournal>,
    grants: std::sync::OnceLock<Arc<[Grant]>>,
    /// Service to the account behind it.
    accounts: std::sync::OnceLock<BTreeMap<String, String>>,
}

#[async_trait]
impl CallHost for CallContext {
    fn now_ms(&self) -> i64 {
        self.engine.store.now_ms()
    }

    fn cancel_requested(&self) -> bool {
        self.phase == Phase::Run && self.unwanted.load(Ordering::Acquire)
    }

    async fn checkpoint(&self, writes: Writes) -> Result<(), Unsaved> {
        let checkpoint = Checkpoint {
            saga: self.saga,
            fence: self.fence,
            step: self.step,
            phase: self.phase,
            scope: self.scope.clone(),
            writes: writes.clone(),
            at_ms: self.engine.store.now_ms(),
        };
        match self
            .engine
            .writer
            .submit(Change::Checkpoint(Box::new(checkpoint)))
            .await
        {
            Ok(Applied::Done) => {}
            Ok(Applied::Fenced | Applied::Turned | Applied::Duplicate { .. }) => return Err(Unsaved::Fenced),
            Ok(Applied::Failed(reason)) => return Err(Unsaved::Rejected(reason)),
            Err(error) => return Err(Unsaved::Unavailable(error.to_string())),
        }
        if let Ok(mut entry) = self.engine.open(self.saga).await
            && let Some(live) = entry.live.as_mut()
        {
            live.keep(self.step, &writes);
        }
        Ok(())
    }

    async fn fetch(&self, request: Outgoing) -> Result<Response, FetchError> {
        if self.cancel_requested() {
            return Err(FetchError::Cancelled);
        }
        if !self.engine.lease.is_usable() {
            return Err(FetchError::Fenced);
        }
        let grants = self.grants.get().cloned().unwrap_or_else(|| Arc::from([]));
        self.engine
            .services
            .fetch(&grants, self.journal.clone(), request)
            .await
    }

    async fn recall(&self, phase: Phase, key: &str) -> Recorded {
        self.journal.recall(phase, key).await
    }

    async fn resource(&self, key: ResourceKey) -> Result<Option<CloudResource>, Unsaved> {
        let key = ResourceKey {
            account: self.account(&key.provider),
            ..key
        };
        let unavailable = |error: StoreError| Unsaved::Unavailable(error.to_string());
        let mut row = self.engine.store.resource(&key).await.map_err(unavailable)?;
        if let (None, Some(before)) = (&row, key.without_account()) {
            row = self.engine.store.resource(&before).await.map_err(unavailable)?;
        }
        Ok(row.map(|row| row.resource))
    }

    fn account(&self, provider: &str) -> String {
        let accounts = self.accounts.get();
        accounts
            .and_then(|accounts| accounts.get(provider))
            .cloned()
            .unwrap_or_default()
    }

    fn log(&self, line: LogLine) {
        let fields: Vec<String> = line
            .fields
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let (saga, step, phase) = (self.saga, &self.step_name, self.phase.as_str());
        match line.level {
            tracing::Level::ERROR | tracing::Level::WARN => {
                tracing::warn!(target: "step", %saga, step, phase, fields = fields.join(" "), "{}", line.message);
            }
            tracing::Level::INFO => {
                tracing::info!(target: "step", %saga, step, phase, fields = fields.join(" "), "{}", line.message);
            }
            _ => {
                tracing::debug!(target: "step", %saga, step, phase, fields = fields.join(" "), "{}", line.message)
            }
        }
        self.engine.logs.say(NewLog {
            saga,
            at_ms: self.now_ms(),
            step: self.step,
            phase: self.phase,
            level: level_name(line.level),
            message: line.message,
            fields: line.fields,
        });
    }
}
