//! The store on SQLite: one file, one host.
//!
//! | file | noun |
//! |---|---|
//! | `open` | lock, settings, schema, installation |
//! | `commit`, `round`, `write`, `inventory` | the writer: rounds of changes, what decides them, the statements |
//! | `load`, `views`, `hosts`, `catalog` | what is read, ownership, the catalogue |
//! | `row`, `record` | rows as they are written and as they are read |
//! | `plans`, `error` | plans in memory; what a database error means |

mod catalog;
mod commit;
mod error;
mod hosts;
mod inventory;
mod load;
mod open;
mod plans;
mod record;
mod round;
mod row;
mod views;
mod write;

use std::{fs::File, path::Path, sync::Arc};

use async_trait::async_trait;
use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::{error::store_error, plans::Plans};
use super::{
    Applied, Change, ChannelRow, ComponentRow, DefinitionRow, EventRow, FindingRow, HostId, LoadedSaga,
    NewComponent, Page, ProvisionedRow, PutComponent, ResourceFilter, ResourceRow, SagaFilter, SagaRow,
    StepRow, Store, StoreError, Takeover, clock::Clock,
};
use crate::saga::{IntentId, JournalRecord, Json, Phase, Plan, ResourceKey, SagaId, StepIndex};

pub struct SqliteStore {
    clock: Clock,
    installation: Uuid,
    /// Every write goes through this one connection, so that none ever waits for a lock of the database.
    writer: Mutex<SqliteConnection>,
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
            writer: Mutex::new(opened.writer),
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
        let mut writer = self.writer.lock().await;
        commit::commit(&mut writer, &self.plans, &changes).await
    }

    async fn open_host(&self, host: HostId) -> Result<Takeover, StoreError> {
        let mut writer = self.writer.lock().await;
        hosts::open_host(&mut writer, host, self.now_ms()).await
    }

    async fn heartbeat(&self, host: HostId, calling: &[SagaId]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        hosts::heartbeat(&mut writer, host, calling, self.now_ms()).await
    }

    async fn due(&self, host: HostId, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, i64)>, StoreError> {
        hosts::due(&self.readers, host, until_ms, limit).await
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

    async fn sagas(&self, filter: &SagaFilter, page: Page) -> Result<Vec<SagaRow>, StoreError> {
        views::sagas(&self.readers, filter, page).await
    }

    async fn steps(&self, saga: SagaId) -> Result<Vec<StepRow>, StoreError> {
        load::steps(&self.readers, &self.plans, saga).await
    }

    async fn events(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        load::events(&self.readers, saga, after, limit).await
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
        let mut writer = self.writer.lock().await;
        catalog::put_component(&mut writer, component, replace, self.now_ms()).await
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
        let mut writer = self.writer.lock().await;
        catalog::set_channel(&mut writer, channel).await
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
    ) -> Result<DefinitionRow, StoreError> {
        let mut writer = self.writer.lock().await;
        catalog::put_definition(&mut writer, name, body, built_in, self.now_ms()).await
    }

    async fn plan(&self, digest: &str) -> Result<Option<Arc<Plan>>, StoreError> {
        self.plans.read(&self.readers, digest).await
    }

    async fn admin_token_hash(&self, if_missing: Option<&str>) -> Result<Option<String>, StoreError> {
        let mut writer = self.writer.lock().await;
        catalog::admin_token_hash(&mut writer, if_missing, self.now_ms()).await
    }
}
