//! The data folder, which holds the administrator's token: who may enter it, and who may read that.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use crate::store::doctor::Verdict;

/// Looks, and closes nothing.
pub fn folder(path: &Path) -> Verdict {
    let shown = path.display();
    let folder = match mode(path) {
        Ok(Some(mode)) => mode,
        Ok(None) => {
            return Verdict::problem(
                format!("there is no folder {shown}"),
                "name the host's data folder with --data",
            );
        }
        Err(error) => return not_seen(path, &error),
    };
    if folder & 0o077 != 0 {
        return Verdict::problem(
            format!("{shown} is open to others (mode {folder:o}): no host starts on it"),
            format!("close it: chmod 700 {shown}"),
        );
    }
    let file = path.join("token");
    match mode(&file) {
        Ok(Some(mode)) if mode & 0o077 != 0 => Verdict::problem(
            format!("{} is open to others (mode {mode:o})", file.display()),
            format!(
                "close it: chmod 600 {}; if somebody may have read it, stop the host and run `arcadia token reset-admin`",
                file.display()
            ),
        ),
        Ok(Some(_)) => {
            Verdict::ok("the folder (mode 700) and the administrator's token (600) are closed to others")
        }
        Ok(None) => Verdict::warning(
            format!("{} is not there", file.display()),
            "if it was not revoked, put it back, or stop the host and run `arcadia token reset-admin`",
        ),
        Err(error) => not_seen(&file, &error),
    }
}

fn not_seen(path: &Path, error: &io::Error) -> Verdict {
    Verdict::unknown(
        format!("{} can't be looked at: {error}", path.display()),
        "run this as the user that the host runs as",
    )
}

fn mode(path: &Path) -> io::Result<Option<u32>> {
    match fs::metadata(path) {
        Ok(file) => Ok(Some(file.permissions().mode() & 0o777)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
