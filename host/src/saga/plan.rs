//! A plan: what a saga is pinned to. Immutable and content-addressed: its digest names the steps, their components'
//! digests, their parameters, order and policies, so that equal plans are one row.
//!
//! The order is a graph (`after`) without a cycle; a step may be listed before those that it waits for, so that everything in
//! the core asks [`Plan::before`], never "the previous index".

use serde::{Deserialize, Serialize};

use super::{Json, id::sha256_hex};

/// Most steps of one plan.
pub const MAX_STEPS: usize = 64;

/// Position of a step in its plan.
pub type StepIndex = usize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The definition it was made from; none for an inline plan.
    pub definition: Option<DefinitionRef>,
    pub kind: Kind,
    pub steps: Vec<PlanStep>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionRef {
    pub name: String,
    pub version: u32,
}

/// A label: it changes no behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Provision,
    Suspend,
    Offboard,
    Update,
    Rollback,
    Test,
}

impl Kind {
    pub const ALL: [Kind; 6] = [
        Kind::Provision,
        Kind::Suspend,
        Kind::Offboard,
        Kind::Update,
        Kind::Rollback,
        Kind::Test,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Provision => "provision",
            Kind::Suspend => "suspend",
            Kind::Offboard => "offboard",
            Kind::Update => "update",
            Kind::Rollback => "rollback",
            Kind::Test => "test",
        }
    }

    pub fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Unique in the plan, ignoring case: `[A-Za-z0-9][A-Za-z0-9_.-]{0,63}`.
    pub name: String,
    pub component: ComponentRef,
    /// One JSON object.
    pub params: Json,
    /// The part of the context that the step reads and writes; `""` is the scope shared by the whole saga.
    pub scope: String,
    /// Positions of the steps that must be done before this one starts.
    pub after: Vec<StepIndex>,
    /// False: there is nothing to undo, `compensate` is never called.
    pub compensated: bool,
    /// Irreversible once it may have taken effect.
    pub pivot: bool,
    pub run: RunPolicy,
    pub compensate: CompensatePolicy,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ComponentRef {
    pub name: String,
    pub version: String,
    /// sha256 of the component's bytes, 64 hex digits: what is called, whatever a channel says meanwhile.
    pub digest: String,
}

/// How often and how long `run` is tried. Backoff is exponential from `backoff_base_ms`, capped, with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunPolicy {
    /// Calls in a row that may end transient, trapped or timed out.
    pub max_attempts: u32,
    pub backoff_base_ms: u64,
    pub backoff_max_ms: u64,
    /// From the moment the step may first be called until the host gives up on it.
    pub total_ms: u64,
    /// Wall time of one call.
    pub call_timeout_ms: u64,
}

impl Default for RunPolicy {
    fn default() -> Self {
        RunPolicy {
            max_attempts: 5,
            backoff_base_ms: 1_000,
            backoff_max_ms: 60_000,
            total_ms: 3_600_000,
            call_timeout_ms: 60_000,
        }
    }
}

/// Compensation is patient: attempts are not counted, only time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompensatePolicy {
    /// Also the shortest wait between two attempts.
    pub backoff_base_ms: u64,
    pub backoff_max_ms: u64,
    pub total_ms: u64,
    pub call_timeout_ms: u64,
}

impl Default for CompensatePolicy {
    fn default() -> Self {
        CompensatePolicy {
            backoff_base_ms: 1_000,
            backoff_max_ms: 300_000,
            total_ms: 86_400_000,
            call_timeout_ms: 60_000,
        }
    }
}

impl Plan {
    /// 64 hex digits over the plan's canonical text (serde's field order is fixed by the types).
    pub fn digest(&self) -> String {
        sha256_hex(
            serde_json::to_vec(self)
                .expect("a plan has string keys only")
                .as_slice(),
        )
    }

    pub fn step(&self, name: &str) -> Option<StepIndex> {
        self.steps
            .iter()
            .position(|step| step.name.eq_ignore_ascii_case(name))
    }

    /// Steps that must be done before `step` starts.
    pub fn before(&self, step: StepIndex) -> &[StepIndex] {
        &self.steps[step].after
    }

    /// Steps that wait directly for `step`.
    pub fn behind(&self, step: StepIndex) -> impl Iterator<Item = StepIndex> + '_ {
        self.steps
            .iter()
            .enumerate()
            .filter(move |(_, other)| other.after.contains(&step))
            .map(|(index, _)| index)
    }
}
