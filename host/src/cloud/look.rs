//! What a provider has under our tags: one listing for everybody who waits for something to show up.
//!
//! Only the service `digitalocean` can be looked at. A look is several reads and proves an absence only when all of them were
//! answered: one that fails fails the whole. It takes from the rate budget as a step's `run` does, after compensation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use serde_json::Value;

use super::{
    DIGITALOCEAN, FetchError, Grant, Identity, IntentRefused, Journal, Outgoing, Response, Services,
};
use crate::saga::{Answer, Intent, JournalRecord, Phase, SagaId, StepIndex, id::OWNER_TAG};

pub const DROPLET: &str = "droplet";
pub const SNAPSHOT: &str = "snapshot";
/// Where droplets are created: what is created elsewhere may be a snapshot.
const DROPLETS: &str = "/v2/droplets";
const SNAPSHOTS: &str = "/v2/snapshots";
/// More pages than this are a mistake of the other side.
const MAX_PAGES: u32 = 1_000;
/// More different names than this are not asked for: each is a request of its own, and tags are what counts.
const MAX_NAMES: usize = 20;

/// What to look for besides everything that carries our shared tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Exact names of droplets, which may not carry their tags yet.
    pub names: BTreeSet<String>,
    pub snapshots: bool,
}

impl Wanted {
    /// Adds what a request to this path may have made.
    pub fn add(&mut self, path: &str, name: Option<&str>) {
        if path == DROPLETS {
            self.names.extend(name.map(str::to_owned));
        } else {
            self.snapshots = true;
        }
    }
}

/// A thing as the provider lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub kind: &'static str,
    pub id: String,
    pub name: String,
    /// Empty as well when the credential may not see tags.
    pub tags: Vec<String>,
    pub created_ms: Option<i64>,
}

impl Seen {
    /// Whether it is marked with this resource tag: by the tag, or a snapshot by the end of its name.
    pub fn carries(&self, tag: &str) -> bool {
        let in_name = || {
            let name = self.name.to_ascii_lowercase();
            self.kind == SNAPSHOT && name.ends_with(&tag.to_ascii_lowercase())
        };
        self.tags.iter().any(|own| own.eq_ignore_ascii_case(tag)) || in_name()
    }
}

#[derive(Debug, Clone)]
pub struct Sighting {
    /// Whose things these are.
    pub identity: Arc<Identity>,
    pub seen: Vec<Seen>,
}

#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("there is no service {0:?} that can be looked at")]
    Unknown(String),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("GET {path} is answered {status}")]
    Refused { path: String, status: u16 },
    #[error("GET {path} is answered with {what}")]
    Unreadable { path: String, what: &'static str },
    #[error("the account behind the service changed meanwhile")]
    AccountChanged,
}

/// Whether what a service has can be looked at.
pub fn is_lookable(service: &str) -> bool {
    service == DIGITALOCEAN
}

impl Services {
    /// `wall_ms`: Unix milliseconds. After an error nothing is known; looking again later may work.
    pub async fn look(&self, service: &str, wanted: &Wanted, wall_ms: i64) -> Result<Sighting, LookError> {
        let identity = match self.identity(service, wall_ms).await? {
            Some(identity) if is_lookable(service) => identity,
            Some(_) | None => return Err(LookError::Unknown(service.to_owned())),
        };
        let look = Look {
            services: self,
            service,
            wall_ms,
        };
        let mut seen = BTreeMap::new();
        let mut keep = |kind: &'static str, items: Vec<Value>, path: &str| {
            for item in items {
                let thing = read(kind, &item).ok_or_else(|| LookError::Unreadable {
                    path: path.to_owned(),
                    what: "an item without an id",
                })?;
                seen.insert((kind, thing.id.clone()), thing);
            }
            Ok::<(), LookError>(())
        };
        let tagged = look.all(DROPLETS, "droplets", &[("tag_name", OWNER_TAG)]).await?;
        keep(DROPLET, tagged, DROPLETS)?;
        if wanted.names.len() > MAX_NAMES {
            tracing::debug!(
                names = wanted.names.len(),
                "too many names to look for; looking by tag only"
            );
        } else {
            for name in &wanted.names {
                let named = look.all(DROPLETS, "droplets", &[("name", name)]).await?;
                keep(DROPLET, named, DROPLETS)?;
            }
        }
        if wanted.snapshots {
            let snapshots = look
                .all(SNAPSHOTS, "snapshots", &[("resource_type", "droplet")])
                .await?;
            keep(SNAPSHOT, snapshots, SNAPSHOTS)?;
        }
        if self.known_identity(service).as_deref() != Some(&*identity) {
            return Err(LookError::AccountChanged);
        }
        Ok(Sighting {
            identity,
            seen: seen.into_values().collect(),
        })
    }

    /// Whether a thing that was listed is there when it is asked for by its id: listings lag behind.
    pub async fn is_there(&self, service: &str, thing: &Seen, wall_ms: i64) -> Result<bool, LookError> {
        let parent = if thing.kind == SNAPSHOT {
            SNAPSHOTS
        } else {
            DROPLETS
        };
        let path = format!("{parent}/{}", thing.id);
        let look = Look {
            services: self,
            service,
            wall_ms,
        };
        let response = look.get(&path, Vec::new()).await?;
        match response.status {
            200 => Ok(true),
            404 => Ok(false),
            status => Err(LookError::Refused { path, status }),
        }
    }
}

struct Look<'a> {
    services: &'a Services,
    service: &'a str,
    wall_ms: i64,
}

impl Look<'_> {
    /// Every item of every page. Pages are counted: the address of the next one points to the provider's host and is not followed.
    async fn all(&self, path: &str, items: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, LookError> {
        let unreadable = |what: &'static str| LookError::Unreadable {
            path: path.to_owned(),
            what,
        };
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let mut pairs: Vec<(String, String)> = query
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            pairs.push(("per_page".to_owned(), "200".to_owned()));
            pairs.push(("page".to_owned(), page.to_string()));
            let response = self.get(path, pairs).await?;
            match response.status {
                200 => {}
                // A tag that nothing ever had may not exist.
                404 if page == 1 => return Ok(all),
                status => {
                    return Err(LookError::Refused {
                        path: path.to_owned(),
                        status,
                    });
                }
            }
            let mut body: Value = serde_json::from_slice(&response.body)
                .map_err(|_| unreadable("something that isn't JSON"))?;
            match body.get_mut(items).map(Value::take) {
                Some(Value::Array(listed)) => all.extend(listed),
                Some(_) | None => return Err(unreadable("a listing without its items")),
            }
            let next = body.pointer("/links/pages/next").and_then(Value::as_str);
            if next.is_none_or(str::is_empty) {
                return Ok(all);
            }
        }
        Err(unreadable("too many pages"))
    }

    async fn get(&self, path: &str, query: Vec<(String, String)>) -> Result<Response, FetchError> {
        let grant = Grant {
            service: self.service.to_owned(),
            methods: vec!["GET".to_owned()],
            path_prefixes: vec![DROPLETS.to_owned(), SNAPSHOTS.to_owned()],
        };
        let request = Outgoing {
            service: self.service.to_owned(),
            method: "GET".to_owned(),
            path: path.to_owned(),
            query,
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
            max_age_ms: None,
            once: None,
        };
        let reader = Arc::new(Reader {
            wall_ms: self.wall_ms,
        });
        self.services.fetch(&[grant], reader, request).await
    }
}

/// None without a readable id: a number in one listing, a text in another.
fn read(kind: &'static str, item: &Value) -> Option<Seen> {
    let id = match item.get("id")? {
        Value::String(id) if !id.is_empty() => id.clone(),
        Value::Number(id) => id.to_string(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
    let tags = item.get("tags").and_then(Value::as_array);
    Some(Seen {
        kind,
        id,
        name: text("name").to_owned(),
        tags: tags
            .into_iter()
            .flatten()
            .filter_map(|tag| tag.as_str().map(str::to_owned))
            .collect(),
        created_ms: text("created_at")
            .parse::<jiff::Timestamp>()
            .ok()
            .map(jiff::Timestamp::as_millisecond),
    })
}

/// Nothing of a saga: reads are not journaled, and anything else is refused.
struct Reader {
    wall_ms: i64,
}

#[async_trait]
impl Journal for Reader {
    fn now_ms(&self) -> i64 {
        self.wall_ms
    }

    fn owner(&self) -> (SagaId, StepIndex, Phase) {
        (SagaId(uuid::Uuid::nil()), 0, Phase::Run)
    }

    async fn admits(&self, _: &str, _: &Identity) -> Result<(), FetchError> {
        Ok(())
    }

    async fn intend(&self, _: Intent) -> Result<(), IntentRefused> {
        Err(IntentRefused::Unavailable("a look only reads".to_owned()))
    }

    async fn answer(&self, _: Answer) {}

    async fn latest(&self, _: Phase, _: &str) -> Result<Option<JournalRecord>, IntentRefused> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_droplet_is_ours_by_its_tag_and_a_snapshot_by_the_end_of_its_name_too() {
        let droplet = read(DROPLET, &json!({"id": 7, "name": "x-arcadia-r-k", "tags": null})).unwrap();
        assert!(!droplet.carries("arcadia-r-k"), "a droplet's name proves nothing");
        let tagged = read(DROPLET, &json!({"id": 7, "tags": ["Arcadia-R-K"]})).unwrap();
        assert!(tagged.carries("arcadia-r-k") && !tagged.carries("arcadia-r"));
        let snapshot = read(SNAPSHOT, &json!({"id": "9", "name": "nightly-arcadia-r-k"})).unwrap();
        assert!(snapshot.carries("arcadia-r-k") && !snapshot.carries("arcadia-r-l"));
        assert_eq!(read(DROPLET, &json!({"id": null})), None);
    }
}
