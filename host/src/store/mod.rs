//! What survives. The [`Store`] trait is the whole of it, and its documentation is the crash contract: each sentence is a
//! test that runs against every implementation.
//!
//! # The crash contract
//!
//! 1. [`Store::commit`] is the one way to change saga state. All changes of one call are one transaction: after a crash
//!    either all that were answered otherwise than `Failed` are there, or none is. It answers only when they are durable.
//! 2. A change never fails its neighbours: one that can't be applied is answered `Failed`, `Fenced`, `Turned` or
//!    `Duplicate`, leaves nothing, and the others are applied as if it had not been there. They are applied in order.
//! 3. An `Advance`, `Checkpoint`, `Intent` or `Findings` changes nothing unless its owner and fence are the saga's; an `Advance` also
//!    asks for the saga's revision. `Fenced` otherwise.
//! 4. An `Intent` of `run` changes nothing once a cancel is recorded or the saga has turned (`Turned`).
//! 5. An `Answer` is never fenced. The first conclusive state of a record stays: a second answer changes nothing.
//! 6. An `Accept` with an idempotency key that is taken changes nothing and names the saga that has it (`Duplicate`).
//! 7. A host is lost, for ever, once it has left, or once its lease has run out by the database's clock and another host claims. Only
//!    sagas of lost hosts are claimed: [`Store::claim`] makes the host their owner and raises their fences, in one transaction, and of two
//!    hosts that claim at the same time one gets each. Nothing that an earlier owner sends afterwards changes anything.
//! 8. Reads see every commit that was answered before they began.
//! 9. With the loss of a host the exchanges that it had on the wire count as ended: what became of them is in doubt from then on.
//! 10. An `Advance` with a watch writes it with the saga's new state. A `Looked` changes nothing unless the saga was looked at as often
//!     as the look says, or, where it says so, is not watched (`Fenced`): of two looks at the same time, one counts.
//!
//! A failed fsync is [`StoreError::Durability`]: nobody knows what the disk holds, and the process must end. [`SqlStore`] ends it
//! itself, whatever was written: nobody is answered.

mod approval;
mod catalog;
mod change;
mod check;
mod clock;
pub mod doctor;
mod durability;
mod holds;
mod hosts;
mod inventory;
mod memory;
mod rows;
mod sql;
mod tokens;
mod view;
mod watches;

use std::sync::Arc;

use async_trait::async_trait;

pub use approval::{ComponentStatus, SetStatus};
pub use catalog::{ChannelRow, ComponentRow, DefinitionRow, NewComponent, PutComponent};
pub use change::{
    Accept, Advance, Applied, Change, Checkpoint, Fence, HostId, Idempotency, NewEvent, NewFinding,
    RecordIntent, SagaFindings,
};
pub(crate) use durability::end_process;
pub use holds::{HoldRow, HoldTarget};
pub use hosts::{Beat, HostRow, Takeover};
pub use memory::MemoryStore;
pub use sql::{
    SqlStore,
    doctor::{examine_file, examine_server},
};
pub use tokens::{ADMIN, AddToken, HOST, NewToken, Revocation, RevokeToken, Scope, TokenMark, TokenRow};
pub use view::{
    Cursor, EventRow, FindingRow, Header, LoadedSaga, LogRow, MAX_LOG_ROWS, NewLog, Page, ProvisionedRow,
    ResourceFilter, ResourceRow, SagaFilter, SagaRow, StepRow,
};
pub use watches::{Looked, Watch, WatchedIntent};

use crate::saga::{IntentId, JournalRecord, Json, Phase, Plan, ResourceKey, SagaId, StepIndex};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing is known to be changed; asking again later may work.
    #[error("the database can't be reached: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// One row makes no sense: its saga stops, others go on.
    #[error("{what} is not readable: {reason}")]
    Corrupt { what: String, reason: String },
    /// The database may or may not hold what was written.
    #[error("the database could not make a commit durable: {0}")]
    Durability(String),
    /// The database is not ours to use (settings, schema version, second owner); says what to do.
    #[error("{0}")]
    Refused(String),
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch by the database's clock: every age and duration is measured by it.
    fn now_ms(&self) -> i64;

    /// Random when the database was made; part of every resource tag.
    fn installation(&self) -> uuid::Uuid;

    // --- the writer -------------------------------------------------------------------------------------------------

    /// Applies the changes in order, in one transaction, durably; one answer per change.
    async fn commit(&self, changes: Vec<Change>) -> Result<Vec<Applied>, StoreError>;

    // --- ownership --------------------------------------------------------------------------------------------------

    /// Whether several hosts may have the database open at the same time. If not, every other host in it is lost.
    fn is_shared(&self) -> bool;

    /// Adds a host that lives for `lease_ms`, and longer with every heartbeat. It owns nothing yet.
    async fn open_host(&self, host: HostId, lease_ms: i64) -> Result<(), StoreError>;

    /// The host lives for `lease_ms` from now, and has a call in progress for the sagas `calling`. [`Beat::Lost`], which is final, when
    /// others may own its sagas by now.
    async fn heartbeat(&self, host: HostId, calling: &[SagaId], lease_ms: i64) -> Result<Beat, StoreError>;

    /// The host ends: others may claim its sagas at once.
    async fn leave(&self, host: HostId) -> Result<(), StoreError>;

    /// Counts hosts whose lease has run out as lost, and makes `host` the owner of at most `limit` sagas that have not ended and
    /// whose owner is lost. Nothing left to claim: none are answered.
    async fn claim(&self, host: HostId, limit: u32) -> Result<Takeover, StoreError>;

    /// Makes `host` the owner of this saga, and raises its fence, unless it owns it already: also of one that has ended, or that
    /// another living host owns, which is told by its next write. Nothing happens to one that is not there.
    async fn take(&self, saga: SagaId, host: HostId) -> Result<(), StoreError>;

    /// Newest first, at most `limit`; the living ones before the lost ones.
    async fn hosts(&self, limit: u32) -> Result<Vec<HostRow>, StoreError>;

    /// Sagas of this host with work whose wake time is at most `until_ms`, soonest first: `(saga, wake time)`, at most `limit`.
    async fn due(&self, host: HostId, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, i64)>, StoreError>;

    /// What is paused beyond single sagas.
    async fn holds(&self) -> Result<Vec<HoldRow>, StoreError>;

    /// Adds a row, durably, unless somebody else than the host itself has put one for its target; answers the one in force.
    async fn put_hold(&self, hold: HoldRow) -> Result<HoldRow, StoreError>;

    /// False: there was none.
    async fn remove_hold(&self, target: &HoldTarget) -> Result<bool, StoreError>;

    /// Sagas that have not ended, by id, after `after`; `definition`: only of this one.
    async fn open_sagas(
        &self,
        definition: Option<&str>,
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaId>, StoreError>;

    /// Sagas that have not ended and that something holds, by id, after `after`.
    async fn paused_sagas(&self, after: Option<SagaId>, limit: u32) -> Result<Vec<SagaId>, StoreError>;

    /// Watches of all sagas whose next look is due by `until_ms`, soonest first, at most `limit`.
    async fn due_watches(&self, until_ms: i64, limit: u32) -> Result<Vec<(SagaId, Watch)>, StoreError>;

    /// The watch over a saga that ended with requests in doubt, until it is over.
    async fn watch(&self, saga: SagaId) -> Result<Option<Watch>, StoreError>;

    // --- one saga ---------------------------------------------------------------------------------------------------

    /// The whole saga with its context, as the engine needs it: all of one moment.
    async fn load(&self, saga: SagaId) -> Result<Option<LoadedSaga>, StoreError>;

    /// Newest record of this step under a `once` key that was not `Unsent`.
    async fn journal_latest(
        &self,
        saga: SagaId,
        step: StepIndex,
        phase: Phase,
        once_key: &str,
    ) -> Result<Option<JournalRecord>, StoreError>;

    /// All records of a saga, oldest first.
    async fn journal(&self, saga: SagaId) -> Result<Vec<JournalRecord>, StoreError>;

    async fn journal_record(&self, intent: IntentId) -> Result<Option<JournalRecord>, StoreError>;

    // --- what people look at ----------------------------------------------------------------------------------------

    async fn saga(&self, saga: SagaId) -> Result<Option<SagaRow>, StoreError>;

    /// Digests of the plans of all sagas that haven't ended, in no order.
    async fn open_plans(&self) -> Result<Vec<String>, StoreError>;

    /// The sagas that haven't ended and have one of these plans, by id, after the saga `after`.
    async fn open_sagas_of_plans(
        &self,
        plans: &[String],
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaId>, StoreError>;

    /// Newest first. A row that makes no sense is left out, here and in every listing over sagas, so that it hides no other: a page
    /// with fewer than were asked for is the last one all the same.
    async fn sagas(&self, filter: &SagaFilter, page: Page) -> Result<Vec<SagaRow>, StoreError>;

    /// One row per step and phase that has begun, in plan order, `run` before `compensate`.
    async fn steps(&self, saga: SagaId) -> Result<Vec<StepRow>, StoreError>;

    /// Oldest first, after the event with id `after` (0: from the beginning).
    async fn events(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError>;

    /// Those of all sagas, oldest first, after the event with id `after`. An event shows only once all with smaller ids do:
    /// who goes on after the newest id that it has seen misses nothing.
    async fn events_after(&self, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError>;

    /// Id of the newest event of all sagas; 0 when there is none.
    async fn newest_event(&self) -> Result<i64, StoreError>;

    /// The rows of these sagas, in no order; those that don't exist are left out.
    async fn sagas_of(&self, ids: &[SagaId]) -> Result<Vec<SagaRow>, StoreError>;

    /// Records of a saga, oldest first, after the record `after`; without the bodies of the answers.
    async fn requests(
        &self,
        saga: SagaId,
        after: Option<IntentId>,
        limit: u32,
    ) -> Result<Vec<JournalRecord>, StoreError>;

    /// What `run` of any step has sent by POST, oldest first, after the record `after`; without the bodies of the answers. One that
    /// can't be read is left out.
    async fn creates(&self, after: Option<IntentId>, limit: u32) -> Result<Vec<JournalRecord>, StoreError>;

    /// Lines of a saga, oldest first, after the line with id `after` (0: from the beginning).
    async fn logs(&self, saga: SagaId, after: i64, limit: u32) -> Result<Vec<LogRow>, StoreError>;

    /// Adds lines in a transaction of their own, in order; of each saga the newest [`MAX_LOG_ROWS`] are kept. No part of the
    /// crash contract: nothing waits for it.
    async fn add_logs(&self, lines: Vec<NewLog>) -> Result<(), StoreError>;

    /// `(scope, key, value)`, sorted.
    async fn context(&self, saga: SagaId) -> Result<Vec<(String, String, Json)>, StoreError>;

    async fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceRow>, StoreError>;

    async fn resource_by_id(&self, resource_id: &str) -> Result<Option<ResourceRow>, StoreError>;

    /// Newest first.
    async fn resources(&self, filter: &ResourceFilter, page: Page) -> Result<Vec<ResourceRow>, StoreError>;

    /// All spec versions of a resource, newest first; withdrawn ones are marked.
    async fn provisioned(&self, resource_id: &str) -> Result<Vec<ProvisionedRow>, StoreError>;

    /// Adds a finding that no change of a saga makes, durably, or opens the one with its id again; its first time stays.
    async fn put_finding(&self, finding: FindingRow) -> Result<(), StoreError>;

    /// Ends the finding with this id, durably, if it is there and open.
    async fn resolve_finding(&self, id: &str, at_ms: i64) -> Result<(), StoreError>;

    /// Newest first; `saga`: only of that one; `open_only`: only unresolved ones.
    async fn findings(
        &self,
        saga: Option<SagaId>,
        open_only: bool,
        page: Page,
    ) -> Result<Vec<FindingRow>, StoreError>;

    // --- the catalogue: few writes, each its own durable transaction ---------------------------------------------------

    /// Adds a component with its bytes unless the same bytes, or the same name and version, are there. `replace`: the same
    /// name and version may come with other bytes (development only); sagas pinned to the old digest keep it.
    async fn put_component(&self, component: NewComponent, replace: bool)
    -> Result<PutComponent, StoreError>;

    /// Says where a component stands from now on, and who said so; answers the row as it then is. `None`: there is no such
    /// component.
    async fn set_component_status(&self, set: SetStatus) -> Result<Option<ComponentRow>, StoreError>;

    async fn component(&self, digest: &str) -> Result<Option<ComponentRow>, StoreError>;

    async fn component_bytes(&self, digest: &str) -> Result<Option<Arc<[u8]>>, StoreError>;

    /// By name, then newest first.
    async fn components(&self) -> Result<Vec<ComponentRow>, StoreError>;

    async fn channels(&self) -> Result<Vec<ChannelRow>, StoreError>;

    /// Moves a channel; the row says whether a person or the host's own start did it.
    async fn set_channel(&self, channel: ChannelRow) -> Result<(), StoreError>;

    /// Newest version; `None`: there is no such definition.
    async fn definition(&self, name: &str) -> Result<Option<DefinitionRow>, StoreError>;

    /// Newest version of each, by name.
    async fn definitions(&self) -> Result<Vec<DefinitionRow>, StoreError>;

    /// Adds the next version unless the newest one has the same body; answers the row that is in force.
    async fn put_definition(
        &self,
        name: &str,
        body: &Json,
        built_in: bool,
        created_by: &str,
    ) -> Result<DefinitionRow, StoreError>;

    async fn plan(&self, digest: &str) -> Result<Option<Arc<Plan>>, StoreError>;

    // --- tokens: few, each change its own durable transaction -------------------------------------------------------

    /// All that ever were, by name.
    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError>;

    /// Adds a token unless its name is, or was, another one's.
    async fn add_token(&self, token: NewToken) -> Result<AddToken, StoreError>;

    /// Marks a token as revoked, for ever; again changes nothing. The last valid one with the scope `admin` stays.
    async fn revoke_token(&self, name: &str, by: &str) -> Result<RevokeToken, StoreError>;

    /// Adds the token [`ADMIN`] unless it is there, revoked or not; with `replace`, this one takes the place of what is
    /// there. Answers the row that is in force.
    async fn admin_token(&self, mark: TokenMark, replace: bool) -> Result<TokenRow, StoreError>;
}
