//! The stores on SQLite (one file, one host) and on PostgreSQL (one server, several hosts). What differs between them is in as few
//! places as can be; everything else is written once.
//!
//! | file | noun |
//! |---|---|
//! | `sqlite`, `postgres` | each database: opening, settings, schema, and what only it has |
//! | `statement`, `value`, `connection` | statements for both, what goes into them and comes out, what they are run on |
//! | `error`, `clock` | what an error of a database means; its clock |
//! | `writer` | the connection that writes, and when a transaction is tried again |
//! | `commit`, `round`, `write`, `inventory`, `batch` | a commit: rounds of changes, what decides them, the statements, and how they travel |
//! | `load`, `views`, `hosts` | what is read, ownership |
//! | `catalog`, `approval` | the catalogue, and what of it may be used |
//! | `logs`, `tokens` | what steps say; who may ask |
//! | `holds`, `watches` | what is paused; watches over ended sagas |
//! | `row`, `record` | rows as they are written and as they are read |
//! | `plans` | plans in memory |
//! | `doctor` | looking at a database without changing it |

mod approval;
mod batch;
mod catalog;
mod clock;
mod commit;
mod connection;
pub mod doctor;
mod error;
mod holds;
mod hosts;
mod inventory;
mod load;
mod logs;
mod plans;
mod postgres;
mod record;
mod round;
mod row;
mod sqlite;
mod statement;
mod tokens;
mod value;
mod views;
mod watches;
mod write;
mod writer;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use uuid::Uuid;

use self::{
    clock::DatabaseClock,
    connection::{Connection, Readers, sql},
    error::store_error,
    plans::Plans,
    writer::{Fault, Writer, write},
};
use super::{
    AddToken, Applied, Beat, Change, ChannelRow, ComponentRow, DefinitionRow, EventRow, FindingRow, HoldRow,
    HoldTarget, HostId, HostRow, LoadedSaga, LogRow, NewComponent, NewLog, NewToken, Page, ProvisionedRow,
    PutComponent, ResourceFilter, ResourceRow, RevokeToken, SagaFilter, SagaRow, SetStatus, StepRow, Store,
    StoreError, Takeover, TokenMark, TokenRow, Watch,
};
use crate::saga::{IntentId, JournalRecord, Json, Phase, Plan, ResourceKey, SagaId, StepIndex};

/// A store on a database that speaks SQL.
pub struct SqlStore {
    clock: DatabaseClock,
    installation: Uuid,
    is_shared: bool,
    /// Every write of this process goes through one connection.
    writer: Writer,
    readers: Readers,
    /// Of a store that several hosts share: a connection for heartbeats alone, which wait for nothing else that this host does.
    beats: Option<Readers>,
    plans: Plans,
}

impl SqlStore {
    /// Opens the file, or makes it. The folder must exist.
    ///
    /// [`StoreError::Refused`] when another host has it open (a lock file lies beside it), when its settings can't be
    /// the ones that keep what was committed, or when its schema is not this program's.
    pub async fn sqlite(path: &Path) -> Result<SqlStore, StoreError> {
        sqlite::open(path).await
    }

    /// Opens the database that a URL names: `postgres://user:password@host:port/database`. It must exist; its schema is made, or
    /// brought up to date, by the first of the hosts that open it.
    ///
    /// [`StoreError::Refused`] when it can't be reached, when the server is older than PostgreSQL 15 or takes no writes, when its
    /// settings lose what was committed, or when its schema is not this program's.
    pub async fn postgres(url: &str) -> Result<SqlStore, StoreError> {
        postgres::open(url).await
    }
}

/// Who this database is, for ever; told when it is opened for the first time.
async fn installation(connection: &mut Connection, now_ms: i64) -> Result<Uuid, StoreError> {
    sql!(
        "insert into installation (only_row, id, epoch, made_ms) values (1, ?, ?, ?) on conflict do nothing"
    )
    .bind(Uuid::new_v4().to_string())
    .bind(Uuid::new_v4().to_string())
    .bind(now_ms)
    .run(connection)
    .await
    .map_err(store_error)?;
    let row = sql!("select id from installation")
        .one(connection)
        .await
        .map_err(store_error)?;
    let id: &str = row.try_get(0).map_err(store_error)?;
    id.parse().map_err(|error: uuid::Error| StoreError::Corrupt {
        what: "the installation's id".to_owned(),
        reason: error.to_string(),
    })
}

#[async_trait]
impl Store for SqlStore {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn installation(&self) -> Uuid {
        self.installation
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Vec<Applied>, StoreError> {
        let mut writing = self.writer.hold().await;
        loop {
            let worked = match writing.open().await {
                Ok(connection) => commit::commit(connection, &self.plans, &changes)
                    .await
                    .map_err(Fault::from),
                Err(fault) => Err(fault),
            };
            if let Some(applied) = writing.ended(worked).await? {
                commit::remember_plans(&self.plans, &changes, &applied);
                return Ok(applied);
            }
        }
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    async fn open_host(&self, host: HostId, lease_ms: i64) -> Result<(), StoreError> {
        write!(self, connection => hosts::open_host(connection, host, lease_ms, &self.clock))
    }

    async fn heartbeat(&self, host: HostId, calling: &[SagaId], lease_ms: i64) -> Result<Beat, StoreError> {
        let Some(beats) = &self.beats else {
            return write!(self, connection => hosts::heartbeat(connection, host, calling, lease_ms, &self.clock));
        };
        // Each statement by itself: a row that others look at is locked for no longer than the server takes.
        let mut connection = beats.lend().await?;
        match hosts::heartbeat(&mut connection, host, calling, lease_ms, &self.clock).await {
            Ok(beat) => Ok(beat),
            Err(Fault::Database(error)) => Err(store_error(error)),
            Err(Fault::Store(error)) => Err(error),
        }
    }

    async fn leave(&self, host: HostId) -> Result<(), StoreError> {
        write!(self, connection => hosts::leave(connection, host, &self.clock))
    }

    async fn claim(&self, host: HostId, limit: u32) -> Result<Takeover, StoreError> {
        write!(self, connection => hosts::claim(connection, host, limit, &self.clock))
    }

    async fn take(&self, saga: SagaId, host: HostId) -> Result<(), StoreError> {
        write!(self, connection => hosts::take(connection, saga, host, &self.clock))
    }

    async fn hosts(&self, limit: u32) -> Result<Vec<HostRow>, StoreError> {
        hosts::hosts(&mut self.readers.lend().await?, limit).await
    }

    async fn due(&self, host: HostId, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, i64)>, StoreError> {
        hosts::due(&mut self.readers.lend().await?, host, until_ms, limit).await
    }

    async fn holds(&self) -> Result<Vec<HoldRow>, StoreError> {
        holds::holds(&mut self.readers.lend().await?).await
    }

    async fn put_hold(&self, hold: HoldRow) -> Result<HoldRow, StoreError> {
        write!(self, connection => holds::put_hold(connection, &hold))
    }

    async fn remove_hold(&self, target: &HoldTarget) -> Result<bool, StoreError> {
        write!(self, connection => holds::remove_hold(connection, target))
    }

    async fn open_sagas(
        &self,
        definition: Option<&str>,
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaId>, StoreError> {
        holds::open_sagas(&mut self.readers.lend().await?, definition, after, limit).await
    }

    async fn paused_sagas(&self, after: Option<SagaId>, limit: u32) -> Result<Vec<SagaId>, StoreError> {
        holds::paused_sagas(&mut self.readers.lend().await?, after, limit).await
    }

    async fn due_watches(&self, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, Watch)>, StoreError> {
        watches::due_watches(&mut self.readers.lend().await?, until_ms, limit).await
    }

    async fn watch(&self, saga: SagaId) -> Result<Option<Watch>, StoreError> {
        watches::watch(&mut self.readers.lend().await?, saga).await
    }

    async fn load(&self, saga: SagaId) -> Result<Option<LoadedSaga>, StoreError> {
        load::load(&mut self.readers.lend().await?, &self.plans, saga).await
    }

    async fn journal_latest(
        &self,
        saga: SagaId,
        step: StepIndex,
        phase: Phase,
        once_key: &str,
    ) -> Result<Option<JournalRecord>, StoreError> {
        load::journal_latest(&mut self.readers.lend().await?, saga, step, phase, once_key).await
    }

    async fn journal(&self, saga: SagaId) -> Result<Vec<JournalRecord>, StoreError> {
        load::journal(&mut self.readers.lend().await?, saga).await
    }

    async fn journal_record(&self, intent: IntentId) -> Result<Option<JournalRecord>, StoreError> {
        load::journal_record(&mut self.readers.lend().await?, intent).await
    }

    async fn saga(&self, saga: SagaId) -> Result<Option<SagaRow>, StoreError> {
        load::saga(&mut self.readers.lend().await?, saga).await
    }

    async fn open_plans(&self) -> Result<Vec<String>, StoreError> {
        views::open_plans(&mut self.readers.lend().await?).await
    }

    async fn open_sagas_of_plans(
        &self,
        plans: &[String],
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaId>, StoreError> {
        views::open_sagas_of_plans(&mut self.readers.lend().await?, plans, after, limit).await
    }

    async fn sagas(&self, filter: &SagaFilter, page: Page) -> Result<Vec<SagaRow>, StoreError> {
        views::sagas(&mut self.readers.lend().await?, filter, page).await
    }

    async fn steps(&self, saga: SagaId) -> Result<Vec<StepRow>, StoreError> {
        load::steps(&mut self.readers.lend().await?, &self.plans, saga).await
    }

    async fn events(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        load::events(&mut self.readers.lend().await?, saga, after, limit).await
    }

    async fn events_after(&self, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        load::events_after(&mut self.readers.lend().await?, after, limit).await
    }

    async fn newest_event(&self) -> Result<i64, StoreError> {
        load::newest_event(&mut self.readers.lend().await?).await
    }

    async fn sagas_of(&self, ids: &[SagaId]) -> Result<Vec<SagaRow>, StoreError> {
        views::sagas_of(&mut self.readers.lend().await?, ids).await
    }

    async fn requests(
        &self,
        saga: SagaId,
        after: Option<IntentId>,
        limit: u32,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        views::requests(&mut self.readers.lend().await?, saga, after, limit).await
    }

    async fn creates(&self, after: Option<IntentId>, limit: u32) -> Result<Vec<JournalRecord>, StoreError> {
        views::creates(&mut self.readers.lend().await?, after, limit).await
    }

    async fn logs(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        logs::logs(&mut self.readers.lend().await?, saga, after, limit).await
    }

    async fn add_logs(&self, lines: Vec<NewLog>) -> Result<(), StoreError> {
        write!(self, connection => logs::add_logs(connection, &lines))
    }

    async fn context(&self, saga: SagaId) -> Result<Vec<(String, String, Json)>, StoreError> {
        load::context(&mut self.readers.lend().await?, saga).await
    }

    async fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceRow>, StoreError> {
        views::resource(&mut self.readers.lend().await?, key).await
    }

    async fn resource_by_id(&self, resource_id: &str) -> Result<Option<ResourceRow>, StoreError> {
        views::resource_by_id(&mut self.readers.lend().await?, resource_id).await
    }

    async fn resources(&self, filter: &ResourceFilter, page: Page) -> Result<Vec<ResourceRow>, StoreError> {
        views::resources(&mut self.readers.lend().await?, filter, page).await
    }

    async fn provisioned(&self, resource_id: &str) -> Result<Vec<ProvisionedRow>, StoreError> {
        views::provisioned(&mut self.readers.lend().await?, resource_id).await
    }

    async fn put_finding(&self, finding: FindingRow) -> Result<(), StoreError> {
        write!(self, connection => inventory::put_finding(connection, &finding))
    }

    async fn resolve_finding(&self, id: &str, at_ms: i64) -> Result<(), StoreError> {
        write!(self, connection => inventory::resolve_finding(connection, id, at_ms))
    }

    async fn findings(
        &self,
        saga: Option<SagaId>,
        open_only: bool,
        page: Page,
    ) -> Result<Vec<FindingRow>, StoreError> {
        views::findings(&mut self.readers.lend().await?, saga, open_only, page).await
    }

    async fn put_component(
        &self,
        component: NewComponent,
        replace: bool,
    ) -> Result<PutComponent, StoreError> {
        write!(self, connection => catalog::put_component(connection, &component, replace, self.now_ms()))
    }

    async fn set_component_status(&self, set: SetStatus) -> Result<Option<ComponentRow>, StoreError> {
        write!(self, connection => approval::set_component_status(connection, &set, self.now_ms()))
    }

    async fn component(&self, digest: &str) -> Result<Option<ComponentRow>, StoreError> {
        catalog::component(&mut self.readers.lend().await?, digest).await
    }

    async fn component_bytes(&self, digest: &str) -> Result<Option<Arc<[u8]>>, StoreError> {
        catalog::component_bytes(&mut self.readers.lend().await?, digest).await
    }

    async fn components(&self) -> Result<Vec<ComponentRow>, StoreError> {
        catalog::components(&mut self.readers.lend().await?).await
    }

    async fn channels(&self) -> Result<Vec<ChannelRow>, StoreError> {
        catalog::channels(&mut self.readers.lend().await?).await
    }

    async fn set_channel(&self, channel: ChannelRow) -> Result<(), StoreError> {
        write!(self, connection => catalog::set_channel(connection, &channel))
    }

    async fn definition(&self, name: &str) -> Result<Option<DefinitionRow>, StoreError> {
        catalog::definition(&mut self.readers.lend().await?, name).await
    }

    async fn definitions(&self) -> Result<Vec<DefinitionRow>, StoreError> {
        catalog::definitions(&mut self.readers.lend().await?).await
    }

    async fn put_definition(
        &self,
        name: &str,
        body: &Json,
        built_in: bool,
        created_by: &str,
    ) -> Result<DefinitionRow, StoreError> {
        write!(self, connection => catalog::put_definition(connection, name, body, built_in, created_by, self.now_ms()))
    }

    async fn plan(&self, digest: &str) -> Result<Option<Arc<Plan>>, StoreError> {
        self.plans.read(&mut self.readers.lend().await?, digest).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        tokens::tokens(&mut self.readers.lend().await?).await
    }

    async fn add_token(&self, token: NewToken) -> Result<AddToken, StoreError> {
        write!(self, connection => tokens::add_token(connection, &token, self.now_ms()))
    }

    async fn revoke_token(&self, name: &str, by: &str) -> Result<RevokeToken, StoreError> {
        write!(self, connection => tokens::revoke_token(connection, name, by, self.now_ms()))
    }

    async fn admin_token(&self, mark: TokenMark, replace: bool) -> Result<TokenRow, StoreError> {
        write!(self, connection => tokens::admin_token(connection, &mark, replace, self.now_ms()))
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
        let store = SqlStore::sqlite(&folder.path().join("a.db")).await.unwrap();
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
        let mut writing = store.writer.hold().await;
        let limited = sql!("pragma max_page_count = 100")
            .all(writing.begin().await.unwrap())
            .await;
        writing.end(limited.map_err(Fault::from)).await.unwrap().unwrap();
        drop(writing);
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
