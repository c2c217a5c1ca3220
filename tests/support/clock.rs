//! A machine's clock that can be set while a process runs: `clock.c`, preloaded into it.

use std::{ffi::OsString, fs::File, os::unix::fs::FileExt as _, path::PathBuf, process::Command};

pub struct MachineClock {
    folder: tempfile::TempDir,
    step: File,
}

impl MachineClock {
    /// Builds the library with the machine's C compiler. The clock is right.
    pub fn new() -> MachineClock {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/support/clock.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(folder.path().join("clock.so"))
            .args([source, "-ldl"])
            .output()
            .expect("a C compiler, cc, is needed for this test");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        let step = File::create(folder.path().join("step")).unwrap();
        let clock = MachineClock { folder, step };
        clock.set(0);
        clock
    }

    /// Of the process whose clock this is.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.file("clock.so").into()),
            ("CLOCK_STEP", self.file("step").into()),
        ]
    }

    /// From now on it is so far from the right time.
    pub fn set(&self, off_ms: i64) {
        self.step.write_all_at(&off_ms.to_ne_bytes(), 0).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
