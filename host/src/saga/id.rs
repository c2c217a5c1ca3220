//! Names of things: sagas, hosts, and what a step puts on the resources that it creates.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A UUIDv7: its first 48 bits are a clock, so ids sort by age; never build an identity from those digits alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SagaId(pub Uuid);

impl SagaId {
    /// Eight hex digits of the random part, for people: not unique, never adopted or deleted by.
    pub fn saga8(self) -> String {
        let hex = self.0.simple().to_string();
        hex[24..].to_owned()
    }

    /// `arcadia-saga-<saga8>`: which saga made a resource, for people.
    pub fn saga_tag(self) -> String {
        format!("{SAGA_TAG_PREFIX}{}", self.saga8())
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SagaId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(SagaId)
    }
}

/// Beginning of every saga tag.
pub const SAGA_TAG_PREFIX: &str = "arcadia-saga-";
/// Beginning of every resource tag.
pub const RESOURCE_TAG_PREFIX: &str = "arcadia-r-";
/// On everything that any installation of Arcadia made.
pub const OWNER_TAG: &str = "managed-by-arcadia-cloud";

/// True for tags that only the host and its steps may put on a resource; compared ignoring case, as the provider does.
pub fn is_reserved_tag(tag: &str) -> bool {
    let tag = tag.to_ascii_lowercase();
    tag == OWNER_TAG || tag.starts_with("arcadia-")
}

/// What a step puts on what it creates, and adopts and deletes by: the same for both phases of (saga, step), different for
/// every other step of every other saga of every installation. 42 characters of `[a-z0-9-]`, beginning with a letter.
pub fn resource_tag(installation: Uuid, saga: SagaId, step: &str) -> String {
    let hash = hash_of(&[
        b"resource-tag",
        installation.as_bytes(),
        saga.0.as_bytes(),
        step.to_lowercase().as_bytes(),
    ]);
    format!(
        "{RESOURCE_TAG_PREFIX}{}",
        BASE32_NOPAD.encode(&hash[..20]).to_ascii_lowercase()
    )
}

/// SHA-256 over length-prefixed parts, so that no two lists of parts collide.
pub fn hash_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// SHA-256 of bytes as 64 lower-case hex digits: the identity of components and plans.
pub fn sha256_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_tag_is_a_legal_tag_and_label_and_ignores_the_case_of_the_step() {
        let installation = Uuid::from_u128(7);
        let saga = SagaId(Uuid::from_u128(9));
        let tag = resource_tag(installation, saga, "create-Web-1");
        assert_eq!(tag, resource_tag(installation, saga, "CREATE-web-1"));
        assert_eq!(tag.len(), 42);
        assert!(
            tag.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        );
        assert_ne!(tag, resource_tag(installation, saga, "create-web-2"));
        assert_ne!(tag, resource_tag(Uuid::from_u128(8), saga, "create-web-1"));
        assert_ne!(
            tag,
            resource_tag(installation, SagaId(Uuid::from_u128(10)), "create-web-1")
        );
    }

    #[test]
    fn the_short_id_comes_from_random_bits() {
        let first = SagaId(Uuid::parse_str("01939f3e-0000-7aaa-8bbb-ccccdddddddd").unwrap());
        assert_eq!(first.saga_tag(), "arcadia-saga-dddddddd");
    }
}
