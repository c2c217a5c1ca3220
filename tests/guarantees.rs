//! Tests that the documentation names as proof are there.

use std::process::Command;

/// What the last column of the page's tables names: tests, and modules of them.
fn named(page: &str) -> Vec<String> {
    let rows = page.lines().filter_map(|line| line.trim_end().strip_suffix('|'));
    let last = rows.filter_map(|row| row.rsplit('|').next());
    let words = last.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    words.map(str::to_owned).collect()
}

/// Of this binary: what it lists of itself.
fn tests() -> Vec<String> {
    let listed = Command::new(std::env::current_exe().unwrap())
        .args(["--list", "--format", "terse"])
        .output()
        .unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    names.map(str::to_owned).collect()
}

fn missing(page: &str, tests: &[String]) -> Vec<String> {
    let is_there = |name: &String| {
        let within = format!("{name}::");
        tests.iter().any(|test| test == name || test.starts_with(&within))
    };
    let mut missing = named(page);
    missing.retain(|name| !is_there(name));
    missing
}

#[test]
fn every_test_that_is_named_as_proof_is_there() {
    let readme = include_str!("../README.md");
    let (_, guaranteed) = readme.split_once("## What is guaranteed").unwrap();
    let (guaranteed, _) = guaranteed.split_once("\n## ").unwrap();
    let tests = tests();
    for (page, at_least) in [
        (include_str!("../host/src/guarantees.rs"), 40),
        (include_str!("ownership_model/mod.rs"), 15),
        (guaranteed, 10),
    ] {
        assert!(named(page).len() >= at_least, "{:?}", named(page));
        assert_eq!(missing(page, &tests), [] as [String; 0]);
    }
}

#[test]
fn a_test_that_is_not_there_is_missed() {
    let tests = ["late::it_is".to_owned(), "late::deep::it_is".to_owned()];
    let page =
        "//! | `late` sentence | `late`, `late::it_is`, `late::deep`, `late::it_was`, `lat` |\n`it_is`";
    assert_eq!(missing(page, &tests), ["late::it_was", "lat"]);
}
