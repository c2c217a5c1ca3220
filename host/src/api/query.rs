//! Parameters of a query: unknown names, names given twice and bad values are refused, all of them at once.

use axum::{
    extract::{FromRequestParts, rejection::QueryRejection},
    http::request::Parts,
};

use super::{
    cursor::{self, DEFAULT_LIMIT, MAX_LIMIT, Window},
    dto::FieldError,
    problem::{Code, Problem},
};
use crate::saga::SagaId;

/// Longest value of a parameter that is free text, in characters.
pub const MAX_TEXT_CHARS: usize = 255;

pub(super) struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query, Problem> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error: QueryRejection| Problem::new(Code::InvalidQuery, error.body_text()))?
            .0;
        Ok(Query {
            pairs,
            errors: Vec::new(),
        })
    }
}

/// For what takes no parameters.
pub(super) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<NoQuery, Problem> {
        let query = Query::from_request_parts(parts, state).await?;
        query.finish().map(|()| NoQuery)
    }
}

impl Query {
    /// The value of a parameter, which then counts as known.
    fn take(&mut self, name: &str) -> Option<String> {
        let mut found = None;
        let mut twice = false;
        self.pairs.retain_mut(|(key, value)| {
            if key != name {
                return true;
            }
            twice |= found.replace(std::mem::take(value)).is_some();
            false
        });
        if twice {
            self.refuse(name, "it is given more than once");
        }
        found
    }

    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError {
            pointer: None,
            parameter: Some(name.to_owned()),
            code: "invalid".to_owned(),
            message: message.into(),
        });
    }

    /// `expected` completes "expected …".
    pub fn read<T>(&mut self, name: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.take(name)?;
        let value = read(&text);
        if value.is_none() {
            self.refuse(name, format!("{text:?} is not valid; expected {expected}"));
        }
        value
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        self.read(name, "1 to 255 characters", |text| {
            let fits = (1..=MAX_TEXT_CHARS).contains(&text.chars().count()) && !text.contains('\0');
            fits.then(|| text.to_owned())
        })
    }

    pub fn flag(&mut self, name: &str) -> bool {
        let flag = self.read(name, "true or false", |text| text.parse::<bool>().ok());
        flag.unwrap_or(false)
    }

    pub fn saga(&mut self, name: &str) -> Option<SagaId> {
        self.read(name, "the id of a saga, a UUID", saga_id)
    }

    /// The parameters `limit` and `cursor`.
    pub fn window(&mut self) -> Result<Window, Problem> {
        let limit = self.read("limit", &format!("a number from 1 to {MAX_LIMIT}"), |text| {
            text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
        });
        let after = self
            .take("cursor")
            .map(|text| cursor::decode(&text))
            .transpose()?;
        Ok(Window {
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            after,
        })
    }

    /// To be called when every known parameter has been read.
    pub fn finish(mut self) -> Result<(), Problem> {
        let mut unknown: Vec<String> = self.pairs.drain(..).map(|(key, _)| key).collect();
        unknown.dedup();
        for name in unknown {
            self.refuse(&name, "there is no such parameter here");
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::of_parameters(Code::InvalidQuery, self.errors))
        }
    }
}

/// A UUID in its hyphenated form only, so that a saga has one spelling.
pub(super) fn saga_id(text: &str) -> Option<SagaId> {
    let id: SagaId = text.parse().ok()?;
    id.to_string().eq_ignore_ascii_case(text).then_some(id)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn query(uri: &str) -> Query {
        let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
        Query::from_request_parts(&mut parts, &()).await.unwrap()
    }

    #[tokio::test]
    async fn everything_that_is_wrong_is_named_at_once() {
        let mut query = query("/?limit=0&all=maybe&nonsense=1&name=a&name=b").await;
        let window = query.window().unwrap();
        assert_eq!(window.limit, DEFAULT_LIMIT);
        assert!(!query.flag("all"));
        query.text("name");
        let problem = format!("{:?}", query.finish().unwrap_err());
        for name in ["limit", "all", "nonsense", "name"] {
            assert!(
                problem.contains(&format!("parameter: Some({name:?})")),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_saga_id_has_one_spelling() {
        assert!(saga_id("01939f3e-0000-7aaa-8bbb-ccccdddddddd").is_some());
        for text in [
            "01939f3e00007aaa8bbbccccdddddddd",
            "{01939f3e-0000-7aaa-8bbb-ccccdddddddd}",
            "urn:uuid:01939f3e-0000-7aaa-8bbb-ccccdddddddd",
            "1",
        ] {
            assert!(saga_id(text).is_none(), "{text}");
        }
    }
}
