//! How a call ended, in the core's words: everything that comes out of a guest is checked here.

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::saga::{AGAIN_MAX_MS, AGAIN_MIN_MS, Failure, Json, Outcome};

use super::{
    bindings::arcadia::step::types,
    limiter::Limiter,
    limits::{LimitHit, MAX_MESSAGE_BYTES, MAX_PROGRESS_BYTES, MAX_TRANSFER_BYTES, is_code, tidy},
};

/// Frames of a trap's backtrace that are kept.
const MAX_FRAMES: usize = 16;

pub(super) fn returned(answer: Result<types::Outcome, types::StepError>) -> Outcome {
    match answer {
        Ok(types::Outcome::Done(output)) => match Json::parse(&output) {
            Ok(output) => Outcome::Done(output),
            Err(error) => Outcome::Trap(Failure::new("invalid-output", format!("its output: {error}"))),
        },
        Ok(types::Outcome::Again(later)) => match later.state.as_deref().map(Json::parse).transpose() {
            Ok(saved) => Outcome::Again {
                after_ms: later.after_ms.clamp(AGAIN_MIN_MS, AGAIN_MAX_MS),
                saved,
                progress: later
                    .progress
                    .map(|progress| tidy(progress.replace(['\n', '\r'], " "), MAX_PROGRESS_BYTES)),
            },
            Err(error) => Outcome::Trap(Failure::new("invalid-output", format!("its state: {error}"))),
        },
        Err(types::StepError::Transient(failure)) => {
            let retry_after_ms = failure.retry_after_ms.map(|wait_ms| wait_ms.min(AGAIN_MAX_MS));
            Outcome::Transient {
                failure: failure_of(failure),
                retry_after_ms,
            }
        }
        Err(types::StepError::Permanent(failure)) => Outcome::Permanent(failure_of(failure)),
    }
}

/// A code out of shape, or a detail that is no JSON, does not hide the failure itself.
pub(super) fn failure_of(failure: types::Failure) -> Failure {
    let (code, mut message) = if is_code(&failure.code) {
        (failure.code, failure.message)
    } else {
        (
            "invalid-code".to_owned(),
            format!("{}: {}", failure.code, failure.message),
        )
    };
    let detail = failure.detail.and_then(|detail| match Json::parse(&detail) {
        Ok(detail) => Some(detail),
        Err(error) => {
            message = format!("{message} (its detail was dropped: {error})");
            None
        }
    });
    Failure {
        code,
        message: tidy(message, MAX_MESSAGE_BYTES),
        detail,
    }
}

/// The call ended without an answer.
pub(super) fn trapped(error: &wasmtime::Error, limiter: &Limiter) -> Outcome {
    if let Some(full) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return Outcome::Transient {
            failure: Failure::new("no-room", format!("no room for the call on this host: {full}")),
            retry_after_ms: None,
        };
    }
    Outcome::Trap(trap(error, limiter))
}

/// Names the limit that fired; `trap` when none did.
pub(super) fn trap(error: &wasmtime::Error, limiter: &Limiter) -> Failure {
    let root = error.root_cause().to_string();
    let (code, message) = if let Some(hit) = error.downcast_ref::<LimitHit>() {
        (hit.code(), root)
    } else if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        ("exit", format!("it called exit({status})"))
    } else if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
        ("stack-limit", root)
    } else if root.contains("fuel allocated for hostcalls") {
        (
            "transfer-limit",
            format!("it handed over more than {MAX_TRANSFER_BYTES} bytes at once"),
        )
    } else if let Some((code, denied)) = limiter.denied() {
        (code, format!("{denied}; then: {root}"))
    } else {
        ("trap", root)
    };
    Failure {
        code: code.to_owned(),
        message: tidy(message, MAX_MESSAGE_BYTES),
        detail: error.downcast_ref::<WasmBacktrace>().map(backtrace),
    }
}

fn backtrace(trace: &WasmBacktrace) -> Json {
    let frames: Vec<String> = trace
        .frames()
        .iter()
        .take(MAX_FRAMES)
        .map(|frame| match frame.func_name() {
            Some(name) => tidy(name.to_owned(), 256),
            None => format!("function {}", frame.func_index()),
        })
        .collect();
    Json::of(&serde_json::json!({ "backtrace": frames }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str, detail: Option<&str>) -> types::Failure {
        types::Failure {
            code: code.to_owned(),
            message: "no luck".to_owned(),
            detail: detail.map(str::to_owned),
            retry_after_ms: Some(u64::MAX),
        }
    }

    #[test]
    fn a_code_out_of_shape_is_kept_in_the_message() {
        assert_eq!(
            returned(Err(types::StepError::Permanent(failure("No Luck!", Some("{}"))))),
            Outcome::Permanent(Failure {
                code: "invalid-code".to_owned(),
                message: "No Luck!: no luck".to_owned(),
                detail: Some(Json::trusted("{}")),
            })
        );
    }

    #[test]
    fn a_broken_detail_is_dropped_and_named() {
        let Outcome::Transient {
            failure,
            retry_after_ms,
        } = returned(Err(types::StepError::Transient(failure("busy", Some("{")))))
        else {
            panic!("not transient");
        };
        assert_eq!(retry_after_ms, Some(AGAIN_MAX_MS));
        assert_eq!(failure.detail, None);
        assert!(
            failure.message.starts_with("no luck (its detail was dropped"),
            "{failure:?}"
        );
    }

    #[test]
    fn a_wait_is_clamped_and_a_progress_line_is_one_line() {
        let again = |after_ms| {
            returned(Ok(types::Outcome::Again(types::Later {
                after_ms,
                state: None,
                progress: Some("a\nb".to_owned()),
            })))
        };
        for (asked, given) in [(0, 100), (5_000, 5_000), (u64::MAX, 86_400_000)] {
            assert_eq!(
                again(asked),
                Outcome::Again {
                    after_ms: given,
                    saved: None,
                    progress: Some("a b".to_owned()),
                }
            );
        }
    }

    #[test]
    fn an_output_that_is_no_json_is_no_success() {
        for output in ["", "{", r#"{"a":1,"a":2}"#] {
            let Outcome::Trap(failure) = returned(Ok(types::Outcome::Done(output.to_owned()))) else {
                panic!("{output} passed");
            };
            assert_eq!(failure.code, "invalid-output");
        }
    }
}
