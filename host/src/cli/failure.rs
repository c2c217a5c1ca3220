//! What can go wrong in a command, and how it is told: what happened, with which thing, what to do next.

use std::{fmt::Write as _, io, path::PathBuf};

use super::exit::Exit;
use crate::api::dto::ProblemDocument;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The server answered with a problem document.
    #[error("{}", .0.text())]
    Refused(Box<Refusal>),
    #[error("can't reach the server at {url}: {}", root_cause(.source))]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the server at {url} gave an answer that is no Arcadia answer: {reason}")]
    Strange { url: String, reason: String },
    /// The command needs something that isn't there, or was given nonsense.
    #[error("{what}")]
    Usage { what: String, next: String },
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("{what}")]
    Failed { what: String, next: Option<String> },
}

/// A problem document, and the request that it answers.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub problem: ProblemDocument,
    /// `POST /v1/sagas`
    pub request: String,
}

impl Refusal {
    fn text(&self) -> String {
        let ProblemDocument {
            title,
            detail,
            errors,
            status,
            code,
            ..
        } = &self.problem;
        // The detail may be made of the errors, which follow one by one.
        let repeats = errors.iter().any(|wrong| detail.contains(&wrong.message));
        let mut text = if repeats { title } else { detail }.clone();
        for wrong in errors {
            let place = match (&wrong.pointer, &wrong.parameter) {
                (Some(pointer), _) if !pointer.is_empty() => pointer,
                (_, Some(parameter)) => parameter,
                (_, None) => "the body",
            };
            write!(text, "\n  {place}: {}", wrong.message).expect("a String takes everything");
        }
        write!(text, "\n  ({}: {status} {code})", self.request).expect("a String takes everything");
        text
    }
}

impl CliError {
    pub fn usage(what: impl Into<String>, next: impl Into<String>) -> CliError {
        CliError::Usage {
            what: what.into(),
            next: next.into(),
        }
    }

    pub fn failed(what: impl Into<String>) -> CliError {
        CliError::Failed {
            what: what.into(),
            next: None,
        }
    }

    /// For `map_err` on file operations.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> CliError {
        let what = what.into();
        move |source| CliError::Io { what, source }
    }

    pub fn reading(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CliError {
        let path = path.into();
        move |source| CliError::Io {
            what: format!("can't read {}", path.display()),
            source,
        }
    }

    pub fn writing(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CliError {
        let path = path.into();
        move |source| CliError::Io {
            what: format!("can't write {}", path.display()),
            source,
        }
    }

    /// The same again may work: the server is away or has too much to do.
    pub fn may_pass(&self) -> bool {
        match self {
            CliError::Unreachable { .. } => true,
            CliError::Refused(refusal) => refusal.problem.status == 503,
            CliError::Strange { .. }
            | CliError::Usage { .. }
            | CliError::Io { .. }
            | CliError::Failed { .. } => false,
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            CliError::Usage { .. } => Exit::Usage,
            CliError::Refused(_)
            | CliError::Unreachable { .. }
            | CliError::Strange { .. }
            | CliError::Io { .. }
            | CliError::Failed { .. } => Exit::Failure,
        }
    }

    /// What to do next, where that is known.
    fn next(&self) -> Option<String> {
        match self {
            CliError::Unreachable { .. } => {
                Some("start one with `arcadia dev`, or say where it is with --url or ARCADIA_URL".into())
            }
            CliError::Usage { next, .. } => Some(next.clone()),
            CliError::Refused(refusal) => match refusal.problem.status {
                401 | 403 => Some("say which token with --token-file, --token or ARCADIA_TOKEN".into()),
                429 | 503 => Some("nothing was accepted: try again in a moment".into()),
                _ => None,
            },
            CliError::Failed { next, .. } => next.clone(),
            CliError::Strange { .. } => Some("check --url and ARCADIA_URL".into()),
            CliError::Io { .. } => None,
        }
    }

    /// Everything that a person is told, for stderr.
    pub fn report(&self) -> String {
        let mut report = format!("error: {self}");
        if let Some(next) = self.next() {
            write!(report, "\n  next: {next}").expect("a String takes everything");
        }
        report
    }
}

/// The innermost reason, where the useful sentence is ("connection refused").
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_is_told_with_place_and_code() {
        let body = r#"{"type":"urn:arcadia:problem:invalid-inputs","title":"invalid","status":422,"code":"invalid-inputs",
            "detail":"the inputs don't fit",
            "errors":[{"pointer":"/inputs/droplet_size","code":"required","message":"is missing"}]}"#;
        let refusal = Refusal {
            problem: serde_json::from_str(body).unwrap(),
            request: "POST /v1/sagas".into(),
        };
        assert_eq!(
            CliError::Refused(Box::new(refusal)).report(),
            "error: the inputs don't fit\n  /inputs/droplet_size: is missing\n  (POST /v1/sagas: 422 invalid-inputs)"
        );
    }
}
