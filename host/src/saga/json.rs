//! One JSON text as the step contract defines it (`types.json`): RFC 8259, UTF-8, at most 256 KiB, no U+0000 in
//! strings, no duplicate keys.
//!
//! The text is kept as it came: nothing is reordered or reformatted between a guest, the database and a reader.

use std::{collections::HashSet, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Largest JSON text that is kept, in bytes.
pub const MAX_JSON_BYTES: usize = 256 * 1024;

/// Cheap to clone; always a text that passed [`Json::parse`] or that was made from a value that cannot break its rules.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("{bytes} bytes of JSON are more than the limit of {MAX_JSON_BYTES}")]
    TooLarge { bytes: usize },
    #[error("not a JSON text: {0}")]
    Invalid(String),
}

impl Json {
    /// Checks the whole text, so that everything that holds a `Json` can rely on it.
    pub fn parse(text: &str) -> Result<Json, JsonError> {
        if text.len() > MAX_JSON_BYTES {
            return Err(JsonError::TooLarge { bytes: text.len() });
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Strict
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| JsonError::Invalid(error.to_string()))?;
        Ok(Json(Arc::from(text)))
    }

    /// From a value of our own making. Its size is not checked: use it for what the host composes, not for what a guest sent.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Json {
        Json(Arc::from(
            serde_json::to_string(value).expect("values of our own making have string keys"),
        ))
    }

    /// From a text that was checked when it was stored.
    pub fn trusted(text: impl Into<Arc<str>>) -> Json {
        Json(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or(serde_json::Value::Null)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Json::parse(raw.get()).map_err(D::Error::custom)
    }
}

/// Walks a text and keeps nothing: only whether it obeys the rules that serde_json alone would let pass.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn no_nul<E: serde::de::Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') {
        Err(E::custom("a string holds U+0000"))
    } else {
        Ok(())
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        no_nul(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Strict)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            no_nul(&key)?;
            if seen.contains(&key) {
                entries.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom(format!("duplicate key {key:?}")));
            }
            seen.insert(key);
            entries.next_value_seed(Strict)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_breaks_a_rule_is_refused_with_the_reason() {
        for (text, reason) in [
            (r#"{"a":1,"a":2}"#, "duplicate key"),
            (r#"{"a":{"b":[{"c":1,"c":1}]}}"#, "duplicate key"),
            ("\"a\\u0000b\"", "U+0000"),
            ("{} {}", "trailing"),
            ("", "EOF"),
            ("NaN", "expected"),
        ] {
            let error = Json::parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let long = format!("\"{}\"", "x".repeat(MAX_JSON_BYTES));
        assert_eq!(
            Json::parse(&long),
            Err(JsonError::TooLarge {
                bytes: MAX_JSON_BYTES + 2
            })
        );
    }

    #[test]
    fn a_text_is_kept_as_it_came() {
        let text = r#"{ "b": 1.50, "a": [true, null, "é"] }"#;
        let json = Json::parse(text).unwrap();
        assert_eq!(json.as_str(), text);
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
        assert_eq!(serde_json::from_str::<Json>(text).unwrap(), json);
    }
}
