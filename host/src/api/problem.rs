//! The one table of errors: every answer that is not a success is a row of it, as `application/problem+json` (RFC 9457).
//!
//! Inside text and outside text are two things: what a 5xx was about goes to the log, the caller gets a code and a
//! sentence to act on.

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};

use super::dto::{FieldError, ProblemDocument};
use crate::saga::SagaId;

/// Defines the codes and their rows in one place.
macro_rules! table {
    ($($(#[$doc:meta])* $name:ident => $status:literal, $code:literal, $title:literal;)*) => {
        /// What can be wrong. Codes are stable: clients act on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// HTTP status, code and title.
            pub fn row(self) -> (u16, &'static str, &'static str) {
                match self {
                    $(Code::$name => ($status, $code, $title),)*
                }
            }
        }
    };
}

table! {
    InvalidJson => 400, "invalid-json", "the body is not JSON";
    InvalidPath => 400, "invalid-path", "a parameter in the path is not valid";
    InvalidQuery => 400, "invalid-query", "a parameter in the query is not valid";
    InvalidHeader => 400, "invalid-header", "a header is not valid";
    InvalidCursor => 400, "invalid-cursor", "the cursor is none of ours";
    BodyInterrupted => 400, "body-interrupted", "the body did not arrive whole";
    Unauthorized => 401, "unauthorized", "a valid token is needed";
    TokenExpired => 401, "token-expired", "the token has expired";
    TokenRevoked => 401, "token-revoked", "the token was revoked";
    ScopeMissing => 403, "scope-missing", "the token's scope is not enough";
    UnknownRoute => 404, "unknown-route", "there is nothing at this path";
    UnknownSaga => 404, "unknown-saga", "there is no such saga";
    UnknownComponent => 404, "unknown-component", "there is no such component";
    UnknownStep => 404, "unknown-step", "there is no such step";
    UnknownDefinition => 404, "unknown-definition", "there is no such definition";
    UnknownDroplet => 404, "unknown-droplet", "there is no such droplet";
    UnknownResource => 404, "unknown-resource", "there is no such resource";
    UnknownService => 404, "unknown-service", "there is no such service";
    UnknownToken => 404, "unknown-token", "there is no such token";
    MethodNotAllowed => 405, "method-not-allowed", "the method is not for this path";
    BodyTimeout => 408, "body-timeout", "the body took too long";
    ComponentPending => 409, "component-pending", "the component waits for approval";
    ComponentRetired => 409, "component-retired", "the component is retired";
    ComponentRevoked => 409, "component-revoked", "the component is revoked";
    VersionExists => 409, "version-exists", "the version is there with other bytes";
    PivotPassed => 409, "pivot-passed", "the saga can't go back any more";
    AlreadyEnded => 409, "already-ended", "the saga has ended";
    NotStuck => 409, "not-stuck", "nothing is stuck in this saga";
    NotCompleted => 409, "not-completed", "the saga has not completed";
    StepOver => 409, "step-over", "the step has nothing left to call";
    OpenIntent => 409, "open-intent", "a request of the step has no answer yet";
    CallInProgress => 409, "call-in-progress", "the step is being called";
    OtherContract => 409, "other-contract", "the component promises something else than the plan's step";
    ParamsMisfit => 409, "params-misfit", "the step's parameters don't fit the component";
    InputsMisfit => 409, "inputs-misfit", "the saga's inputs don't fit the component";
    NotNow => 409, "not-now", "the saga is not where this fits";
    TokenNameTaken => 409, "token-name-taken", "the name is, or was, another token's";
    LastAdminToken => 409, "last-admin-token", "it is the last token that may make tokens";
    TooManyTokens => 409, "too-many-tokens", "there are as many valid tokens as there may be";
    BodyTooLarge => 413, "body-too-large", "the body is larger than the limit";
    UnsupportedMediaType => 415, "unsupported-media-type", "the body has another type than expected";
    InvalidRequest => 422, "invalid-request", "the request can't be carried out as it stands";
    NotAComponent => 422, "not-a-component", "the bytes are no WebAssembly component";
    CoreModule => 422, "core-module", "the bytes are a core module, not a component";
    ForeignImport => 422, "foreign-import", "the component imports what no step gets";
    WrongWorld => 422, "wrong-world", "the component is of another world";
    InvalidComponent => 422, "invalid-component", "the component can't be used";
    InvalidManifest => 422, "invalid-manifest", "the component's manifest can't be used";
    CompileLimit => 422, "compile-limit", "compiling the component takes more than it may";
    CompileFailed => 422, "compile-failed", "the compiler failed on the component";
    KeyReused => 422, "idempotency-key-reused", "the idempotency key belongs to another request";
    Overloaded => 503, "overloaded", "more is asked than the host takes";
    NotOwner => 503, "not-owner", "the saga is changing hands";
    StoreUnavailable => 503, "store-unavailable", "the database can't be reached";
    NotReady => 503, "not-ready", "the host is not ready";
    Unreadable => 500, "unreadable", "what is stored makes no sense";
    Internal => 500, "internal", "the host made a mistake";
}

/// An answer that is not a success. Boxed inside, so that a `Result` stays small.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    saga: Option<SagaId>,
    retry_after_s: Option<u64>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            saga: None,
            retry_after_s: None,
        }))
    }

    /// Something in the body: `pointer` is a JSON Pointer.
    pub fn at_pointer(code: Code, pointer: &str, reason: &str, message: impl Into<String>) -> Problem {
        let message = message.into();
        let place = if pointer.is_empty() { "the body" } else { pointer };
        Problem::new(code, format!("{place}: {message}")).with_errors(vec![FieldError {
            pointer: Some(pointer.to_owned()),
            parameter: None,
            code: reason.to_owned(),
            message,
        }])
    }

    /// Something in the path, the query or a header.
    pub fn at_parameter(code: Code, parameter: &str, message: impl Into<String>) -> Problem {
        Problem::of_parameters(code, vec![FieldError::parameter(parameter, message)])
    }

    pub fn of_parameters(code: Code, errors: Vec<FieldError>) -> Problem {
        Problem::new(code, described(&errors)).with_errors(errors)
    }

    /// Problems that the engine found in a body; `place` maps its pointers to the body as it was sent.
    pub fn of_body(problems: Vec<crate::engine::Problem>, place: impl Fn(String) -> String) -> Problem {
        let errors: Vec<FieldError> = problems
            .into_iter()
            .map(|problem| FieldError {
                pointer: Some(place(problem.pointer)),
                parameter: None,
                code: problem.code.to_owned(),
                message: problem.message,
            })
            .collect();
        Problem::new(Code::InvalidRequest, described(&errors)).with_errors(errors)
    }

    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Problem {
        self.0.errors = errors;
        self
    }

    pub fn with_code(mut self, code: Code) -> Problem {
        self.0.code = code;
        self
    }

    pub fn with_saga(mut self, saga: SagaId) -> Problem {
        self.0.saga = Some(saga);
        self
    }

    /// Asking again after this many seconds may work.
    pub fn retry_after(mut self, seconds: u64) -> Problem {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// What happened is in the log, not in the answer.
    pub fn internal() -> Problem {
        Problem::new(
            Code::Internal,
            "the host could not do this; its log has the reason, under the id in the header x-request-id",
        )
    }

    /// For a part of a body: `place` is where the part stands, a JSON Pointer.
    pub fn below(mut self, place: &str) -> Problem {
        let inner = &mut *self.0;
        for pointer in inner.errors.iter_mut().filter_map(|error| error.pointer.as_mut()) {
            pointer.insert_str(0, place);
        }
        if !inner.errors.is_empty() {
            inner.detail = described(&inner.errors);
        }
        self
    }

    /// What is said of it.
    pub fn document(self) -> ProblemDocument {
        let inner = *self.0;
        let (status, code, title) = inner.code.row();
        ProblemDocument {
            kind: format!("urn:arcadia:problem:{code}"),
            title: title.to_owned(),
            status,
            detail: inner.detail,
            code: code.to_owned(),
            errors: inner.errors,
            saga_id: inner.saga.map(|saga| saga.to_string()),
        }
    }

    pub fn code(&self) -> Code {
        self.0.code
    }
}

impl FieldError {
    fn parameter(name: &str, message: impl Into<String>) -> FieldError {
        FieldError {
            pointer: None,
            parameter: Some(name.to_owned()),
            code: "invalid".to_owned(),
            message: message.into(),
        }
    }
}

/// All that is wrong in one sentence, for who reads only that.
fn described(errors: &[FieldError]) -> String {
    let places: Vec<String> = errors
        .iter()
        .map(|error| {
            let place = error.pointer.as_deref().or(error.parameter.as_deref());
            match place {
                Some("") | None => error.message.clone(),
                Some(place) => format!("{place}: {}", error.message),
            }
        })
        .collect();
    places.join("; ")
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after_s = self.0.retry_after_s;
        let document = self.document();
        let body = serde_json::to_vec(&document).expect("a problem document has string keys only");
        let status = StatusCode::from_u16(document.status).expect("the table has valid statuses");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"arcadia\""),
            );
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_its_own_and_every_status_is_an_error() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            let (status, name, title) = code.row();
            assert!(seen.insert(name), "{name} is there twice");
            assert!((400..600).contains(&status), "{name}: {status}");
            assert!(!title.is_empty());
        }
    }
}
