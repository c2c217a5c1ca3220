//! The store on SQLite: one file, one host.
//!
//! | file | noun |
//! |---|---|
//! | `open`, `writer` | lock, settings, schema, installation; the connection that writes |
//! | `commit`, `round`, `write`, `inventory`, `batch` | a commit: rounds of changes, what decides them, the statements, and how they travel |
//! | `load`, `views`, `hosts` | what is read, ownership |
//! | `catalog`, `approval` | the catalogue, and what of it may be used |
//! | `logs`, `tokens` | what steps say; who may ask |
//! | `watches` | watches over ended sagas |
//! | `row`, `record` | rows as they are written and as they are read |
//! | `plans`, `error` | plans in memory; what a database error means |

mod approval;
mod batch;
mod catalog;
mod commit;
mod error;
mod holds;
mod hosts;
mod inventory;
mod load;
mod logs;
mod open;
mod plans;
mod record;
mod round;
mod row;
mod tokens;
mod views;
mod watches;
mod write;
mod writer;

use std::{fs::File, path::Path, sync::Arc};

use async_trait::async_trait;
use sqlx::SqlitePool;
use uuid::Uuid;

use self::{error::store_error, plans::Plans, writer::Writer};
use super::{
    AddToken, Applied, Beat, Change, ChannelRow, ComponentRow, DefinitionRow, EventRow, FindingRow, HoldRow,
    HoldTarget, HostId, HostRow, LoadedSaga, LogRow, NewComponent, NewLog, NewToken, Page, ProvisionedRow,
    PutComponent, ResourceFilter, ResourceRow, RevokeToken, SagaFilter, SagaRow, SetStatus, StepRow, Store,
    StoreError, Takeover, TokenMark, TokenRow, Watch, clock::Clock,
};
use crate::saga::{IntentId, JournalRecord, Json, Phase, Plan, ResourceKey, SagaId, StepIndex};

pub struct SqliteStore {
    clock: Clock,
    installation: Uuid,
    /// Every write goes through one connection, so that none ever waits for a lock of the database.
    writer: Writer,
    readers: SqlitePool,
    plans: Plans,
    _lock: File,
}

impl SqliteStore {
    /// Opens the file, or makes it. The folder must exist.
    ///
    /// [`StoreError::Refused`] when another host has it open (a lock file lies beside it), when its settings can't be
    /// the ones that keep what was committed, or when its schema is not this program's.
    pub async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        let clock = Clock::start();
        let opened = open::open(path, clock.now_ms()).await?;
        Ok(SqliteStore {
            clock,
            installation: opened.installation,
            writer: opened.writer,
            readers: opened.readers,
            plans: Plans::default(),
            _lock: opened.lock,
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn installation(&self) -> Uuid {
        self.installation
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Vec<Applied>, StoreError> {
        let mut held = self.writer.hold().await?;
        let result = commit::commit(held.connection(), &self.plans, &changes).await;
        held.release(result)
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn open_host(&self, host: HostId, lease_ms: i64) -> Result<(), StoreError> {
        let mut held = self.writer.hold().await?;
        let result = hosts::open_host(held.connection(), host, lease_ms, self.now_ms()).await;
        held.release(result)
    }

    async fn heartbeat(&self, host: HostId, calling: &[SagaId], lease_ms: i64) -> Result<Beat, StoreError> {
        let mut held = self.writer.hold().await?;
        let result = hosts::heartbeat(held.connection(), host, calling, lease_ms, self.now_ms()).await;
        held.release(result)
    }

    async fn leave(&self, host: HostId) -> Result<(), StoreError> {
        let mut held = self.writer.hold().await?;
        let result = hosts::leave(held.connection(), host, self.now_ms()).await;
        held.release(result)
    }

    async fn claim(&self, host: HostId, limit: u32) -> Result<Takeover, StoreError> {
        let mut held = self.writer.hold().await?;
        let result = hosts::claim(held.connection(), host, limit, self.now_ms()).await;
        held.release(result)
    }

    async fn take(&self, saga: SagaId, host: HostId) -> Result<(), StoreError> {
        let mut held = self.writer.hold().await?;
        let result = hosts::take(held.connection(), saga, host, self.now_ms()).await;
        held.release(result)
    }

    async fn hosts(&self, limit: u32) -> Result<Vec<HostRow>, StoreError> {
        hosts::hosts(&self.readers, limit).await
    }

    async fn due(&self, host: HostId, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, i64)>, StoreError> {
        hosts::due(&self.readers, host, until_ms, limit).await
    }

    async fn holds(&self) -> Result<Vec<HoldRow>, StoreError> {
        holds::holds(&self.readers).await
    }

    async fn put_hold(&self, hold: HoldRow) -> Result<HoldRow, StoreError> {
        let mut held = self.writer.hold().await?;
        let result = holds::put_hold(held.connection(), &hold).await;
        held.release(result)
    }

    async fn remove_hold(&self, target: &HoldTarget) -> Result<bool, StoreError> {
        let mut held = self.writer.hold().await?;
        let result = holds::remove_hold(held.connection(), target).await;
        held.release(result)
    }

    async fn open_sagas(
        &self,
        definition: Option<&str>,
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaId>, StoreError> {
        holds::open_sagas(&self.readers, definition, after, limit).await
    }

    async fn paused_sagas(&self, after: Option<SagaId>, limit: u32) -> Result<Vec<SagaId>, StoreError> {
        holds::paused_sagas(&self.readers, after, limit).await
    }

    async fn due_watches(&self, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, Watch)>, StoreError> {
        watches::due_watches(&self.readers, until_ms, limit).await
    }

    async fn watch(&self, saga: SagaId) -> Result<Option<Watch>, StoreError> {
        watches::watch(&self.readers, saga).await
    }

    async fn load(&self, saga: SagaId) -> Result<Option<LoadedSaga>, StoreError> {
        load::load(&self.readers, &self.plans, saga).await
    }

    async fn journal_latest(
        &self,
        saga: SagaId,
        step: StepIndex,
        phase: Phase,
        once_key: &str,
    ) -> Result<Option<JournalRecord>, StoreError> {
        load::journal_latest(&self.readers, saga, step, phase, once_key).await
    }

    async fn journal(&self, saga: SagaId) -> Result<Vec<JournalRecord>, StoreError> {
        load::journal(&self.readers, saga).await
    }

    async fn journal_record(&self, intent: IntentId) -> Result<Option<JournalRecord>, StoreError> {
        load::journal_record(&self.readers, intent).await
    }

    async fn saga(&self, saga: SagaId) -> Result<Option<SagaRow>, StoreError> {
        load::saga(&self.readers, saga).await
    }

    async fn open_plans(&self) -> Result<Vec<String>, StoreError> {
        views::open_plans(&self.readers).await
    }

    async fn open_sagas_of_plans(
        &self,
        plans: &[String],
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaId>, StoreError> {
        views::open_sagas_of_plans(&self.readers, plans, after, limit).await
    }

    async fn sagas(&self, filter: &SagaFilter, page: Page) -> Result<Vec<SagaRow>, StoreError> {
        views::sagas(&self.readers, filter, page).await
    }

    async fn steps(&self, saga: SagaId) -> Result<Vec<StepRow>, StoreError> {
        load::steps(&self.readers, &self.plans, saga).await
    }

    async fn events(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        load::events(&self.readers, saga, after, limit).await
    }

    async fn events_after(&self, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        load::events_after(&self.readers, after, limit).await
    }

    async fn newest_event(&self) -> Result<i64, StoreError> {
        load::newest_event(&self.readers).await
    }

    async fn sagas_of(&self, ids: &[SagaId]) -> Result<Vec<SagaRow>, StoreError> {
        views::sagas_of(&self.readers, ids).await
    }

    async fn requests(
        &self,
        saga: SagaId,
        after: Option<IntentId>,
        limit: u32,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        views::requests(&self.readers, saga, after, limit).await
    }

    async fn logs(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        logs::logs(&self.readers, saga, after, limit).await
    }

    async fn add_logs(&self, lines: Vec<NewLog>) -> Result<(), StoreError> {
        let mut held = self.writer.hold().await?;
        let result = logs::add_logs(held.connection(), &lines).await;
        held.release(result)
    }

    async fn context(&self, saga: SagaId) -> Result<Vec<(String, String, Json)>, StoreError> {
        let mut reader = self.readers.acquire().await.map_err(store_error)?;
        load::context(&mut reader, saga).await
    }

    async fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceRow>, StoreError> {
        views::resource(&self.readers, key).await
    }

    async fn resource_by_id(&self, resource_id: &str) -> Result<Option<ResourceRow>, StoreError> {
        views::resource_by_id(&self.readers, resource_id).await
    }

    async fn resources(&self, filter: &ResourceFilter, page: Page) -> Result<Vec<ResourceRow>, StoreError> {
        views::resources(&self.readers, filter, page).await
    }

    async fn provisioned(&self, resource_id: &str) -> Result<Vec<ProvisionedRow>, StoreError> {
        views::provisioned(&self.readers, resource_id).await
    }

    async fn put_finding(&self, finding: FindingRow) -> Result<(), StoreError> {
        let mut held = self.writer.hold().await?;
        let result = inventory::put_finding(held.connection(), &finding).await;
        held.release(result)
    }

    async fn resolve_finding(&self, id: &str, at_ms: i64) -> Result<(), StoreError> {
        let mut held = self.writer.hold().await?;
        let result = inventory::resolve_finding(held.connection(), id, at_ms).await;
        held.release(result)
    }

    async fn findings(
        &self,
        saga: Option<SagaId>,
        open_only: bool,
        page: Page,
    ) -> Result<Vec<FindingRow>, StoreError> {
        views::findings(&self.readers, saga, open_only, page).await
    }

    async fn put_component(
        &self,
        component: NewComponent,
        replace: bool,
    ) -> Result<PutComponent, StoreError> {
        let mut held = self.writer.hold().await?;
        let result = catalog::put_component(held.connection(), component, replace, self.now_ms()).await;
        held.release(result)
    }

    async fn set_component_status(&self, set: SetStatus) -> Result<Option<ComponentRow>, StoreError> {
        let mut held = self.writer.hold().await?;
        let result = approval::set_component_status(held.connection(), set, self.now_ms()).await;
        held.release(result)
    }

    async fn component(&self, digest: &str) -> Result<Option<ComponentRow>, StoreError> {
        catalog::component(&self.readers, digest).await
    }

    async fn component_bytes(&self, digest: &str) -> Result<Option<Arc<[u8]>>, StoreError> {
        catalog::component_bytes(&self.readers, digest).await
    }

    async fn components(&self) -> Result<Vec<ComponentRow>, StoreError> {
        catalog::components(&self.readers).await
    }

    async fn channels(&self) -> Result<Vec<ChannelRow>, StoreError> {
        catalog::channels(&self.readers).await
    }

    async fn set_channel(&self, channel: ChannelRow) -> Result<(), StoreError> {
        let mut held = self.writer.hold().await?;
        let result = catalog::set_channel(held.connection(), channel).await;
        held.release(result)
    }

    async fn definition(&self, name: &str) -> Result<Option<DefinitionRow>, StoreError> {
        catalog::definition(&self.readers, name).await
    }

    async fn definitions(&self) -> Result<Vec<DefinitionRow>, StoreError> {
        catalog::definitions(&self.readers).await
    }

    async fn put_definition(
        &self,
        name: &str,
        body: &Json,
        built_in: bool,
        created_by: &str,
    ) -> Result<DefinitionRow, StoreError> {
        let mut held = self.writer.hold().await?;
        let (connection, now_ms) = (held.connection(), self.now_ms());
        let result = catalog::put_definition(connection, name, body, built_in, created_by, now_ms).await;
        held.release(result)
    }

    async fn plan(&self, digest: &str) -> Result<Option<Arc<Plan>>, StoreError> {
        self.plans.read(&self.readers, digest).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        tokens::tokens(&self.readers).await
    }

    async fn add_token(&self, token: NewToken) -> Result<AddToken, StoreError> {
        let mut held = self.writer.hold().await?;
        let result = tokens::add_token(held.connection(), token, self.now_ms()).await;
        held.release(result)
    }

    async fn revoke_token(&self, name: &str, by: &str) -> Result<RevokeToken, StoreError> {
        let mut held = self.writer.hold().await?;
        let result = tokens::revoke_token(held.connection(), name, by, self.now_ms()).await;
        held.release(result)
    }

    async fn admin_token(&self, mark: TokenMark, replace: bool) -> Result<TokenRow, StoreError> {
        let mut held = self.writer.hold().await?;
        let result = tokens::admin_token(held.connection(), mark, replace, self.now_ms()).await;
        held.release(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ComponentStatus;

    /// Each commit is all or nothing, also when the database itself gives up in the middle.
    #[tokio::test]
    async fn a_full_database_refuses_a_write_and_serves_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("a.db")).await.unwrap();
        let component = |digest: &str, bytes: usize| NewComponent {
            digest: digest.to_owned(),
            name: digest.to_owned(),
            version: "1.0.0".to_owned(),
            manifest: Json::trusted("{}"),
            bytes: vec![0; bytes].into(),
            built_in: false,
            uploaded_by: "test".to_owned(),
            status: ComponentStatus::Approved,
            granted: None,
        };
        let mut held = store.writer.hold().await.unwrap();
        sqlx::query("pragma max_page_count = 100")
            .execute(held.connection())
            .await
            .unwrap();
        held.release(Ok(())).unwrap();
        let full = store.put_component(component("large", 1_000_000), false).await;
        let Err(StoreError::Unavailable(reason)) = &full else {
            panic!("expected that the database is full, got {full:?}");
        };
        assert!(reason.to_string().contains("full"), "{reason}");
        assert_eq!(store.component("large").await.unwrap(), None);
        let small = store.put_component(component("small", 10), false).await.unwrap();
        assert!(matches!(small, PutComponent::Added(_)), "{small:?}");
    }
}
