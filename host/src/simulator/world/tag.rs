//! Tag names: which ones exist, and in which spelling. The first spelling is the one that stays.

use std::collections::BTreeMap;

/// At most this many characters in a tag.
const MAX_TAG_CHARS: usize = 255;

/// Lower-cased name to canonical spelling.
#[derive(Debug, Default)]
pub(in crate::simulator) struct TagIndex(BTreeMap<String, String>);

impl TagIndex {
    /// The canonical spelling of a tag, which exists from now on.
    pub(in crate::simulator) fn intern(&mut self, name: &str) -> String {
        let key = name.to_ascii_lowercase();
        self.0.entry(key).or_insert_with(|| name.into()).clone()
    }

    pub(in crate::simulator) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// Forgets a tag and says how it was spelled.
    pub(in crate::simulator) fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(&name.to_ascii_lowercase())
    }

    pub(in crate::simulator) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }
}

/// Letters, digits, `_`, `-` and `:` only.
pub(in crate::simulator) fn is_valid(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte);
    !name.is_empty() && name.len() <= MAX_TAG_CHARS && name.bytes().all(allowed)
}
