//! Where the next page of a list begins: opaque to callers, base64url over JSON inside.

use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use utoipa::IntoParams;

use super::{
    dto::Page,
    problem::{Code, Problem},
};
use crate::engine::{self, Cursor};

/// Items of a page when nothing else is asked, and most of one.
pub const DEFAULT_LIMIT: u32 = 50;
pub const MAX_LIMIT: u32 = 200;

pub(super) fn encode(cursor: &Cursor) -> String {
    let text = serde_json::to_vec(cursor).expect("a cursor has string keys only");
    BASE64URL_NOPAD.encode(&text)
}

pub(super) fn decode(text: &str) -> Result<Cursor, Problem> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| {
            Problem::at_parameter(
                Code::InvalidCursor,
                "cursor",
                "it is not a `next_cursor` of this list; leave it out to begin at the first page",
            )
        })
}

/// How much of a list is asked for, as it stands in a query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Query` reads")]
pub(super) struct PageParams {
    /// Items of a page: 1 to 200, 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// How much of a list is asked for.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub limit: u32,
    pub after: Option<Cursor>,
}

impl Window {
    /// What to ask of the store: one row more than the page, to know whether there is another page.
    pub fn page(&self) -> engine::Page {
        engine::Page {
            limit: self.limit + 1,
            after: self.after.clone(),
        }
    }

    /// Where a page of a list by id alone begins.
    pub fn id<I: FromStr>(&self) -> Result<Option<I>, Problem> {
        let id = self.after.as_ref().map(|cursor| cursor.id.parse()).transpose();
        id.map_err(|_| {
            Problem::at_parameter(
                Code::InvalidCursor,
                "cursor",
                "it is not a `next_cursor` of this list",
            )
        })
    }

    /// The page out of what [`Window::page`] brought; `position` tells where a row stands in the list.
    pub fn close<R, T>(
        &self,
        mut rows: Vec<R>,
        position: impl Fn(&R) -> Cursor,
        show: impl Fn(R) -> T,
    ) -> Page<T> {
        let more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let next_cursor = rows.last().filter(|_| more).map(|row| encode(&position(row)));
        Page {
            items: rows.into_iter().map(show).collect(),
            next_cursor,
        }
    }

    /// A page of a list that is whole in memory, in which each row has its own name.
    pub fn slice<R, T>(
        &self,
        rows: Vec<R>,
        name: impl Fn(&R) -> String,
        show: impl Fn(R) -> T,
    ) -> Result<Page<T>, Problem> {
        let begin = match &self.after {
            None => 0,
            Some(cursor) => {
                let last = rows.iter().position(|row| name(row) == cursor.id);
                last.ok_or_else(|| {
                    Problem::at_parameter(
                        Code::InvalidCursor,
                        "cursor",
                        "the row where it stood is gone; leave it out to begin at the first page",
                    )
                })? + 1
            }
        };
        let rows: Vec<R> = rows
            .into_iter()
            .skip(begin)
            .take(self.limit as usize + 1)
            .collect();
        let position = |row: &R| Cursor {
            at_ms: 0,
            id: name(row),
        };
        Ok(self.close(rows, position, show))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_anything_else_is_refused() {
        let cursor = Cursor {
            at_ms: 1_793_880_000_120,
            id: "a/ä".to_owned(),
        };
        assert_eq!(decode(&encode(&cursor)).unwrap(), cursor);
        for text in ["", "x", "%%%", "e30", "bnVsbA", "eyJhdF9tcyI6IngifQ", "e30="] {
            assert_eq!(
                decode(text).expect_err(text).code(),
                Code::InvalidCursor,
                "{text}"
            );
        }
    }

    #[test]
    fn pages_of_a_list_join_to_the_whole_list() {
        let all: Vec<String> = (0..10).map(|n| format!("row{n}")).collect();
        for limit in 1..12 {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let window = Window { limit, after };
                let page = window.slice(all.clone(), |row| row.clone(), |row| row).unwrap();
                seen.extend(page.items);
                let Some(next) = page.next_cursor else { break };
                after = Some(decode(&next).unwrap());
            }
            assert_eq!(seen, all, "limit {limit}");
        }
    }
}
