//! What is asked of the hosts, and how it may end.

use serde_json::{Value, json};

/// What a saga is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// A droplet.
    Keep,
    /// Its last step fails: the droplet is undone.
    Fail,
    /// A step beside the create fails while that is going on.
    Torn,
    /// Cancelled some time after it was accepted.
    Cancel,
    /// Of a droplet that nothing else is asked about.
    Snapshot {
        droplet: i64,
    },
    /// Its last step fails: the snapshot is undone.
    FailSnapshot {
        droplet: i64,
    },
    Destroy {
        droplet: i64,
    },
    /// One request that is sent at most once, and at once another one by whoever has its answer.
    Tag,
    /// Nothing in the cloud.
    Nothing,
}

/// One saga, asked for once, however often the request is sent.
#[derive(Debug, Clone)]
pub struct Order {
    pub number: usize,
    pub wish: Wish,
}

/// What is known of a saga's end beside its status.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub status: &'a str,
    /// A cancel was answered 200.
    pub cancelled: bool,
    /// A request was lost on its way, and nothing was ever made for it: that is told, and looked for.
    pub in_doubt: bool,
}

impl Order {
    pub fn key(&self) -> String {
        format!("order-{}", self.number)
    }

    /// Of what it makes, if it makes something with a name of its own.
    pub fn name(&self) -> String {
        format!("made-{}", self.number)
    }

    pub fn body(&self) -> Value {
        let quick = json!({ "poll_interval_ms": 100, "settle_ms": 1_500, "absence_recheck_ms": 100 });
        let wait = json!({ "poll_interval_ms": 100 });
        let droplet = json!({
            "droplet_name": self.name(), "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
            "droplet_image": "ubuntu-24-04-x64",
        });
        let of =
            |droplet: i64| json!({ "droplet_provider_id": droplet.to_string(), "snapshot_label": "nightly" });
        let failing = json!({ "permanent": { "code": "on-purpose", "message": "it fails" } });
        let scripted = |name: &str, run: Value| json!({ "name": name, "component": "scripted", "params": { "run": run } });
        let create = json!({ "name": "create", "component": "create-droplet", "params": quick });
        match self.wish {
            Wish::Keep | Wish::Cancel => json!({
                "definition": "provision_droplet", "inputs": droplet,
                "params": { "create": quick, "wait": wait, "register": quick },
            }),
            Wish::Fail => json!({ "kind": "test", "inputs": droplet, "steps": [
                create,
                { "name": "wait", "component": "wait-droplet-active", "params": wait },
                { "name": "register", "component": "register-droplet", "params": quick },
                scripted("fail", json!([failing])),
            ] }),
            Wish::Torn => {
                let wait = json!({ "again": { "after_ms": 100, "times": 2 } });
                let mut beside = scripted("fail", json!([wait, failing]));
                beside["after"] = json!([]);
                beside["scope"] = json!("beside");
                json!({ "kind": "test", "inputs": droplet, "steps": [create, beside] })
            }
            Wish::Snapshot { droplet } => json!({
                "definition": "snapshot_droplet", "params": { "snapshot": quick }, "inputs": of(droplet),
            }),
            Wish::FailSnapshot { droplet } => json!({ "kind": "test", "inputs": of(droplet), "steps": [
                { "name": "snapshot", "component": "create-droplet-snapshot", "params": quick },
                scripted("fail", json!([failing])),
            ] }),
            Wish::Destroy { droplet } => json!({
                "definition": "destroy_droplet", "params": { "destroy": quick },
                "inputs": { "droplet_provider_id": droplet.to_string() },
            }),
            Wish::Tag => {
                let post = json!({ "http": {
                    "service": "digitalocean", "method": "POST", "path": "/v2/tags", "body": { "name": self.name() },
                    "once": { "key": "tag", "refusals": [] }, "save": "answer",
                } });
                let get = json!({ "http": {
                    "service": "digitalocean", "method": "GET", "path": format!("/v2/tags/{}", self.name()),
                    "save": "recorded",
                } });
                json!({ "kind": "test", "steps": [scripted("tag", json!([post, get]))] })
            }
            Wish::Nothing => json!({ "kind": "test", "steps": [scripted("nothing", json!([]))] }),
        }
    }

    /// Whether the saga may have ended so.
    pub fn may_end(&self, end: End<'_>) -> bool {
        match (self.wish, end.status) {
            (Wish::Keep | Wish::Snapshot { .. }, "completed") => true,
            (Wish::Keep | Wish::Cancel | Wish::Snapshot { .. }, "compensated") => end.in_doubt,
            // A cancel whose answer was lost is asked for again, and may come too late for that.
            (Wish::Cancel, "cancelled") => true,
            // The cancel was refused: it came too late.
            (Wish::Cancel, "completed") => !end.cancelled,
            (Wish::Fail | Wish::Torn | Wish::FailSnapshot { .. }, "compensated") => true,
            (Wish::Destroy { .. } | Wish::Tag | Wish::Nothing, "completed") => true,
            (_, _) => false,
        }
    }
}
