//! The real binary as a child process, on a real SQLite file, against a simulator: started, killed, started again.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use arcadia::simulator::Simulator;
use reqwest::Method;
use serde_json::Value;

/// How long a host may take until it says that it is ready.
const STARTS_IN: Duration = Duration::from_secs(60);
/// How long a saga may take to come to rest.
const RESTS_IN: Duration = Duration::from_secs(60);
/// How long it may take until it has ended by itself.
const ENDS_IN: Duration = Duration::from_secs(30);

pub struct Host {
    data: tempfile::TempDir,
    services: PathBuf,
    arguments: Vec<String>,
    /// Another host's, when they share a database.
    token: Option<String>,
    process: Option<Child>,
    environment: Vec<(&'static str, OsString)>,
    url: String,
    http: reqwest::Client,
}

impl Host {
    /// In a fresh data folder; its one service is the simulator.
    pub async fn start(simulator: &Simulator) -> Host {
        Host::start_with(&simulator.api_url(), &[], None).await
    }

    /// With another way to the simulator, and more arguments for `serve`.
    pub async fn start_with(cloud: &str, arguments: &[String], token: Option<String>) -> Host {
        Host::start_in(cloud, arguments, token, Vec::new()).await
    }

    /// With these variables in its environment too.
    pub async fn start_in(
        cloud: &str,
        arguments: &[String],
        token: Option<String>,
        environment: Vec<(&'static str, OsString)>,
    ) -> Host {
        let mut host = Host::of("sim-token", cloud, arguments, token, environment);
        host.restart().await;
        host
    }

    /// With a credential by which whoever is on the way to the cloud can tell hosts apart.
    pub async fn start_as(secret: &str, cloud: &str, arguments: &[String], token: Option<String>) -> Host {
        let mut host = Host::of(secret, cloud, arguments, token, Vec::new());
        host.restart().await;
        host
    }

    /// Started, whether it then comes up or not.
    pub fn spawned(cloud: &str, arguments: &[String], token: Option<String>) -> Host {
        let mut host = Host::of("sim-token", cloud, arguments, token, Vec::new());
        drop(host.spawn());
        host
    }

    fn of(
        secret: &str,
        cloud: &str,
        arguments: &[String],
        token: Option<String>,
        environment: Vec<(&'static str, OsString)>,
    ) -> Host {
        let data = tempfile::tempdir().unwrap();
        let services = data.path().join("services.toml");
        let credential = data.path().join("credential");
        std::fs::write(&credential, secret).unwrap();
        // A budget that a quick test doesn't meet; the budget has tests of its own.
        let text = format!(
            "[services.digitalocean]\nbase_url = {:?}\norigin = \"simulator\"\ncredential_file = {credential:?}\nper_minute = 100000\nper_hour = 1000000\n\
             [[services.digitalocean.allow]]\nmethods = [\"GET\", \"POST\", \"DELETE\"]\npath_prefixes = [\"/v2\"]\n",
            cloud
        );
        std::fs::write(&services, text).unwrap();
        Host {
            data,
            services,
            arguments: arguments.to_vec(),
            token,
            process: None,
            environment,
            url: String::new(),
            http: super::http::client(),
        }
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// SIGTERM, SIGSTOP, SIGCONT.
    pub fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("the host runs");
        let sent = Command::new("kill")
            .args(["-s", signal, &process.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Whether it has ended though nobody killed it.
    pub fn has_ended(&mut self) -> bool {
        let ended = |process: &mut Child| process.try_wait().unwrap().is_some();
        self.process.as_mut().is_some_and(ended)
    }

    /// The exit code of a host that ends by itself, or was asked to.
    pub async fn ends_within(&mut self, limit: Duration) -> Option<i32> {
        self.ended_within(limit).await.code()
    }

    /// How it ended, by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        self.ended_within(ENDS_IN).await
    }

    async fn ended_within(&mut self, limit: Duration) -> ExitStatus {
        let mut process = self.process.take().expect("the host runs");
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = process.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                process.kill().unwrap();
                process.wait().unwrap();
                panic!("the host does not end: {}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SQLite's file.
    pub fn database(&self) -> PathBuf {
        self.data().join("arcadia.db")
    }

    /// Starts on what the last one left.
    pub async fn restart(&mut self) {
        let (told, tell) = tokio::sync::oneshot::channel();
        let stdout = self.spawn();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let url = lines.find_map(|line| {
                line.split_whitespace()
                    .find(|word| word.starts_with("http://"))
                    .map(str::to_owned)
            });
            let _ = told.send(url);
            lines.for_each(drop);
        });
        let url = tokio::time::timeout(STARTS_IN, tell).await;
        self.url = match url {
            Ok(Ok(Some(url))) => url.trim_end_matches('/').to_owned(),
            _ => panic!("the host did not start: {}", self.log()),
        };
    }

    /// Starts it, whether it then comes up or not; what it prints.
    pub fn spawn(&mut self) -> std::process::ChildStdout {
        self.kill();
        let mut process = Command::new(env!("CARGO_BIN_EXE_arcadia"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(self.data())
            .arg("--services")
            .arg(&self.services)
            .args(&self.arguments)
            .env_remove("DIGITALOCEAN_TOKEN")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::from(
                std::fs::File::options()
                    .create(true)
                    .append(true)
                    .open(self.data.path().join("log"))
                    .unwrap(),
            ))
            .spawn()
            .unwrap();
        let stdout = process.stdout.take().unwrap();
        self.process = Some(process);
        stdout
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default()
    }

    /// Of the process itself.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder that the host was given.
    pub fn data(&self) -> PathBuf {
        self.data.path().join("data")
    }

    pub fn token(&self) -> String {
        if let Some(token) = &self.token {
            return token.clone();
        }
        std::fs::read_to_string(self.data.path().join("data/token"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// Status and body; `None` when the host went away meanwhile.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let (status, _, body) = self.ask(method, path, body).await?;
        Some((status, body))
    }

    /// As `send`, with what `Retry-After` says.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<(u16, Option<String>, Value)> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Host::answer(request).await
    }

    /// As `ask`, for a saga under an idempotency key.
    pub async fn start_once(&self, key: &str, body: &Value) -> Option<(u16, Option<String>, Value)> {
        let request = self.request(Method::POST, "/v1/sagas");
        Host::answer(request.header("idempotency-key", key).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http.request(method, url).bearer_auth(self.token())
    }

    async fn answer(request: reqwest::RequestBuilder) -> Option<(u16, Option<String>, Value)> {
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let again = answer.headers().get("retry-after");
        let again = again.map(|seconds| seconds.to_str().unwrap().to_owned());
        let text = answer.text().await.ok()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Some((status, again, body))
    }

    pub async fn get(&self, path: &str) -> Value {
        match self.send(Method::GET, path, None).await {
            Some((200, body)) => body,
            other => panic!("GET {path}: {other:?}\n{}", self.log()),
        }
    }

    /// Id of a saga that was accepted.
    pub async fn saga(&self, body: Value) -> String {
        match self.send(Method::POST, "/v1/sagas", Some(body)).await {
            Some((202, body)) => body["id"].as_str().unwrap().to_owned(),
            other => panic!("the saga was not accepted: {other:?}\n{}", self.log()),
        }
    }

    pub async fn upload(&self, wasm: &[u8]) {
        let (status, body) = self.try_upload(wasm).await;
        assert!(matches!(status, 200 | 201), "upload: {status} {body}");
    }

    pub async fn try_upload(&self, wasm: &[u8]) -> (u16, Value) {
        let answer = self.uploading(wasm).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub async fn uploading(&self, wasm: &[u8]) -> reqwest::Response {
        let request = self
            .http
            .post(format!("{}/v1/components", self.url))
            .bearer_auth(self.token());
        request
            .header("content-type", "application/wasm")
            .body(wasm.to_vec())
            .send()
            .await
            .unwrap()
    }

    /// Waits until the saga has ended or needs attention; its status.
    pub async fn rest_of(&self, saga: &str) -> String {
        let deadline = Instant::now() + RESTS_IN;
        loop {
            let request = self
                .http
                .get(format!("{}/v1/sagas/{saga}", self.url))
                .bearer_auth(self.token());
            let answer = request.header("prefer", "wait=10").send().await.unwrap();
            let body: Value = answer.json().await.unwrap();
            let status = body["status"]
                .as_str()
                .unwrap_or_else(|| panic!("no status in {body}"))
                .to_owned();
            if !matches!(status.as_str(), "running" | "compensating") {
                return status;
            }
            if Instant::now() > deadline {
                let steps = self.get(&format!("/v1/sagas/{saga}/steps")).await;
                panic!(
                    "saga {saga} does not come to rest: {body}\n{steps}\n{}",
                    self.log()
                );
            }
        }
    }

    /// Provider ids of the inventory's live droplets.
    pub async fn inventory(&self) -> std::collections::BTreeSet<i64> {
        let rows = self.get("/v1/droplets?limit=200").await;
        let rows = rows["items"]
            .as_array()
            .unwrap_or_else(|| panic!("no items in {rows}"));
        rows.iter()
            .map(|row| row["provider_id"].as_str().unwrap().parse().unwrap())
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}
