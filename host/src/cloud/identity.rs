//! Whose account a service reaches. An id means something, and a thing's absence proves something, only within one account.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// Longest account id that is taken for one.
const MAX_ACCOUNT_BYTES: usize = 256;

/// How the account behind a service's credential is read: one GET that is answered with JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityProbe {
    /// Appended to the base URL like the path of a step's request. The service's `allow` needn't have it: the host asks.
    pub path: String,
    /// JSON Pointers (RFC 6901) into the answer; the first that leads to a text or a whole number gives the account's id.
    pub pointers: Vec<String>,
}

/// An origin, and the account there as far as it can be told.
///
/// Without an account (the service has no probe, or its credential may not read the account) a change of the account behind the
/// credential isn't noticed, only one of the origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    origin: String,
    account: Option<String>,
    unreadable: Option<String>,
    text: String,
}

impl Identity {
    /// Of a service whose accounts nothing tells apart.
    pub(super) fn of_origin(origin: &str) -> Identity {
        Identity {
            origin: origin.to_owned(),
            account: None,
            unreadable: None,
            text: origin.to_owned(),
        }
    }

    pub(super) fn of_account(origin: &str, account: String) -> Identity {
        Identity {
            text: format!("{origin}#{account}"),
            account: Some(account),
            ..Identity::of_origin(origin)
        }
    }

    /// The service answers, and doesn't tell the account.
    pub(super) fn unreadable(origin: &str, why: String) -> Identity {
        Identity {
            unreadable: Some(why),
            ..Identity::of_origin(origin)
        }
    }

    /// What a probe's answer with status 200 says.
    pub fn answered(origin: &str, probe: &IdentityProbe, body: &[u8]) -> Identity {
        let told = serde_json::from_slice::<Value>(body)
            .ok()
            .and_then(|body| probe.pointers.iter().find_map(|pointer| account(&body, pointer)));
        match told {
            Some(account) => Identity::of_account(origin, account),
            None => Identity::unreadable(
                origin,
                format!(
                    "GET {} is answered without an account at {}",
                    probe.path,
                    probe.pointers.join(" or ")
                ),
            ),
        }
    }

    /// The account's id; empty when it can't be told.
    pub fn account(&self) -> &str {
        self.account.as_deref().unwrap_or_default()
    }

    /// Why there is no account, when there should be one.
    pub fn note(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// `origin#account`, or the origin alone.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what was sent under the identity `earlier` counts as sent to this one. What was sent while the account of this
    /// origin couldn't be told does: nothing says otherwise.
    pub fn continues(&self, earlier: &str) -> bool {
        earlier == self.text || earlier == self.origin
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn account(body: &Value, pointer: &str) -> Option<String> {
    let text = match body.pointer(pointer)? {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() || number.is_i64() => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let legal = !text.is_empty() && text.len() <= MAX_ACCOUNT_BYTES && !text.chars().any(char::is_control);
    legal.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://api.example.com";

    fn probe() -> IdentityProbe {
        IdentityProbe {
            path: "/v2/account".to_owned(),
            pointers: vec!["/account/team/uuid".to_owned(), "/account/uuid".to_owned()],
        }
    }

    fn read(body: &str) -> Identity {
        Identity::answered(ORIGIN, &probe(), body.as_bytes())
    }

    #[test]
    fn the_first_pointer_that_leads_to_an_id_names_the_account() {
        let both = r#"{"account":{"uuid":"u","team":{"uuid":"t"}}}"#;
        assert_eq!(read(both).as_str(), "https://api.example.com#t");
        assert_eq!(read(r#"{"account":{"uuid":"u","team":null}}"#).account(), "u");
        assert_eq!(read(r#"{"account":{"uuid":7}}"#).account(), "7");
    }

    #[test]
    fn an_answer_without_an_account_is_the_origin_and_a_note() {
        let long = format!(r#"{{"account":{{"uuid":"{}"}}}}"#, "x".repeat(257));
        for body in [
            "{}",
            "<html>",
            "",
            r#"{"account":{"uuid":""}}"#,
            r#"{"account":{"uuid":1.5}}"#,
            r#"{"account":{"uuid":"a\u0000"}}"#,
            &long,
        ] {
            let identity = read(body);
            assert_eq!((identity.as_str(), identity.account()), (ORIGIN, ""), "{body}");
            assert!(identity.note().is_some_and(|note| note.contains("/account/uuid")));
        }
    }

    #[test]
    fn an_account_that_could_not_be_told_continues_in_one_that_can_and_not_the_other_way_round() {
        let known = Identity::of_account(ORIGIN, "a".to_owned());
        let other = Identity::of_account(ORIGIN, "b".to_owned());
        let untold = Identity::unreadable(ORIGIN, "403".to_owned());
        assert!(known.continues(known.as_str()) && known.continues(untold.as_str()));
        assert!(!known.continues(other.as_str()));
        assert!(untold.continues(untold.as_str()));
        assert!(
            !untold.continues(known.as_str()),
            "absence may be another account's"
        );
        assert!(!known.continues("https://elsewhere.example.com"));
    }
}
