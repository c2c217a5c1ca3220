//! A store in front of the real one: counts the writer's transactions and can make each of them slow, or keep one host's from
//! arriving at all. Everything else goes straight through.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arcadia::{
    saga::{IntentId, JournalRecord, Json, Phase, Plan, ResourceKey, SagaId, StepIndex},
    store::{
        AddToken, Applied, Beat, Change, ChannelRow, ComponentRow, DefinitionRow, EventRow, FindingRow,
        HoldRow, HoldTarget, HostId, HostRow, LoadedSaga, LogRow, NewComponent, NewLog, NewToken, Page,
        ProvisionedRow, PutComponent, ResourceFilter, ResourceRow, RevokeToken, SagaFilter, SagaRow,
        SetStatus, SqliteStore, StepRow, Store, StoreError, Takeover, TokenMark, TokenRow, Watch,
    },
};
use async_trait::async_trait;
use tokio::sync::watch;

pub struct Counting {
    inner: Arc<dyn Store>,
    commits: Arc<AtomicU64>,
    each: Duration,
    cut: watch::Receiver<bool>,
}

impl Counting {
    /// `each`: what every commit takes longer.
    pub fn wrap(commits: Arc<AtomicU64>, each: Duration) -> impl FnOnce(SqliteStore) -> Arc<dyn Store> {
        move |inner| {
            Arc::new(Counting {
                inner: Arc::new(inner),
                commits,
                each,
                cut: watch::Sender::new(false).subscribe(),
            })
        }
    }

    /// While `cut` is true nothing that is written arrives, and nobody is told.
    pub fn behind(inner: Arc<dyn Store>, cut: &watch::Sender<bool>) -> Arc<dyn Store> {
        Arc::new(Counting {
            inner,
            commits: Arc::default(),
            each: Duration::ZERO,
            cut: cut.subscribe(),
        })
    }

    async fn arrives(&self) {
        // The sender is gone: nobody cuts it any more.
        let _ = self.cut.clone().wait_for(|cut| !cut).await;
    }
}

#[async_trait]
impl Store for Counting {
    fn now_ms(&self) -> i64 {
        self.inner.now_ms()
    }

    fn installation(&self) -> uuid::Uuid {
        self.inner.installation()
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Vec<Applied>, StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        if !self.each.is_zero() {
            tokio::time::sleep(self.each).await;
        }
        self.arrives().await;
        self.inner.commit(changes).await
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn open_host(&self, host: HostId, lease_ms: i64) -> Result<(), StoreError> {
        self.inner.open_host(host, lease_ms).await
    }

    async fn heartbeat(&self, host: HostId, calling: &[SagaId], lease_ms: i64) -> Result<Beat, StoreError> {
        self.arrives().await;
        self.inner.heartbeat(host, calling, lease_ms).await
    }

    async fn leave(&self, host: HostId) -> Result<(), StoreError> {
        self.arrives().await;
        self.inner.leave(host).await
    }

    async fn claim(&self, host: HostId, limit: u32) -> Result<Takeover, StoreError> {
        self.arrives().await;
        self.inner.claim(host, limit).await
    }

    async fn take(&self, saga: SagaId, host: HostId) -> Result<(), StoreError> {
        self.arrives().await;
        self.inner.take(saga, host).await
    }

    async fn hosts(&self, limit: u32) -> Result<Vec<HostRow>, StoreError> {
        self.inner.hosts(limit).await
    }

    async fn due(&self, host: HostId, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, i64)>, StoreError> {
        self.inner.due(host, until_ms, limit).await
    }

    async fn holds(&self) -> Result<Vec<HoldRow>, StoreError> {
        self.inner.holds().await
    }

    async fn put_hold(&self, hold: HoldRow) -> Result<HoldRow, StoreError> {
        self.inner.put_hold(hold).await
    }

    async fn remove_hold(&self, target: &HoldTarget) -> Result<bool, StoreError> {
        self.inner.remove_hold(target).await
    }

    async fn open_sagas(
        &self,
        definition: Option<&str>,
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaId>, StoreError> {
        self.inner.open_sagas(definition, after, limit).await
    }

    async fn paused_sagas(&self, after: Option<SagaId>, limit: u32) -> Result<Vec<SagaId>, StoreError> {
        self.inner.paused_sagas(after, limit).await
    }

    async fn due_watches(&self, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, Watch)>, StoreError> {
        self.inner.due_watches(until_ms, limit).await
    }

    async fn watch(&self, saga: SagaId) -> Result<Option<Watch>, StoreError> {
        self.inner.watch(saga).await
    }

    async fn load(&self, saga: SagaId) -> Result<Option<LoadedSaga>, StoreError> {
        self.inner.load(saga).await
    }

    async fn journal_latest(
        &self,
        saga: SagaId,
        step: StepIndex,
        phase: Phase,
        once_key: &str,
    ) -> Result<Option<JournalRecord>, StoreError> {
        self.inner.journal_latest(saga, step, phase, once_key).await
    }

    async fn journal(&self, saga: SagaId) -> Result<Vec<JournalRecord>, StoreError> {
        self.inner.journal(saga).await
    }

    async fn journal_record(&self, intent: IntentId) -> Result<Option<JournalRecord>, StoreError> {
        self.inner.journal_record(intent).await
    }

    async fn saga(&self, saga: SagaId) -> Result<Option<SagaRow>, StoreError> {
        self.inner.saga(saga).await
    }

    async fn open_plans(&self) -> Result<Vec<String>, StoreError> {
        self.inner.open_plans().await
    }

    async fn open_sagas_of_plans(
        &self,
        plans: &[String],
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaId>, StoreError> {
        self.inner.open_sagas_of_plans(plans, after, limit).await
    }

    async fn sagas(&self, filter: &SagaFilter, page: Page) -> Result<Vec<SagaRow>, StoreError> {
        self.inner.sagas(filter, page).await
    }

    async fn steps(&self, saga: SagaId) -> Result<Vec<StepRow>, StoreError> {
        self.inner.steps(saga).await
    }

    async fn events(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        self.inner.events(saga, after, limit).await
    }

    async fn events_after(&self, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        self.inner.events_after(after, limit).await
    }

    async fn newest_event(&self) -> Result<i64, StoreError> {
        self.inner.newest_event().await
    }

    async fn sagas_of(&self, ids: &[SagaId]) -> Result<Vec<SagaRow>, StoreError> {
        self.inner.sagas_of(ids).await
    }

    async fn requests(
        &self,
        saga: SagaId,
        after: Option<IntentId>,
        limit: u32,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        self.inner.requests(saga, after, limit).await
    }

    async fn logs(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        self.inner.logs(saga, after, limit).await
    }

    async fn add_logs(&self, lines: Vec<NewLog>) -> Result<(), StoreError> {
        self.inner.add_logs(lines).await
    }

    async fn context(&self, saga: SagaId) -> Result<Vec<(String, String, Json)>, StoreError> {
        self.inner.context(saga).await
    }

    async fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceRow>, StoreError> {
        self.inner.resource(key).await
    }

    async fn resource_by_id(&self, resource_id: &str) -> Result<Option<ResourceRow>, StoreError> {
        self.inner.resource_by_id(resource_id).await
    }

    async fn resources(&self, filter: &ResourceFilter, page: Page) -> Result<Vec<ResourceRow>, StoreError> {
        self.inner.resources(filter, page).await
    }

    async fn provisioned(&self, resource_id: &str) -> Result<Vec<ProvisionedRow>, StoreError> {
        self.inner.provisioned(resource_id).await
    }

    async fn put_finding(&self, finding: FindingRow) -> Result<(), StoreError> {
        self.inner.put_finding(finding).await
    }

    async fn resolve_finding(&self, id: &str, at_ms: i64) -> Result<(), StoreError> {
        self.inner.resolve_finding(id, at_ms).await
    }

    async fn findings(
        &self,
        saga: Option<SagaId>,
        open_only: bool,
        page: Page,
    ) -> Result<Vec<FindingRow>, StoreError> {
        self.inner.findings(saga, open_only, page).await
    }

    async fn put_component(
        &self,
        component: NewComponent,
        replace: bool,
    ) -> Result<PutComponent, StoreError> {
        self.inner.put_component(component, replace).await
    }

    async fn set_component_status(&self, set: SetStatus) -> Result<Option<ComponentRow>, StoreError> {
        self.inner.set_component_status(set).await
    }

    async fn component(&self, digest: &str) -> Result<Option<ComponentRow>, StoreError> {
        self.inner.component(digest).await
    }

    async fn component_bytes(&self, digest: &str) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.inner.component_bytes(digest).await
    }

    async fn components(&self) -> Result<Vec<ComponentRow>, StoreError> {
        self.inner.components().await
    }

    async fn channels(&self) -> Result<Vec<ChannelRow>, StoreError> {
        self.inner.channels().await
    }

    async fn set_channel(&self, channel: ChannelRow) -> Result<(), StoreError> {
        self.inner.set_channel(channel).await
    }

    async fn definition(&self, name: &str) -> Result<Option<DefinitionRow>, StoreError> {
        self.inner.definition(name).await
    }

    async fn definitions(&self) -> Result<Vec<DefinitionRow>, StoreError> {
        self.inner.definitions().await
    }

    async fn put_definition(
        &self,
        name: &str,
        body: &Json,
        built_in: bool,
        created_by: &str,
    ) -> Result<DefinitionRow, StoreError> {
        self.inner.put_definition(name, body, built_in, created_by).await
    }

    async fn plan(&self, digest: &str) -> Result<Option<Arc<Plan>>, StoreError> {
        self.inner.plan(digest).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.inner.tokens().await
    }

    async fn add_token(&self, token: NewToken) -> Result<AddToken, StoreError> {
        self.inner.add_token(token).await
    }

    async fn revoke_token(&self, name: &str, by: &str) -> Result<RevokeToken, StoreError> {
        self.inner.revoke_token(name, by).await
    }

    async fn admin_token(&self, mark: TokenMark, replace: bool) -> Result<TokenRow, StoreError> {
        self.inner.admin_token(mark, replace).await
    }
}
