//! The folder where a host keeps everything: the database, the admin token, compiled code, and where it listens.
//!
//! The folder is 0700 and the token's file 0600: who can read the token is the administrator. The `url` file exists while a
//! host runs; it is how a command without `--token` knows which folder belongs to the server that it talks to.

use std::{
    env, fmt, fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::failure::CliError;
use crate::engine::tokens::TokenText;

#[derive(Debug, Clone)]
pub struct DataFolder {
    path: PathBuf,
}

/// The admin token, and whether this start made it.
#[derive(Debug, Clone)]
pub struct AdminToken {
    pub text: TokenText,
    pub file: PathBuf,
    pub new: bool,
}

impl fmt::Display for AdminToken {
    /// Where it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = if self.new { " (made just now)" } else { "" };
        write!(f, "{}{made}", self.file.display())
    }
}

impl DataFolder {
    /// Opens the folder, making it (0700) when it is missing; an empty one is closed to others. One with something in it
    /// that others can enter is refused: it shall hold the token, and they may be there for a reason.
    pub fn open(path: &Path) -> Result<DataFolder, CliError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(CliError::writing(path))?;
        let path = path.canonicalize().map_err(CliError::reading(path))?;
        let mode = fs::metadata(&path)
            .map_err(CliError::reading(&path))?
            .permissions()
            .mode()
            & 0o777;
        let is_empty = fs::read_dir(&path)
            .map_err(CliError::reading(&path))?
            .next()
            .is_none();
        if mode & 0o077 != 0 && is_empty {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
                .map_err(CliError::writing(&path))?;
        } else if mode & 0o077 != 0 {
            return Err(CliError::usage(
                format!(
                    "the data folder {} is open to others (mode {mode:o})",
                    path.display()
                ),
                format!("close it: chmod 700 {}", path.display()),
            ));
        }
        Ok(DataFolder { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn database(&self) -> PathBuf {
        self.path.join("arcadia.db")
    }

    pub fn token_file(&self) -> PathBuf {
        self.path.join("token")
    }

    /// The token in the folder. An empty file is none.
    pub fn token(&self) -> Result<Option<TokenText>, CliError> {
        let file = self.token_file();
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(TokenText::known(&text)).filter(|token| !token.reveal().is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CliError::reading(&file)(error)),
        }
    }

    /// Puts a token into the folder, in the place of one that is there. Once this returns, it is on the disk; after a crash
    /// the file holds the old one or the new one.
    pub fn keep_token(&self, token: &TokenText) -> Result<(), CliError> {
        let file = self.token_file();
        self.keep_secret(&file, format!("{}\n", token.reveal()).as_bytes())
            .map_err(CliError::writing(&file))
    }

    /// Beside it first, then in its place.
    fn keep_secret(&self, file: &Path, secret: &[u8]) -> io::Result<()> {
        let new = file.with_extension("new");
        match fs::remove_file(&new) {
            // What a crash left: it may have other rights.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut writer = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        writer.write_all(secret)?;
        writer.sync_all()?;
        fs::rename(&new, file)?;
        fs::File::open(&self.path)?.sync_all()
    }

    /// Where compiled code is kept. All that is in there can be deleted while no host runs.
    pub fn code_cache(&self) -> PathBuf {
        self.path.join("cache").join("code")
    }

    /// The secret that seals compiled code. One that is missing, not whole, or open to others is made anew: code that was
    /// sealed with another one is compiled again.
    pub fn code_key(&self) -> io::Result<[u8; 32]> {
        let file = self.path.join("code-key");
        match read_secret(&file) {
            Ok(Some(key)) => return Ok(key),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let key: [u8; 32] = rand::random();
        self.keep_secret(&file, &key)?;
        Ok(key)
    }

    /// The token opens nothing.
    pub fn forget_token(&self) -> Result<(), CliError> {
        let file = self.token_file();
        fs::remove_file(&file).map_err(CliError::writing(&file))
    }

    /// Says where this folder's host listens.
    pub fn announce(&self, url: &str) -> Result<(), CliError> {
        let file = self.path.join("url");
        fs::write(&file, format!("{url}\n")).map_err(CliError::writing(&file))
    }

    /// The host has ended.
    pub fn withdraw(&self) -> Result<(), CliError> {
        let file = self.path.join("url");
        fs::remove_file(&file).map_err(CliError::writing(&file))
    }
}

/// `None`: it is no secret, or no whole one.
fn read_secret(file: &Path) -> io::Result<Option<[u8; 32]>> {
    let mut opened = fs::File::open(file)?;
    let closed = opened.metadata()?.permissions().mode() & 0o077 == 0;
    let mut bytes = Vec::new();
    (&mut opened).take(33).read_to_end(&mut bytes)?;
    Ok(<[u8; 32]>::try_from(bytes).ok().filter(|_| closed))
}

/// Where data folders are when nobody says: `$XDG_DATA_HOME/arcadia` or `~/.local/share/arcadia`.
pub fn home() -> PathBuf {
    let base = env::var_os("XDG_DATA_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    match base {
        Some(base) => base.join("arcadia"),
        None => PathBuf::from("arcadia-data"),
    }
}

/// The token's file of the host on this machine that says it listens at `url`.
pub fn token_file_of(url: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().find_map(|folder| {
        let listens_at = fs::read_to_string(folder.join("url")).ok()?;
        let file = folder.join("token");
        (listens_at.trim().trim_end_matches('/') == url.trim_end_matches('/') && file.exists())
            .then_some(file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folder_and_token_are_for_the_owner_alone_and_the_token_stays_until_another_takes_its_place() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&temporary.path().join("a/b")).unwrap();
        assert_eq!(folder.token().unwrap(), None);
        for random in [[1; 32], [2; 32]] {
            let token = TokenText::of(random);
            folder.keep_token(&token).unwrap();
            assert_eq!((mode(folder.path()), mode(&folder.token_file())), (0o700, 0o600));
            let again = DataFolder::open(folder.path()).unwrap();
            assert_eq!(again.token().unwrap(), Some(token));
        }
        assert!(!folder.path().join("token.new").exists());
    }

    #[test]
    fn the_key_of_compiled_code_stays_unless_it_is_broken_or_others_may_have_read_it() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(temporary.path()).unwrap();
        let file = temporary.path().join("code-key");
        let first = folder.code_key().unwrap();
        assert_eq!((folder.code_key().unwrap(), mode(&file)), (first, 0o600));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let second = folder.code_key().unwrap();
        assert_ne!(second, first);
        assert_eq!(mode(&file), 0o600);
        for broken in [&second[..31], &[&second[..], b"x"].concat()] {
            fs::write(&file, broken).unwrap();
            let key = folder.code_key().unwrap();
            assert_ne!(key, second);
            assert_eq!(folder.code_key().unwrap(), key);
        }
    }

    #[test]
    fn a_folder_that_others_can_enter_is_closed_when_empty_and_refused_otherwise() {
        let temporary = tempfile::tempdir().unwrap();
        let open = || fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o755)).unwrap();
        open();
        DataFolder::open(temporary.path()).unwrap();
        assert_eq!(mode(temporary.path()), 0o700);
        open();
        fs::write(temporary.path().join("theirs"), "").unwrap();
        let error = DataFolder::open(temporary.path()).unwrap_err();
        assert!(error.report().contains("chmod 700"), "{}", error.report());
    }

    #[test]
    fn the_token_belongs_to_the_folder_whose_host_listens_there() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = |name: &str, url: &str| {
            let folder = DataFolder::open(&temporary.path().join(name)).unwrap();
            folder.keep_token(&TokenText::of([1; 32])).unwrap();
            folder.announce(url).unwrap();
            folder
        };
        let serve = folder("serve", "http://127.0.0.1:1");
        let dev = folder("dev", "http://127.0.0.1:2");
        let folders = [serve.path().to_owned(), dev.path().to_owned()];
        assert_eq!(
            token_file_of("http://127.0.0.1:2/", &folders),
            Some(dev.token_file())
        );
        dev.withdraw().unwrap();
        assert_eq!(token_file_of("http://127.0.0.1:2/", &folders), None);
    }
}
