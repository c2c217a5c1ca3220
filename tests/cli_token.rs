//! `arcadia token …` and what an administrator says of components, against a real host; the administrator's token made anew
//! without one.

use std::{fs, path::Path};

use crate::cli_binary::{Host, arcadia, exit_code, text};

#[test]
fn a_token_goes_to_standard_output_alone_and_opens_what_its_scope_says_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::serve(folder.path());
    let made = host.run([
        "token",
        "create",
        "--name",
        "ci",
        "--scope",
        "read",
        "--expires-in",
        "30d",
    ]);
    assert_eq!(exit_code(&made), 0, "{}", text(&made.stderr));
    let token = text(&made.stdout);
    assert!(token.starts_with("arc_") && token.trim().len() == 56, "{token}");
    assert!(
        text(&made.stderr).contains("ci has the scope read until "),
        "{}",
        text(&made.stderr)
    );

    let as_ci = |arguments: &[&str]| {
        let mut command = arcadia();
        command.args(["--url", host.url(), "--token", token.trim()]);
        command.args(arguments).output().unwrap()
    };
    assert_eq!(exit_code(&as_ci(&["saga", "list"])), 0);
    let refused = as_ci(&["token", "list"]);
    assert_eq!(exit_code(&refused), 1);
    assert!(text(&refused.stderr).contains("needs a token with the scope admin"));

    let listed = text(&host.run(["token", "list"]).stdout);
    assert!(listed.contains("ci") && listed.contains("valid"), "{listed}");
    assert!(!listed.contains(token.trim()), "{listed}");
    let revoked = host.json(["token", "revoke", "ci"]);
    assert_eq!(
        (&revoked["status"], &revoked["revoked_by"]),
        (&"revoked".into(), &"admin".into())
    );
    let refused = as_ci(&["saga", "list"]);
    assert!(
        text(&refused.stderr).contains("the token was revoked at"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn a_lost_token_is_made_anew_by_who_can_write_to_the_folder_and_only_while_no_host_runs() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let reset = || {
        let mut command = arcadia();
        command.args(["token", "reset-admin", "--data"]).arg(folder);
        command.output().unwrap()
    };
    let nothing = reset();
    assert_eq!(exit_code(&nothing), 2, "{}", text(&nothing.stderr));
    assert!(text(&nothing.stderr).contains("there is no database"));

    let host = Host::serve(folder);
    let other = host.json(["token", "create", "--name", "other", "--scope", "admin"]);
    let old = fs::read_to_string(folder.join("token")).unwrap();
    let running = reset();
    assert_eq!(exit_code(&running), 1, "{}", text(&running.stderr));
    assert!(
        text(&running.stderr).contains("another host"),
        "{}",
        text(&running.stderr)
    );
    assert_eq!(fs::read_to_string(folder.join("token")).unwrap(), old);
    assert_eq!(host.terminate(), Some(0));

    fs::remove_file(folder.join("token")).unwrap();
    let done = reset();
    assert_eq!(exit_code(&done), 0, "{}", text(&done.stderr));
    let new = fs::read_to_string(folder.join("token")).unwrap();
    let host = Host::serve(folder);
    let code = |token: &str| {
        let mut command = arcadia();
        command.args(["token", "list", "--url", host.url(), "--token", token.trim()]);
        exit_code(&command.output().unwrap())
    };
    assert_eq!(
        (code(&new), code(&old), code(other["secret"].as_str().unwrap())),
        (0, 1, 0)
    );
}

#[test]
fn a_host_starts_without_the_administrators_token_once_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::serve(folder.path());
    host.json(["token", "create", "--name", "second", "--scope", "admin"]);
    host.json(["token", "revoke", "admin"]);
    assert_eq!(host.terminate(), Some(0));
    fs::remove_file(folder.path().join("token")).unwrap();
    let host = Host::serve(folder.path());
    assert!(host.ready["token_file"].is_null(), "{}", host.ready);
    assert!(!folder.path().join("token").exists());
}

#[test]
fn a_step_that_an_operator_pushed_is_shown_as_pending_until_an_administrator_approves_it() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::serve(folder.path());
    let made = host.json(["token", "create", "--name", "ann", "--scope", "operate"]);
    let operator = made["secret"].as_str().unwrap();
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("../steps-wasm/examples/components");
    let mut push = arcadia();
    push.args(["--url", host.url(), "--token", operator, "step", "push"])
        .arg(components.join("scripted.wasm"));
    let pushed = push.output().unwrap();
    assert_eq!(exit_code(&pushed), 0, "{}", text(&pushed.stderr));
    assert!(
        text(&pushed.stdout).contains("it is pending; next"),
        "{}",
        text(&pushed.stdout)
    );
    let listed = text(&host.run(["step", "list"]).stdout);
    let line = listed.lines().find(|line| line.starts_with("scripted")).unwrap();
    assert!(line.contains("pending"), "{listed}");
    let steps = r#"[{"name":"one","component":"scripted@0.1.0"}]"#;
    let start = || host.run(["saga", "start", "--kind", "test", "--steps", steps]);
    let refused = start();
    assert_eq!(exit_code(&refused), 1);
    assert!(
        text(&refused.stderr).contains("/approve"),
        "{}",
        text(&refused.stderr)
    );

    let approved = host.run(["step", "approve", "scripted", "0.1.0"]);
    let told = text(&approved.stdout);
    assert_eq!(exit_code(&approved), 0, "{}", text(&approved.stderr));
    assert!(
        told.contains("digitalocean: GET") && told.contains("scripted 0.1.0 is approved"),
        "{told}"
    );
    assert!(told.contains("scripted#stable points to it"), "{told}");
    assert_eq!(exit_code(&start()), 0);
    let retired = host.run(["step", "retire", "scripted", "0.1.0"]);
    assert!(
        text(&retired.stdout).contains("scripted 0.1.0 is retired"),
        "{}",
        text(&retired.stdout)
    );
    assert_eq!(exit_code(&start()), 1);
}
