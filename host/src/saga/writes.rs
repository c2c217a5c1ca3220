//! What a call of a step asks the host to keep: context keys, inventory rows, findings. Buffered during the call, made
//! durable together with its outcome or at a checkpoint, in the order in which the guest made them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Json;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes {
    /// Key to its new value in the step's scope; `None` removes it.
    pub context: BTreeMap<String, Option<Json>>,
    pub inventory: Vec<InventoryWrite>,
}

impl Writes {
    pub fn is_empty(&self) -> bool {
        self.context.is_empty() && self.inventory.is_empty()
    }
}

/// Which thing in which account. Provider ids are only unique within one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceKey {
    pub provider: String,
    /// The id of the account behind the service's credential; empty where it can't be told.
    pub account: String,
    pub kind: String,
    pub provider_id: String,
}

impl ResourceKey {
    /// The key that the same thing had while its account couldn't be told; none when this is that one.
    pub fn without_account(&self) -> Option<ResourceKey> {
        (!self.account.is_empty()).then(|| ResourceKey {
            account: String::new(),
            ..self.clone()
        })
    }

    /// The resource's id: the same for the same key, for ever.
    pub fn resource_id(&self) -> String {
        let hash = super::id::hash_of(&[
            b"resource",
            self.provider.as_bytes(),
            self.account.as_bytes(),
            self.kind.as_bytes(),
            self.provider_id.as_bytes(),
        ]);
        format!("res-{}", data_encoding::HEXLOWER.encode(&hash[..16]))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventoryWrite {
    Upsert(CloudResource),
    /// The thing is confirmed gone. No such row: nothing happens.
    MarkDeleted(ResourceKey),
    /// A flat object of field => expected value; a changed one is the next spec version; the same step recording twice
    /// records once.
    RecordProvisioned {
        resource_id: String,
        spec: Json,
    },
    /// Take back the spec version that this step recorded.
    WithdrawProvisioned {
        resource_id: String,
    },
    /// A finding of this saga and step; the same (code, resource) again is the same finding.
    Report {
        code: String,
        resource: ResourceKey,
        message: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudResource {
    pub key: ResourceKey,
    pub name: Option<String>,
    pub region: Option<String>,
    pub status: String,
    pub public_ip: Option<String>,
    pub tags: Vec<String>,
    /// The provider's own object.
    pub raw: Json,
}
