//! What the engine refuses, as rows of the error table. Failures of the host are logged here, once.

use axum::response::{IntoResponse, Response};

use super::{
    dto::FieldError,
    problem::{Code, Problem},
};
use crate::{
    engine::{
        ComponentStatus, SagaRow, StartError, StoreError, VerbError,
        catalog::{ChannelError, CompileError, DefinitionError, DescribeError, NotApproved, UploadError},
    },
    saga::{IllegalEvent, SagaId},
};

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Unavailable(source) => {
                tracing::warn!(error = %source, "the database can't be reached");
                Problem::new(
                    Code::StoreUnavailable,
                    "the database can't be reached; nothing is known to be changed, ask again",
                )
                .retry_after(1)
            }
            StoreError::Corrupt { what, reason } => {
                tracing::error!(what, reason, "what is stored makes no sense");
                let detail = format!(
                    "{what} can't be read: nothing was changed; the host's log says why, and GET /v1/findings what to do"
                );
                Problem::new(Code::Unreadable, detail)
            }
            error @ (StoreError::Durability(_) | StoreError::Refused(_)) => {
                tracing::error!(%error, "the database failed a request");
                Problem::internal()
            }
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Problem {
        match error {
            StartError::UnknownDefinition(name) => Problem::at_pointer(
                Code::InvalidRequest,
                "/definition",
                "unknown-definition",
                no_definition(&name),
            ),
            StartError::Invalid(problems) => Problem::of_body(problems, |pointer| pointer),
            StartError::NotApproved(refused) => not_approved(&refused),
            StartError::KeyReused(saga) => Problem::new(
                Code::KeyReused,
                format!("the idempotency key started saga {saga} with another request; use a new key"),
            )
            .with_saga(saga),
            StartError::Overloaded { retry_after_s } => Problem::new(
                Code::Overloaded,
                format!("too many sagas are waiting; nothing was accepted, ask again in {retry_after_s} s"),
            )
            .retry_after(retry_after_s),
            StartError::Store(error) => error.into(),
        }
    }
}

impl From<VerbError> for Problem {
    fn from(error: VerbError) -> Problem {
        match error {
            VerbError::UnknownSaga(saga) => unknown_saga(saga),
            error @ VerbError::UnknownStep { .. } => {
                Problem::at_pointer(Code::InvalidRequest, "/step", "unknown-step", error.to_string())
            }
            error @ VerbError::OtherComponent { .. } => Problem::at_pointer(
                Code::InvalidRequest,
                "/step",
                "other-component",
                error.to_string(),
            ),
            VerbError::Refused(reason) => {
                let code = match reason {
                    IllegalEvent::PivotPassed => Code::PivotPassed,
                    IllegalEvent::Ended => Code::AlreadyEnded,
                    IllegalEvent::NotStuck => Code::NotStuck,
                    IllegalEvent::NotCompleted => Code::NotCompleted,
                    IllegalEvent::StepOver => Code::StepOver,
                    IllegalEvent::Turned | IllegalEvent::OutOfPlace => Code::NotNow,
                };
                Problem::new(code, reason.to_string())
            }
            VerbError::Fenced => Problem::new(
                Code::NotOwner,
                "this host no longer owns the saga; nothing was changed, ask again",
            )
            .retry_after(1),
            VerbError::Store(error) => error.into(),
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Problem {
        let detail = error.to_string();
        match error {
            UploadError::TooLarge { .. } => Problem::new(Code::BodyTooLarge, detail),
            UploadError::ChannelName(_) => Problem::at_parameter(Code::InvalidQuery, "channel", detail),
            UploadError::Compile(CompileError::NoCompiler { reason }) => {
                tracing::error!(reason, "a component can't be compiled now");
                Problem::new(
                    Code::Overloaded,
                    "the host can't compile now; nothing was done, ask again",
                )
                .retry_after(5)
            }
            UploadError::Compile(error) => Problem::new(uncompiled(&error), detail),
            UploadError::Describe(DescribeError::Manifest(violations)) => {
                let errors = violations.into_iter().map(|violation| FieldError {
                    pointer: Some(violation.pointer),
                    parameter: None,
                    code: "manifest".to_owned(),
                    message: violation.expected,
                });
                Problem::new(Code::InvalidManifest, detail).with_errors(errors.collect())
            }
            UploadError::Describe(DescribeError::Json(_)) => Problem::new(Code::InvalidManifest, detail),
            UploadError::Describe(DescribeError::Trap(_) | DescribeError::Timeout) => {
                Problem::new(Code::InvalidComponent, detail)
            }
            UploadError::Manifest(problems) => {
                let problem = Problem::of_body(problems, |pointer| pointer);
                problem.with_code(Code::InvalidManifest)
            }
            UploadError::ChannelOfPending => Problem::new(Code::ComponentPending, detail),
            UploadError::NotApproved(refused) => not_approved(&refused),
            UploadError::VersionExists(_) => Problem::new(Code::VersionExists, detail),
            UploadError::Store(error) => error.into(),
        }
    }
}

fn uncompiled(error: &CompileError) -> Code {
    match error {
        CompileError::NotAComponent => Code::NotAComponent,
        CompileError::CoreModule => Code::CoreModule,
        CompileError::ForeignImport { .. } => Code::ForeignImport,
        CompileError::WrongWorld { .. } => Code::WrongWorld,
        CompileError::TooLarge { .. } | CompileError::Invalid(_) => Code::InvalidComponent,
        CompileError::Limit(_) => Code::CompileLimit,
        CompileError::Failed { .. } => Code::CompileFailed,
        CompileError::NoCompiler { .. } => Code::Overloaded,
    }
}

impl From<DefinitionError> for Problem {
    fn from(error: DefinitionError) -> Problem {
        match error {
            DefinitionError::Name(_) => Problem::at_parameter(Code::InvalidPath, "name", error.to_string()),
            DefinitionError::Invalid(problems) => Problem::of_body(problems, |pointer| pointer),
            DefinitionError::NotApproved(refused) => not_approved(&refused),
            DefinitionError::Store(error) => error.into(),
        }
    }
}

pub(super) fn not_approved(refused: &NotApproved) -> Problem {
    let code = match refused.status {
        // An approved one is never refused.
        ComponentStatus::Pending | ComponentStatus::Approved => Code::ComponentPending,
        ComponentStatus::Retired => Code::ComponentRetired,
        ComponentStatus::Revoked => Code::ComponentRevoked,
    };
    Problem::new(code, refused.to_string())
}

/// `pointer`: where the body says what the channel shall point to.
pub(super) fn channel_refused(error: ChannelError, pointer: &str) -> Problem {
    match error {
        ChannelError::Name(_) => Problem::at_parameter(Code::InvalidPath, "channel", error.to_string()),
        ChannelError::UnknownStep(name) => Problem::new(
            Code::UnknownStep,
            format!("there is no step {name:?}; GET /v1/steps lists them"),
        ),
        ChannelError::UnknownComponent(message) => {
            Problem::at_pointer(Code::InvalidRequest, pointer, "unknown-component", message)
        }
        ChannelError::NotApproved(refused) => not_approved(&refused),
        ChannelError::Store(error) => error.into(),
    }
}

pub(super) fn unknown_definition(name: &str) -> Problem {
    Problem::new(Code::UnknownDefinition, no_definition(name))
}

fn no_definition(name: &str) -> String {
    format!("there is no definition {name:?}; GET /v1/definitions lists them")
}

pub(super) fn unknown_saga(saga: SagaId) -> Problem {
    Problem::new(Code::UnknownSaga, format!("there is no saga {saga}"))
}

/// The plan that the saga is pinned to is missing.
pub(super) fn without_plan(row: &SagaRow) -> Problem {
    let error = StoreError::Corrupt {
        what: format!("saga {}", row.id),
        reason: format!("there is no plan {}", row.plan_digest),
    };
    error.into()
}

/// The answer for a handler that panicked.
pub(super) fn panicked(payload: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(message, "a request handler panicked");
    Problem::internal().into_response()
}
