//! The provider: droplets, actions and snapshots.

use serde_json::{Value, json};

/// A droplet with the times from which on each kind of answer shows it.
#[derive(Clone, Debug)]
pub struct Droplet {
    pub id: i64,
    pub name: String,
    pub tags: Vec<String>,
    pub created_ms: u64,
    pub tags_shown_ms: u64,
    pub listed_ms: u64,
    pub readable_ms: u64,
    pub active_ms: Option<u64>,
    pub gone_ms: Option<u64>,
    pub create_action_id: i64,
    pub has_public_ip: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Action {
    id: i64,
    kind: &'static str,
    droplet_id: i64,
    ends_ms: Option<u64>,
    errors: bool,
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub id: i64,
    pub name: String,
    pub listed_ms: u64,
    pub is_gone: bool,
}

/// How it behaves; change what a test is about.
#[derive(Clone, Debug)]
pub struct FakeCloud {
    pub now_ms: u64,
    pub tag_lag_ms: u64,
    pub list_lag_ms: u64,
    pub read_lag_ms: u64,
    /// None: never active.
    pub activation_ms: Option<u64>,
    /// A droplet isn't placed: it vanishes after so long, and its create action errors.
    pub placement_fails_ms: Option<u64>,
    /// None: a delete is accepted and forgotten (once).
    pub delete_ms: Option<u64>,
    pub snapshot_ms: u64,
    pub snapshot_errors: bool,
    pub snapshot_list_lag_ms: u64,
    pub snapshots_per_request: usize,
    pub public_ip: bool,
    pub per_page: usize,
    pub droplets: Vec<Droplet>,
    pub snapshots: Vec<Snapshot>,
    actions: Vec<Action>,
    last_id: i64,
}

impl Default for FakeCloud {
    fn default() -> FakeCloud {
        FakeCloud {
            now_ms: 0,
            tag_lag_ms: 0,
            list_lag_ms: 0,
            read_lag_ms: 0,
            activation_ms: Some(20_000),
            placement_fails_ms: None,
            delete_ms: Some(3_000),
            snapshot_ms: 30_000,
            snapshot_errors: false,
            snapshot_list_lag_ms: 0,
            snapshots_per_request: 1,
            public_ip: true,
            per_page: 200,
            droplets: Vec::new(),
            snapshots: Vec::new(),
            actions: Vec::new(),
            // Above what fits into 32 bits.
            last_id: 5_000_000_000,
        }
    }
}

type Answer = (u16, Value);

fn not_found() -> Answer {
    (
        404,
        json!({"id": "not_found", "message": "The resource you were accessing could not be found."}),
    )
}

impl FakeCloud {
    pub fn is_there(&self, id: i64) -> bool {
        self.droplets
            .iter()
            .any(|droplet| droplet.id == id && self.exists(droplet))
    }

    /// Ids of the droplets that exist now.
    pub fn ids(&self) -> Vec<i64> {
        self.droplets
            .iter()
            .filter(|droplet| self.exists(droplet))
            .map(|droplet| droplet.id)
            .collect()
    }

    pub fn live_snapshots(&self) -> Vec<String> {
        self.snapshots
            .iter()
            .filter(|one| !one.is_gone)
            .map(|one| one.id.to_string())
            .collect()
    }

    /// A droplet that somebody made; it shows everywhere at once.
    pub fn add(&mut self, name: &str, tags: &[&str]) -> i64 {
        let (lags, fails) = (
            (self.tag_lag_ms, self.list_lag_ms, self.read_lag_ms),
            self.placement_fails_ms.take(),
        );
        (self.tag_lag_ms, self.list_lag_ms, self.read_lag_ms) = (0, 0, 0);
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let id = self.make(name.to_owned(), tags);
        (self.tag_lag_ms, self.list_lag_ms, self.read_lag_ms) = lags;
        self.placement_fails_ms = fails;
        id
    }

    pub fn add_snapshot(&mut self, name: &str) -> i64 {
        let id = self.next_id();
        self.snapshots.push(Snapshot {
            id,
            name: name.to_owned(),
            listed_ms: 0,
            is_gone: false,
        });
        id
    }

    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    fn exists(&self, droplet: &Droplet) -> bool {
        droplet.gone_ms.is_none_or(|gone_ms| gone_ms > self.now_ms)
    }

    fn make(&mut self, name: String, tags: Vec<String>) -> i64 {
        let (id, create_action_id, now_ms) = (self.next_id(), self.next_id(), self.now_ms);
        let fails_ms = self.placement_fails_ms.map(|after_ms| now_ms + after_ms);
        let active_ms = self
            .activation_ms
            .filter(|_| fails_ms.is_none())
            .map(|after_ms| now_ms + after_ms);
        self.droplets.push(Droplet {
            id,
            name,
            tags,
            created_ms: now_ms,
            tags_shown_ms: now_ms + self.tag_lag_ms,
            listed_ms: now_ms + self.list_lag_ms,
            readable_ms: now_ms + self.read_lag_ms,
            active_ms,
            gone_ms: fails_ms,
            create_action_id,
            has_public_ip: self.public_ip,
        });
        let ends_ms = fails_ms.or(active_ms);
        self.actions.push(Action {
            id: create_action_id,
            kind: "create",
            droplet_id: id,
            ends_ms,
            errors: fails_ms.is_some(),
        });
        id
    }

    pub(crate) fn handle(
        &mut self,
        method: &str,
        path: &str,
        query: &[(String, String)],
        body: &Value,
    ) -> Answer {
        let parts: Vec<&str> = path.trim_start_matches("/v2/").split('/').collect();
        let id = parts
            .get(1)
            .and_then(|part| part.parse::<i64>().ok())
            .unwrap_or(0);
        match (method, parts.as_slice()) {
            ("POST", ["droplets"]) => self.create(body),
            ("GET", ["droplets"]) => self.list_droplets(path, query),
            ("GET", ["droplets", _]) => match self.readable(id) {
                Some(droplet) => (200, json!({ "droplet": self.show(droplet) })),
                None => not_found(),
            },
            ("DELETE", ["droplets", _]) => self.delete(id),
            ("GET", ["droplets", _, "actions"]) => self.list_actions(id, path, query),
            ("POST", ["droplets", _, "actions"]) => self.snapshot(id, body),
            ("GET", ["actions", _]) => match self.actions.iter().find(|action| action.id == id) {
                Some(action) => (200, json!({ "action": self.show_action(action) })),
                None => not_found(),
            },
            ("GET", ["snapshots"]) => self.list_snapshots(path, query),
            ("DELETE", ["snapshots", _]) => {
                match self.snapshots.iter_mut().find(|one| one.id == id && !one.is_gone) {
                    Some(snapshot) => {
                        snapshot.is_gone = true;
                        (204, Value::Null)
                    }
                    None => not_found(),
                }
            }
            _ => panic!("the steps shouldn't send {method} {path}"),
        }
    }

    /// `POST /v2/droplets` with this body.
    pub fn create(&mut self, body: &Value) -> (u16, Value) {
        let texts = |field: &str| {
            let items = body.get(field).and_then(Value::as_array).into_iter().flatten();
            items
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let name = body["name"].as_str().expect("a create has a name").to_owned();
        let id = self.make(name, texts("tags"));
        let droplet = self.droplets.last().expect("just made");
        let action =
            json!({"id": droplet.create_action_id, "rel": "create", "href": "https://provider/v2/actions/1"});
        let mut shown = self.show(droplet);
        shown["networks"] = json!({"v4": [], "v6": []});
        assert_eq!(shown["id"], id);
        (202, json!({"droplet": shown, "links": {"actions": [action]}}))
    }

    fn delete(&mut self, id: i64) -> Answer {
        let (now_ms, delete_ms) = (self.now_ms, self.delete_ms);
        if self.readable(id).is_none_or(|droplet| droplet.gone_ms.is_some()) {
            return not_found();
        }
        let droplet = self
            .droplets
            .iter_mut()
            .find(|droplet| droplet.id == id)
            .expect("readable");
        match delete_ms {
            Some(delete_ms) => droplet.gone_ms = droplet.gone_ms.or(Some(now_ms + delete_ms)),
            None => self.delete_ms = Some(3_000),
        }
        (204, Value::Null)
    }

    fn snapshot(&mut self, droplet_id: i64, body: &Value) -> Answer {
        if self.readable(droplet_id).is_none() {
            return not_found();
        }
        let busy = |action: &Action| action.droplet_id == droplet_id && self.is_running(action);
        if self.actions.iter().any(busy) {
            let message = "Droplet already has a pending event.";
            return (422, json!({"id": "unprocessable_entity", "message": message}));
        }
        let name = body["name"].as_str().expect("a snapshot has a name").to_owned();
        let (action_id, ends_ms) = (self.next_id(), self.now_ms + self.snapshot_ms);
        self.actions.push(Action {
            id: action_id,
            kind: "snapshot",
            droplet_id,
            ends_ms: Some(ends_ms),
            errors: self.snapshot_errors,
        });
        if !self.snapshot_errors {
            for _ in 0..self.snapshots_per_request {
                let id = self.next_id();
                let listed_ms = ends_ms + self.snapshot_list_lag_ms;
                self.snapshots.push(Snapshot {
                    id,
                    name: name.clone(),
                    listed_ms,
                    is_gone: false,
                });
            }
        }
        (
            201,
            json!({ "action": self.show_action(self.actions.last().expect("just pushed")) }),
        )
    }

    fn readable(&self, id: i64) -> Option<&Droplet> {
        self.droplets
            .iter()
            .find(|droplet| droplet.id == id && self.exists(droplet) && droplet.readable_ms <= self.now_ms)
    }

    fn is_running(&self, action: &Action) -> bool {
        action.ends_ms.is_none_or(|ends_ms| ends_ms > self.now_ms)
    }

    fn list_droplets(&self, path: &str, query: &[(String, String)]) -> Answer {
        let value = |name: &str| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let listed = self
            .droplets
            .iter()
            .filter(|droplet| self.exists(droplet) && droplet.listed_ms <= self.now_ms);
        let tagged = |droplet: &&Droplet| match value("tag_name") {
            Some(tag) => droplet.tags_shown_ms <= self.now_ms && droplet.tags.iter().any(|own| own == tag),
            None => true,
        };
        let named =
            |droplet: &&Droplet| value("name").is_none_or(|name| droplet.name.eq_ignore_ascii_case(name));
        let items = listed
            .filter(tagged)
            .filter(named)
            .map(|droplet| self.show(droplet))
            .collect();
        self.page(path, query, "droplets", items)
    }

    fn list_actions(&self, id: i64, path: &str, query: &[(String, String)]) -> Answer {
        if self.readable(id).is_none() {
            return not_found();
        }
        let own = self.actions.iter().filter(|action| action.droplet_id == id);
        self.page(
            path,
            query,
            "actions",
            own.map(|action| self.show_action(action)).collect(),
        )
    }

    fn list_snapshots(&self, path: &str, query: &[(String, String)]) -> Answer {
        let listed = self
            .snapshots
            .iter()
            .filter(|one| !one.is_gone && one.listed_ms <= self.now_ms);
        let show = |one: &Snapshot| json!({"id": one.id.to_string(), "name": one.name, "regions": ["fra1"], "resource_type": "droplet", "tags": null});
        self.page(path, query, "snapshots", listed.map(show).collect())
    }

    /// One page; the address of the next one points to a host that must never be asked.
    fn page(&self, path: &str, query: &[(String, String)], field: &str, items: Vec<Value>) -> Answer {
        let number = |name: &str| query.iter().find(|(key, _)| key == name)?.1.parse::<usize>().ok();
        let page = number("page").unwrap_or(1);
        let per_page = number("per_page").unwrap_or(20).min(self.per_page);
        let total = items.len();
        let shown: Vec<Value> = items
            .into_iter()
            .skip((page - 1) * per_page)
            .take(per_page)
            .collect();
        let links = if page * per_page < total {
            json!({"pages": {"next": format!("https://elsewhere.example{path}?page={}&per_page={per_page}", page + 1)}})
        } else {
            json!({})
        };
        (
            200,
            json!({field: shown, "links": links, "meta": {"total": total}}),
        )
    }

    fn show(&self, droplet: &Droplet) -> Value {
        let is_active = droplet
            .active_ms
            .is_some_and(|active_ms| active_ms <= self.now_ms);
        let mut networks = vec![];
        if is_active {
            networks.push(json!({"ip_address": "10.0.0.2", "type": "private", "gateway": "nil"}));
        }
        if is_active && droplet.has_public_ip {
            networks.push(json!({"ip_address": "203.0.113.7", "type": "public", "gateway": "203.0.113.1"}));
        }
        let tags: &[String] = if droplet.tags_shown_ms <= self.now_ms {
            &droplet.tags
        } else {
            &[]
        };
        json!({
            "id": droplet.id,
            "name": droplet.name,
            "status": if is_active { "active" } else { "new" },
            "tags": tags,
            "region": {"slug": "fra1"},
            "size_slug": "s-1vcpu-1gb",
            "image": {"id": 7, "slug": "debian-12-x64"},
            "networks": {"v4": networks, "v6": []},
        })
    }

    fn show_action(&self, action: &Action) -> Value {
        let status = match (self.is_running(action), action.errors) {
            (true, _) => "in-progress",
            (false, true) => "errored",
            (false, false) => "completed",
        };
        json!({"id": action.id, "status": status, "type": action.kind, "resource_id": action.droplet_id, "completed_at": null})
    }
}
