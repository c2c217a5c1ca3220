//! The committed components are the ones that the lock files name, built from the sources that stand beside them.
//!
//! Needs no wasm target: it compares digests. What goes into a component is written down in `steps-wasm/build.sh`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest, Sha256};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const STEPS: [&str; 5] = [
    "create-droplet",
    "create-droplet-snapshot",
    "destroy-droplet",
    "register-droplet",
    "wait-droplet-active",
];

/// Folder of a lock, the lock's name, and what it names.
const LOCKS: [(&str, &str, &[&str]); 3] = [
    ("steps-wasm/components", "components.lock.json", &STEPS),
    (
        "steps-wasm/examples/components",
        "components.lock.json",
        &["noop", "scripted", "scripted-pivot"],
    ),
    (
        "steps-wasm/examples/components",
        "c.lock.json",
        &["greet-c", "wasi-probe"],
    ),
];

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = Path::new(ROOT).join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

fn lock(folder: &str, name: &str) -> Value {
    serde_json::from_slice(&read(format!("{folder}/{name}"))).expect("a lock is JSON")
}

/// Every file below a folder, as paths from the root of the repository.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder)).expect("a folder of sources") {
            let entry = entry.expect("a readable folder");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                found.push(path.to_str().expect("names are UTF-8").to_owned());
            }
        }
    }
    found
}

fn inputs(component: &str) -> Vec<String> {
    let mut paths: Vec<String> = files("wit");
    let crates: &[&str] = match component {
        "greet-c" | "wasi-probe" => {
            let folder = if component == "greet-c" {
                "c-step"
            } else {
                component
            };
            paths.extend(files(&format!("steps-wasm/examples/{folder}")));
            paths.push("steps-wasm/examples/build-c.sh".to_owned());
            return paths;
        }
        "noop" => &["guest", "examples/noop"],
        "scripted" => &["guest", "examples/script", "examples/scripted"],
        "scripted-pivot" => &["guest", "examples/script", "examples/scripted-pivot"],
        step => &["digitalocean", "droplets", "guest", step],
    };
    paths.extend(["Cargo.toml", "Cargo.lock"].map(|name| format!("steps-wasm/{name}")));
    for name in crates {
        let folder = format!("steps-wasm/{name}");
        paths.push(format!("{folder}/Cargo.toml"));
        paths.extend(files(&format!("{folder}/src")));
        let manifest = format!("{folder}/manifest.json");
        if Path::new(ROOT).join(&manifest).exists() {
            paths.push(manifest);
        }
    }
    paths
}

fn inputs_sha256(component: &str) -> String {
    let mut paths = inputs(component);
    paths.sort_unstable();
    let lines = paths
        .iter()
        .map(|path| format!("{}  {path}\n", sha256(&read(path))));
    sha256(lines.collect::<String>().as_bytes())
}

#[test]
fn every_component_is_the_one_that_the_lock_names() {
    for (folder, name, components) in LOCKS {
        let lock = lock(folder, name);
        let named = lock["components"].as_object().expect("components by name");
        let mut names: Vec<&str> = named.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, components, "{folder}/{name}");
        for component in components {
            let bytes = read(format!("{folder}/{component}.wasm"));
            assert_eq!(named[*component]["sha256"], sha256(&bytes), "{component}.wasm");
            assert_eq!(named[*component]["size_bytes"], bytes.len(), "{component}.wasm");
        }
    }
}

#[test]
fn no_component_is_without_a_lock() {
    for folder in ["steps-wasm/components", "steps-wasm/examples/components"] {
        for path in files(folder) {
            let Some(name) = path
                .strip_suffix(".wasm")
                .and_then(|path| path.rsplit('/').next())
            else {
                continue;
            };
            let mut locked = LOCKS.iter().filter(|lock| lock.0 == folder);
            assert!(locked.any(|lock| lock.2.contains(&name)), "{path} is in no lock");
        }
    }
}

#[test]
fn every_component_is_built_from_the_sources_beside_it() {
    for (folder, name, components) in LOCKS {
        let lock = lock(folder, name);
        for component in components {
            assert_eq!(
                lock["components"][component]["inputs_sha256"],
                inputs_sha256(component),
                "what {component} is built from has changed: run steps-wasm/build.sh (for the two in C, \
                 steps-wasm/examples/build-c.sh)"
            );
        }
    }
}

#[test]
fn no_component_holds_a_path_of_the_machine_that_built_it() {
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    let root = fs::canonicalize(ROOT).expect("the repository is there");
    let root = root.to_str().expect("its path is UTF-8");
    let paths = [
        "/root/", "/home/", "/Users/", "/tmp/", ".cargo/", ".rustup/", root, &home,
    ];
    for (folder, _, components) in LOCKS {
        for component in components {
            let bytes = read(format!("{folder}/{component}.wasm"));
            for path in paths.iter().filter(|path| path.len() > 3) {
                let holds = bytes.windows(path.len()).any(|window| window == path.as_bytes());
                assert!(!holds, "{component}.wasm holds {path}");
            }
        }
    }
}
