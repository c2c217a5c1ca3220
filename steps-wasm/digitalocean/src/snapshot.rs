//! Snapshots: one thing with two kinds of id (text in one listing, a number in another); text here.

use serde_json::Value;

use crate::field;

#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub id: String,
    pub name: String,
    pub regions: Vec<String>,
    pub tags: Vec<String>,
    /// The object itself, as JSON.
    pub raw: String,
}

impl Snapshot {
    /// None without a readable id.
    pub fn read(raw: &Value) -> Option<Snapshot> {
        let id = match raw.get("id")? {
            Value::String(id) if !id.is_empty() => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => return None,
        };
        Some(Snapshot {
            id,
            name: field::text(raw, "name").unwrap_or_default(),
            regions: field::texts(raw, "regions").unwrap_or_default(),
            tags: field::texts(raw, "tags").unwrap_or_default(),
            raw: raw.to_string(),
        })
    }
}
