//! Looking leaves no trace, and keeps nobody from working.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::place::{Place, Said};
use crate::{cli_binary::Host, support::postgres};

/// Every file with its bytes and times.
fn files(folder: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let changed = path.metadata().unwrap().modified().unwrap();
            (name, (fs::read(&path).unwrap(), changed))
        })
        .collect()
}

/// And lets it end.
fn start_a_saga(host: &Host) {
    let steps = r#"[{"name":"one","component":"noop"}]"#;
    let noop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../steps-wasm/examples/components/noop.wasm");
    let pushed = host
        .command(["step", "push", "--promote"])
        .arg(noop)
        .output()
        .unwrap();
    assert!(pushed.status.success());
    let started = host.json(["saga", "start", "--kind", "test", "--steps", steps]);
    let id = started["id"].as_str().unwrap();
    while host.json(["saga", "show", id])["saga"]["status"] != "completed" {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_host_that_works_on_a_file_is_well_and_so_is_its_file_after_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::serve(folder.path());
    start_a_saga(&host);
    let said = Said::of_folder(folder.path());
    said.is_well_but_for(&[]);
    said.shows("process", "ok", &format!("process {} has", host.child.id()));
    assert_eq!((said.exit, said.state.as_str()), (0, "ok"));
    assert_eq!(said.codes().len(), 23, "{:?}", said.codes());
    assert_eq!(host.terminate(), Some(0));

    let before = files(folder.path());
    let said = Said::of_folder(folder.path());
    said.is_well_but_for(&[]);
    said.shows("hosts", "ok", "no host runs; 1 lost");
    assert_eq!(said.exit, 0);
    assert!(
        files(folder.path()) == before,
        "{:?}",
        files(folder.path()).keys()
    );
}

#[test]
fn what_a_killed_host_left_is_read_with_its_log_and_not_a_byte_of_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::serve(folder.path());
    start_a_saga(&host);
    host.child.kill().unwrap();
    host.child.wait().unwrap();
    let before = files(folder.path());
    assert!(!before["arcadia.db-wal"].0.is_empty());
    for _ in 0..2 {
        let said = Said::of_folder(folder.path());
        // Both are in the log alone.
        said.shows("hosts", "ok", "did not end in order");
        said.shows("sagas", "ok", "1 ");
        assert_eq!(said.state_of("process"), "ok");
        assert!(
            files(folder.path()) == before,
            "{:?}",
            files(folder.path()).keys()
        );
    }
    let host = Host::serve(folder.path());
    assert_eq!(host.terminate(), Some(0));
}

#[tokio::test]
async fn a_copy_of_a_file_and_its_log_is_read_whole_and_neither_changes() {
    let place = Place::file().await;
    let copy = tempfile::tempdir().unwrap();
    for name in ["arcadia.db", "arcadia.db-wal"] {
        fs::copy(place.folder().join(name), copy.path().join(name)).unwrap();
    }
    let before = files(copy.path());
    let said = Said::of_folder(copy.path());
    said.shows("sagas", "ok", "4 running");
    let after = files(copy.path());
    for (name, was) in &before {
        assert!(after[name] == *was, "{name}");
    }
}

#[tokio::test]
async fn a_database_on_a_server_is_after_looking_what_it_was() {
    let Some(place) = Place::server().await else {
        return;
    };
    let server = postgres::shared().unwrap();
    let name = place.url().rsplit('/').next().unwrap();
    let before = server.dump(name);
    assert!(before.contains("INSERT INTO public.saga_runs"), "{before}");
    place.examined().is_well_but_for(&[]);
    place.examined_with(&["--thorough"]);
    assert!(server.dump(name) == before);
}

#[test]
fn a_host_that_works_on_a_server_is_well() {
    let Some(server) = postgres::shared() else { return };
    let (folder, url) = (tempfile::tempdir().unwrap(), server.database());
    let host = Host::serve_with(folder.path(), ["--database", &url]);
    start_a_saga(&host);
    let said = Said::of_server(&url);
    said.is_well_but_for(&[]);
    assert_eq!((said.exit, said.state.as_str()), (0, "ok"));
    assert_eq!(said.codes().len(), 23, "{:?}", said.codes());
    assert!(said.at.ends_with(url.rsplit('/').next().unwrap()), "{}", said.at);
    assert_eq!(host.terminate(), Some(0));
}

#[test]
fn hosts_start_and_end_as_ever_while_somebody_looks_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Host::serve(folder.path()).terminate(), Some(0));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut looks = 0;
            while !over.load(Ordering::SeqCst) {
                let said = Said::of_folder(folder.path());
                assert_ne!(said.state, "problem", "{}", said.all);
                looks += 1;
            }
            looks
        });
        for round in 0..4 {
            let mut host = Host::serve(folder.path());
            start_a_saga(&host);
            if round % 2 == 0 {
                assert_eq!(host.terminate(), Some(0));
            } else {
                host.child.kill().unwrap();
                host.child.wait().unwrap();
            }
        }
        over.store(true, Ordering::SeqCst);
        assert!(looking.join().unwrap() > 4);
    });
}
