//! How many sagas a second one host takes, durably, through HTTP: `cargo bench --bench sagas`.
//!
//! The real binary on a real disk (`ARCADIA_BENCH_DIR`, default the system's temporary folder; it must not be a RAM disk),
//! SQLite with `synchronous=FULL`. Each saga has three no-op steps, each step a WebAssembly component; it is one
//! `POST /v1/sagas` with `Prefer: wait`, answered when the saga has ended. The load comes from this process, on the same
//! cores. Absolute figures don't travel: the disk's own fsync rate is measured in the same run, and the ratio is what to
//! compare; on a machine that has other work to do, CPU and context switches per saga.
//!
//! Numbers behind `--` are how many clients there are: `cargo bench --bench sagas -- 1 64`.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

const NOOP: &[u8] = include_bytes!("../../steps-wasm/examples/components/noop.wasm");
/// Measured, after [`WARM_UP`], at each number of clients.
const MEASURED: Duration = Duration::from_secs(6);
const WARM_UP: Duration = Duration::from_secs(2);
const CLIENTS: [usize; 3] = [1, 16, 128];

fn main() {
    // Cargo adds `--bench`.
    let asked: Vec<usize> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let asked = if asked.is_empty() { CLIENTS.to_vec() } else { asked };
    let folder = tempfile::tempdir_in(
        std::env::var_os("ARCADIA_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from),
    )
    .expect("the folder for the benchmark's data can be written");
    let fsyncs = fsyncs_per_second(folder.path());
    println!("disk: {fsyncs:.0} fsyncs/s (4 KiB appended and synced, one after another)");
    let host = Host::start(folder.path());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    runtime.block_on(host.upload());
    println!(
        "{:>8} {:>9} {:>9} {:>9} {:>12} {:>14} {:>12}",
        "clients", "sagas/s", "p50 ms", "p99 ms", "cpu µs/saga", "switches/saga", "sagas/fsync"
    );
    for clients in asked {
        let measured = runtime.block_on(host.load(clients));
        let per_second = measured.sagas as f64 / MEASURED.as_secs_f64();
        println!(
            "{clients:>8} {per_second:>9.0} {:>9.2} {:>9.2} {:>12.0} {:>14.1} {:>12.2}",
            measured.percentile(50),
            measured.percentile(99),
            measured.spent.cpu.as_micros() as f64 / measured.sagas.max(1) as f64,
            measured.spent.switches as f64 / measured.sagas.max(1) as f64,
            per_second / fsyncs,
        );
    }
}

/// As the database does it: append, then sync, one after another.
fn fsyncs_per_second(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("fsync")).expect("the folder can be written");
    let began = Instant::now();
    let mut count = 0_u32;
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all(&[7; 4096]).expect("the disk has room");
        file.sync_data().expect("the disk syncs");
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

struct Host {
    process: Child,
    url: String,
    token: String,
    http: reqwest::Client,
}

struct Measured {
    sagas: usize,
    /// Sorted, milliseconds.
    latencies_ms: Vec<f64>,
    spent: Spent,
}

/// What the host has used of the machine.
#[derive(Clone, Copy)]
struct Spent {
    /// User and system.
    cpu: Duration,
    /// Context switches of all threads that live.
    switches: u64,
}

impl Measured {
    fn percentile(&self, percent: usize) -> f64 {
        let index = (self.latencies_ms.len() * percent / 100).min(self.latencies_ms.len().saturating_sub(1));
        self.latencies_ms.get(index).copied().unwrap_or(f64::NAN)
    }
}

impl Host {
    fn start(folder: &Path) -> Host {
        arcadia::cloud::install_crypto();
        let data = folder.join("data");
        let mut process = Command::new(env!("CARGO_BIN_EXE_arcadia"))
            .args(["--json", "serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .env_remove("DIGITALOCEAN_TOKEN")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the host starts");
        let mut first = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout)
            .read_line(&mut first)
            .expect("the host says where it is");
        let ready: Value =
            serde_json::from_str(&first).unwrap_or_else(|error| panic!("{error} in {first:?}"));
        let url = ready["url"].as_str().expect("a url").to_owned();
        let token = std::fs::read_to_string(data.join("token"))
            .expect("the token's file is there")
            .trim()
            .to_owned();
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client can be made");
        Host {
            process,
            url,
            token,
            http,
        }
    }

    async fn upload(&self) {
        let request = self
            .http
            .post(format!("{}/v1/components", self.url))
            .bearer_auth(&self.token);
        let answer = request
            .header("content-type", "application/wasm")
            .body(NOOP)
            .send()
            .await
            .expect("the host answers");
        assert!(
            answer.status().is_success(),
            "{}",
            answer.text().await.unwrap_or_default()
        );
    }

    /// Runs one saga to its end; how long that took, in milliseconds.
    async fn saga(&self) -> f64 {
        let step = |name: &str| json!({ "name": name, "component": "noop" });
        let body = json!({ "kind": "test", "steps": [step("a"), step("b"), step("c")], "inputs": {} });
        let began = Instant::now();
        let request = self
            .http
            .post(format!("{}/v1/sagas", self.url))
            .bearer_auth(&self.token);
        let answer = request
            .header("prefer", "wait=30")
            .json(&body)
            .send()
            .await
            .expect("the host answers");
        let status = answer.status();
        let ended: Value = answer.json().await.expect("a document");
        assert_eq!(ended["status"], "completed", "{status}: {ended}");
        began.elapsed().as_secs_f64() * 1_000.0
    }

    async fn load(self: &Host, clients: usize) -> Measured {
        let counting = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicBool::new(false));
        let client = || async {
            let mut latencies_ms = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let latency_ms = self.saga().await;
                if counting.load(Ordering::Relaxed) {
                    latencies_ms.push(latency_ms);
                }
            }
            latencies_ms
        };
        let clock = async {
            tokio::time::sleep(WARM_UP).await;
            let before = self.spent();
            counting.store(true, Ordering::Relaxed);
            tokio::time::sleep(MEASURED).await;
            counting.store(false, Ordering::Relaxed);
            let after = self.spent();
            ended.store(true, Ordering::Relaxed);
            Spent {
                cpu: after.cpu.saturating_sub(before.cpu),
                switches: after.switches.saturating_sub(before.switches),
            }
        };
        let clients = futures_util::future::join_all((0..clients).map(|_| client()));
        let (latencies_ms, spent) = tokio::join!(clients, clock);
        let mut latencies_ms: Vec<f64> = latencies_ms.into_iter().flatten().collect();
        latencies_ms.sort_by(f64::total_cmp);
        Measured {
            sagas: latencies_ms.len(),
            latencies_ms,
            spent,
        }
    }

    fn spent(&self) -> Spent {
        Spent {
            cpu: self.cpu(),
            switches: self.switches(),
        }
    }

    fn switches(&self) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let statuses = threads
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok());
        statuses
            .flat_map(|status| {
                let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
                let counts = counts.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok());
                counts.collect::<Vec<_>>()
            })
            .sum()
    }

    /// User and system time so far, in the kernel's ticks of 10 ms.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<i64> = after_name
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        // Behind the name come the state (no number), ppid, …: utime and stime are the 11th and 12th numbers.
        let ticks = fields.get(10).copied().unwrap_or(0) + fields.get(11).copied().unwrap_or(0);
        Duration::from_millis(ticks.unsigned_abs() * 10)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
