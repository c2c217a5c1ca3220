//! The cache of compiled code: found again, never believed, bounded, and never in the way.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arcadia::{
    saga::{Json, Outcome},
    step::{Asked, CacheKey, CacheOptions, Loaded, Runtime, RuntimeOptions},
};

use crate::{
    step_guest::{FakeHost, Guest, call},
    support::runtime,
};

fn started(cache: CacheOptions) -> Arc<Runtime> {
    let options = RuntimeOptions {
        threads: 1,
        max_calls: 4,
        cache: Some(cache),
        ..runtime::uncached()
    };
    Runtime::new(options).unwrap()
}

/// Loads and keeps as the catalogue does; whether it had to be compiled. What was loaded works.
async fn compiles(runtime: &Arc<Runtime>, wasm: &[u8]) -> bool {
    let Loaded { component, fresh } = runtime.load(wasm.into(), Asked::ByCall).await.unwrap();
    let ended = runtime
        .call(&component, call(), Arc::new(FakeHost::default()))
        .await;
    assert_eq!(ended.end.outcome, Outcome::Done(Json::trusted("{}")));
    let compiled = fresh.is_some();
    if let Some(fresh) = fresh {
        runtime.keep(fresh).await;
    }
    compiled
}

fn guest(pages: u32) -> Vec<u8> {
    let guest = Guest {
        pages,
        ..Guest::default()
    };
    guest.wasm()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// A folder for the cache that isn't there yet.
fn place() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("cache/code");
    (temporary, folder)
}

#[tokio::test]
async fn the_next_start_compiles_nothing_and_folder_and_file_are_the_owners_alone() {
    let (_temporary, folder) = place();
    let wasm = guest(2);
    assert!(compiles(&started(runtime::cache(&folder)), &wasm).await);
    let again = started(runtime::cache(&folder));
    assert!(!compiles(&again, &wasm).await);
    assert!(compiles(&again, &guest(3)).await);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(files(&folder).len(), 2);
    assert!(files(&folder).iter().all(|file| mode(file) == 0o600));
}

#[tokio::test]
async fn what_is_kept_carries_the_interface() {
    let (_temporary, folder) = place();
    let runtime = started(runtime::cache(&folder));
    let wasm = guest(2);
    compiles(&runtime, &wasm).await;
    let kept = runtime.load(wasm.clone().into(), Asked::ByCall).await.unwrap();
    assert!(kept.fresh.is_none() && kept.component.wit().is_some());
    assert_eq!(kept.component.wit(), runtime.compile(wasm.into()).unwrap().wit());
}

#[tokio::test]
async fn a_file_with_any_bit_changed_is_deleted_and_its_component_compiled_again() {
    let (_temporary, folder) = place();
    let runtime = started(runtime::cache(&folder));
    let wasm = guest(2);
    compiles(&runtime, &wasm).await;
    let file = files(&folder).remove(0);
    let whole = fs::read(&file).unwrap();
    // The seal, the length of the interface, the interface, the code, its last byte.
    for at in [0, 31, 32, 36, 40, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&file, changed).unwrap();
        let loaded = runtime.load(wasm.clone().into(), Asked::ByCall).await.unwrap();
        assert!(loaded.fresh.is_some(), "byte {at}");
        assert!(!file.exists(), "byte {at}");
    }
    for length in [0, 31, 32, 35, 36, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        assert!(compiles(&runtime, &wasm).await, "{length} bytes");
        assert_eq!(fs::read(&file).unwrap().len(), whole.len());
    }
    fs::write(&file, [&whole[..], b"x"].concat()).unwrap();
    assert!(compiles(&runtime, &wasm).await);
    assert!(!compiles(&runtime, &wasm).await);
}

#[tokio::test]
async fn the_file_of_another_component_is_not_used() {
    let (_temporary, folder) = place();
    let runtime = started(runtime::cache(&folder));
    compiles(&runtime, &guest(2)).await;
    let first = files(&folder).remove(0);
    compiles(&runtime, &guest(3)).await;
    let second = files(&folder).into_iter().find(|file| *file != first).unwrap();
    fs::copy(&first, &second).unwrap();
    assert!(compiles(&runtime, &guest(3)).await);
    assert!(!compiles(&runtime, &guest(2)).await);
}

#[tokio::test]
async fn what_another_key_sealed_is_not_found_and_not_used_in_the_place_of_what_is() {
    let (_temporary, folder) = place();
    let wasm = guest(2);
    compiles(&started(runtime::cache(&folder)), &wasm).await;
    let theirs = files(&folder).remove(0);
    let other_key = started(CacheOptions {
        key: CacheKey::new([8; 32]),
        ..runtime::cache(&folder)
    });
    assert!(compiles(&other_key, &wasm).await);
    let ours = files(&folder).into_iter().find(|file| *file != theirs).unwrap();
    fs::copy(&theirs, &ours).unwrap();
    assert!(compiles(&other_key, &wasm).await);
}

#[tokio::test]
async fn a_file_that_others_may_write_or_that_is_a_link_is_not_used() {
    let (temporary, folder) = place();
    let runtime = started(runtime::cache(&folder));
    let wasm = guest(2);
    compiles(&runtime, &wasm).await;
    let file = files(&folder).remove(0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(compiles(&runtime, &wasm).await);
    let elsewhere = temporary.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(compiles(&runtime, &wasm).await);
}

#[tokio::test]
async fn what_was_not_used_for_longest_makes_room() {
    let (_temporary, folder) = place();
    let runtime = started(runtime::cache(&folder));
    for pages in [2, 3, 4] {
        compiles(&runtime, &guest(pages)).await;
        let now = SystemTime::now();
        for file in files(&folder) {
            let opened = fs::File::open(file).unwrap();
            let used = opened.metadata().unwrap().modified().unwrap();
            opened
                .set_modified(used.min(now) - Duration::from_secs(60))
                .unwrap();
        }
    }
    // Used just now, and made first.
    assert!(!compiles(&runtime, &guest(2)).await);
    let bytes: u64 = files(&folder)
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    let left = folder.join("0.0.tmp");
    fs::write(&left, "what a crash left").unwrap();
    fs::File::open(&left)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(7_200))
        .unwrap();
    let smaller = started(CacheOptions {
        max_bytes: bytes - 1,
        ..runtime::cache(&folder)
    });
    assert_eq!(files(&folder).len(), 2);
    assert!(!compiles(&smaller, &guest(2)).await);
    assert!(!compiles(&smaller, &guest(4)).await);
    assert!(compiles(&smaller, &guest(3)).await);
    assert_eq!(files(&folder).len(), 2);
}

#[tokio::test]
async fn without_a_place_for_it_everything_works_and_is_compiled_again() {
    let temporary = tempfile::tempdir().unwrap();
    let (file, open) = (temporary.path().join("file"), temporary.path().join("open"));
    fs::write(&file, "in the way").unwrap();
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).unwrap();
    for folder in [file, open.clone()] {
        let runtime = started(runtime::cache(&folder));
        assert!(compiles(&runtime, &guest(2)).await);
        assert!(compiles(&runtime, &guest(2)).await);
    }
    assert!(files(&open).is_empty());
    // It goes away while it is in use.
    let (_temporary, folder) = place();
    let runtime = started(runtime::cache(&folder));
    fs::remove_dir(&folder).unwrap();
    assert!(compiles(&runtime, &guest(2)).await);
    assert!(compiles(&runtime, &guest(2)).await);
}
