//! How a definition says which component a step is made of:
//!
//! | text | means |
//! |---|---|
//! | `create-droplet` | what the channel `stable` points to when a saga is started |
//! | `create-droplet#next` | what the channel `next` points to then |
//! | `create-droplet@0.1.0` | this version |
//! | `create-droplet@sha256:<64 hex digits>` | these bytes |

use std::fmt;

/// The channel that is meant when none is named.
pub const STABLE: &str = "stable";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub name: String,
    pub pick: Pick,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    Channel(String),
    Version(String),
    Digest(String),
}

impl Selector {
    /// `Err`: what is wrong, for people.
    pub fn parse(text: &str) -> Result<Selector, String> {
        let (name, pick) = if let Some((name, pick)) = text.split_once('@') {
            (name, Pick::parse(pick)?)
        } else if let Some((name, channel)) = text.split_once('#') {
            if !is_channel_name(channel) {
                return Err(format!("{channel:?} is no channel name: {CHANNEL_RULE}"));
            }
            (name, Pick::Channel(channel.to_owned()))
        } else {
            (text, Pick::Channel(STABLE.to_owned()))
        };
        if !is_component_name(name) {
            return Err(format!(
                "{name:?} is no component name; write \"name\", \"name#channel\", \"name@1.2.3\" or \"name@sha256:…\""
            ));
        }
        Ok(Selector {
            name: name.to_owned(),
            pick,
        })
    }
}

impl Pick {
    /// A version or `sha256:<digest>`.
    pub fn parse(text: &str) -> Result<Pick, String> {
        if let Some(digest) = text.strip_prefix("sha256:") {
            return if is_digest(digest) {
                Ok(Pick::Digest(digest.to_owned()))
            } else {
                Err(format!(
                    "{digest:?} is no sha256: it has 64 lower-case hex digits"
                ))
            };
        }
        match semver::Version::parse(text) {
            Ok(version) => Ok(Pick::Version(version.to_string())),
            Err(error) => Err(format!(
                "{text:?} is no version ({error}), and does not begin with \"sha256:\""
            )),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pick {
            Pick::Channel(channel) => write!(f, "{}#{channel}", self.name),
            Pick::Version(version) => write!(f, "{}@{version}", self.name),
            Pick::Digest(digest) => write!(f, "{}@sha256:{digest}", self.name),
        }
    }
}

pub const CHANNEL_RULE: &str = "1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit";

pub fn is_channel_name(text: &str) -> bool {
    is_name(text, 32)
}

/// As manifests have them: `[a-z][a-z0-9-]{0,62}`.
pub fn is_component_name(text: &str) -> bool {
    is_name(text, 63) && !text.contains('_') && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// 1 to 64 of `a-z`, `0-9`, `_` and `-`, beginning with a letter or digit.
pub fn is_definition_name(text: &str) -> bool {
    is_name(text, 64)
}

fn is_name(text: &str, longest: usize) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= longest
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'_' || b == b'-')
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_reads_back_what_it_prints_and_stable_is_meant_by_default() {
        let digest = format!("a@sha256:{}", "0f".repeat(32));
        for text in [
            "a#stable",
            "create-droplet#next",
            "a@0.1.0",
            "a@1.0.0-rc.1+x",
            digest.as_str(),
        ] {
            assert_eq!(Selector::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Selector::parse("a"), Selector::parse("a#stable"));
    }

    #[test]
    fn a_text_that_names_no_component_is_refused() {
        for text in [
            "",
            "A",
            "a b",
            "a@",
            "a@1",
            "a@latest",
            "a#",
            "a#No",
            "a@sha256:12",
            "@1.0.0",
            "a#b@1.0.0",
        ] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}
