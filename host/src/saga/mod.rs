//! The pure core of the engine, and the words that everybody shares. No I/O, no clock, no randomness: time and dice are
//! arguments of the one transition function ([`apply`]), which is used live and on recovery.
//!
//! | file | noun |
//! |---|---|
//! | `plan` | what a saga is pinned to: steps, order, policies |
//! | `state` | the saga and its steps |
//! | `event` | what can happen, what is then wanted, what is refused |
//! | `apply` | the transition function, with its table; `apply/call`: how the end of a call changes its step; `apply/verb`: everything else that happens |
//! | `retry` | backoff |
//! | `journal` | mutating requests: intent, answer, effect |
//! | `writes` | context and inventory writes of a call |
//! | `id`, `json` | identities and tags; JSON as the contract defines it |

mod apply;
mod event;
pub mod id;
mod journal;
mod json;
mod plan;
mod retry;
mod state;
mod writes;

pub use apply::{MAX_TAKEOVERS, apply, wanted};
pub use event::{CallEnd, Command, Event, IllegalEvent, Moment, Outcome, Phase};
pub use id::SagaId;
pub use journal::{
    Answer, AnswerVerdict, Effect, Intent, IntentId, JournalRecord, RecordState, RecordedResponse, effect_of,
};
pub use json::{Json, JsonError, MAX_JSON_BYTES};
pub use plan::{
    CompensatePolicy, ComponentRef, DefinitionRef, Kind, MAX_STEPS, Plan, PlanStep, RunPolicy, StepIndex,
};
pub use retry::{AGAIN_MAX_MS, AGAIN_MIN_MS};
pub use state::{Failure, Hold, Pause, RunEnd, Saga, Status, StepState, Turning, Verdict, Work};
pub use writes::{CloudResource, InventoryWrite, ResourceKey, Writes};
