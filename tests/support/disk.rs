//! A disk that can be put in trouble for one process and made well again: `disk.c`, preloaded into the host.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// How long a test waits until the host has met what is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is wrong with the disk; the words of `disk.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Full,
    ReadOnly,
    /// fsync fails, and what was not synced is gone.
    Lost,
    /// Reads fail.
    Broken,
}

pub struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// Builds the library with the machine's C compiler.
    pub fn new() -> Disk {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/support/disk.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(folder.path().join("disk.so"))
            .args([source, "-ldl", "-lpthread"])
            .output()
            .expect("a C compiler, cc, is needed for this test");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        Disk { folder }
    }

    /// Of the process that has this disk.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.folder.path().join("disk.so").into()),
            ("DISK_CONTROL", self.control().into()),
        ]
    }

    pub fn suffer(&self, trouble: Trouble) {
        let word = match trouble {
            Trouble::Full => "full",
            Trouble::ReadOnly => "readonly",
            Trouble::Lost => "lost",
            Trouble::Broken => "broken",
        };
        // By a rename: the host reads it at any moment.
        let next = self.folder.path().join("next");
        std::fs::write(&next, word).unwrap();
        std::fs::rename(next, self.control()).unwrap();
    }

    pub fn recover(&self) {
        std::fs::remove_file(self.control()).unwrap();
    }

    /// How often the process has met the trouble.
    pub fn met(&self) -> u64 {
        let path = self.folder.path().join("control.met");
        std::fs::metadata(path).map_or(0, |file| file.len())
    }

    pub async fn wait_met(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.met() == 0 {
            assert!(Instant::now() < deadline, "the host has not met the trouble");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }
}
