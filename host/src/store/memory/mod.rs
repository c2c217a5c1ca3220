//! The store as a model: the contract in the simplest code that keeps it, with a clock that is moved by hand. Nothing
//! survives the process. Tests compare the databases with it, and run the engine on it.

mod apply;
mod hosts;
mod read;
mod run;
mod tokens;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use uuid::Uuid;

use self::run::Run;
use super::{
    AddToken, Applied, Beat, Change, ChannelRow, ComponentRow, DefinitionRow, EventRow, FindingRow, HOST,
    HoldRow, HoldTarget, HostId, HostRow, LoadedSaga, LogRow, NewComponent, NewLog, NewToken, Page,
    ProvisionedRow, PutComponent, ResourceFilter, ResourceRow, RevokeToken, SagaFilter, SagaRow, SetStatus,
    StepRow, Store, StoreError, Takeover, TokenMark, TokenRow, Watch, inventory::Inventory,
};
use crate::saga::{
    IntentId, JournalRecord, Json, Phase, Plan, RecordState, ResourceKey, Saga, SagaId, StepIndex,
};

pub struct MemoryStore {
    now_ms: AtomicI64,
    installation: Uuid,
    shared: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runs: BTreeMap<SagaId, Run>,
    plans: BTreeMap<Arc<str>, Arc<Plan>>,
    last_event: i64,
    logs: BTreeMap<SagaId, Vec<LogRow>>,
    last_log: i64,
    journal: BTreeMap<IntentId, JournalRecord>,
    inventory: Inventory,
    watches: BTreeMap<SagaId, Watch>,
    hosts: BTreeMap<HostId, HostRow>,
    /// Which host sent what is open.
    senders: BTreeMap<IntentId, HostId>,
    /// By the target's key.
    holds: BTreeMap<String, HoldRow>,
    /// Oldest first.
    components: Vec<(ComponentRow, Arc<[u8]>)>,
    channels: BTreeMap<(String, String), ChannelRow>,
    /// Versions of a definition, oldest first.
    definitions: BTreeMap<String, Vec<DefinitionRow>>,
    /// By name.
    tokens: BTreeMap<String, TokenRow>,
}

impl MemoryStore {
    /// Its clock stands at `now_ms` until it is moved. Hosts share it, as they share a server.
    pub fn new(now_ms: i64) -> MemoryStore {
        MemoryStore {
            now_ms: AtomicI64::new(now_ms),
            installation: Uuid::new_v4(),
            shared: true,
            state: Mutex::default(),
        }
    }

    /// As `new`, but a host has it to itself, as a file: the next one begins with [`MemoryStore::reopen`].
    pub fn alone(now_ms: i64) -> MemoryStore {
        MemoryStore {
            shared: false,
            ..MemoryStore::new(now_ms)
        }
    }

    /// Whoever has it to itself now is alone: no host that it knows lives any more.
    pub fn reopen(&self) {
        self.state().lose(|_| true, self.now_ms());
    }

    pub fn set_now_ms(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    pub fn advance_ms(&self, by_ms: i64) {
        self.now_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn installation(&self) -> Uuid {
        self.installation
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Vec<Applied>, StoreError> {
        let mut state = self.state();
        Ok(changes.iter().map(|change| state.apply(change)).collect())
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    async fn open_host(&self, host: HostId, lease_ms: i64) -> Result<(), StoreError> {
        self.state().open_host(host, lease_ms, self.now_ms());
        Ok(())
    }

    async fn heartbeat(&self, host: HostId, calling: &[SagaId], lease_ms: i64) -> Result<Beat, StoreError> {
        Ok(self.state().heartbeat(host, calling, lease_ms, self.now_ms()))
    }

    async fn leave(&self, host: HostId) -> Result<(), StoreError> {
        self.state().lose(|row| row.id == host, self.now_ms());
        Ok(())
    }

    async fn claim(&self, host: HostId, limit: u32) -> Result<Takeover, StoreError> {
        Ok(self.state().claim(host, limit, self.now_ms()))
    }

    async fn take(&self, saga: SagaId, host: HostId) -> Result<(), StoreError> {
        self.state().take(saga, host, self.now_ms());
        Ok(())
    }

    async fn hosts(&self, limit: u32) -> Result<Vec<HostRow>, StoreError> {
        Ok(self.state().hosts(limit))
    }

    async fn due(&self, host: HostId, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, i64)>, StoreError> {
        let state = self.state();
        let mut due: Vec<(SagaId, i64)> = state
            .runs
            .values()
            .filter(|run| run.fence.owner == host)
            .filter_map(|run| Some((run.saga.id, run.wake_ms()?)))
            .filter(|(_, wake_ms)| *wake_ms <= until_ms)
            .collect();
        due.sort_by_key(|(id, wake_ms)| (*wake_ms, *id));
        due.truncate(limit as usize);
        Ok(due)
    }

    async fn holds(&self) -> Result<Vec<HoldRow>, StoreError> {
        Ok(self.state().holds.values().cloned().collect())
    }

    async fn put_hold(&self, hold: HoldRow) -> Result<HoldRow, StoreError> {
        let mut state = self.state();
        let key = hold.target.key();
        let kept = state.holds.remove(&key).filter(|row| row.by != HOST);
        Ok(state.holds.entry(key).or_insert(kept.unwrap_or(hold)).clone())
    }

    async fn remove_hold(&self, target: &HoldTarget) -> Result<bool, StoreError> {
        Ok(self.state().holds.remove(&target.key()).is_some())
    }

    async fn open_sagas(
        &self,
        definition: Option<&str>,
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaId>, StoreError> {
        Ok(self.state().open_sagas(definition, after, limit, |_| true))
    }

    async fn paused_sagas(&self, after: Option<SagaId>, limit: u32) -> Result<Vec<SagaId>, StoreError> {
        let paused = |saga: &Saga| saga.paused.is_some();
        Ok(self.state().open_sagas(None, after, limit, paused))
    }

    async fn due_watches(&self, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, Watch)>, StoreError> {
        let state = self.state();
        let due = state.watches.iter();
        let mut due: Vec<(SagaId, Watch)> = due
            .filter(|(_, watch)| watch.next_look_ms <= until_ms)
            .map(|(saga, watch)| (*saga, watch.clone()))
            .collect();
        due.sort_by_key(|(saga, watch)| (watch.next_look_ms, *saga));
        due.truncate(limit as usize);
        Ok(due)
    }

    async fn watch(&self, saga: SagaId) -> Result<Option<Watch>, StoreError> {
        Ok(self.state().watches.get(&saga).cloned())
    }

    async fn load(&self, saga: SagaId) -> Result<Option<LoadedSaga>, StoreError> {
        Ok(self.state().load(saga))
    }

    async fn journal_latest(
        &self,
        saga: SagaId,
        step: StepIndex,
        phase: Phase,
        once_key: &str,
    ) -> Result<Option<JournalRecord>, StoreError> {
        let state = self.state();
        let latest = state.journal.values().rev().find(|record| {
            let intent = &record.intent;
            (intent.saga, intent.step, intent.phase) == (saga, step, phase)
                && intent.once_key.as_deref() == Some(once_key)
                && !matches!(record.state, RecordState::Unsent { .. })
        });
        Ok(latest.cloned())
    }

    async fn journal(&self, saga: SagaId) -> Result<Vec<JournalRecord>, StoreError> {
        let state = self.state();
        let records = state.journal.values().filter(|record| record.intent.saga == saga);
        Ok(records.cloned().collect())
    }

    async fn journal_record(&self, intent: IntentId) -> Result<Option<JournalRecord>, StoreError> {
        Ok(self.state().journal.get(&intent).cloned())
    }

    async fn saga(&self, saga: SagaId) -> Result<Option<SagaRow>, StoreError> {
        Ok(self.state().runs.get(&saga).map(Run::row))
    }

    async fn open_plans(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.state().open_plans())
    }

    async fn open_sagas_of_plans(
        &self,
        plans: &[String],
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaId>, StoreError> {
        Ok(self.state().open_sagas_of_plans(plans, after, limit))
    }

    async fn sagas(&self, filter: &SagaFilter, page: Page) -> Result<Vec<SagaRow>, StoreError> {
        Ok(self.state().sagas(filter, &page))
    }

    async fn steps(&self, saga: SagaId) -> Result<Vec<StepRow>, StoreError> {
        let state = self.state();
        let run = state.runs.get(&saga);
        Ok(run.map_or_else(Vec::new, |run| run.steps.values().cloned().collect()))
    }

    async fn events(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let state = self.state();
        let events = state.runs.get(&saga).into_iter().flat_map(|run| &run.events);
        Ok(events
            .filter(|event| event.id > after)
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn events_after(&self, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        Ok(self.state().events_after(after, limit))
    }

    async fn newest_event(&self) -> Result<i64, StoreError> {
        Ok(self.state().last_event)
    }

    async fn sagas_of(&self, ids: &[SagaId]) -> Result<Vec<SagaRow>, StoreError> {
        let state = self.state();
        Ok(ids
            .iter()
            .filter_map(|id| state.runs.get(id))
            .map(Run::row)
            .collect())
    }

    async fn requests(
        &self,
        saga: SagaId,
        after: Option<IntentId>,
        limit: u32,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        Ok(self.state().requests(saga, after, limit))
    }

    async fn creates(&self, after: Option<IntentId>, limit: u32) -> Result<Vec<JournalRecord>, StoreError> {
        Ok(self.state().creates(after, limit))
    }

    async fn logs(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        let state = self.state();
        let lines = state.logs.get(&saga).into_iter().flatten();
        Ok(lines
            .filter(|line| line.id > after)
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn add_logs(&self, lines: Vec<NewLog>) -> Result<(), StoreError> {
        self.state().add_logs(lines);
        Ok(())
    }

    async fn context(&self, saga: SagaId) -> Result<Vec<(String, String, Json)>, StoreError> {
        let state = self.state();
        let context = state.runs.get(&saga).into_iter().flat_map(|run| &run.context);
        Ok(context
            .map(|((scope, key), value)| (scope.clone(), key.clone(), value.clone()))
            .collect())
    }

    async fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceRow>, StoreError> {
        self.resource_by_id(&key.resource_id()).await
    }

    async fn resource_by_id(&self, resource_id: &str) -> Result<Option<ResourceRow>, StoreError> {
        Ok(self.state().inventory.resources.get(resource_id).cloned())
    }

    async fn resources(&self, filter: &ResourceFilter, page: Page) -> Result<Vec<ResourceRow>, StoreError> {
        Ok(self.state().resources(filter, &page))
    }

    async fn provisioned(&self, resource_id: &str) -> Result<Vec<ProvisionedRow>, StoreError> {
        let state = self.state();
        let versions = state.inventory.provisioned.get(resource_id);
        Ok(versions.into_iter().flatten().rev().cloned().collect())
    }

    async fn put_finding(&self, finding: FindingRow) -> Result<(), StoreError> {
        self.state().inventory.put_finding(finding);
        Ok(())
    }

    async fn resolve_finding(&self, id: &str, at_ms: i64) -> Result<(), StoreError> {
        if let Some(row) = self.state().inventory.findings.get_mut(id) {
            row.resolved_ms = row.resolved_ms.or(Some(at_ms));
        }
        Ok(())
    }

    async fn findings(
        &self,
        saga: Option<SagaId>,
        open_only: bool,
        page: Page,
    ) -> Result<Vec<FindingRow>, StoreError> {
        Ok(self.state().findings(saga, open_only, &page))
    }

    async fn put_component(
        &self,
        component: NewComponent,
        replace: bool,
    ) -> Result<PutComponent, StoreError> {
        Ok(self.state().put_component(component, replace, self.now_ms()))
    }

    async fn set_component_status(&self, set: SetStatus) -> Result<Option<ComponentRow>, StoreError> {
        Ok(self.state().set_component_status(set, self.now_ms()))
    }

    async fn component(&self, digest: &str) -> Result<Option<ComponentRow>, StoreError> {
        Ok(self.state().component(digest).map(|(row, _)| row.clone()))
    }

    async fn component_bytes(&self, digest: &str) -> Result<Option<Arc<[u8]>>, StoreError> {
        Ok(self.state().component(digest).map(|(_, bytes)| Arc::clone(bytes)))
    }

    async fn components(&self) -> Result<Vec<ComponentRow>, StoreError> {
        Ok(self.state().components_by_name())
    }

    async fn channels(&self) -> Result<Vec<ChannelRow>, StoreError> {
        Ok(self.state().channels.values().cloned().collect())
    }

    async fn set_channel(&self, channel: ChannelRow) -> Result<(), StoreError> {
        let key = (channel.step.clone(), channel.channel.clone());
        self.state().channels.insert(key, channel);
        Ok(())
    }

    async fn definition(&self, name: &str) -> Result<Option<DefinitionRow>, StoreError> {
        let state = self.state();
        Ok(state
            .definitions
            .get(name)
            .and_then(|versions| versions.last())
            .cloned())
    }

    async fn definitions(&self) -> Result<Vec<DefinitionRow>, StoreError> {
        let state = self.state();
        Ok(state
            .definitions
            .values()
            .filter_map(|versions| versions.last().cloned())
            .collect())
    }

    async fn put_definition(
        &self,
        name: &str,
        body: &Json,
        built_in: bool,
        created_by: &str,
    ) -> Result<DefinitionRow, StoreError> {
        let now_ms = self.now_ms();
        Ok(self
            .state()
            .put_definition(name, body, built_in, created_by, now_ms))
    }

    async fn plan(&self, digest: &str) -> Result<Option<Arc<Plan>>, StoreError> {
        Ok(self.state().plans.get(digest).cloned())
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        Ok(self.state().tokens.values().cloned().collect())
    }

    async fn add_token(&self, token: NewToken) -> Result<AddToken, StoreError> {
        Ok(self.state().add_token(token, self.now_ms()))
    }

    async fn revoke_token(&self, name: &str, by: &str) -> Result<RevokeToken, StoreError> {
        Ok(self.state().revoke_token(name, by, self.now_ms()))
    }

    async fn admin_token(&self, mark: TokenMark, replace: bool) -> Result<TokenRow, StoreError> {
        Ok(self.state().admin_token(mark, replace, self.now_ms()))
    }
}
