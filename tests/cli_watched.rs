//! What people see of a saga that ended in doubt and is watched.

use arcadia::simulator::{FaultKind, Point};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli_binary::{Host, arcadia, text},
    support::{
        http,
        simulator::{Control, requests},
    },
};

const DAY_MS: i64 = 24 * 3_600_000;

/// A host with a cloud of its own.
fn dev<const N: usize>(folder: &std::path::Path, more: [&str; N]) -> Host {
    let mut command = arcadia();
    command
        .args(["dev", "--listen", "127.0.0.1:0"])
        .args(more)
        .arg("--data")
        .arg(folder);
    Host::start(command)
}

/// Id of a saga whose create never got an answer, and was undone.
async fn in_doubt(host: &Host) -> String {
    let control = Control::at(host.ready["simulator_control"].as_str().unwrap());
    let reset = FaultKind::Reset {
        point: Point::BeforeEffect,
    };
    control.fault_once(requests("POST", "/v2/droplets"), reset).await;
    let params = json!({ "poll_interval_ms": 50, "settle_ms": 300, "absence_recheck_ms": 50 });
    let steps = json!([{ "name": "create", "component": "create-droplet", "params": params }]);
    let inputs = json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    });
    let (steps, inputs) = (steps.to_string(), inputs.to_string());
    let started = host.json([
        "saga", "start", "--kind", "test", "--steps", &steps, "--inputs", &inputs,
    ]);
    let id = started["id"].as_str().unwrap().to_owned();
    let watched = host.run(["saga", "watch", &id]);
    assert_eq!(watched.status.code(), Some(3), "{}", text(&watched.stdout));
    id
}

fn ms(time: &Value) -> i64 {
    let time = time.as_str().unwrap_or_else(|| panic!("no time: {time}"));
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_ended_in_doubt_says_until_when_it_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let host = dev(folder.path(), []);
    let id = in_doubt(&host).await;
    let shown = host.json(["saga", "show", &id]);
    let saga = &shown["saga"];
    let until = saga["watched_until"].clone();
    assert_eq!(ms(&until) - ms(&saga["ended_at"]), DAY_MS, "{saga}");
    let told = text(&host.run(["saga", "show", &id]).stdout);
    let line = format!("watched until  {},", until.as_str().unwrap());
    assert!(told.contains(&line), "{told}");

    let token = std::fs::read_to_string(host.ready["token_file"].as_str().unwrap()).unwrap();
    let stream = http::client()
        .request(Method::GET, format!("{}/v1/sagas/{id}/stream", host.url()))
        .bearer_auth(token.trim());
    let stream = stream.send().await.unwrap().text().await.unwrap();
    let data = stream
        .lines()
        .find_map(|line| line.strip_prefix("data:"))
        .unwrap();
    let change: Value = serde_json::from_str(data).unwrap();
    assert_eq!(change["saga"], *saga, "the stream shows the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_of_a_watch_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let host = dev(folder.path(), []);
    let missing = r#"[{"name":"list","component":"scripted"}]"#;
    let pushed = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../steps-wasm/examples/components/scripted.wasm"
    );
    assert_eq!(host.run(["step", "push", pushed]).status.code(), Some(0));
    let started = host.json(["saga", "start", "--kind", "test", "--steps", missing]);
    let id = started["id"].as_str().unwrap();
    host.run(["saga", "watch", id]);
    assert_eq!(
        host.json(["saga", "show", id])["saga"]["watched_until"],
        Value::Null
    );
    let told = text(&host.run(["saga", "show", id]).stdout);
    assert!(!told.contains("watched"), "{told}");
}
