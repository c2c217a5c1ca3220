//! `info`: facts about the call.

use crate::saga::id::hash_of;

use super::{
    bindings::arcadia::step::info::Host,
    limits::{LimitHit, MAX_RANDOM_BYTES},
    state::{CallState, GuestState},
};

impl Host for GuestState {
    fn inputs(&mut self) -> wasmtime::Result<String> {
        Ok(self.enter("info.inputs")?.inputs.as_str().to_owned())
    }

    fn params(&mut self) -> wasmtime::Result<String> {
        Ok(self.enter("info.params")?.params.as_str().to_owned())
    }

    fn output_of(&mut self, step: String) -> wasmtime::Result<Option<String>> {
        let call = self.enter("info.output-of")?;
        Ok(call
            .outputs
            .get(&step.to_ascii_lowercase())
            .map(|output| output.as_str().to_owned()))
    }

    fn cancel_requested(&mut self) -> wasmtime::Result<bool> {
        let call = self.enter("info.cancel-requested")?;
        Ok(!call.compensating && call.host.cancel_requested())
    }

    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        let now_ms = self.enter("info.now-ms")?.host.now_ms();
        Ok(u64::try_from(now_ms).unwrap_or(0))
    }

    fn random(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        let call = self.enter("info.random")?;
        if length > MAX_RANDOM_BYTES {
            return Err(wasmtime::Error::new(LimitHit::Random(length)));
        }
        Ok(random(call, length as usize))
    }

    fn get(&mut self, _name: String) -> wasmtime::Result<Option<String>> {
        self.enter("info.get")?;
        Ok(None)
    }
}

/// The nth bytes that a call asks for are the same in every attempt of the phase.
fn random(call: &mut CallState, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length.next_multiple_of(32));
    while bytes.len() < length {
        let block = call.used.random_blocks;
        call.used.random_blocks += 1;
        bytes.extend_from_slice(&hash_of(&[b"random", &call.seed, &block.to_be_bytes()]));
    }
    bytes.truncate(length);
    bytes
}
