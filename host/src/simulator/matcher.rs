//! Which requests a fault or a hold concerns.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is known of a request on arrival.
pub(super) struct Arrival<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a BTreeMap<String, String>,
    pub(super) body: &'a str,
    /// Tags in the body and the query, and those of the droplet that the path names.
    pub(super) tags: Vec<String>,
}

/// A condition on requests; an absent field matches everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// Any case.
    pub method: Option<String>,
    /// The whole path without the query; `*` stands for any characters but `/`, `**` for any at all.
    pub path: Option<String>,
    /// Names and values that the query must have.
    pub query: BTreeMap<String, String>,
    /// A tag in the body or the query, or one of the droplet that the path names; any case.
    pub tag: Option<String>,
    /// Text that the body contains.
    pub body: Option<String>,
}

impl Matcher {
    pub(super) fn matches(&self, arrival: &Arrival<'_>) -> bool {
        let method = |wanted: &String| wanted.eq_ignore_ascii_case(arrival.method);
        let tag = |wanted: &String| arrival.tags.iter().any(|tag| tag.eq_ignore_ascii_case(wanted));
        let has = |(name, value): (&String, &String)| arrival.query.get(name) == Some(value);
        self.method.as_ref().is_none_or(method)
            && self
                .path
                .as_ref()
                .is_none_or(|glob| glob_matches(glob, arrival.path))
            && self.query.iter().all(has)
            && self.tag.as_ref().is_none_or(tag)
            && self.body.as_ref().is_none_or(|text| arrival.body.contains(text))
    }
}

fn glob_matches(glob: &str, text: &str) -> bool {
    let Some(star) = glob.find('*') else {
        return glob == text;
    };
    let (before, after) = glob.split_at(star);
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    let (after, crosses_slash) = match after.strip_prefix("**") {
        Some(after) => (after, true),
        None => (&after[1..], false),
    };
    let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    for end in ends {
        if !crosses_slash && rest[..end].contains('/') {
            return false;
        }
        if glob_matches(after, &rest[end..]) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_segment_and_two_cross_it() {
        assert!(glob_matches("/v2/droplets/*", "/v2/droplets/12"));
        assert!(!glob_matches("/v2/droplets/*", "/v2/droplets/12/actions"));
        assert!(glob_matches("/v2/droplets/*/actions", "/v2/droplets/12/actions"));
        assert!(glob_matches("/v2/**", "/v2/droplets/12/actions"));
        assert!(!glob_matches("/v2/droplets", "/v2/droplets/12"));
        assert!(glob_matches("*", ""));
    }

    #[test]
    fn every_given_field_must_match() {
        let query = BTreeMap::from([("page".into(), "2".into())]);
        let arrival = Arrival {
            method: "GET",
            path: "/v2/droplets",
            query: &query,
            body: "",
            tags: vec!["Arcadia:A".into()],
        };
        let page = |page: &str| Matcher {
            method: Some("get".into()),
            tag: Some("arcadia:a".into()),
            query: BTreeMap::from([("page".into(), page.into())]),
            ..Matcher::default()
        };
        assert!(Matcher::default().matches(&arrival));
        assert!(page("2").matches(&arrival));
        assert!(!page("1").matches(&arrival));
    }
}
