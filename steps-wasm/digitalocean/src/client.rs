//! The calls.

use serde_json::{Map, Value, json};

use crate::droplet::{Action, Droplet};
use crate::error::{Error, Refusal};
use crate::field;
use crate::paging::Listing;
use crate::snapshot::Snapshot;
use crate::transport::{Once, Request, Response, Transport};

const PER_PAGE: &str = "200";

pub struct Client<T> {
    transport: T,
}

/// What a create asks for. The region is always named: without one the provider takes any.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDroplet {
    pub name: String,
    pub region: String,
    pub size: String,
    /// A slug (text), or the id of a private image (a number).
    pub image: Value,
    pub tags: Vec<String>,
    /// Ids (numbers) or fingerprints (text).
    pub ssh_keys: Vec<Value>,
}

/// An accepted create: not yet a droplet that will live.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    pub droplet: Droplet,
    /// The action to ask whether placement failed; not every answer names it.
    pub create_action_id: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Accepted: the thing goes away in a while.
    Accepted,
    /// No such thing, as far as the API sees.
    NotFound,
}

impl<T: Transport> Client<T> {
    pub fn new(transport: T) -> Client<T> {
        Client { transport }
    }

    /// Every call makes one more droplet: the name means nothing to the provider. Any error but a refusal listed in `once` leaves
    /// open whether there is one.
    pub fn create_droplet(&self, droplet: &NewDroplet, once: Once) -> Result<Created, Error<T::Error>> {
        let mut body = Map::new();
        body.insert("name".into(), droplet.name.as_str().into());
        body.insert("region".into(), droplet.region.as_str().into());
        body.insert("size".into(), droplet.size.as_str().into());
        body.insert("image".into(), droplet.image.clone());
        body.insert("tags".into(), json!(droplet.tags));
        if !droplet.ssh_keys.is_empty() {
            body.insert("ssh_keys".into(), Value::Array(droplet.ssh_keys.clone()));
        }
        let mut request = Request::new("POST", "/v2/droplets".to_owned());
        request.body = Some(Value::Object(body).to_string());
        request.once = Some(once);
        read_created(&self.send(request)?)
    }

    /// None is a 404: gone, or not yet visible.
    pub fn get_droplet(&self, id: i64) -> Result<Option<Droplet>, Error<T::Error>> {
        self.find(format!("/v2/droplets/{id}"), |body| {
            Droplet::read(body.get("droplet")?)
        })
    }

    /// Every droplet under the tag; none when the tag is unknown.
    pub fn list_droplets_by_tag(
        &self,
        tag: &str,
        max_age_ms: Option<u32>,
    ) -> Result<Vec<Droplet>, Error<T::Error>> {
        self.list_droplets(("tag_name", tag), max_age_ms)
    }

    /// Every droplet of exactly this name, in whatever case.
    pub fn list_droplets_by_name(&self, name: &str) -> Result<Vec<Droplet>, Error<T::Error>> {
        self.list_droplets(("name", name), None)
    }

    fn list_droplets(
        &self,
        filter: (&str, &str),
        max_age_ms: Option<u32>,
    ) -> Result<Vec<Droplet>, Error<T::Error>> {
        let listing = Listing {
            path: "/v2/droplets",
            items: "droplets",
            parameters: &[filter, ("per_page", PER_PAGE)],
            max_age_ms,
        };
        let droplets = match self.list_paginated(&listing, Droplet::read) {
            Err(Error::Refused(refusal)) if refusal.status == 404 => Vec::new(),
            other => other?,
        };
        Ok(ordered(droplets, |droplet| droplet.id))
    }

    pub fn destroy_droplet(&self, id: i64) -> Result<Deletion, Error<T::Error>> {
        self.delete(format!("/v2/droplets/{id}"))
    }

    /// None is a 404.
    pub fn get_action(&self, id: i64) -> Result<Option<Action>, Error<T::Error>> {
        self.find(format!("/v2/actions/{id}"), |body| {
            Action::read(body.get("action")?)
        })
    }

    /// None when there is no such droplet (any more).
    pub fn list_droplet_actions(&self, id: i64) -> Result<Option<Vec<Action>>, Error<T::Error>> {
        let path = format!("/v2/droplets/{id}/actions");
        let listing = Listing {
            path: &path,
            items: "actions",
            parameters: &[("per_page", PER_PAGE)],
            max_age_ms: None,
        };
        match self.list_paginated(&listing, Action::read) {
            Err(Error::Refused(refusal)) if refusal.status == 404 => Ok(None),
            other => other.map(Some),
        }
    }

    /// Start a snapshot. The answer names the action, not the snapshot: find that by its name. Every call makes one more.
    pub fn snapshot_droplet(&self, id: i64, name: &str, once: Once) -> Result<Action, Error<T::Error>> {
        let mut request = Request::new("POST", format!("/v2/droplets/{id}/actions"));
        request.body = Some(json!({"type": "snapshot", "name": name}).to_string());
        request.once = Some(once);
        read_action(&self.send(request)?)
    }

    /// Every droplet snapshot of the account.
    pub fn list_snapshots(&self) -> Result<Vec<Snapshot>, Error<T::Error>> {
        let listing = Listing {
            path: "/v2/snapshots",
            items: "snapshots",
            parameters: &[("resource_type", "droplet"), ("per_page", PER_PAGE)],
            max_age_ms: None,
        };
        let snapshots = self.list_paginated(&listing, Snapshot::read)?;
        Ok(ordered(snapshots, |snapshot| {
            (snapshot.id.len(), snapshot.id.clone())
        }))
    }

    pub fn destroy_snapshot(&self, id: &str) -> Result<Deletion, Error<T::Error>> {
        self.delete(format!("/v2/snapshots/{id}"))
    }

    fn delete(&self, path: String) -> Result<Deletion, Error<T::Error>> {
        let response = self.send(Request::new("DELETE", path))?;
        match response.status {
            200..=299 => Ok(Deletion::Accepted),
            404 => Ok(Deletion::NotFound),
            _ => Err(Error::Refused(Refusal::read(&response))),
        }
    }

    fn find<V>(&self, path: String, read: fn(&Value) -> Option<V>) -> Result<Option<V>, Error<T::Error>> {
        match self.read_json(Request::new("GET", path)) {
            Ok((status, body)) => match read(&body) {
                Some(found) => Ok(Some(found)),
                None => Err(Error::Unreadable {
                    status,
                    what: "an answer without an id".to_owned(),
                }),
            },
            Err(Error::Refused(refusal)) if refusal.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn read_json(&self, request: Request) -> Result<(u16, Value), Error<T::Error>> {
        let response = self.send(request)?;
        body(&response).map(|body| (response.status, body))
    }

    fn send(&self, request: Request) -> Result<Response, Error<T::Error>> {
        self.transport.send(request).map_err(Error::Transport)
    }
}

/// Oldest id first, each once: an item that moved between pages is listed twice. By insertion, since the provider's order is
/// sorted as a rule, and since it is a tenth of the code of a general sort.
fn ordered<V, K: Ord>(listed: Vec<V>, key: impl Fn(&V) -> K) -> Vec<V> {
    let mut ordered = Vec::with_capacity(listed.len());
    for item in listed {
        if let Err(place) = ordered.binary_search_by_key(&key(&item), &key) {
            ordered.insert(place, item);
        }
    }
    ordered
}

fn body<E>(response: &Response) -> Result<Value, Error<E>> {
    if !(200..=299).contains(&response.status) {
        return Err(Error::Refused(Refusal::read(response)));
    }
    serde_json::from_slice(&response.body).map_err(|_| Error::Unreadable {
        status: response.status,
        what: "a body that isn't JSON".to_owned(),
    })
}

/// The answer to a create, fresh or from a journal.
pub fn read_created<E>(response: &Response) -> Result<Created, Error<E>> {
    let body = body(response)?;
    let droplet = body.get("droplet").and_then(Droplet::read);
    let droplet = droplet.ok_or_else(|| Error::Unreadable {
        status: response.status,
        what: "an accepted create without a droplet id".to_owned(),
    })?;
    let actions = body
        .get("links")
        .map_or(&[][..], |links| field::list(links, "actions"));
    let create = actions
        .iter()
        .find(|action| field::text(action, "rel").as_deref() == Some("create"));
    Ok(Created {
        droplet,
        create_action_id: create.and_then(|action| field::id(action, "id")),
    })
}

/// The answer to an action request, fresh or from a journal.
pub fn read_action<E>(response: &Response) -> Result<Action, Error<E>> {
    let body = body(response)?;
    body.get("action")
        .and_then(Action::read)
        .ok_or_else(|| Error::Unreadable {
            status: response.status,
            what: "an accepted action without an id".to_owned(),
        })
}
