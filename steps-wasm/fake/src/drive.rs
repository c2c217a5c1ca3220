//! Drives one phase of a step to its end, call by call, as the engine would.

use guest::{Failure, Host, Invocation, Outcome, Phase, Prior, StepError, Verdict};
use serde_json::Value;

use crate::host::{FakeHost, TAG};

/// More calls than this mean that the phase never ends.
const MAX_CALLS: u32 = 2_000;
const MAX_ATTEMPTS: u32 = 5;
const TAKEOVER_MS: u64 = 30_000;

/// How the phase ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    Done(Value),
    /// The code of a permanent error.
    Failed(String),
    /// Told that the saga no longer wants it.
    Cancelled,
}

impl End {
    pub fn output(&self) -> &Value {
        match self {
            End::Done(output) => output,
            End::Failed(code) => panic!("the step failed: {code}"),
            End::Cancelled => panic!("the step was cancelled"),
        }
    }

    fn verdict(&self) -> Verdict {
        match self {
            End::Done(output) => Verdict::Succeeded(output.to_string()),
            End::Failed(code) => Verdict::Failed(Failure {
                code: code.clone(),
                message: String::new(),
                detail: None,
                retry_after_ms: None,
            }),
            End::Cancelled => Verdict::Unfinished,
        }
    }
}

/// The phase `run`.
pub fn run(host: &FakeHost, step: impl Fn(&dyn Host, &Invocation) -> Result<Outcome, StepError>) -> End {
    drive(host, Phase::Run, &step)
}

/// The phase `compensate`, told how `run` ended.
pub fn compensate(
    host: &FakeHost,
    ended: &End,
    step: impl Fn(&dyn Host, &Invocation, &Prior) -> Result<Outcome, StepError>,
) -> End {
    let prior = Prior {
        verdict: ended.verdict(),
        effect: host.effect(),
        state: None,
    };
    drive(host, Phase::Compensate, &|host, call| step(host, call, &prior))
}

fn drive(
    host: &FakeHost,
    phase: Phase,
    step: &dyn Fn(&dyn Host, &Invocation) -> Result<Outcome, StepError>,
) -> End {
    let began_ms = host.now_ms();
    let (mut attempt, mut polls, mut state) = (1, 0, None);
    for _ in 0..MAX_CALLS {
        let call = invocation(phase, attempt, polls, host.now_ms() - began_ms, state.clone());
        host.begin_call(phase);
        let result = step(host, &call);
        if host.is_dead.get() {
            host.sleep(TAKEOVER_MS);
            continue;
        }
        match result {
            Ok(Outcome::Done(output)) => {
                host.commit();
                return End::Done(serde_json::from_str(&output).expect("outputs are JSON"));
            }
            Ok(Outcome::Again(later)) => {
                host.commit();
                state = later.state;
                assert!(later.progress.is_some(), "a sleeping step says why");
                if !host.was_told_to_wait.get() {
                    (attempt, polls) = (1, polls + 1);
                }
                host.sleep(later.after_ms.max(100));
            }
            Err(StepError::Transient(failure)) if failure.code == "cancelled" => return End::Cancelled,
            Err(StepError::Transient(_)) if attempt < MAX_ATTEMPTS => {
                attempt += 1;
                host.sleep(1_000);
            }
            Err(StepError::Transient(failure) | StepError::Permanent(failure)) => {
                return End::Failed(failure.code);
            }
        }
    }
    panic!("the phase never ends");
}

fn invocation(
    phase: Phase,
    attempt: u32,
    polls: u32,
    phase_age_ms: u64,
    state: Option<String>,
) -> Invocation {
    Invocation {
        saga_id: "0198c0de-0000-7000-8000-000000000001".to_owned(),
        kind: "test".to_owned(),
        deployment_id: None,
        triggered_by: "test".to_owned(),
        step: "step".to_owned(),
        phase,
        attempt,
        polls,
        idempotency_key: "key".to_owned(),
        resource_tag: TAG.to_owned(),
        saga_tag: "arcadia-saga-1234abcd".to_owned(),
        phase_age_ms,
        remaining_ms: 3_600_000,
        state,
    }
}
