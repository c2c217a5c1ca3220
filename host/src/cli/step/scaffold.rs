//! `step new`: a folder with a step that builds, from templates inside the binary.

use std::{fs, path::Path};

use crate::cli::failure::CliError;

const CARGO_TOML: &str = include_str!("template/rust/Cargo.toml.in");
const LIB_RS: &str = include_str!("template/rust/lib.rs.in");
const GITIGNORE: &str = include_str!("template/rust/gitignore.in");
/// The contract itself, so that an author needs nothing else.
const STEP_WIT: &str = include_str!("../../../../wit/step.wit");

/// Writes a new step; `folder` must be missing or empty. Answers the files, relative to it.
pub fn write_rust_step(name: &str, folder: &Path) -> Result<Vec<&'static str>, CliError> {
    check_name(name)?;
    let occupied = folder.exists()
        && fs::read_dir(folder)
            .map_err(CliError::reading(folder))?
            .next()
            .is_some();
    if occupied {
        return Err(CliError::usage(
            format!("{} is not empty", folder.display()),
            "give another folder with --dir; nothing was written",
        ));
    }
    let files = [
        ("Cargo.toml", CARGO_TOML.replace("{{name}}", name)),
        ("src/lib.rs", LIB_RS.replace("{{name}}", name)),
        ("wit/step.wit", STEP_WIT.to_owned()),
        (".gitignore", GITIGNORE.to_owned()),
    ];
    for (file, text) in &files {
        let path = folder.join(file);
        let parent = path.parent().expect("every file is in the folder");
        fs::create_dir_all(parent).map_err(CliError::writing(parent))?;
        fs::write(&path, text).map_err(CliError::writing(&path))?;
    }
    Ok(files.map(|(file, _)| file).to_vec())
}

/// A step's name is a package's name too.
fn check_name(name: &str) -> Result<(), CliError> {
    let legal = name.len() <= 64
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.ends_with('-');
    if legal {
        return Ok(());
    }
    Err(CliError::usage(
        format!("{name:?} can't be the name of a step"),
        "use at most 64 of a-z, 0-9 and -, beginning with a letter: greet, resize-droplet",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_step_is_a_workspace_of_its_own_and_carries_the_contract() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("greet");
        let files = write_rust_step("greet", &folder).unwrap();
        assert_eq!(files, ["Cargo.toml", "src/lib.rs", "wit/step.wit", ".gitignore"]);
        let manifest: toml::Table =
            toml::from_str(&fs::read_to_string(folder.join("Cargo.toml")).unwrap()).unwrap();
        assert!(manifest.contains_key("workspace"));
        assert_eq!(manifest["package"]["name"].as_str(), Some("greet"));
        assert!(
            !fs::read_to_string(folder.join("src/lib.rs"))
                .unwrap()
                .contains("{{")
        );
    }

    #[test]
    fn nothing_is_written_over() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("mine"), "").unwrap();
        let error = write_rust_step("greet", temporary.path()).unwrap_err();
        assert_eq!(error.exit().code(), 2);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_that_cargo_or_the_catalogue_refuses_is_refused_here() {
        let temporary = tempfile::tempdir().unwrap();
        for name in ["", "Greet", "1st", "a_b", "a/b", "../x", "a-"] {
            let folder = temporary.path().join("step");
            assert!(write_rust_step(name, &folder).is_err(), "{name:?}");
            assert!(!folder.exists());
        }
    }
}
