//! Options of a runtime in a test: it compiles with the binary under test, and what it compiled is there for all tests, now
//! and in later runs.

use std::path::Path;

use arcadia::step::{CacheKey, CacheOptions, CompilerOptions, RuntimeOptions, limits::CODE_CACHE_BYTES};

pub fn options() -> RuntimeOptions {
    RuntimeOptions {
        cache: Some(cache(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("code"))),
        ..uncached()
    }
}

pub fn uncached() -> RuntimeOptions {
    RuntimeOptions {
        compiler: CompilerOptions {
            program: env!("CARGO_BIN_EXE_arcadia").into(),
            ..CompilerOptions::default()
        },
        ..RuntimeOptions::default()
    }
}

pub fn cache(folder: &Path) -> CacheOptions {
    CacheOptions {
        folder: folder.to_owned(),
        key: CacheKey::new([7; 32]),
        max_bytes: CODE_CACHE_BYTES,
    }
}
