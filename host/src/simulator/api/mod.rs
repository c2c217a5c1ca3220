//! The provider's endpoints as one function from (world, call) to an answer. No sockets, no waiting, no clock.

mod account;
mod actions;
mod droplets;
mod page;
mod route;
mod snapshots;
mod tags;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    catalogue,
    options::{LinkOrigin, Rules, Token},
    refusal::Refusal,
    world::{Effect, Twist, World},
};
use page::Pages;
pub(super) use route::Route;

/// A request that may have its effect now.
pub(super) struct Call<'a> {
    /// The journal's number of the request.
    pub(super) seq: u64,
    pub(super) route: &'a Route,
    pub(super) path: &'a str,
    pub(super) query: &'a BTreeMap<String, String>,
    /// The `host` header.
    pub(super) host: &'a str,
    pub(super) body: &'a [u8],
    pub(super) token: &'a Token,
    pub(super) twist: &'a Twist,
    pub(super) now_ms: u64,
}

/// What the provider answers, and what the request changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// None: an empty body.
    pub(super) body: Option<Value>,
    pub(super) effects: Vec<Effect>,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self {
            status: 200,
            body: Some(body),
            effects: Vec::new(),
        }
    }

    fn changed(status: u16, body: Value, effects: Vec<Effect>) -> Self {
        Self {
            status,
            body: Some(body),
            effects,
        }
    }

    fn no_content(effects: Vec<Effect>) -> Self {
        Self {
            status: 204,
            body: None,
            effects,
        }
    }
}

type Outcome = Result<Answer, Refusal>;

/// Carries out a call.
///
/// # Errors
/// What the provider refuses; nothing has changed then.
pub(super) fn answer(world: &mut World, call: &Call<'_>) -> Outcome {
    world.settle(call.now_ms);
    match call.route {
        Route::Account => account::show(world),
        Route::ListKeys => account::list_keys(world, call),
        Route::CreateKey => account::create_key(world, call),
        Route::GetKey(key) => account::show_key(world, key),
        Route::RenameKey(key) => account::rename_key(world, call, key),
        Route::DeleteKey(key) => account::delete_key(world, key),
        Route::ListActions => actions::list(world, call, None),
        Route::GetAction(action) => actions::show(world, *action),
        Route::ListDroplets => droplets::list(world, call),
        Route::CreateDroplets => droplets::create(world, call),
        Route::DeleteDropletsByTag => droplets::delete_by_tag(world, call),
        Route::GetDroplet(droplet) => droplets::show(world, call, *droplet),
        Route::DeleteDroplet(droplet) => droplets::delete(world, call, *droplet),
        Route::ListDropletActions(droplet) => actions::list(world, call, Some(*droplet)),
        Route::StartAction(droplet) => actions::start(world, call, *droplet),
        Route::StartActionsByTag => actions::start_by_tag(world, call),
        Route::GetDropletAction { droplet, action } => {
            actions::show_of_droplet(world, call, *droplet, *action)
        }
        Route::ListDropletSnapshots(droplet) => snapshots::list_of_droplet(world, call, *droplet),
        Route::ListDropletBackups(droplet) => snapshots::list_backups(world, call, *droplet),
        Route::ListAssociated(droplet) => snapshots::list_associated(world, call, *droplet),
        Route::ListImages => snapshots::list_images(world, call),
        Route::GetImage(image) => snapshots::show_image(world, call, image),
        Route::RenameImage(image) => snapshots::rename_image(world, call, image),
        Route::DeleteImage(image) => snapshots::delete(world, call, image),
        Route::ListRegions => Ok(list_regions(world, call)),
        Route::ListSizes => Ok(list_sizes(world, call)),
        Route::ListSnapshots => snapshots::list(world, call),
        Route::GetSnapshot(snapshot) => snapshots::show(world, call, snapshot),
        Route::DeleteSnapshot(snapshot) => snapshots::delete(world, call, snapshot),
        Route::ListTags => Ok(tags::list(world, call)),
        Route::CreateTag => tags::create(world, call),
        Route::GetTag(tag) => tags::show(world, call, tag),
        Route::DeleteTag(tag) => tags::delete(world, tag),
        Route::TagResources(tag) => tags::tag_resources(world, call, tag),
        Route::UntagResources(tag) => tags::untag_resources(world, call, tag),
    }
}

impl Call<'_> {
    /// Scopes that the token lacks for this call, those that follow from the body included.
    pub(super) fn lacks_scope(&self) -> bool {
        let route_scopes = self.route.scopes().iter().copied();
        route_scopes
            .chain(self.scopes_of_body())
            .any(|scope| !self.token.allows(scope))
    }

    fn scopes_of_body(&self) -> Vec<&'static str> {
        let body = serde_json::from_slice(self.body).unwrap_or(Value::Null);
        let filled = |field: &str| body[field].as_array().is_some_and(|items| !items.is_empty());
        let mut scopes = Vec::new();
        match self.route {
            Route::CreateDroplets => {
                scopes.extend(filled("tags").then_some("tag:create"));
                scopes.extend(filled("ssh_keys").then_some("ssh_key:read"));
                scopes.extend(filled("volumes").then_some("block_storage:read"));
                scopes.extend(body["vpc_uuid"].is_string().then_some("vpc:read"));
            }
            Route::StartAction(_) | Route::StartActionsByTag if body["type"] == "snapshot" => {
                scopes.push("image:create")
            }
            _ => {}
        }
        scopes
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let value = self.value()?;
        serde_json::from_value(value).map_err(|error| Refusal::unprocessable(error.to_string()))
    }

    fn value(&self) -> Result<Value, Refusal> {
        let unreadable = |_| Refusal::bad_request("the request body is not valid JSON");
        serde_json::from_slice(self.body).map_err(unreadable)
    }

    fn pages(&self, world: &World, key: &'static str, items: Vec<Value>) -> Answer {
        let pages = Pages {
            key,
            path: self.path,
            query: self.query,
            links: world.rules.links,
            origin: self.origin(&world.rules),
            listing: self.twist.listing,
        };
        Answer::ok(pages.cut(items))
    }

    /// Scheme and host of the URLs in the answer.
    fn origin(&self, rules: &Rules) -> String {
        match &rules.link_origin {
            LinkOrigin::Own => format!("http://{}", self.host),
            LinkOrigin::At(origin) => origin.clone(),
        }
    }
}

fn list_regions(world: &World, call: &Call<'_>) -> Answer {
    let closed = &world.rules.unavailable_regions;
    let items = catalogue::REGIONS.iter().map(|region| {
        let available = !closed.iter().any(|slug| slug == region.slug);
        region.json(available)
    });
    call.pages(world, "regions", items.collect())
}

fn list_sizes(world: &World, call: &Call<'_>) -> Answer {
    let items = catalogue::SIZES.iter().map(catalogue::Size::json);
    call.pages(world, "sizes", items.collect())
}

/// The links of a create's answer.
fn action_link(world: &World, call: &Call<'_>, action: i64) -> Value {
    let origin = call.origin(&world.rules);
    json!({"id": action, "rel": "create", "href": format!("{origin}/v2/actions/{action}")})
}
