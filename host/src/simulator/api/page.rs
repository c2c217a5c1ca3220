//! Pages of a listing: which items, and the links to the other pages.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::simulator::{
    options::{LinksForm, Rules},
    world::Listing,
};

const DEFAULT_PER_PAGE: i64 = 20;
const MAX_PER_PAGE: i64 = 200;

/// One listing before it is cut into pages.
pub(super) struct Pages<'a> {
    /// The key of the items in the answer.
    pub(super) key: &'static str,
    pub(super) path: &'a str,
    pub(super) query: &'a BTreeMap<String, String>,
    pub(super) rules: &'a Rules,
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
            return match self.rules.links {
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
        let kept: String = kept.map(|(name, value)| format!("&{name}={value}")).collect();
        let origin = &self.rules.link_origin;
        format!("{origin}{}?page={page}&per_page={per_page}{kept}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(items: i64, query: &[(&str, &str)], listing: Listing, rules: &Rules) -> Value {
        let query = query
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let pages = Pages {
            key: "things",
            path: "/v2/things",
            query: &query,
            rules,
            listing,
        };
        pages.cut((1..=items).map(|item| json!(item)).collect())
    }

    #[test]
    fn a_middle_page_links_to_all_four_others_on_the_providers_host() {
        let rules = Rules::default();
        let query = [("page", "2"), ("per_page", "2"), ("tag_name", "a")];
        let href =
            |page| format!("https://api.simulated.invalid/v2/things?page={page}&per_page=2&tag_name=a");
        let expected = json!({
            "things": [3, 4],
            "links": {"pages": {"first": href(1), "prev": href(1), "next": href(3), "last": href(3)}},
            "meta": {"total": 5},
        });
        assert_eq!(cut(5, &query, Listing::default(), &rules), expected);
    }

    #[test]
    fn a_single_page_has_links_in_the_form_that_the_rules_say() {
        let mut rules = Rules::default();
        for (form, links) in [
            (LinksForm::Absent, None),
            (LinksForm::Empty, Some(json!({}))),
            (LinksForm::EmptyPages, Some(json!({"pages": {}}))),
        ] {
            rules.links = form;
            let answer = cut(20, &[], Listing::default(), &rules);
            assert_eq!(answer.get("links"), links.as_ref());
        }
    }

    #[test]
    fn a_page_holds_at_most_200_items_whatever_is_asked() {
        let answer = cut(
            450,
            &[("per_page", "1000"), ("page", "3")],
            Listing::default(),
            &Rules::default(),
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
            cut(6, &query, listing, &Rules::default())["things"].clone()
        };
        assert_eq!(shifted(0), json!([3, 4]));
        assert_eq!(shifted(1), json!([4, 5]));
        assert_eq!(shifted(-1), json!([2, 3]));
    }
}
