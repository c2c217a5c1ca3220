//! Compiled code: native code as the engine takes it, and what else takes long to find out about a component.

use wasmtime::{Engine, component::Component};

use crate::step::limits::MAX_WIT_BYTES;

/// Comes from a compiling process of this host, or from the cache once its seal was found whole; from nowhere else.
pub(in crate::step) struct Code {
    /// Length of the WIT text in four bytes, little end first; that text; the engine's code.
    bytes: Vec<u8>,
    wit_end: usize,
}

const PREFIX_BYTES: usize = 4;
/// In the place of a length: there is no WIT.
const NO_WIT: u32 = u32::MAX;

impl Code {
    pub(super) fn pack(wit: Option<&str>, native: &[u8]) -> Vec<u8> {
        let wit = wit.filter(|wit| wit.len() <= MAX_WIT_BYTES);
        let length = wit.map_or(NO_WIT, |wit| wit.len() as u32);
        [&length.to_le_bytes(), wit.unwrap_or_default().as_bytes(), native].concat()
    }

    /// `bytes`: as [`pack`](Code::pack) made them **in a process of this host**. `None`: they are no such thing.
    pub(super) fn unpack(bytes: Vec<u8>) -> Option<Code> {
        let (prefix, rest) = bytes.split_first_chunk::<PREFIX_BYTES>()?;
        let length = match u32::from_le_bytes(*prefix) {
            NO_WIT => 0,
            length => usize::try_from(length).ok()?,
        };
        std::str::from_utf8(rest.get(..length)?).ok()?;
        Some(Code {
            wit_end: PREFIX_BYTES + length,
            bytes,
        })
    }

    pub(super) fn packed(&self) -> &[u8] {
        &self.bytes
    }

    pub(in crate::step) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(in crate::step) fn wit(&self) -> Option<&str> {
        if self.bytes.starts_with(&NO_WIT.to_le_bytes()) {
            return None;
        }
        std::str::from_utf8(&self.bytes[PREFIX_BYTES..self.wit_end]).ok()
    }

    /// An error: code for another version or configuration of the engine, or for another processor.
    #[expect(
        unsafe_code,
        reason = "the engine takes native code only so; this is the one place"
    )]
    pub(in crate::step) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the engine must be given only what `Engine::precompile_component` made. `Code` has two sources: the output
        // of this host's own compiling process, and a cache file whose HMAC under this host's secret key, over name and
        // whole content, was checked on these very bytes in memory. The engine itself checks version and configuration.
        unsafe { Component::deserialize(engine, &self.bytes[self.wit_end..]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_unpacked_and_less_is_nothing() {
        for wit in [None, Some(""), Some("world α;")] {
            let code = Code::unpack(Code::pack(wit, b"native")).unwrap();
            assert_eq!((code.wit(), &code.bytes[code.wit_end..]), (wit, &b"native"[..]));
        }
        let packed = Code::pack(Some("world α;"), b"");
        for length in 0..packed.len() {
            assert!(Code::unpack(packed[..length].to_vec()).is_none(), "{length}");
        }
    }

    #[test]
    fn a_wit_text_over_the_limit_is_left_out() {
        let code = Code::unpack(Code::pack(Some(&"x".repeat(MAX_WIT_BYTES + 1)), b"native")).unwrap();
        assert_eq!(code.wit(), None);
    }
}
