//! Droplets and their actions as the API shows them.

use serde_json::Value;

use crate::field;

#[derive(Clone, Debug, PartialEq)]
pub struct Droplet {
    pub id: i64,
    pub name: String,
    /// `new`, `active`, `off`, `archive`, or something newer.
    pub status: String,
    pub region: Option<String>,
    pub size_slug: Option<String>,
    pub image_id: Option<i64>,
    /// None for snapshots and retired images.
    pub image_slug: Option<String>,
    pub public_ipv4: Option<String>,
    pub private_ipv4: Option<String>,
    /// None when the token may not see tags, which is not the same as having none.
    pub tags: Option<Vec<String>>,
    /// The object itself, as JSON.
    pub raw: String,
}

impl Droplet {
    /// None without a readable id.
    pub fn read(raw: &Value) -> Option<Droplet> {
        let image = raw.get("image").unwrap_or(&Value::Null);
        Some(Droplet {
            id: field::id(raw, "id")?,
            name: field::text(raw, "name").unwrap_or_default(),
            status: field::text(raw, "status").unwrap_or_default(),
            region: raw.get("region").and_then(|region| field::text(region, "slug")),
            size_slug: field::text(raw, "size_slug")
                .or_else(|| raw.get("size").and_then(|size| field::text(size, "slug"))),
            image_id: field::id(image, "id"),
            image_slug: field::text(image, "slug"),
            public_ipv4: address(raw, "public"),
            private_ipv4: address(raw, "private"),
            tags: field::texts(raw, "tags"),
            raw: raw.to_string(),
        })
    }

    /// Whether it is known to carry the tag. The provider keeps the first spelling of a tag, so case means nothing.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags
            .iter()
            .flatten()
            .any(|own| own.eq_ignore_ascii_case(tag))
    }
}

/// Addresses come in any order: the type decides, never the position.
fn address(raw: &Value, kind: &str) -> Option<String> {
    let networks = raw.get("networks")?;
    let entry = field::list(networks, "v4")
        .iter()
        .find(|v4| field::text(v4, "type").as_deref() == Some(kind))?;
    field::text(entry, "ip_address")
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionStatus {
    InProgress,
    Completed,
    Errored,
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub id: i64,
    /// `create`, `snapshot`, and so on.
    pub kind: String,
    /// Decide by this: a completed action may lack its time of completion.
    pub status: ActionStatus,
}

impl Action {
    /// None without a readable id.
    pub fn read(raw: &Value) -> Option<Action> {
        let status = match field::text(raw, "status").unwrap_or_default() {
            status if status == "in-progress" => ActionStatus::InProgress,
            status if status == "completed" => ActionStatus::Completed,
            status if status == "errored" => ActionStatus::Errored,
            status => ActionStatus::Unknown(status),
        };
        Some(Action {
            id: field::id(raw, "id")?,
            kind: field::text(raw, "type").unwrap_or_default(),
            status,
        })
    }
}
