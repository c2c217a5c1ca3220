//! What travels over HTTP, in both directions: the server writes what the command line reads, so each type does both.
//!
//! Rules that hold for all of them: ids are strings, times are RFC 3339 in UTC with milliseconds, a value that isn't there
//! is `null`, requests refuse fields that they don't know, and an answer never carries a credential.

mod batch;
mod component;
mod definition;
mod droplet;
mod finding;
mod host;
mod inventory;
mod live;
mod operate;
mod page;
mod pause;
mod problem;
mod saga;
mod schema;
mod service;
mod step;
mod time;
mod token;

pub use batch::{BatchResult, BatchStart, BatchStarted, StartBatch};
pub use component::{Approve, Asks, ChannelName, Component, ComponentSummary, Grant, Uploaded};
pub use definition::{Definition, DefinitionSummary};
pub use droplet::{CreateDroplet, CreateSnapshot};
pub use finding::{Finding, FindingResource};
pub use host::{Host, HostList};
pub use inventory::{Provisioned, Resource, ResourceSummary};
pub use live::{LogField, LogLine, RequestState, SagaChange, SagaRequest, SagasChange};
pub use operate::{
    RepinProblem, RepinSaga, RepinSagas, Repinned, RepinnedSagas, RepinnedStep, RetriedSagas, RetrySagas,
    SagaRepinned, SagaRetried, StuckStep,
};
pub use page::Page;
pub use pause::{HoldInForce, HoldKind, PauseMany, PausedMany, Pauses};
pub use problem::{FieldError, ProblemDocument};
pub use saga::{
    ContextEntry, DefinitionVersion, Event, Paused, Reason, Saga, SagaLinks, SagaSummary, SkipStep,
    StartSaga, Started, Turned,
};
pub use service::{Service, ServiceList, ServicePause};
pub use step::{Channel, MoveChannel, PhaseResult, SagaStep, Step, StepVersion};
pub use time::Time;
pub use token::{CreateToken, CreatedToken, Token, TokenStatus};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok` or `ready`.
    #[schema(example = "ok")]
    pub status: String,
}
