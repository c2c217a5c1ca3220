//! What rows say: the same on both databases.

use super::place::Place;

const MINUTES_AGO: &str = "1000";
const SAGA: &str = "00000000-0000-0000-0000-00000000000";

/// What somebody does to the rows, the check that tells of it, its state, and what it says.
fn damages() -> Vec<(String, &'static str, &'static str, &'static str)> {
    let journal = format!(
        "insert into http_journal (id, host, saga_id, step, phase, service, method, path, request_hash, at_ms, state)
         values ('{SAGA}9', 'gone', '{SAGA}1', 0, 'run', 'digitalocean', 'POST', '/', 'x', {MINUTES_AGO}, 'open')"
    );
    let of = |text: &str| text.to_owned();
    vec![
        (
            of("delete from installation"),
            "installation",
            "warning",
            "doesn't know who it is",
        ),
        (
            of("update installation set id = 'me'"),
            "installation",
            "problem",
            "\"me\"",
        ),
        (
            of("update hosts set seen_ms = seen_ms + 3600000"),
            "clock",
            "warning",
            "set back",
        ),
        (
            of("update hosts set lease_until_ms = 1000"),
            "hosts",
            "warning",
            "has run out",
        ),
        (
            of("update hosts set lost_ms = seen_ms"),
            "hosts",
            "warning",
            "no host runs; 1 lost",
        ),
        (of("delete from hosts"), "hosts", "warning", "4 sagas not ended"),
        (
            of("update hosts set calling = '{'"),
            "hosts",
            "problem",
            "not readable",
        ),
        (
            of(
                "insert into hosts (id, started_ms, seen_ms, lease_until_ms, calling)
                values ('00000000-0000-0000-0000-00000000000b', 1, 1, 1, '[]')",
            ),
            "hosts",
            "warning",
            "without anybody counting it as lost",
        ),
        (
            of("update hosts set lost_ms = seen_ms"),
            "ownership",
            "warning",
            "4 sagas without an owner",
        ),
        (
            format!("update saga_runs set owner = 'nobody', updated_ms = {MINUTES_AGO} where id = '{SAGA}2'"),
            "ownership",
            "problem",
            "though a host lives",
        ),
        (
            format!("update saga_runs set wake_ms = {MINUTES_AGO} where id <= '{SAGA}2'"),
            "overdue",
            "warning",
            "2 sagas should have gone on",
        ),
        (
            format!("update saga_runs set status = 'needs-attention', wake_ms = null where id = '{SAGA}3'"),
            "attention",
            "warning",
            "1 saga in need of a person: 00000000",
        ),
        (
            format!(
                r#"update saga_runs set paused = '{{"since_ms":5,"holds":["saga"]}}' where id = '{SAGA}3'"#
            ),
            "paused",
            "warning",
            "1 saga: 00000000",
        ),
        (
            of("insert into holds (target, by, since_ms) values ('service:digitalocean', 'ann', 5)"),
            "paused",
            "warning",
            "held: service:digitalocean",
        ),
        (
            format!("update saga_runs set status = 'dancing' where id = '{SAGA}1'"),
            "unreadable",
            "problem",
            "unknown value \"dancing\"",
        ),
        (
            format!(
                "update saga_runs set turning = '{{' where id = '{SAGA}1';
                 update saga_step_results set state = 'succeeded', output = null where saga_id = '{SAGA}2'"
            ),
            "unreadable",
            "problem",
            "a step that succeeded without an output",
        ),
        (
            of("update saga_plans set body = '[]'"),
            "unreadable",
            "problem",
            "plan ",
        ),
        (
            format!("update saga_runs set id = 'nonsense' where id = '{SAGA}4'"),
            "unreadable",
            "problem",
            "the id of saga \"nonsense\"",
        ),
        (
            format!(
                "insert into saga_watches (saga_id, began_ms, until_ms, next_look_ms, looks, intents)
                 values ('{SAGA}1', 1, 99999999999999, 99999999999999, 0, '?')"
            ),
            "unreadable",
            "problem",
            "a watch is not readable",
        ),
        (
            of("update step_components set manifest = '{'"),
            "unreadable",
            "problem",
            "column manifest: not a JSON text",
        ),
        (
            journal.clone(),
            "requests",
            "warning",
            "1 request of hosts that have ended",
        ),
        (
            format!("{journal}; update hosts set lost_ms = 1"),
            "requests",
            "ok",
            "1 request had no answer",
        ),
        (
            format!(
                "insert into saga_watches (saga_id, began_ms, until_ms, next_look_ms, looks, intents)
                 values ('{SAGA}1', 1, 99999999999999, {MINUTES_AGO}, 0, '[]')"
            ),
            "watches",
            "warning",
            "a look is late",
        ),
        (
            of(
                "insert into findings (id, code, message, advice, created_ms) values
                ('a', 'undo-stuck', '', '', 1), ('b', 'undo-stuck', '', '', 1), ('c', 'untagged', '', '', 1)",
            ),
            "findings",
            "warning",
            "open: 2 undo-stuck, 1 untagged",
        ),
        (
            format!("delete from saga_runs where id = '{SAGA}2'"),
            "orphans",
            "problem",
            "event without its saga: 1",
        ),
        (
            of("delete from saga_plans"),
            "orphans",
            "problem",
            "saga without its plan: 4",
        ),
        (
            of("delete from step_component_blobs"),
            "orphans",
            "problem",
            "component without its bytes: 1",
        ),
        (
            of("delete from step_component_blobs; delete from step_components"),
            "components",
            "problem",
            "noop@1.0.0 (0000",
        ),
        (
            of(
                "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                select 9999, 'from the future', success, checksum, 0 from _sqlx_migrations where version = 1",
            ),
            "schema",
            "problem",
            "doesn't know version 9999",
        ),
        (
            of(
                "update _sqlx_migrations set checksum = (select bytes from step_component_blobs) where version = 1",
            ),
            "schema",
            "problem",
            "version 1 was made by another text",
        ),
        (
            of("update _sqlx_migrations set success = not success where version = 1"),
            "schema",
            "problem",
            "begun and has not ended",
        ),
        (
            of("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)"),
            "schema",
            "warning",
            "1 migration to come",
        ),
    ]
}

fn exit_of(state: &str) -> i32 {
    match state {
        "ok" | "warning" => 0,
        "unknown" => 1,
        "problem" => 9,
        other => panic!("{other}"),
    }
}

async fn damaged(place: Place, (statements, code, state, part): (String, &str, &str, &str)) {
    place.examined().is_well_but_for(&[]);
    place.run(&statements).await;
    let said = place.examined();
    said.shows(code, state, part);
    assert_eq!(said.exit, exit_of(&said.state), "{statements}: {}", said.all);
}

#[tokio::test]
async fn what_is_done_to_the_rows_of_a_file_is_told_by_the_check_that_is_there_for_it() {
    for damage in damages() {
        damaged(Place::file().await, damage).await;
    }
}

#[tokio::test]
async fn what_is_done_to_the_rows_on_a_server_is_told_by_the_check_that_is_there_for_it() {
    for damage in damages() {
        let Some(place) = Place::server().await else {
            return;
        };
        damaged(place, damage).await;
    }
}

#[tokio::test]
async fn bytes_that_are_not_what_their_digest_says_are_seen_by_a_thorough_look() {
    let places = [Some(Place::file().await), Place::server().await];
    for place in places.into_iter().flatten() {
        let said = place.examined();
        said.shows("components", "ok", "the 1 component");
        assert_eq!((said.exit, said.state.as_str()), (0, "ok"));
        let said = place.examined_with(&["--thorough"]);
        said.shows("components", "problem", "not what their digests say");
        said.shows("unreadable", "ok", "each saga reads back: 4");
        assert_eq!(said.exit, 9);
    }
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_seen_by_a_thorough_look() {
    let places = [Some(Place::file().await), Place::server().await];
    for place in places.into_iter().flatten() {
        let insert = format!(
            "insert into http_journal (id, saga_id, step, phase, service, method, path, request_hash, at_ms, state, ended_ms)
             values ('{SAGA}9', '{SAGA}1', 0, 'run', 'digitalocean', 'POST', '/', 'x', 1, 'answered', 2)"
        );
        place.run(&insert).await;
        place.examined().is_well_but_for(&[]);
        let said = place.examined_with(&["--thorough"]);
        said.shows(
            "unreadable",
            "problem",
            "saga 00000000-0000-0000-0000-000000000001 is not readable",
        );
    }
}

#[tokio::test]
async fn a_schema_that_is_older_is_examined_as_far_as_it_goes() {
    let place = Place::file().await;
    // Back to what version 8 was.
    place
        .run(
            "drop index saga_runs_owner; alter table http_journal drop column host;
             alter table hosts drop column lost_ms; alter table hosts drop column lease_until_ms;
             delete from _sqlx_migrations where version = 9",
        )
        .await;
    let said = place.examined();
    said.shows("schema", "warning", "version 8 is older");
    said.shows("hosts", "unknown", "not this program's");
    said.shows("ownership", "unknown", "not this program's");
    for code in [
        "sagas",
        "unreadable",
        "orphans",
        "components",
        "integrity",
        "findings",
    ] {
        assert_eq!(said.state_of(code), "ok", "{code}");
    }
    assert_eq!((said.exit, said.state.as_str()), (1, "unknown"));
}
