//! What only a file can have.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use super::place::{Place, Said};
use crate::{
    cli_binary::{arcadia, exit_code, text},
    support::postgres::is_root,
};

fn close(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_that_is_not_there_or_is_no_database_is_told_in_words() {
    let temporary = tempfile::tempdir().unwrap();
    let said = Said::of_folder(&temporary.path().join("missing"));
    said.shows("reachable", "problem", "there is no file");
    said.shows("folder", "problem", "there is no folder");
    assert_eq!((said.exit, said.codes()), (9, vec!["folder", "reachable"]));

    let file = temporary.path().join("arcadia.db");
    fs::write(&file, "a shopping list").unwrap();
    Said::of_folder(temporary.path()).shows("reachable", "problem", "is not a SQLite database");
    fs::write(&file, [&b"SQLite format 3\0"[..], &[7; 5_000]].concat()).unwrap();
    Said::of_folder(temporary.path()).shows("reachable", "problem", "can't be read as a database");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    Said::of_folder(temporary.path()).shows("reachable", "problem", "is a folder");
}

/// The binary without the right of root to read everything.
fn without_root(folder: &Path) -> Command {
    let mut command = arcadia();
    if is_root() {
        let program = command.get_program().to_owned();
        let variables: Vec<_> = command
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
            .collect();
        command = Command::new("setpriv");
        command
            .arg("--bounding-set=-dac_override,-dac_read_search")
            .arg(program);
        for (name, value) in variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
    command.args(["doctor", "--data"]).arg(folder);
    command
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_told_in_words() {
    let mut place = Place::file().await;
    place.leave();
    let file = place.folder().join("arcadia.db");
    close(&file, 0o000);
    let said = Said::by(without_root(place.folder()));
    said.shows("reachable", "problem", "no permission to read");
    assert_eq!(said.exit, 9);
    close(&file, 0o600);
    close(place.folder(), 0o500);
    let said = Said::by(without_root(place.folder()));
    close(place.folder(), 0o700);
    assert_eq!(said.state_of("reachable"), "ok", "{}", said.all);
}

#[test]
fn an_empty_file_is_one_that_no_host_has_opened() {
    let temporary = tempfile::tempdir().unwrap();
    close(temporary.path(), 0o700);
    fs::write(temporary.path().join("arcadia.db"), "").unwrap();
    let said = Said::of_folder(temporary.path());
    said.shows("schema", "warning", "no host has ever opened");
    said.shows("folder", "warning", "token is not there");
    assert_eq!(said.exit, 0);
    assert_eq!(said.state_of("sagas"), "left out");
}

#[tokio::test]
async fn a_page_that_was_overwritten_is_found() {
    let mut place = Place::file().await;
    // So many rows that they have pages of their own.
    place
        .run(
            "with recursive many (n) as (select 1 union all select n + 1 from many where n < 2000)
             insert into findings (id, code, message, advice, created_ms, resolved_ms)
             select printf('%06d', n), 'x', printf('%0100d', n), '', n, n from many",
        )
        .await;
    place.leave();
    place.examined().shows("integrity", "ok", "quick_check");
    let file = place.folder().join("arcadia.db");
    let mut bytes = fs::read(&file).unwrap();
    let row = bytes.windows(6).position(|window| window == b"001000").unwrap();
    let page = row / 4096 * 4096;
    bytes[page..page + 4096].fill(0xab);
    fs::write(&file, bytes).unwrap();
    let said = place.examined();
    said.shows("reachable", "ok", "it is there");
    said.shows("integrity", "problem", "quick_check: ");
    assert_eq!(said.exit, 9);
}

#[tokio::test]
async fn an_index_that_does_not_fit_its_table_is_found_by_a_thorough_look() {
    let mut place = Place::file().await;
    place
        .run(
            "insert into findings (id, code, message, advice, created_ms, resolved_ms)
             values ('a', 'x', '', '', 2, 2), ('b', 'x', '', '', 1, 1);
             pragma writable_schema = on;
             update sqlite_schema set sql = 'create index findings_newest on findings (resolved_ms, message)'
             where name = 'findings_newest'",
        )
        .await;
    place.leave();
    place.examined().shows("integrity", "ok", "quick_check");
    let said = place.examined_with(&["--thorough"]);
    said.shows("integrity", "problem", "findings_newest");
}

#[tokio::test]
async fn a_log_that_only_grows_is_a_warning() {
    let place = Place::file().await;
    let log = fs::File::options()
        .write(true)
        .open(place.folder().join("arcadia.db-wal"))
        .unwrap();
    log.set_len(300 * 1024 * 1024).unwrap();
    let said = place.examined();
    said.shows("size", "warning", "its log 300 MiB");
    said.is_well_but_for(&["size"]);
}

#[tokio::test]
async fn a_file_that_lost_its_log_mode_is_a_warning() {
    let mut place = Place::file().await;
    place.leave();
    place.run("pragma journal_mode = delete").await;
    let said = place.examined();
    said.shows("settings", "warning", "journal_mode=delete");
    said.is_well_but_for(&["settings", "hosts", "ownership"]);
}

#[tokio::test]
async fn a_folder_or_a_token_that_others_can_open_is_a_problem() {
    let place = Place::file().await;
    let token = place.folder().join("token");
    close(&token, 0o644);
    place.examined().shows("folder", "problem", "(mode 644)");
    close(&token, 0o600);
    close(place.folder(), 0o755);
    place
        .examined()
        .shows("folder", "problem", "(mode 755): no host starts on it");
    close(place.folder(), 0o700);
    place.examined().shows("folder", "ok", "closed to others");
    fs::remove_file(&token).unwrap();
    place.examined().shows("folder", "warning", "token is not there");
}

#[tokio::test]
async fn who_has_the_file_open_is_named_and_without_anybody_no_host_lives() {
    let mut place = Place::file().await;
    let said = place.examined();
    said.shows("process", "ok", &format!("process {} has", std::process::id()));
    said.shows("hosts", "ok", "1 alive");
    said.is_well_but_for(&[]);
    place.leave();
    let said = place.examined();
    said.shows("process", "ok", "none has the file open");
    said.shows("hosts", "warning", "did not end in order");
    said.shows("ownership", "warning", "4 sagas without an owner that lives");
    said.is_well_but_for(&["hosts", "ownership"]);
    assert_eq!(said.exit, 0);
}

#[tokio::test]
async fn a_person_sees_a_table_with_what_to_do_next_and_a_sum() {
    let place = Place::file().await;
    let shown = || {
        let output = arcadia()
            .args(["doctor", "--data"])
            .arg(place.folder())
            .output()
            .unwrap();
        (exit_code(&output), text(&output.stdout))
    };
    let (exit, table) = shown();
    assert_eq!(exit, 0, "{table}");
    assert!(table.starts_with("CHECK"), "{table}");
    assert!(table.ends_with("arcadia.db: nothing is wrong\n"), "{table}");
    place
        .run("update saga_runs set status = 'dancing'; update hosts set lease_until_ms = 1")
        .await;
    let (exit, table) = shown();
    assert_eq!(exit, 9, "{table}");
    assert!(table.contains("next: start a host"), "{table}");
    assert!(table.ends_with("arcadia.db: 1 problem, 2 warnings\n"), "{table}");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for wrong in [
        &["doctor", "--deep"][..],
        &["doctor", "--database", "mysql://here/arcadia"],
        &["doctor", "--database", "postgres://arcadia:se/cret@here/arcadia"],
    ] {
        let output = arcadia().args(wrong).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(exit_code(&output), 2, "{wrong:?}: {said}");
        assert!(!said.contains("cret"), "{said}");
    }
}
