//! A credential in memory.

use std::{convert::Infallible, fmt, str::FromStr};

/// A bearer token. It has no way out but the exchange: neither `Debug` nor `Display` shows it, and it can't be serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

const MASK: &str = "[secret]";
const MIN_RECOGNISABLE_BYTES: usize = 8;

impl Secret {
    /// White space around it is dropped: files with tokens end with a line break.
    pub fn new(text: impl AsRef<str>) -> Self {
        Secret(text.as_ref().trim().to_owned())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    fn is_recognisable(&self) -> bool {
        self.0.len() >= MIN_RECOGNISABLE_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the credential out of bytes that came back from the upstream, which may echo what it was sent. One that is too short to be
    /// a secret stays: it would stand in innocent text.
    pub(super) fn scrub(&self, bytes: Vec<u8>) -> Vec<u8> {
        let needle = self.0.as_bytes();
        if !self.is_recognisable() || bytes.len() < needle.len() {
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
        if self.is_recognisable() {
            text.replace(&self.0, MASK)
        } else {
            text
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
        let secret = Secret::new("the-tok-en");
        let clean = |bytes: &[u8]| String::from_utf8(secret.scrub(bytes.to_vec())).unwrap();
        assert_eq!(clean(b"the-tok-en a the-tok-en"), "[secret] a [secret]");
        assert_eq!(clean(b"the-tok-enthe-tok-en"), "[secret][secret]");
        assert_eq!(clean(b"the-tok-e"), "the-tok-e");
        assert_eq!(clean(b"nothing"), "nothing");
        assert_eq!(Secret::new("no").scrub_text("nothing".to_owned()), "nothing");
        assert_eq!(secret.scrub_text("x-the-tok-en-y".to_owned()), "x-[secret]-y");
    }
}
