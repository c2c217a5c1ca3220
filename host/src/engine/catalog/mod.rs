//! The catalogue: step components, the channels that point to them, definitions, and the plans made of both.
//!
//! Truth is the store's rows. What is asked for every saga comes from an [`Index`] in memory, which is replaced after each
//! change, and every second where other hosts share the database. Compiled code is kept by digest ([`pinned`](Catalog::pinned)).
//!
//! | file | noun |
//! |---|---|
//! | `upload` | how bytes become a component |
//! | `approval` | which components may be used, and for what |
//! | `channel` | moving the pointers, and what people see of steps |
//! | `definition`, `selector`, `policy` | a definition's body |
//! | `plan` | from a definition, or a request's steps, to a plan, with every check of a start |
//! | `order` | which steps come before which, and what an order is refused for |
//! | `repin` | another component for a step of a plan that is in use |
//! | `pinned` | compiled components by digest |
//! | `index`, `entry` | what is there |
//! | `built_in` | what comes with the binary |
//! | `schema`, `pointer`, `tags` | JSON Schema; where a problem stands; tags that are the host's |

mod approval;
mod built_in;
mod channel;
mod definition;
mod entry;
mod index;
mod order;
mod pinned;
mod plan;
mod pointer;
mod policy;
mod repin;
mod schema;
mod selector;
mod tags;
mod upload;

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Semaphore;

pub use crate::step::{CompileError, DescribeError, limits::MAX_COMPONENT_BYTES};
pub use approval::{ApprovalError, Asks, NotApproved};
pub use built_in::BuiltIn;
pub use channel::{ChannelError, StepView};
pub use definition::{Definition, DefinitionStep};
pub use pinned::{CatalogError, Pinned};
pub use plan::{Overlay, ResolvedPlan};
pub use pointer::Pointer;
pub use repin::Misfit;
pub use schema::{Schema, Violation};
pub use selector::{Pick, STABLE, Selector};
pub use upload::{UploadError, Uploaded};

use index::Index;
use pinned::PinnedCache;

use crate::{
    engine::{PlanSource, Problem, StartError},
    saga::{Json, Plan},
    step::Runtime,
    store::{DefinitionRow, Store, StoreError},
};

pub struct Catalog {
    store: Arc<dyn Store>,
    runtime: Arc<Runtime>,
    index: RwLock<Arc<Index>>,
    /// Held from the first look to the new index, so that changes follow one another.
    changing: tokio::sync::Mutex<()>,
    pinned: PinnedCache,
    loading: Semaphore,
}

#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error("{0:?} is no definition name: 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit")]
    Name(String),
    #[error("the definition has {} problem(s)", .0.len())]
    Invalid(Vec<Problem>),
    #[error(transparent)]
    NotApproved(NotApproved),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Catalog {
    /// Reads the catalogue and registers what comes with the binary. A component or definition of the binary that can't be
    /// registered is an error in the log, not of the start: sagas pinned to others go on.
    pub async fn open(
        store: Arc<dyn Store>,
        runtime: Arc<Runtime>,
        built_in: &BuiltIn,
    ) -> Result<Catalog, StoreError> {
        let index = Index::load(store.as_ref(), &Index::default()).await?;
        let catalog = Catalog {
            store,
            runtime,
            index: RwLock::new(Arc::new(index)),
            changing: tokio::sync::Mutex::new(()),
            pinned: PinnedCache::default(),
            loading: Semaphore::new(pinned::MAX_LOADING),
        };
        catalog.register(built_in).await?;
        Ok(catalog)
    }

    /// The plan of a new saga, with its inputs checked. Takes microseconds: nothing is read from the store.
    pub fn resolve(
        &self,
        source: &PlanSource,
        params: &Overlay,
        inputs: &Json,
    ) -> Result<ResolvedPlan, StartError> {
        plan::resolve(&self.index(), source, params, inputs)
    }

    /// Newest version of each definition, by name.
    pub fn definitions(&self) -> Vec<DefinitionRow> {
        self.index()
            .definitions()
            .map(|known| known.row.clone())
            .collect()
    }

    pub fn definition(&self, name: &str) -> Option<DefinitionRow> {
        self.index().definition(name).map(|known| known.row.clone())
    }

    /// Adds a version of a definition unless the newest one has the same body; answers the one in force. The steps'
    /// components must be there, be approved, and take the parameters; a parameter that the component requires may be left to the start.
    pub async fn put_definition(
        &self,
        name: &str,
        body: &Json,
        actor: &str,
    ) -> Result<DefinitionRow, DefinitionError> {
        if !selector::is_definition_name(name) {
            return Err(DefinitionError::Name(name.to_owned()));
        }
        let _changing = self.changing.lock().await;
        let value = body.to_value();
        let definition = Definition::parse(&value, &Pointer::root()).map_err(DefinitionError::Invalid)?;
        let problems = plan::definition_problems(&self.index(), &definition);
        if !problems.is_empty() {
            return Err(DefinitionError::Invalid(problems));
        }
        plan::approved(&self.index(), &definition).map_err(DefinitionError::NotApproved)?;
        let newest = self.index().definition(name).map(|known| known.row.clone());
        if let Some(row) = newest.filter(|row| row.body.to_value() == value) {
            return Ok(row);
        }
        let row = self
            .store
            .put_definition(name, &Json::of(&value), false, actor)
            .await?;
        tracing::info!(definition = name, version = row.version, actor, "definition put");
        self.reload().await?;
        Ok(row)
    }

    /// Whether a step of this plan asked for the service when its component came.
    pub fn may_call(&self, plan: &Plan, service: &str) -> bool {
        let index = self.index();
        let asks = |digest: &str| {
            index
                .component(digest)
                .is_some_and(|entry| entry.manifest.grants.iter().any(|grant| grant.service == service))
        };
        plan.steps.iter().any(|step| asks(&step.component.digest))
    }

    /// What other hosts have changed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        self.reload().await
    }

    fn index(&self) -> Arc<Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let index = Index::load(self.store.as_ref(), &self.index()).await?;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
        Ok(())
    }
}
