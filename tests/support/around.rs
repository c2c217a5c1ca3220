//! A store in front of another one that does something around each writing call. Everything else goes straight through.

use std::sync::Arc;

use arcadia::{
    saga::{IntentId, JournalRecord, Json, Phase, Plan, ResourceKey, SagaId, StepIndex},
    store::{
        AddToken, Applied, Beat, Change, ChannelRow, ComponentRow, DefinitionRow, EventRow, FindingRow,
        HoldRow, HoldTarget, HostId, HostRow, LoadedSaga, LogRow, NewComponent, NewLog, NewToken, Page,
        ProvisionedRow, PutComponent, ResourceFilter, ResourceRow, RevokeToken, SagaFilter, SagaRow,
        SetStatus, StepRow, Store, StoreError, Takeover, TokenMark, TokenRow, Watch,
    },
};
use async_trait::async_trait;

/// What is done. `call` is the name of the store's method.
#[async_trait]
pub trait Around: Send + Sync + 'static {
    fn now_ms(&self, store: &dyn Store) -> i64 {
        store.now_ms()
    }

    /// What these changes are answered at once, and go no further.
    fn instead(&self, _: &[Change]) -> Option<Result<Vec<Applied>, StoreError>> {
        None
    }

    /// No saga can be loaded now.
    fn is_unreadable(&self) -> bool {
        false
    }

    async fn before(&self, call: &'static str);

    async fn after(&self, call: &'static str);
}

pub struct Wrapped<A> {
    inner: Arc<dyn Store>,
    around: A,
}

impl<A: Around> Wrapped<A> {
    pub fn of(inner: Arc<dyn Store>, around: A) -> Arc<dyn Store> {
        Arc::new(Wrapped { inner, around })
    }
}

#[async_trait]
impl<A: Around> Store for Wrapped<A> {
    fn now_ms(&self) -> i64 {
        self.around.now_ms(&*self.inner)
    }

    fn installation(&self) -> uuid::Uuid {
        self.inner.installation()
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Vec<Applied>, StoreError> {
        if let Some(answer) = self.around.instead(&changes) {
            return answer;
        }
        self.around.before("commit").await;
        let answer = self.inner.commit(changes).await;
        self.around.after("commit").await;
        answer
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn open_host(&self, host: HostId, lease_ms: i64) -> Result<(), StoreError> {
        self.around.before("open_host").await;
        let answer = self.inner.open_host(host, lease_ms).await;
        self.around.after("open_host").await;
        answer
    }

    async fn heartbeat(&self, host: HostId, calling: &[SagaId], lease_ms: i64) -> Result<Beat, StoreError> {
        self.around.before("heartbeat").await;
        let answer = self.inner.heartbeat(host, calling, lease_ms).await;
        self.around.after("heartbeat").await;
        answer
    }

    async fn leave(&self, host: HostId) -> Result<(), StoreError> {
        self.around.before("leave").await;
        let answer = self.inner.leave(host).await;
        self.around.after("leave").await;
        answer
    }

    async fn claim(&self, host: HostId, limit: u32) -> Result<Takeover, StoreError> {
        self.around.before("claim").await;
        let answer = self.inner.claim(host, limit).await;
        self.around.after("claim").await;
        answer
    }

    async fn take(&self, saga: SagaId, host: HostId) -> Result<(), StoreError> {
        self.around.before("take").await;
        let answer = self.inner.take(saga, host).await;
        self.around.after("take").await;
        answer
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
        self.around.before("put_hold").await;
        let answer = self.inner.put_hold(hold).await;
        self.around.after("put_hold").await;
        answer
    }

    async fn remove_hold(&self, target: &HoldTarget) -> Result<bool, StoreError> {
        self.around.before("remove_hold").await;
        let answer = self.inner.remove_hold(target).await;
        self.around.after("remove_hold").await;
        answer
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
        if self.around.is_unreadable() {
            return Err(StoreError::Unavailable("not now".into()));
        }
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

    async fn creates(&self, after: Option<IntentId>, limit: u32) -> Result<Vec<JournalRecord>, StoreError> {
        self.inner.creates(after, limit).await
    }

    async fn logs(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        self.inner.logs(saga, after, limit).await
    }

    async fn add_logs(&self, lines: Vec<NewLog>) -> Result<(), StoreError> {
        self.around.before("add_logs").await;
        let answer = self.inner.add_logs(lines).await;
        self.around.after("add_logs").await;
        answer
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
        self.around.before("put_finding").await;
        let answer = self.inner.put_finding(finding).await;
        self.around.after("put_finding").await;
        answer
    }

    async fn resolve_finding(&self, id: &str, at_ms: i64) -> Result<(), StoreError> {
        self.around.before("resolve_finding").await;
        let answer = self.inner.resolve_finding(id, at_ms).await;
        self.around.after("resolve_finding").await;
        answer
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
        self.around.before("put_component").await;
        let answer = self.inner.put_component(component, replace).await;
        self.around.after("put_component").await;
        answer
    }

    async fn set_component_status(&self, set: SetStatus) -> Result<Option<ComponentRow>, StoreError> {
        self.around.before("set_component_status").await;
        let answer = self.inner.set_component_status(set).await;
        self.around.after("set_component_status").await;
        answer
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
        self.around.before("set_channel").await;
        let answer = self.inner.set_channel(channel).await;
        self.around.after("set_channel").await;
        answer
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
        self.around.before("put_definition").await;
        let answer = self.inner.put_definition(name, body, built_in, created_by).await;
        self.around.after("put_definition").await;
        answer
    }

    async fn plan(&self, digest: &str) -> Result<Option<Arc<Plan>>, StoreError> {
        self.inner.plan(digest).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.inner.tokens().await
    }

    async fn add_token(&self, token: NewToken) -> Result<AddToken, StoreError> {
        self.around.before("add_token").await;
        let answer = self.inner.add_token(token).await;
        self.around.after("add_token").await;
        answer
    }

    async fn revoke_token(&self, name: &str, by: &str) -> Result<RevokeToken, StoreError> {
        self.around.before("revoke_token").await;
        let answer = self.inner.revoke_token(name, by).await;
        self.around.after("revoke_token").await;
        answer
    }

    async fn admin_token(&self, mark: TokenMark, replace: bool) -> Result<TokenRow, StoreError> {
        self.around.before("admin_token").await;
        let answer = self.inner.admin_token(mark, replace).await;
        self.around.after("admin_token").await;
        answer
    }
}
