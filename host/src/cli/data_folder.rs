//! The folder where a host keeps everything: the database, the admin token, and where it listens.
//!
//! The folder is 0700 and the token's file 0600: who can read the token is the administrator. The `url` file exists while a
//! host runs; it is how a command without `--token` knows which folder belongs to the server that it talks to.

use std::{
    env, fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use data_encoding::BASE32_NOPAD;

use super::failure::CliError;

#[derive(Debug, Clone)]
pub struct DataFolder {
    path: PathBuf,
}

/// The admin token, and whether this start made it.
#[derive(Debug, Clone)]
pub struct AdminToken {
    pub text: String,
    pub file: PathBuf,
    pub new: bool,
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

    /// The admin token; made at the first start. Once this returns, it is on the disk.
    pub fn admin_token(&self) -> Result<AdminToken, CliError> {
        let file = self.token_file();
        match fs::read_to_string(&file) {
            Ok(text) if !text.trim().is_empty() => {
                return Ok(AdminToken {
                    text: text.trim().to_owned(),
                    file,
                    new: false,
                });
            }
            // An empty one is what a crash in the middle of the first start can leave.
            Ok(_) => fs::remove_file(&file).map_err(CliError::writing(&file))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CliError::reading(&file)(error)),
        }
        let text = new_token();
        let mut writer = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .map_err(CliError::writing(&file))?;
        writer
            .write_all(format!("{text}\n").as_bytes())
            .and_then(|()| writer.sync_all())
            .map_err(CliError::writing(&file))?;
        fs::File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(CliError::writing(&self.path))?;
        Ok(AdminToken {
            text,
            file,
            new: true,
        })
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

/// 160 random bits: too many to guess.
fn new_token() -> String {
    let bytes: [u8; 20] = rand::random();
    format!("arcadia-{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
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
    fn the_first_start_makes_folder_and_token_for_the_owner_alone_and_the_next_one_keeps_them() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&temporary.path().join("a/b")).unwrap();
        let first = folder.admin_token().unwrap();
        assert!(first.new);
        assert_eq!((mode(folder.path()), mode(&first.file)), (0o700, 0o600));
        let second = DataFolder::open(folder.path()).unwrap().admin_token().unwrap();
        assert_eq!((second.new, second.text), (false, first.text));
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
            folder.admin_token().unwrap();
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
