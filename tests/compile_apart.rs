//! The real host: what it compiles at a start, and what an upload that is hard to compile does to its neighbours.

use std::{
    fs,
    time::{Duration, Instant},
};

use arcadia::simulator::{Options, Rules, Simulator};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{step_compiler::heavy, support::host::Host};

const NOOP: &[u8] = include_bytes!("../steps-wasm/examples/components/noop.wasm");

async fn simulator() -> Simulator {
    let rules = Rules {
        activation_ms: 300,
        ..Rules::default()
    };
    let options = Options {
        rules,
        ..Options::default()
    };
    Simulator::start(options).await.unwrap()
}

fn compiled(host: &Host) -> usize {
    host.log().matches("compiled a component").count()
}

/// A droplet and a step of its own: all three shipped steps of a definition, and an uploaded one.
async fn run_sagas(host: &Host) {
    let droplet = host
        .saga(json!({
            "definition": "provision_droplet",
            "inputs": {
                "droplet_name": "web", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
                "droplet_image": "debian-12-x64",
            },
            "params": { "wait": { "poll_interval_ms": 100 } },
        }))
        .await;
    let own = host
        .saga(json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }] }))
        .await;
    for saga in [droplet, own] {
        assert_eq!(host.rest_of(&saga).await, "completed", "{}", host.log());
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn a_warm_start_compiles_nothing_and_damaged_code_is_compiled_again() {
    let simulator = simulator().await;
    let mut host = Host::start(&simulator).await;
    host.upload(NOOP).await;
    run_sagas(&host).await;
    assert_eq!(compiled(&host), 6);

    host.restart().await;
    run_sagas(&host).await;
    assert_eq!(compiled(&host), 6, "{}", host.log());

    let mut damaged = 0;
    for entry in fs::read_dir(host.data().join("cache/code")).unwrap() {
        let file = entry.unwrap().path();
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        fs::write(&file, bytes).unwrap();
        damaged += 1;
    }
    assert_eq!(damaged, 6);
    host.restart().await;
    run_sagas(&host).await;
    assert_eq!(compiled(&host), 10, "{}", host.log());
    assert_eq!(host.log().matches("is not as this host wrote it").count(), 4);

    fs::write(host.data().join("code-key"), [7; 32]).unwrap();
    host.restart().await;
    run_sagas(&host).await;
    assert_eq!(compiled(&host), 14, "{}", host.log());
}

#[tokio::test]
async fn a_cache_that_is_not_wanted_is_not_made() {
    let simulator = simulator().await;
    let mut host = Host::start_with(&simulator.api_url(), &words(&["--code-cache-mib", "0"]), None).await;
    host.restart().await;
    run_sagas_without_upload(&host).await;
    assert!(!host.data().join("cache").exists());
    assert!(compiled(&host) > 5);
}

async fn run_sagas_without_upload(host: &Host) {
    host.upload(NOOP).await;
    run_sagas(host).await;
}

/// Milliseconds of a saga with one step, from the request to its end, by the median of as many as there is time for.
async fn median_while(
    host: &Host,
    busy: impl Future<Output = (u16, serde_json::Value)>,
) -> (f64, usize, (u16, serde_json::Value)) {
    let mut took = Vec::new();
    let sagas = async {
        loop {
            let began = Instant::now();
            let saga = json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }] });
            let saga = host.saga(saga).await;
            assert_eq!(host.rest_of(&saga).await, "completed");
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
    };
    let answer = tokio::select! {
        () = sagas => unreachable!("it has no end"),
        answer = busy => answer,
    };
    took.sort_by(f64::total_cmp);
    (
        took.get(took.len() / 2).copied().unwrap_or(f64::MAX),
        took.len(),
        answer,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_take_too_much_to_compile_are_refused_by_name_and_neighbours_keep_their_pace() {
    let simulator = simulator().await;
    let limits: [(&'static [&'static str], &str); 2] = [
        (&["--compile-cpu-s", "1"], "CPU time"),
        (&["--compile-memory-mib", "256"], "memory"),
    ];
    for (arguments, detail) in limits {
        let host = Host::start_with(&simulator.api_url(), &words(arguments), None).await;
        host.upload(NOOP).await;
        let kept = || fs::read_dir(host.data().join("cache/code")).unwrap().count();
        let before = (host.get("/v1/components").await, kept());
        let quiet = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (0, json!(null))
        };
        let (alone_ms, _, _) = median_while(&host, quiet).await;
        let (busy_ms, sagas, (status, body)) =
            median_while(&host, async { host.try_upload(&heavy(3_500)).await }).await;
        println!("{detail}: {alone_ms:.1} ms alone, {busy_ms:.1} ms beside it ({sagas} sagas)");
        assert_eq!(
            (status, body["code"].as_str()),
            (422, Some("compile-limit")),
            "{body}"
        );
        assert!(body["detail"].as_str().unwrap().contains(detail), "{body}");
        assert!(
            busy_ms < 10.0 * alone_ms + 50.0,
            "{alone_ms} ms alone, {busy_ms} ms beside it"
        );
        assert_eq!((host.get("/v1/components").await, kept()), before);
    }
}

/// Sends a signal to the process that the host compiles in, as soon as there is one.
async fn end_compiler(host: &Host, signal: Signal) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // After the name in parentheses: the state, the parent.
            let parent = stat.rsplit(") ").next().unwrap().split(' ').nth(1);
            let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if parent == Some(&host.pid().to_string()) && command.contains("compile-component") {
                let pid: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
                return kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
            }
        }
        assert!(Instant::now() < deadline, "nothing is compiled: {}", host.log());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The kernel does so when the machine is out of memory.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_compiler_was_killed_is_told_to_come_again_and_one_that_breaks_it_is_refused() {
    let simulator = simulator().await;
    let host = Host::start(&simulator).await;
    let wasm = heavy(2_000);
    let before = host.get("/v1/components").await;
    for (signal, status, code, retry_after) in [
        (Signal::KILL, 503, "overloaded", Some("5")),
        (Signal::TERM, 503, "overloaded", Some("5")),
        (Signal::ABORT, 422, "compile-failed", None),
    ] {
        let (answer, ()) = tokio::join!(host.uploading(&wasm), end_compiler(&host, signal));
        assert_eq!(answer.status().as_u16(), status, "{signal:?}");
        let told = answer.headers().get("retry-after").cloned();
        assert_eq!(told.as_ref().and_then(|value| value.to_str().ok()), retry_after);
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(host.get("/v1/components").await, before);
    }
    host.upload(&wasm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_compiler_was_killed_goes_on_and_its_step_has_lost_no_attempt() {
    let simulator = simulator().await;
    let mut host = Host::start_with(&simulator.api_url(), &words(&["--code-cache-mib", "0"]), None).await;
    host.upload(&heavy(2_000)).await;
    host.restart().await;
    // A single attempt: one that was lost would be the end.
    let plan = json!({
        "kind": "test",
        "steps": [{ "name": "one", "component": "guest", "run": { "max_attempts": 1 } }],
    });
    let saga = host.saga(plan).await;
    end_compiler(&host, Signal::KILL).await;
    assert_eq!(host.rest_of(&saga).await, "completed", "{}", host.log());
    let steps = host.get(&format!("/v1/sagas/{saga}/steps")).await;
    assert_eq!(steps["items"][0]["run"]["attempt"], 1, "{steps}");
    let events = host.get(&format!("/v1/sagas/{saga}/events")).await;
    let told = events["items"][1]["detail"]["failure"]["message"]
        .as_str()
        .unwrap();
    assert!(told.contains("the compiler was ended from outside"), "{events}");
}
