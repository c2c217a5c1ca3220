//! A credential in memory.

use std::{convert::Infallible, fmt, str::FromStr};

/// A bearer token. It has no way out but the exchange: neither `Debug` nor `Display` shows it, and it can't be serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

const MASK: &str = "[secret]";

impl Secret {
    /// White space around it is dropped: files with tokens end with a line break.
    pub fn new(text: impl AsRef<str>) -> Self {
        Secret(text.as_ref().trim().to_owned())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the credential out of bytes that came back from the upstream, which may echo what it was sent.
    pub(super) fn scrub(&self, bytes: Vec<u8>) -> Vec<u8> {
        let needle = self.0.as_bytes();
        if needle.is_empty() || bytes.len() < needle.len() {
            return bytes;
        }
        let mut found = bytes.windows(needle.len()).position(|window| window == needle);
        if found.is_none() {
            return bytes;
        }
        let mut rest = bytes.as_slice();
        let mut clean = Vec::with_capacity(bytes.len());
        while let Some(at) = found {
            clean.extend_from_slice(&rest[..at]);
            clean.extend_from_slice(MASK.as_bytes());
            rest = &rest[at + needle.len()..];
            found = rest.windows(needle.len()).position(|window| window == needle);
        }
        clean.extend_from_slice(rest);
        clean
    }

    pub(super) fn scrub_text(&self, text: String) -> String {
        if self.0.is_empty() {
            text
        } else {
            text.replace(&self.0, MASK)
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_nowhere() {
        let secret = Secret::new(" dop_v1_abc\n");
        assert_eq!(secret.reveal(), "dop_v1_abc");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "[secret] [secret] Some([secret])"
        );
    }

    #[test]
    fn an_echoed_secret_is_taken_out_wherever_it_stands() {
        let secret = Secret::new("tok");
        let clean = |bytes: &[u8]| String::from_utf8(secret.scrub(bytes.to_vec())).unwrap();
        assert_eq!(clean(b"tok a tok"), "[secret] a [secret]");
        assert_eq!(clean(b"toktok"), "[secret][secret]");
        assert_eq!(clean(b"to"), "to");
        assert_eq!(clean(b"nothing"), "nothing");
        assert_eq!(secret.scrub_text("x-tok-y".to_owned()), "x-[secret]-y");
    }
}
