//! What may be asked: the shape of a request, and the grants that allow it. Pure.
//!
//! A path is compared with the grants exactly as the upstream will read it, so everything that two readers could read in two
//! ways (dot segments, encoded slashes, empty segments, backslashes, `;`) is refused instead of repaired.

use super::{FetchError, Grant, Outgoing};

pub const MAX_URL_BYTES: usize = 8 * 1024;
pub const MAX_REQUEST_BODY_BYTES: usize = 8 * 1024 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_ONCE_KEY_BYTES: usize = 256;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// Headers that belong to the host or to the connection. Asking for one is refused, not dropped: an author who sets
/// `authorization` should learn that it has no effect. The `*-method*` ones would turn one method into another behind the grant's back;
/// an encoded answer couldn't be read by the host, which has to decide whether it is conclusive.
const RESERVED_HEADERS: [&str; 17] = [
    "authorization",
    "cookie",
    "host",
    "connection",
    "keep-alive",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "user-agent",
    "accept-encoding",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "http2-settings",
];
const RESERVED_HEADER_PREFIXES: [&str; 3] = ["proxy-", "x-forwarded-", "forwarded"];

/// A request of legal shape: the method's only spelling, the normalised path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub method: &'static str,
    pub path: String,
}

impl Target {
    pub fn mutating(&self) -> bool {
        !matches!(self.method, "GET" | "HEAD")
    }
}

/// Everything about a request that doesn't depend on who asks.
pub(super) fn shape_of(request: &Outgoing) -> Result<Target, FetchError> {
    let method = METHODS
        .into_iter()
        .find(|method| *method == request.method)
        .ok_or_else(|| invalid(format!("the method must be one of {}", METHODS.join(", "))))?;
    let path = normalised(&request.path).map_err(invalid)?;
    check_headers(&request.headers)?;
    if request
        .body
        .as_ref()
        .is_some_and(|body| body.len() > MAX_REQUEST_BODY_BYTES)
    {
        return Err(invalid(format!(
            "the body is longer than {MAX_REQUEST_BODY_BYTES} bytes"
        )));
    }
    let target = Target { method, path };
    if target.mutating() {
        if request.max_age_ms.is_some() {
            return Err(invalid("max-age-ms is for GET only"));
        }
    } else {
        if request.body.is_some() {
            return Err(invalid(format!("a {method} has no body")));
        }
        if request.once.is_some() {
            return Err(invalid("once is for requests that change something"));
        }
        if method == "HEAD" && request.max_age_ms.is_some() {
            return Err(invalid("max-age-ms is for GET only"));
        }
    }
    if let Some(once) = &request.once {
        let legal = !once.key.is_empty()
            && once.key.len() <= MAX_ONCE_KEY_BYTES
            && !once.key.chars().any(char::is_control);
        if !legal {
            return Err(invalid(format!(
                "a once key has 1 to {MAX_ONCE_KEY_BYTES} bytes and no control characters"
            )));
        }
        if once.refusals.iter().any(|status| !(400..=599).contains(status)) {
            return Err(invalid("a refusal is a status from 400 to 599"));
        }
    }
    Ok(target)
}

/// The request is in both lists: what the step was granted, and what the operator allows for the service at all.
pub(super) fn check_grant(
    service: &str,
    allow: &[Grant],
    grants: &[Grant],
    target: &Target,
) -> Result<(), FetchError> {
    let within = |list: &[Grant]| {
        list.iter().any(|grant| {
            grant.service == service
                && grant.methods.iter().any(|method| method == target.method)
                && grant
                    .path_prefixes
                    .iter()
                    .any(|prefix| covers(prefix, &target.path))
        })
    };
    if within(grants) && within(allow) {
        Ok(())
    } else {
        Err(FetchError::Denied(format!(
            "{service}: {} {}",
            target.method, target.path
        )))
    }
}

/// A prefix that isn't itself a legal path covers nothing. One with a slash at its end covers only what is below it.
pub(super) fn covers(prefix: &str, path: &str) -> bool {
    let Ok(prefix) = normalised(prefix) else {
        return false;
    };
    match path.strip_prefix(prefix.as_str()) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// The one spelling of a path: letters, digits and `-._~` are never encoded, escapes are in upper case.
fn normalised(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err("the path must begin with /".to_owned());
    }
    if path.len() > MAX_URL_BYTES {
        return Err(format!("the path is longer than {MAX_URL_BYTES} bytes"));
    }
    let mut normal = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let escaped = escaped_byte(bytes.next(), bytes.next())
                    .ok_or("the path has a % that isn't followed by two hex digits")?;
                match escaped {
                    b'/' | b'\\' | b'%' => {
                        return Err("the path has an encoded slash, backslash or percent sign".to_owned());
                    }
                    0..0x20 | 0x7f => return Err("the path has an encoded control character".to_owned()),
                    _ if is_unreserved(escaped) => normal.push(char::from(escaped)),
                    _ => normal.push_str(&format!("%{escaped:02X}")),
                }
            }
            b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => {
                normal.push(char::from(byte));
            }
            _ if is_unreserved(byte) => normal.push(char::from(byte)),
            b'?' | b'#' => return Err("the path has a query or a fragment; use the query list".to_owned()),
            _ => return Err("the path has a character that isn't allowed in a path; encode it".to_owned()),
        }
    }
    if normal.contains("//") {
        return Err("the path has an empty segment".to_owned());
    }
    if normal.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("the path has a dot segment".to_owned());
    }
    Ok(normal)
}

fn escaped_byte(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn check_headers(headers: &[(String, String)]) -> Result<(), FetchError> {
    if headers.len() > MAX_HEADERS {
        return Err(invalid(format!("more than {MAX_HEADERS} headers")));
    }
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MAX_HEADER_BYTES {
        return Err(invalid(format!(
            "the headers are longer than {MAX_HEADER_BYTES} bytes"
        )));
    }
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        let is_token = !lower.is_empty()
            && lower
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_token {
            return Err(invalid("a header's name isn't a token"));
        }
        if RESERVED_HEADERS.contains(&lower.as_str())
            || RESERVED_HEADER_PREFIXES
                .iter()
                .any(|prefix| lower.starts_with(prefix))
        {
            return Err(invalid(format!("the header {lower} belongs to the host")));
        }
        // Tab and printable ASCII: no line break can begin a header of its own.
        if !value
            .bytes()
            .all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte))
        {
            return Err(invalid(format!(
                "the value of the header {lower} has a character that isn't allowed"
            )));
        }
    }
    Ok(())
}

fn invalid(text: impl Into<String>) -> FetchError {
    FetchError::InvalidRequest(text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cloud::Once;

    fn request(method: &str, path: &str) -> Outgoing {
        Outgoing {
            service: "digitalocean".to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
            max_age_ms: None,
            once: None,
        }
    }

    fn grant(methods: &[&str], prefixes: &[&str]) -> Grant {
        Grant {
            service: "digitalocean".to_owned(),
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
            path_prefixes: prefixes.iter().map(|p| (*p).to_owned()).collect(),
        }
    }

    fn allowed(prefix: &str, path: &str) -> bool {
        let target = shape_of(&request("GET", path)).unwrap();
        let list = [grant(&["GET"], &[prefix])];
        check_grant("digitalocean", &list, &list, &target).is_ok()
    }

    #[test]
    fn paths_that_two_readers_could_read_in_two_ways_are_refused() {
        for path in [
            "",
            "v2/droplets",
            "/v2/../admin",
            "/v2/./x",
            "/v2/%2e%2e/admin",
            "/v2/%2E./admin",
            "/v2/..",
            "/v2//droplets",
            "//host/x",
            "/v2\\admin",
            "/v2/%2fadmin",
            "/v2/%5Cadmin",
            "/v2/%252e%252e/x",
            "/v2/a?b=c",
            "/v2/a#b",
            "/v2/a b",
            "/v2/a\r\nx: y",
            "/v2/%0d%0a",
            "/v2/%00",
            "/v2/\u{e9}",
            "/v2/%",
            "/v2/%4",
            "/v2/%zz",
            "/v2/..;/admin",
            "/v2/droplets;x",
            "/v2/<a>",
            "http://host/v2",
        ] {
            let shape = shape_of(&request("GET", path));
            assert!(
                matches!(shape, Err(FetchError::InvalidRequest(_))),
                "{path:?}: {shape:?}"
            );
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        let path = |text| shape_of(&request("GET", text)).map(|target| target.path);
        assert_eq!(path("/v2/%64roplets").unwrap(), "/v2/droplets");
        assert_eq!(path("/v2/tags/a%3ab%c3%a9").unwrap(), "/v2/tags/a%3Ab%C3%A9");
        assert_eq!(path("/v2/tags/a:b@c").unwrap(), "/v2/tags/a:b@c");
        assert_eq!(path("/").unwrap(), "/");
    }

    #[test]
    fn a_prefix_grants_itself_and_what_is_below_it() {
        assert!(allowed("/v2/droplets", "/v2/droplets"));
        assert!(allowed("/v2/droplets", "/v2/droplets/7"));
        assert!(allowed("/v2/droplets", "/v2/%64roplets/7"));
        assert!(!allowed("/v2/droplets", "/v2/droplets-of-others"));
        assert!(!allowed("/v2/droplets", "/v2/droplet"));
        assert!(!allowed("/v2/droplets", "/v2/Droplets"));
        assert!(allowed("/v2/droplets/", "/v2/droplets/7"));
        assert!(!allowed("/v2/droplets/", "/v2/droplets"));
        assert!(allowed("/", "/anything"));
        assert!(!allowed("", "/anything"));
        assert!(!allowed("/v2/../v2", "/v2/droplets"));
    }

    #[test]
    fn a_request_needs_the_step_s_grant_and_the_operator_s() {
        let post = shape_of(&request("POST", "/v2/droplets")).unwrap();
        let may_post = [grant(&["POST"], &["/v2/droplets"])];
        let may_get = [grant(&["GET"], &["/v2"])];
        let denied = Err(FetchError::Denied("digitalocean: POST /v2/droplets".to_owned()));
        assert_eq!(check_grant("digitalocean", &may_post, &may_post, &post), Ok(()));
        assert_eq!(check_grant("digitalocean", &may_get, &may_post, &post), denied);
        assert_eq!(check_grant("digitalocean", &may_post, &may_get, &post), denied);
        assert_eq!(check_grant("digitalocean", &may_post, &[], &post), denied);
        let of_another_service = [Grant {
            service: "other".to_owned(),
            ..may_post[0].clone()
        }];
        assert_eq!(
            check_grant("digitalocean", &may_post, &of_another_service, &post),
            denied
        );
    }

    #[test]
    fn methods_and_options_that_make_no_sense_are_refused() {
        let refused = |request: Outgoing| matches!(shape_of(&request), Err(FetchError::InvalidRequest(_)));
        for method in ["get", "", "OPTIONS", "CONNECT", "TRACE", "GET /x", "POST "] {
            assert!(refused(request(method, "/")), "{method:?}");
        }
        let once = |key: &str, refusals: &[u16]| {
            Some(Once {
                key: key.to_owned(),
                refusals: refusals.to_vec(),
            })
        };
        assert!(refused(Outgoing {
            body: Some(vec![]),
            ..request("GET", "/")
        }));
        assert!(refused(Outgoing {
            once: once("k", &[]),
            ..request("GET", "/")
        }));
        assert!(refused(Outgoing {
            max_age_ms: Some(1),
            ..request("POST", "/")
        }));
        assert!(refused(Outgoing {
            max_age_ms: Some(1),
            ..request("HEAD", "/")
        }));
        assert!(refused(Outgoing {
            once: once("", &[]),
            ..request("POST", "/")
        }));
        assert!(refused(Outgoing {
            once: once("a\nb", &[]),
            ..request("POST", "/")
        }));
        assert!(refused(Outgoing {
            once: once("k", &[202]),
            ..request("POST", "/")
        }));
        assert!(!refused(Outgoing {
            once: once("k", &[400, 422]),
            ..request("POST", "/")
        }));
        assert!(refused(Outgoing {
            body: Some(vec![0; MAX_REQUEST_BODY_BYTES + 1]),
            ..request("POST", "/")
        }));
    }

    #[test]
    fn headers_of_the_host_and_broken_ones_are_refused() {
        let refused = |name: &str, value: &str| {
            let headers = vec![(name.to_owned(), value.to_owned())];
            matches!(
                shape_of(&Outgoing {
                    headers,
                    ..request("GET", "/")
                }),
                Err(FetchError::InvalidRequest(_))
            )
        };
        for name in RESERVED_HEADERS {
            assert!(refused(&name.to_uppercase(), "x"), "{name}");
        }
        for name in [
            "Proxy-Authorization",
            "X-Forwarded-Host",
            "Forwarded",
            "",
            "a b",
            "a:b",
            "a\r\nb",
            "\u{e9}",
        ] {
            assert!(refused(name, "x"), "{name:?}");
        }
        for value in ["a\r\nx-evil: 1", "a\nb", "a\0b", "\u{e9}", "\u{7f}"] {
            assert!(refused("x-note", value), "{value:?}");
        }
        assert!(!refused("content-type", "application/json; charset=utf-8"));
        assert!(!refused("idempotency-key", "a\tb"));
    }

    proptest! {
        #[test]
        fn what_passes_is_a_path_that_a_url_leaves_alone(path in "[/.%a-e0-9?#\\\\;: \u{e9}]{0,12}") {
            if let Ok(target) = shape_of(&request("GET", &path)) {
                let url = reqwest::Url::parse(&format!("http://host{}", target.path)).unwrap();
                prop_assert_eq!(url.path(), target.path.as_str());
                prop_assert_eq!(url.host_str(), Some("host"));
                prop_assert_eq!(url.query(), None);
                prop_assert_eq!(normalised(&target.path).unwrap(), target.path);
            }
        }
    }
}
