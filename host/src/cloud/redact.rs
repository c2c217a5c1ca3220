//! What of a request and an answer is kept for people, without secrets. Pure.

use serde_json::Value;

pub const MAX_REDACTED_BYTES: usize = 16 * 1024;
const MASK: &str = "[redacted]";

/// Parts of names that say that the value is nobody's business.
const SECRET_PARTS: [&str; 12] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "private_key",
    "privatekey",
    "credential",
    "api_key",
    "apikey",
    "access_key",
    "authorization",
];
/// Whole names: cloud-init scripts are where people put their secrets.
const SECRET_NAMES: [&str; 4] = ["user_data", "userdata", "cookie", "kubeconfig"];

/// Response headers worth keeping.
const KEPT_HEADERS: [&str; 4] = ["content-type", "x-request-id", "retry-after", "location"];
const KEPT_HEADER_PREFIX: &str = "ratelimit-";

/// Headers that never reach a guest: cookies, and those that speak of a connection that it doesn't have.
const HIDDEN_HEADERS: [&str; 12] = [
    "set-cookie",
    "set-cookie2",
    "authorization",
    "www-authenticate",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "te",
    "trailer",
    "upgrade",
    "alt-svc",
];

/// The body as JSON with the values of secret-looking keys masked, cut at [`MAX_REDACTED_BYTES`]. Of anything else only the
/// length is kept.
pub(super) fn redacted_body(body: &[u8]) -> String {
    let mut text = match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            mask(&mut value);
            value.to_string()
        }
        Err(_) => format!("({} bytes that aren't JSON)", body.len()),
    };
    if text.len() > MAX_REDACTED_BYTES {
        let ellipsis = "…";
        let end = text.floor_char_boundary(MAX_REDACTED_BYTES - ellipsis.len());
        text.truncate(end);
        text.push_str(ellipsis);
    }
    text
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if is_secret_name(key) {
                    if !member.is_null() {
                        *member = Value::String(MASK.to_owned());
                    }
                } else {
                    mask(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::String(text) => {
            if text.contains("PRIVATE KEY-----") {
                MASK.clone_into(text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    SECRET_NAMES.contains(&name.as_str()) || SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// Header names are in lower case on both sides.
pub(super) fn kept_headers(headers: &[(String, String)]) -> Vec<(String, String)> {
    let kept = |name: &str| KEPT_HEADERS.contains(&name) || name.starts_with(KEPT_HEADER_PREFIX);
    headers.iter().filter(|(name, _)| kept(name)).cloned().collect()
}

pub(super) fn guest_headers(headers: &[(String, String)]) -> Vec<(String, String)> {
    let hidden = |name: &str| HIDDEN_HEADERS.contains(&name) || name.starts_with("proxy-");
    headers
        .iter()
        .filter(|(name, _)| !hidden(name))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_at_any_depth_and_the_rest_stays() {
        let body = br##"{"name":"web","user_data":"#cloud-config","a":[{"Api-Token":"t","x":1}],"db":{"password":{"v":"p"},"root_password":null},
            "keys":["-----BEGIN OPENSSH PRIVATE KEY-----"],"ssh_keys":[7]}"##;
        let redacted: Value = serde_json::from_str(&redacted_body(body)).unwrap();
        let expected = serde_json::json!({
            "name": "web", "user_data": MASK, "a": [{"Api-Token": MASK, "x": 1}],
            "db": {"password": MASK, "root_password": null}, "keys": [MASK], "ssh_keys": [7],
        });
        assert_eq!(redacted, expected);
    }

    #[test]
    fn a_long_body_is_cut_and_one_that_isn_t_json_is_only_counted() {
        let long = format!("\"{}\"", "é".repeat(MAX_REDACTED_BYTES));
        assert!(redacted_body(long.as_bytes()).len() <= MAX_REDACTED_BYTES);
        assert_eq!(redacted_body(b"password=hunter2"), "(16 bytes that aren't JSON)");
    }

    #[test]
    fn only_listed_headers_are_kept_and_cookies_reach_nobody() {
        let headers: Vec<(String, String)> = [
            "content-type",
            "set-cookie",
            "ratelimit-reset",
            "x-served-by",
            "proxy-status",
        ]
        .map(|name| (name.to_owned(), "v".to_owned()))
        .to_vec();
        let names = |list: Vec<(String, String)>| list.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(kept_headers(&headers)), ["content-type", "ratelimit-reset"]);
        assert_eq!(
            names(guest_headers(&headers)),
            ["content-type", "ratelimit-reset", "x-served-by"]
        );
    }
}
