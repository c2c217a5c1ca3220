//! Listings, page by page.
//!
//! The next page's number is read out of `links.pages.next`; the address itself points to the provider's host and is never
//! followed. Page numbers are no snapshot: items shift between pages, so a listing may show one twice or miss one.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::field;
use crate::transport::{Request, Transport};

/// More pages than this are a mistake of the other side.
const MAX_PAGES: u32 = 1000;

/// What to list.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    pub path: &'a str,
    /// The field that holds the items.
    pub items: &'a str,
    /// Sent with every page, as they are; `page` is added from the second page on.
    pub parameters: &'a [(&'a str, &'a str)],
    pub max_age_ms: Option<u32>,
}

impl<T: Transport> Client<T> {
    /// Every item of every page, in the order of the answers. One page that fails fails the whole: half a listing would be read
    /// as absence.
    pub fn list_paginated<V>(
        &self,
        listing: &Listing<'_>,
        read: fn(&Value) -> Option<V>,
    ) -> Result<Vec<V>, Error<T::Error>> {
        let mut items = Vec::new();
        let mut page = 1;
        loop {
            let mut request = Request::new("GET", listing.path.to_owned());
            request.max_age_ms = listing.max_age_ms;
            for (name, value) in listing.parameters {
                request.query.push(((*name).to_owned(), (*value).to_owned()));
            }
            if page > 1 {
                request.query.push(("page".to_owned(), page.to_string()));
            }
            let (status, body) = self.read_json(request)?;
            let unreadable = |what: &str| Error::Unreadable {
                status,
                what: what.to_owned(),
            };
            if !body.get(listing.items).is_some_and(Value::is_array) {
                return Err(unreadable("a listing without its items"));
            }
            for raw in field::list(&body, listing.items) {
                items.push(read(raw).ok_or_else(|| unreadable("a listed item without an id"))?);
            }
            match next_page(&body) {
                Next::None => return Ok(items),
                Next::Page(next) if next > page && next <= MAX_PAGES => page = next,
                Next::Page(_) | Next::Unreadable => {
                    return Err(unreadable("a listing whose next page makes no sense"));
                }
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    None,
    Page(u32),
    Unreadable,
}

/// `links` may be absent, empty, or hold an empty `pages`; the last page has no `next`.
fn next_page(body: &Value) -> Next {
    let next = body
        .get("links")
        .and_then(|links| links.get("pages"))
        .and_then(|pages| pages.get("next"));
    let Some(address) = next.and_then(Value::as_str).filter(|address| !address.is_empty()) else {
        return Next::None;
    };
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let page = query.split('&').find_map(|pair| pair.strip_prefix("page="));
    page.and_then(|number| number.parse().ok())
        .map_or(Next::Unreadable, Next::Page)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Next, next_page};

    #[test]
    fn the_three_forms_of_links_without_a_next_page_end_a_listing() {
        for body in [
            json!({}),
            json!({"links": {}}),
            json!({"links": {"pages": {}}}),
            json!({"links": null}),
        ] {
            assert_eq!(next_page(&body), Next::None, "{body}");
        }
        assert_eq!(
            next_page(&json!({"links": {"pages": {"next": null, "first": "https://x/?page=1"}}})),
            Next::None
        );
    }

    #[test]
    fn the_page_number_is_read_wherever_it_stands_in_the_query() {
        for address in [
            "https://h/v2/droplets?page=3",
            "https://h/v2/x?per_page=2&page=3&tag_name=a",
            "/v2?page=3#top",
        ] {
            assert_eq!(
                next_page(&json!({"links": {"pages": {"next": address}}})),
                Next::Page(3),
                "{address}"
            );
        }
        for address in [
            "https://h/v2/droplets",
            "https://h/?per_page=3",
            "https://h/?page=two",
        ] {
            assert_eq!(
                next_page(&json!({"links": {"pages": {"next": address}}})),
                Next::Unreadable,
                "{address}"
            );
        }
    }
}
