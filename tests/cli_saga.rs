//! Commands against a real host: what they print, and how they exit.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Stdio,
};

use crate::cli_binary::{Host, arcadia, exit_code, text};

fn scripted() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../steps-wasm/examples/components/scripted.wasm")
}

/// A host that knows the step `scripted`.
fn host() -> (tempfile::TempDir, Host) {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::serve(folder.path());
    let file = scripted();
    let pushed = host.run(["step", "push", file.to_str().unwrap()]);
    assert_eq!(exit_code(&pushed), 0, "{}", text(&pushed.stderr));
    (folder, host)
}

/// A saga of one step that does this.
fn steps(params: &str) -> String {
    format!(r#"[{{"name":"it","component":"scripted","params":{params}}}]"#)
}

fn start(host: &Host, params: &str) -> String {
    let started = host.json(["saga", "start", "--kind", "test", "--steps", &steps(params)]);
    started["id"].as_str().unwrap().to_owned()
}

const SLEEPS: &str = r#"{"run":[{"again":{"after_ms":600000,"progress":"asleep"}}]}"#;

#[test]
fn the_exit_code_of_watch_tells_how_the_saga_ended() {
    let (_folder, host) = host();
    let watch = |params: &str| {
        let steps = steps(params);
        host.run([
            "saga",
            "start",
            "--kind",
            "test",
            "--steps",
            &steps,
            "--watch",
            "--timeout",
            "60",
        ])
    };
    let completed = watch(r#"{"run":[{"done":{"x":1}}]}"#);
    assert_eq!(exit_code(&completed), 0, "{}", text(&completed.stdout));
    assert!(text(&completed.stdout).contains("completed in"));

    let compensated = watch(r#"{"run":[{"permanent":{"code":"nope","message":"will never work"}}]}"#);
    assert_eq!(exit_code(&compensated), 3, "{}", text(&compensated.stdout));
    assert!(text(&compensated.stdout).contains("it failed: will never work (nope)"));

    let cancelled = start(&host, SLEEPS);
    let cancelled = host.run(["saga", "cancel", &cancelled, "--reason", "a test", "--watch"]);
    assert_eq!(exit_code(&cancelled), 4, "{}", text(&cancelled.stdout));

    let going = host.run(["saga", "watch", &start(&host, SLEEPS), "--timeout", "1"]);
    assert_eq!(exit_code(&going), 7, "{}", text(&going.stdout));
    assert!(text(&going.stdout).contains("asleep"));
}

#[test]
fn a_stuck_undo_needs_attention_and_is_retried_or_abandoned() {
    let (_folder, host) = host();
    let stuck = r#"{"run":[{"permanent":{"code":"a","message":"b"}}],
        "compensate":[{"permanent":{"times":1,"code":"stuck","message":"can't be undone yet"}}]}"#;
    let id = start(&host, stuck);
    let watched = host.run(["saga", "watch", &id]);
    assert_eq!(exit_code(&watched), 5, "{}", text(&watched.stdout));
    assert!(text(&watched.stdout).contains("the undo of it is stuck: can't be undone yet (stuck)"));
    let retried = host.run(["saga", "retry", &id, "--reason", "a test", "--watch"]);
    assert_eq!(exit_code(&retried), 3, "{}", text(&retried.stdout));

    let id = start(&host, stuck);
    assert_eq!(exit_code(&host.run(["saga", "watch", &id])), 5);
    let abandoned = host.run(["saga", "abandon", &id, "--reason", "a test", "--watch"]);
    assert_eq!(exit_code(&abandoned), 6, "{}", text(&abandoned.stdout));
    let listed = host.json(["saga", "list", "--status", "abandoned"]);
    assert_eq!(listed["items"][0]["id"], id.as_str());
}

#[test]
fn what_completed_is_rolled_back_and_what_is_stuck_is_skipped_or_retried_with_all_others() {
    let (_folder, host) = host();
    let done = start(&host, r#"{"run":[{"done":{"x":1}}]}"#);
    assert_eq!(exit_code(&host.run(["saga", "watch", &done])), 0);
    let rolled = host.run(["saga", "rollback", &done, "--reason", "ordered twice", "--watch"]);
    assert_eq!(exit_code(&rolled), 3, "{}", text(&rolled.stdout));
    let told = text(&rolled.stdout);
    assert!(
        told.contains("admin asked for a rollback: ordered twice"),
        "{told}"
    );

    let stuck = r#"{"run":[{"permanent":{"code":"a","message":"b"}}],
        "compensate":[{"permanent":{"code":"stuck","message":"can't be undone"}}]}"#;
    let id = start(&host, stuck);
    assert_eq!(exit_code(&host.run(["saga", "watch", &id])), 5);
    let looked = host.run(["saga", "retry", "--all", "--code", "stuck", "--dry-run"]);
    let told = text(&looked.stdout);
    assert!(
        told.contains(&id) && told.contains("can't be undone (stuck)"),
        "{told}"
    );
    let none = host.run(["saga", "retry", "--all", "--code", "else", "--reason", "a test"]);
    assert_eq!(text(&none.stdout), "no saga that needs attention matches\n");
    let retried = host.json(["saga", "retry", "--all", "--code", "stuck", "--reason", "a test"]);
    assert_eq!(retried["items"][0]["retried"], true);
    assert_eq!(exit_code(&host.run(["saga", "watch", &id])), 5);

    let same = host.run(["saga", "repin", &id, "--to", "scripted@0.1.0"]);
    assert!(
        text(&same.stdout).contains("has another version"),
        "{}",
        text(&same.stdout)
    );
    let skipped = host.run(["saga", "skip", &id, "it", "--reason", "a test", "--watch"]);
    assert_eq!(exit_code(&skipped), 6, "{}", text(&skipped.stdout));
    let shown = host.run(["saga", "show", &id]);
    assert!(text(&shown.stdout).contains("skipped"), "{}", text(&shown.stdout));
}

#[test]
fn a_watch_goes_on_over_a_kill_and_a_restart_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::serve(folder.path());
    let file = scripted();
    host.run(["step", "push", file.to_str().unwrap()]);
    let id = start(
        &host,
        r#"{"run":[{"again":{"after_ms":3000,"progress":"asleep"}},{"done":{"x":1}}]}"#,
    );
    let mut watching = host
        .command(["saga", "watch", &id, "--timeout", "60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut watched = BufReader::new(watching.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let first = watched.next().unwrap();
    let listen = host.url().trim_start_matches("http://").to_owned();
    host.child.kill().unwrap();
    host.child.wait().unwrap();
    let _again = Host::serve_at(&listen, folder.path());
    let rest: Vec<String> = watched.collect();
    assert_eq!(watching.wait().unwrap().code(), Some(0), "{first} {rest:?}");
    assert!(rest.last().unwrap().contains("completed in"), "{rest:?}");
}

#[test]
fn a_refused_request_is_told_with_place_and_code() {
    let (_folder, host) = host();
    let refused = host.run(["droplet", "create", "--name", "no_underscores"]);
    assert_eq!(exit_code(&refused), 1);
    let told = text(&refused.stderr);
    assert!(
        told.starts_with("error: ") && told.contains("\n  /droplet_name: ") && told.contains(": 422 "),
        "{told}"
    );
    assert_eq!(text(&refused.stdout), "");
}

#[test]
fn without_a_server_or_the_right_token_the_next_step_is_named() {
    let unreachable = arcadia()
        .args(["saga", "list", "--url", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(exit_code(&unreachable), 1);
    assert!(
        text(&unreachable.stderr).contains("arcadia dev"),
        "{}",
        text(&unreachable.stderr)
    );

    let (_folder, host) = host();
    let mut command = arcadia();
    let refused = command
        .args(["saga", "list", "--token", "wrong", "--url", host.url()])
        .output()
        .unwrap();
    assert_eq!(exit_code(&refused), 1);
    assert!(
        text(&refused.stderr).contains("--token-file"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn without_a_configured_service_a_step_is_denied_and_nothing_is_sent() {
    let (_folder, host) = host();
    let denied = host.run([
        "droplet",
        "create",
        "--name",
        "web-1",
        "--watch",
        "--timeout",
        "60",
    ]);
    assert_eq!(exit_code(&denied), 3, "{}", text(&denied.stdout));
    assert!(
        text(&denied.stdout).contains("no service of this name is configured"),
        "{}",
        text(&denied.stdout)
    );
}
