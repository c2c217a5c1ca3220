//! `inventory`: rows of `cloud_resources` and `cloud_provisioned`, buffered and committed like context writes.

use serde_json::Value;

use crate::saga::{CloudResource, InventoryWrite, Json, ResourceKey};

use super::{
    Unsaved,
    bindings::arcadia::step::inventory::{self, Host, InventoryError},
    limits::{MAX_INVENTORY_READS, MAX_INVENTORY_WRITES, MAX_MESSAGE_BYTES, is_code, tidy},
    state::{CallState, GuestState},
};

const MAX_TEXT_BYTES: usize = 512;
const MAX_TAGS: usize = 256;

impl Host for GuestState {
    fn upsert(
        &mut self,
        entry: inventory::CloudResource,
    ) -> wasmtime::Result<Result<String, InventoryError>> {
        let call = self.enter("inventory.upsert")?;
        Ok(call.upsert(entry))
    }

    async fn get(
        &mut self,
        provider: String,
        kind: String,
        provider_id: String,
    ) -> wasmtime::Result<Result<Option<inventory::CloudResource>, InventoryError>> {
        let call = self.enter("inventory.get")?;
        let key = match call.key(provider, kind, provider_id) {
            Ok(key) => key,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(row) = call.rows.get(&key) {
            return Ok(Ok(Some(row_of(row.clone()))));
        }
        if call.used.inventory_reads >= MAX_INVENTORY_READS {
            return Ok(Err(InventoryError::TooMany));
        }
        call.used.inventory_reads += 1;
        let host = call.host.clone();
        let bare = ResourceKey {
            account: String::new(),
            ..key
        };
        let found = call
            .ask("inventory.get", async move { host.resource(bare).await })
            .await?;
        Ok(match found {
            Ok(row) => Ok(row.map(row_of)),
            Err(Unsaved::Fenced) => {
                call.fenced = true;
                Err(InventoryError::Fenced)
            }
            Err(Unsaved::Unavailable(why)) => {
                call.starved = true;
                Err(InventoryError::Unavailable(why))
            }
            Err(Unsaved::Rejected(why)) => Err(InventoryError::Unavailable(why)),
        })
    }

    fn mark_deleted(
        &mut self,
        provider: String,
        kind: String,
        provider_id: String,
    ) -> wasmtime::Result<Result<(), InventoryError>> {
        let call = self.enter("inventory.mark-deleted")?;
        Ok(call.key(provider, kind, provider_id).and_then(|key| {
            let bytes = key_bytes(&key);
            call.push(InventoryWrite::MarkDeleted(key), bytes)
        }))
    }

    fn record_provisioned(
        &mut self,
        resource_id: String,
        spec: String,
    ) -> wasmtime::Result<Result<(), InventoryError>> {
        let call = self.enter("inventory.record-provisioned")?;
        Ok(resource_id_of(resource_id).and_then(|resource_id| {
            let spec = flat_object(&spec)?;
            let bytes = resource_id.len() + spec.as_str().len();
            call.push(InventoryWrite::RecordProvisioned { resource_id, spec }, bytes)
        }))
    }

    fn withdraw_provisioned(&mut self, resource_id: String) -> wasmtime::Result<Result<(), InventoryError>> {
        let call = self.enter("inventory.withdraw-provisioned")?;
        Ok(resource_id_of(resource_id).and_then(|resource_id| {
            let bytes = resource_id.len();
            call.push(InventoryWrite::WithdrawProvisioned { resource_id }, bytes)
        }))
    }

    fn report(
        &mut self,
        code: String,
        provider: String,
        kind: String,
        provider_id: String,
        message: String,
    ) -> wasmtime::Result<Result<(), InventoryError>> {
        let call = self.enter("inventory.report")?;
        Ok(call.key(provider, kind, provider_id).and_then(|resource| {
            if !is_code(&code) {
                return Err(invalid("code", "[a-z0-9_.-]{1,64}"));
            }
            let message = tidy(message, MAX_MESSAGE_BYTES);
            let bytes = key_bytes(&resource) + code.len() + message.len();
            call.push(
                InventoryWrite::Report {
                    code,
                    resource,
                    message,
                },
                bytes,
            )
        }))
    }
}

impl CallState {
    fn upsert(&mut self, entry: inventory::CloudResource) -> Result<String, InventoryError> {
        let row = CloudResource {
            key: self.key(entry.provider, entry.kind, entry.provider_id)?,
            name: optional_text("name", entry.name)?,
            region: optional_text("region", entry.region)?,
            status: text("status", entry.status)?,
            public_ip: optional_text("public-ip", entry.public_ip)?,
            tags: tags(entry.tags)?,
            raw: Json::parse(&entry.raw).map_err(|error| InventoryError::Invalid(format!("raw: {error}")))?,
        };
        let bytes = key_bytes(&row.key)
            + row.raw.as_str().len()
            + row.tags.iter().map(String::len).sum::<usize>()
            + 4 * MAX_TEXT_BYTES;
        let resource_id = row.key.resource_id();
        self.push(InventoryWrite::Upsert(row.clone()), bytes)?;
        self.rows.insert(row.key.clone(), row);
        Ok(resource_id)
    }

    /// With the account behind the provider's service.
    fn key(
        &self,
        provider: String,
        kind: String,
        provider_id: String,
    ) -> Result<ResourceKey, InventoryError> {
        let provider = text("provider", provider)?;
        Ok(ResourceKey {
            account: self.host.account(&provider),
            provider,
            kind: text("kind", kind)?,
            provider_id: text("provider-id", provider_id)?,
        })
    }

    fn push(&mut self, write: InventoryWrite, bytes: usize) -> Result<(), InventoryError> {
        if self.fenced {
            return Err(InventoryError::Fenced);
        }
        if self.used.inventory_writes >= MAX_INVENTORY_WRITES || !self.used.write_bytes(bytes) {
            return Err(InventoryError::TooMany);
        }
        self.used.inventory_writes += 1;
        self.writes.inventory.push(write);
        Ok(())
    }
}

fn key_bytes(key: &ResourceKey) -> usize {
    key.provider.len() + key.kind.len() + key.provider_id.len()
}

fn invalid(field: &str, expected: &str) -> InventoryError {
    InventoryError::Invalid(format!("{field}: expected {expected}"))
}

fn text(field: &str, value: String) -> Result<String, InventoryError> {
    if value.is_empty() || value.len() > MAX_TEXT_BYTES || value.contains('\0') {
        return Err(invalid(field, "1 to 512 bytes without U+0000"));
    }
    Ok(value)
}

/// An empty text counts as none.
fn optional_text(field: &str, value: Option<String>) -> Result<Option<String>, InventoryError> {
    value
        .filter(|value| !value.is_empty())
        .map(|value| text(field, value))
        .transpose()
}

fn tags(tags: Vec<String>) -> Result<Vec<String>, InventoryError> {
    if tags.len() > MAX_TAGS {
        return Err(invalid("tags", "at most 256 of them"));
    }
    tags.into_iter().map(|tag| text("tags", tag)).collect()
}

fn resource_id_of(resource_id: String) -> Result<String, InventoryError> {
    let hex = resource_id.strip_prefix("res-").unwrap_or_default();
    if hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(resource_id)
    } else {
        Err(invalid("resource-id", "an id that upsert returned"))
    }
}

fn flat_object(spec: &str) -> Result<Json, InventoryError> {
    let json = Json::parse(spec).map_err(|error| InventoryError::Invalid(format!("spec: {error}")))?;
    match json.to_value() {
        Value::Object(fields)
            if fields
                .values()
                .all(|value| !value.is_object() && !value.is_array()) =>
        {
            Ok(json)
        }
        _ => Err(invalid("spec", "a flat object of field and expected value")),
    }
}

fn row_of(row: CloudResource) -> inventory::CloudResource {
    inventory::CloudResource {
        provider: row.key.provider,
        kind: row.key.kind,
        provider_id: row.key.provider_id,
        name: row.name,
        region: row.region,
        status: row.status,
        public_ip: row.public_ip,
        tags: row.tags,
        raw: row.raw.as_str().to_owned(),
    }
}
