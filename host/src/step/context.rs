//! `context`: reads see the call's own writes; writes wait for the call's end or a checkpoint.

use crate::saga::{Json, JsonError, MAX_JSON_BYTES, Writes};

use super::{
    Unsaved,
    bindings::arcadia::step::context::{ContextError, Host},
    limits::{MAX_CONTEXT_WRITES, MAX_WRITE_BYTES, is_key},
    state::{CallState, GuestState},
};

/// Readable in every scope, never writable.
const INPUTS_KEY: &str = "__inputs__";

impl Host for GuestState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        let call = self.enter("context.get")?;
        let value = if key == INPUTS_KEY {
            Some(&call.inputs)
        } else {
            call.context.get(&key)
        };
        Ok(value.map(|json| json.as_str().to_owned()))
    }

    fn keys(&mut self) -> wasmtime::Result<Vec<String>> {
        let call = self.enter("context.keys")?;
        Ok(std::iter::once(INPUTS_KEY.to_owned())
            .chain(call.context.keys().filter(|key| *key != INPUTS_KEY).cloned())
            .collect())
    }

    fn set(&mut self, key: String, value: String) -> wasmtime::Result<Result<(), ContextError>> {
        let call = self.enter("context.set")?;
        Ok(call.set(key, &value))
    }

    fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), ContextError>> {
        let call = self.enter("context.remove")?;
        Ok(call.may_write(&key, 0).map(|()| {
            call.context.remove(&key);
            call.writes.context.insert(key, None);
        }))
    }

    async fn checkpoint(&mut self) -> wasmtime::Result<Result<(), ContextError>> {
        let call = self.enter("context.checkpoint")?;
        if call.fenced {
            return Ok(Err(ContextError::Fenced));
        }
        if call.writes.is_empty() {
            return Ok(Ok(()));
        }
        let (host, writes) = (call.host.clone(), call.writes.clone());
        let saved = call
            .ask("context.checkpoint", async move { host.checkpoint(writes).await })
            .await?;
        Ok(match saved {
            Ok(()) => {
                call.writes = Writes::default();
                Ok(())
            }
            Err(Unsaved::Fenced) => {
                call.fenced = true;
                Err(ContextError::Fenced)
            }
            Err(Unsaved::Unavailable(why)) => {
                call.starved = true;
                Err(ContextError::Unavailable(why))
            }
            Err(Unsaved::Rejected(why)) => Err(ContextError::Unavailable(why)),
        })
    }
}

impl CallState {
    fn set(&mut self, key: String, value: &str) -> Result<(), ContextError> {
        let json = Json::parse(value).map_err(|error| match error {
            JsonError::TooLarge { .. } => ContextError::TooLarge(MAX_JSON_BYTES as u32),
            JsonError::Invalid(why) => ContextError::InvalidJson(why),
        })?;
        self.may_write(&key, value.len())?;
        self.context.insert(key.clone(), json.clone());
        self.writes.context.insert(key, Some(json));
        Ok(())
    }

    fn may_write(&mut self, key: &str, bytes: usize) -> Result<(), ContextError> {
        if self.fenced {
            return Err(ContextError::Fenced);
        }
        if !is_key(key) {
            return Err(ContextError::InvalidKey(
                "a key is [A-Za-z0-9_.-]{1,128}".to_owned(),
            ));
        }
        if key.starts_with("__") || !self.writable.iter().any(|writable| writable == key) {
            return Err(ContextError::Denied(format!(
                "{key} is not among the keys that the manifest declares to write (context.writes)"
            )));
        }
        if self.used.context_writes >= MAX_CONTEXT_WRITES {
            return Err(ContextError::Other(format!(
                "more than {MAX_CONTEXT_WRITES} context writes in one call"
            )));
        }
        if !self.used.write_bytes(key.len() + bytes) {
            return Err(ContextError::TooLarge(MAX_WRITE_BYTES as u32));
        }
        self.used.context_writes += 1;
        Ok(())
    }
}
