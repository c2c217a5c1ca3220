//! Compiled code on disk, sealed: what is not exactly what this host wrote is never loaded.
//!
//! One file for each component: a seal, then the code. The seal is an HMAC-SHA256 under the data folder's secret key over the
//! file's name and all of its content; the name is another over the component's digest and everything that the engine's code
//! depends on (its version, its configuration, the processor). So a file that was changed, cut off, renamed, or written by
//! somebody else or by another version is either never looked at or found out. It is read into memory whole, and checked and
//! used there: what happens to the file meanwhile makes no difference.
//!
//! Losing it costs time and nothing else: it is written without waiting for the disk, and what fails here is said in the log.

use std::{
    fs,
    hash::{Hash as _, Hasher},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::{fs::OFlags, process::geteuid};
use sha2::Sha256;
use wasmtime::Engine;

use super::Code;
use crate::step::{CacheOptions, limits::MAX_CODE_BYTES};

const SEAL_BYTES: usize = 32;
/// Names and seals of another layout of the files are others.
const NAME: &[u8] = b"arcadia compiled code 1: name";
const SEAL: &[u8] = b"arcadia compiled code 1: seal";
/// What a crash left half written.
const UNFINISHED: &str = "tmp";
const UNFINISHED_AFTER: Duration = Duration::from_secs(3_600);

pub(in crate::step) struct CodeCache {
    options: CacheOptions,
    engine: EngineId,
}

/// Everything that the engine's code depends on, for hashing.
struct EngineId(Vec<u8>);

/// Why a file is not used.
enum Unused {
    Missing,
    /// Not what this host wrote.
    Foreign(&'static str),
    Unreadable(io::Error),
}

impl From<io::Error> for Unused {
    fn from(error: io::Error) -> Unused {
        match error.kind() {
            io::ErrorKind::NotFound => Unused::Missing,
            _ => Unused::Unreadable(error),
        }
    }
}

impl CodeCache {
    /// Makes the folder, and room in it. An error: code can't be kept there, or not safely.
    pub(in crate::step) fn open(options: CacheOptions, engine: &Engine) -> io::Result<CodeCache> {
        let folder = &options.folder;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let found = fs::symlink_metadata(folder)?;
        if !found.is_dir() || !is_ours_alone(&found) {
            return Err(io::Error::other("it is not this user's alone (mode 700)"));
        }
        let cache = CodeCache {
            engine: EngineId::of(engine),
            options,
        };
        cache.make_room(None);
        Ok(cache)
    }

    /// Reads, checks and unpacks. What is found to be foreign is deleted.
    pub(in crate::step) fn get(&self, digest: &str) -> Option<Code> {
        let name = self.name(digest);
        let file = self.options.folder.join(&name);
        match self.read(&name, &file) {
            Ok(code) => Some(code),
            Err(Unused::Missing) => None,
            Err(Unused::Foreign(reason)) => {
                tracing::warn!(
                    file = %file.display(),
                    digest,
                    "a file of compiled code is not as this host wrote it ({reason}); it is deleted, and the component compiled again"
                );
                self.remove(&file);
                None
            }
            Err(Unused::Unreadable(error)) => {
                tracing::warn!(file = %file.display(), digest, %error, "compiled code can't be read; the component is compiled again");
                None
            }
        }
    }

    /// The engine did not take it.
    pub(in crate::step) fn forget(&self, digest: &str) {
        self.remove(&self.options.folder.join(self.name(digest)));
    }

    /// After a crash in here the code is kept or not; half of it is never used.
    pub(in crate::step) fn put(&self, digest: &str, code: &Code) {
        let name = self.name(digest);
        if (SEAL_BYTES + code.len()) as u64 > self.options.max_bytes {
            return;
        }
        if let Err(error) = self.write(&name, code) {
            tracing::warn!(
                folder = %self.options.folder.display(), digest, %error,
                "compiled code can't be kept; the component is compiled again at the next start"
            );
        }
        self.make_room(Some(&name));
    }

    fn read(&self, name: &str, file: &Path) -> Result<Code, Unused> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut opened = fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(file)?;
        let found = opened.metadata()?;
        if !found.is_file() || !is_ours_alone(&found) {
            return Err(Unused::Foreign("others can write it"));
        }
        let mut seal = [0; SEAL_BYTES];
        let mut packed = Vec::new();
        if let Err(error) = opened.read_exact(&mut seal) {
            return Err(match error.kind() {
                io::ErrorKind::UnexpectedEof => Unused::Foreign("it is cut off"),
                _ => Unused::Unreadable(error),
            });
        }
        // One byte more than there can be, so that a longer file fails its seal.
        (&mut opened)
            .take(MAX_CODE_BYTES as u64 + 1)
            .read_to_end(&mut packed)?;
        let sealed = self.sealing(name, &packed).verify_slice(&seal);
        if sealed.is_err() {
            return Err(Unused::Foreign("its seal is wrong"));
        }
        // Only the order in which files make room hangs on it.
        let _ = opened.set_modified(SystemTime::now());
        Code::unpack(packed).ok_or(Unused::Foreign("it is no code"))
    }

    fn write(&self, name: &str, code: &Code) -> io::Result<()> {
        let seal = self.sealing(name, code.packed()).finalize().into_bytes();
        let random: u64 = rand::random();
        let unfinished = self
            .options
            .folder
            .join(format!("{name}.{random:016x}.{UNFINISHED}"));
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut file| {
                file.write_all(&seal)?;
                file.write_all(code.packed())
            })
            .and_then(|()| fs::rename(&unfinished, self.options.folder.join(name)));
        if written.is_err() {
            self.remove(&unfinished);
        }
        written
    }

    /// What was not used for longest goes until the rest fits; never `newest`.
    fn make_room(&self, newest: Option<&str>) {
        match self.files() {
            Ok(mut files) => {
                files.sort_by_key(|file| file.used);
                let mut sum: u64 = files.iter().map(|file| file.bytes).sum();
                for file in files {
                    if sum <= self.options.max_bytes {
                        break;
                    }
                    if newest.is_none_or(|newest| !file.path.ends_with(newest)) {
                        self.remove(&file.path);
                        sum -= file.bytes;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(folder = %self.options.folder.display(), %error, "compiled code can't be counted");
            }
        }
    }

    /// Files of code; removes on the way what has been unfinished for long.
    fn files(&self) -> io::Result<Vec<Kept>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.options.folder)? {
            let entry = entry?;
            let Ok(found) = entry.metadata() else { continue };
            let (path, used) = (entry.path(), found.modified()?);
            if path.extension().is_none_or(|extension| extension != UNFINISHED) {
                files.push(Kept {
                    path,
                    bytes: found.len(),
                    used,
                });
            } else if used.elapsed().is_ok_and(|age| age > UNFINISHED_AFTER) {
                self.remove(&path);
            }
        }
        Ok(files)
    }

    fn remove(&self, file: &Path) {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %file.display(), %error, "a file of compiled code can't be removed");
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn name(&self, digest: &str) -> String {
        let mut mac = self.mac(NAME);
        mac.update(digest.as_bytes());
        mac.update(&self.engine.0);
        data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
    }

    fn sealing(&self, name: &str, packed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac(SEAL);
        mac.update(name.as_bytes());
        mac.update(packed);
        mac
    }

    fn mac(&self, what: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.options.key.bytes()).expect("HMAC takes keys of any length");
        mac.update(what);
        mac
    }
}

struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Nobody else may have written it, or may read what belongs to this host.
fn is_ours_alone(found: &fs::Metadata) -> bool {
    found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0
}

impl EngineId {
    fn of(engine: &Engine) -> EngineId {
        let mut id = EngineId(Vec::new());
        engine.precompile_compatibility_hash().hash(&mut id);
        id
    }
}

/// Takes down what a hasher would be fed.
impl Hasher for EngineId {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
