//! What people read first. The texts stand in `fixtures/cli_help.txt`; after a wanted change write them anew with
//! `UPDATE_FIXTURES=1 cargo test cli_help`.

use std::{fs, path::PathBuf};

use crate::cli_binary::{arcadia, exit_code, text};

const COMMANDS: &[&str] = &[
    "",
    "demo",
    "dev",
    "serve",
    "simulate",
    "simulate digitalocean",
    "droplet",
    "droplet create",
    "droplet list",
    "droplet destroy",
    "droplet snapshot",
    "saga",
    "saga start",
    "saga list",
    "saga show",
    "saga logs",
    "saga requests",
    "saga watch",
    "saga cancel",
    "saga rollback",
    "saga pause",
    "saga resume",
    "saga pauses",
    "saga retry",
    "saga repin",
    "saga skip",
    "saga abandon",
    "step",
    "step new",
    "step build",
    "step push",
    "step promote",
    "step approve",
    "step retire",
    "step revoke",
    "step list",
    "step show",
    "inventory",
    "inventory list",
    "inventory show",
    "findings",
    "hosts",
    "doctor",
    "service",
    "service list",
    "service pause",
    "service resume",
    "token",
    "token create",
    "token list",
    "token revoke",
    "token reset-admin",
];

fn help(command: &str) -> String {
    let output = arcadia()
        .args(command.split_whitespace())
        .arg("--help")
        .output()
        .unwrap();
    assert_eq!(exit_code(&output), 0, "{command}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_help_is_what_the_fixture_says() {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cli_help.txt");
    let mut all = String::new();
    for command in COMMANDS {
        all += &format!("$ arcadia {command} --help\n").replace("  ", " ");
        all += &help(command);
        all += "\n";
    }
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&fixture, &all).unwrap();
    }
    let expected = fs::read_to_string(&fixture).unwrap();
    if let Some((line, (is, should))) = all
        .lines()
        .zip(expected.lines())
        .enumerate()
        .find(|(_, (is, should))| is != should)
    {
        panic!("line {}:\n  is      {is}\n  should  {should}", line + 1);
    }
    assert_eq!(all.len(), expected.len());
}

#[test]
fn every_command_that_does_something_has_an_example() {
    let is_group = |command: &str| {
        COMMANDS
            .iter()
            .any(|other| other.starts_with(&format!("{command} ")))
    };
    for command in COMMANDS
        .iter()
        .filter(|command| !command.is_empty() && !is_group(command))
    {
        assert!(help(command).contains("Example"), "{command}");
    }
}

#[test]
fn every_command_stands_in_the_help_of_its_group() {
    for group in [
        "",
        "simulate",
        "droplet",
        "saga",
        "step",
        "inventory",
        "service",
        "token",
    ] {
        let help = help(group);
        let listed = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| {
                line.split_whitespace()
                    .next()
                    .filter(|_| line.starts_with("  ") && !line.starts_with("   "))
            });
        for command in listed.filter(|command| *command != "help") {
            let whole = format!("{group} {command}");
            assert!(
                COMMANDS.contains(&whole.trim()),
                "{whole} is not among the tested commands"
            );
        }
    }
}

#[test]
fn a_wrong_command_line_exits_with_2_and_says_what_is_wrong() {
    for wrong in [
        "nonsense",
        "saga watch no-uuid",
        "saga start",
        "saga retry 01939f3e-0000-7aaa-8bbb-ccccdddddddd",
    ] {
        let output = arcadia().args(wrong.split_whitespace()).output().unwrap();
        assert_eq!(exit_code(&output), 2, "{wrong}");
        assert!(
            text(&output.stderr).starts_with("error: "),
            "{wrong}: {}",
            text(&output.stderr)
        );
    }
}
