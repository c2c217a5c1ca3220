//! Parameters of a path.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use super::{
    problem::{Code, Problem},
    query::saga_id,
};
use crate::saga::SagaId;

/// The saga that a path names.
pub(super) struct SagaInPath(pub SagaId);

impl<S: Send + Sync> FromRequestParts<S> for SagaInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<SagaInPath, Problem> {
        let Name(text) = Name::from_request_parts(parts, state).await?;
        saga_id(&text).map(SagaInPath).ok_or_else(|| {
            Problem::at_parameter(
                Code::InvalidPath,
                "id",
                format!("{text:?} is not the id of a saga, a UUID"),
            )
        })
    }
}

/// The one name in a path.
pub(super) struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Name, Problem> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Code::InvalidPath, error.body_text()))?;
        Ok(Name(name))
    }
}

/// The two names in a path.
pub(super) struct Names(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Names, Problem> {
        let Path((first, second)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Code::InvalidPath, error.body_text()))?;
        Ok(Names(first, second))
    }
}
