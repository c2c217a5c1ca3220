//! Starting and ending a host, and building steps.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::cli_binary::{Host, arcadia, exit_code, text};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_the_token_and_says_so_and_sigterm_ends_in_order() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    let host = Host::serve(&folder);
    assert_eq!(host.ready["token_is_new"], true);
    assert_eq!((mode(&folder), mode(&folder.join("token"))), (0o700, 0o600));
    let token = fs::read_to_string(folder.join("token")).unwrap();
    assert_eq!(host.terminate(), Some(0));
    assert!(!folder.join("url").exists());

    let again = Host::serve(&folder);
    assert_eq!(again.ready["token_is_new"], false);
    assert_eq!(fs::read_to_string(folder.join("token")).unwrap(), token);
    assert_eq!(exit_code(&again.run(["saga", "list"])), 0);
}

#[test]
fn hosts_that_work_and_worked_on_the_database_are_listed() {
    let temporary = tempfile::tempdir().unwrap();
    assert_eq!(Host::serve(temporary.path()).terminate(), Some(0));
    let host = Host::serve(temporary.path());
    let listed = host.run(["hosts", "--json"]);
    assert_eq!(exit_code(&listed), 0, "{}", text(&listed.stderr));
    let hosts: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let items = hosts["items"].as_array().unwrap();
    let states: Vec<_> = items
        .iter()
        .map(|host| (&host["this"], host["lost"].is_null()))
        .collect();
    assert_eq!(states, [(&true.into(), true), (&false.into(), false)]);
    assert!(
        items.iter().all(|host| host["lease_until"].is_null()),
        "{items:?}"
    );
    let table = text(&host.run(["hosts"]).stdout);
    assert!(
        table.contains("works, answers here") && table.contains("gone"),
        "{table}"
    );
}

#[test]
fn a_second_host_on_the_same_folder_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let _first = Host::serve(temporary.path());
    let mut second = arcadia();
    second
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(temporary.path());
    let second = second.output().unwrap();
    assert_eq!(exit_code(&second), 1, "{}", text(&second.stderr));
}

#[test]
fn another_token_than_the_database_knows_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    assert_eq!(Host::serve(folder).terminate(), Some(0));
    let refused = || {
        let mut command = arcadia();
        let output = command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder)
            .output()
            .unwrap();
        assert_eq!(exit_code(&output), 2, "{}", text(&output.stderr));
        text(&output.stderr)
    };
    fs::write(folder.join("token"), "another").unwrap();
    assert!(refused().contains("another token"));
    fs::remove_file(folder.join("token")).unwrap();
    assert!(refused().contains("put the file back"));
    assert!(!folder.join("token").exists());
}

#[test]
fn dev_takes_the_same_version_again_and_serve_refuses_it() {
    let temporary = tempfile::tempdir().unwrap();
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("../steps-wasm/examples/components");
    let bytes = fs::read(components.join("scripted.wasm")).unwrap();
    // An empty custom section: other bytes, the same step.
    let other = [bytes.as_slice(), &[0, 2, 1, b'x']].concat();
    let (first, second) = (
        temporary.path().join("first.wasm"),
        temporary.path().join("second.wasm"),
    );
    fs::write(&first, bytes).unwrap();
    fs::write(&second, other).unwrap();

    let mut command = arcadia();
    command
        .args(["dev", "--listen", "127.0.0.1:0", "--data"])
        .arg(temporary.path().join("dev"));
    let dev = Host::start(command);
    let serve = Host::serve(&temporary.path().join("serve"));
    for (host, expected) in [(&dev, 0), (&serve, 1)] {
        assert_eq!(exit_code(&host.run(["step", "push", first.to_str().unwrap()])), 0);
        let again = host.run(["step", "push", second.to_str().unwrap(), "--promote"]);
        assert_eq!(exit_code(&again), expected, "{}", text(&again.stderr));
    }
}

#[test]
fn step_build_without_the_wasm_target_says_what_to_install_and_exits_with_2() {
    let temporary = tempfile::tempdir().unwrap();
    let made = arcadia()
        .current_dir(temporary.path())
        .args(["step", "new", "greet"])
        .output()
        .unwrap();
    assert_eq!(exit_code(&made), 0, "{}", text(&made.stderr));
    // A compiler that knows the target, and has no standard library for it.
    let rustc = temporary.path().join("rustc");
    fs::write(&rustc, "#!/bin/sh\necho /nonexistent\n").unwrap();
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        temporary.path().display(),
        std::env::var("PATH").unwrap()
    );
    let built = arcadia()
        .current_dir(temporary.path().join("greet"))
        .env("PATH", path)
        .env_remove("RUSTC")
        .args(["step", "build"])
        .output()
        .unwrap();
    assert_eq!(exit_code(&built), 2, "{}", text(&built.stderr));
    assert!(text(&built.stderr).contains("rustup target add wasm32-unknown-unknown"));
}
