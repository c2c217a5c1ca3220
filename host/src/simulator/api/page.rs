//! Pages of a listing: which items, and the links to the other pages.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::simulator::{options::LinksForm, world::Listing};

const DEFAULT_PER_PAGE: i64 = 20;
const MAX_PER_PAGE: i64 = 200;

/// One listing before it is cut into pages.
pub(super) struct Pages<'a> {
    /// The key of the items in the answer.
    pub(super) key: &'static str,
    pub(super) path: &'a str,
    pub(super) query: &'a BTreeMap<String, String>,
    /// What the links look like when everything fits on one page.
    pub(super) links: LinksForm,
    /// Scheme and host of the links.
    pub(super) origin: String,
    pub(super) listing: Listing,
}

impl Pages<'_> {
    /// The answer for the page that the query asks for.
    pub(super) fn cut(&self, items: Vec<Value>) -> Value {
        let asked = |name: &str| self.query.get(name).and_then(|text| text.parse::<i64>().ok());
        let per_page = asked("per_page")
            .unwrap_or(DEFAULT_PER_PAGE)
            .clamp(1, MAX_PER_PAGE);
        let page = asked("page").unwrap_or(1).max(1);
        let items = if self.listing.empty { Vec::new() } else { items };
        let total = items.len() as i64;
        let last = total.div_euclid(per_page) + i64::from(total.rem_euclid(per_page) > 0);
        let last = last + i64::from(self.listing.page_more);
        let start = (page.saturating_sub(1)).saturating_mul(per_page);
        let start = start.saturating_add(self.listing.shift).clamp(0, total) as usize;
        let shown: Vec<Value> = items.into_iter().skip(start).take(per_page as usize).collect();

        let mut answer = Map::new();
        answer.insert(self.key.into(), Value::Array(shown));
        if let Some(links) = self.links(page, last, per_page) {
            answer.insert("links".into(), links);
        }
        let claimed = self.listing.total.unwrap_or(total as u64);
        answer.insert("meta".into(), json!({"total": claimed}));
        Value::Object(answer)
    }

    fn links(&self, page: i64, last: i64, per_page: i64) -> Option<Value> {
        if last <= 1 && page <= 1 {
            return match self.links {
                LinksForm::Absent => None,
                LinksForm::Empty => Some(json!({})),
                LinksForm::EmptyPages => Some(json!({"pages": {}})),
            };
        }
        let mut pages = Map::new();
        let mut link = |name: &str, number: i64| {
            pages.insert(name.into(), Value::String(self.href(number, per_page)));
        };
        if page > 1 {
            link("first", 1);
            link("prev", page - 1);
        }
        if page < last {
            link("next", page + 1);
            link("last", last);
        }
        Some(json!({"pages": pages}))
    }

    fn href(&self, page: i64, per_page: i64) -> String {
        let kept = self
            .query
            .iter()
            .filter(|(name, _)| *name != "page" && *name != "per_page");
        let pair = |(name, value): (&String, &String)| {
            format!("&{}={}", percent_encode(name), percent_encode(value))
        };
        let kept: String = kept.map(pair).collect();
        format!(
            "{}{}?page={page}&per_page={per_page}{kept}",
            self.origin, self.path
        )
    }
}

/// A name or value of a query, which may hold anything.
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => char::from(byte).into(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(items: i64, query: &[(&str, &str)], listing: Listing, links: LinksForm) -> Value {
        let query = query
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let pages = Pages {
            key: "things",
            path: "/v2/things",
            query: &query,
            links,
            origin: "https://api.simulated.invalid".into(),
            listing,
        };
        pages.cut((1..=items).map(|item| json!(item)).collect())
    }

    #[test]
    fn a_middle_page_links_to_all_four_others_on_the_providers_host() {
        let query = [("page", "2"), ("per_page", "2"), ("name", "a:b &c")];
        let href =
            |page| format!("https://api.simulated.invalid/v2/things?page={page}&per_page=2&name=a:b%20%26c");
        let expected = json!({
            "things": [3, 4],
            "links": {"pages": {"first": href(1), "prev": href(1), "next": href(3), "last": href(3)}},
            "meta": {"total": 5},
        });
        assert_eq!(cut(5, &query, Listing::default(), LinksForm::Empty), expected);
    }

    #[test]
    fn a_single_page_has_links_in_the_form_that_the_rules_say() {
        for (form, links) in [
            (LinksForm::Absent, None),
            (LinksForm::Empty, Some(json!({}))),
            (LinksForm::EmptyPages, Some(json!({"pages": {}}))),
        ] {
            let answer = cut(20, &[], Listing::default(), form);
            assert_eq!(answer.get("links"), links.as_ref());
        }
    }

    #[test]
    fn a_page_holds_at_most_200_items_whatever_is_asked() {
        let answer = cut(
            450,
            &[("per_page", "1000"), ("page", "3")],
            Listing::default(),
            LinksForm::Empty,
        );
        assert_eq!(answer["things"].as_array().map(Vec::len), Some(50));
        assert!(answer["links"]["pages"].get("next").is_none());
    }

    #[test]
    fn a_shifted_page_misses_or_repeats_items() {
        let query = [("page", "2"), ("per_page", "2")];
        let shifted = |shift| {
            let listing = Listing {
                shift,
                ..Listing::default()
            };
            cut(6, &query, listing, LinksForm::Empty)["things"].clone()
        };
        assert_eq!(shifted(0), json!([3, 4]));
        assert_eq!(shifted(1), json!([4, 5]));
        assert_eq!(shifted(-1), json!([2, 3]));
    }

    #[test]
    fn the_last_page_can_link_to_an_empty_one() {
        let listing = Listing {
            page_more: true,
            ..Listing::default()
        };
        let page = |page: &str| cut(4, &[("page", page), ("per_page", "2")], listing, LinksForm::Empty);
        assert!(page("2")["links"]["pages"]["next"].is_string());
        assert_eq!(
            (&page("3")["things"], &page("3")["meta"]["total"]),
            (&json!([]), &json!(4))
        );
        assert!(page("3")["links"]["pages"].get("next").is_none());
    }
}
