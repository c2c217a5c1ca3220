//! The HTTP API over a real socket, with a real engine on a real SQLite file, in the test's own process.

use std::{path::Path, sync::Arc, time::Duration};

use arcadia::{
    api::{self, ApiState},
    cloud::{Grant, ServiceConfig, Services},
    engine::{
        Engine, EngineOptions, LeaseOptions,
        catalog::{BuiltIn, Catalog},
        tokens::{TokenText, Tokens},
    },
    store::SqlStore,
};
use axum::{Router, http::StatusCode};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{step_guest::RUNTIME, support::http};

pub const TOKEN: &str = "the-admin-token";

/// The bytes of a committed example.
pub fn example(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../steps-wasm/examples/components");
    std::fs::read(folder.join(format!("{name}.wasm"))).unwrap()
}

fn shipped(name: &str) -> Arc<[u8]> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../steps-wasm/components");
    std::fs::read(folder.join(format!("{name}.wasm"))).unwrap().into()
}

pub struct Api {
    pub url: String,
    pub http: reqwest::Client,
    pub engine: Arc<Engine>,
    pub state: ApiState,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
    _data: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn items(&self) -> &Vec<Value> {
        self.body["items"]
            .as_array()
            .unwrap_or_else(|| panic!("no items in {self:?}"))
    }
}

impl Api {
    /// With the steps `noop`, `scripted` and `scripted-pivot`.
    pub async fn start() -> Api {
        let components = ["noop", "scripted", "scripted-pivot"];
        Api::with(components.map(|name| (name, example(name).into())).into()).await
    }

    /// With the steps and definitions for droplets.
    pub async fn with_droplets() -> Api {
        let components = [
            "create-droplet",
            "wait-droplet-active",
            "register-droplet",
            "destroy-droplet",
            "create-droplet-snapshot",
        ];
        let mut components: Vec<(&str, Arc<[u8]>)> = components.map(|name| (name, shipped(name))).into();
        components.push(("scripted", example("scripted").into()));
        Api::with(components).await
    }

    async fn with(components: Vec<(&str, Arc<[u8]>)>) -> Api {
        let data = tempfile::tempdir().unwrap();
        let store = Arc::new(SqlStore::sqlite(&data.path().join("arcadia.db")).await.unwrap());
        let built_in = BuiltIn {
            components: components
                .into_iter()
                .map(|(name, bytes)| (name.to_owned(), bytes))
                .collect(),
            ..BuiltIn::shipped()
        };
        let catalog = Catalog::open(store.clone(), RUNTIME.clone(), &built_in)
            .await
            .unwrap();
        let engine = Engine::start(EngineOptions {
            store,
            services: Services::new(vec![agreeable().await]).unwrap(),
            runtime: RUNTIME.clone(),
            catalog: Arc::new(catalog),
            watching: Default::default(),
            dice: Arc::new(rand::random),
            lease: LeaseOptions::default(),
        });
        let engine = engine.await.unwrap();
        Api::serving(engine, data).await
    }

    async fn serving(engine: Arc<Engine>, data: tempfile::TempDir) -> Api {
        let admin = TokenText::known(TOKEN).mark();
        engine.store().admin_token(admin, false).await.unwrap();
        let tokens = Tokens::open(engine.store().clone()).await.unwrap();
        let state = ApiState::new(engine.clone(), Arc::new(tokens), false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(api::serve(listener, state.clone(), async move {
            let _ = stopped.await;
        }));
        Api {
            url,
            http: http::client(),
            engine,
            state,
            stop: Some(stop),
            serving: Some(serving),
            _data: data,
        }
    }

    /// The same, as a start on the same store would see it.
    pub async fn with_tokens_read_anew(mut self) -> Api {
        self.end().await;
        let data = std::mem::replace(&mut self._data, tempfile::tempdir().unwrap());
        Api::serving(self.engine.clone(), data).await
    }

    /// Ends the server as an operator would.
    pub async fn end(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.serving.take().unwrap().await.unwrap().unwrap();
    }

    /// With the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(TOKEN)
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::PUT, path).json(&body)).await
    }

    pub async fn upload(&self, query: &str, bytes: Vec<u8>) -> Answer {
        let request = self.request(Method::POST, &format!("/v1/components{query}"));
        answer(request.header("content-type", "application/wasm").body(bytes)).await
    }

    /// Starts a saga of kind `test`; its id.
    pub async fn saga(&self, steps: Value) -> String {
        let started = self
            .post("/v1/sagas", json!({ "kind": "test", "steps": steps }))
            .await;
        assert_eq!(started.status, 202, "{started:?}");
        started.body["id"].as_str().unwrap().to_owned()
    }

    /// Waits for the saga's end, or until it needs attention.
    pub async fn rest(&self, saga: &str) -> Value {
        let path = format!("/v1/sagas/{saga}");
        let rested = answer(self.request(Method::GET, &path).header("prefer", "wait=30")).await;
        assert_eq!(
            (rested.status, rested.header("preference-applied")),
            (200, Some("wait=30"))
        );
        rested.body
    }

    /// Waits until a step of the saga sleeps.
    pub async fn asleep(&self, saga: &str) {
        let path = format!("/v1/sagas/{saga}");
        for _ in 0..100 {
            let tag = self.get(&path).await.header("etag").unwrap().to_owned();
            let steps = self.get(&format!("{path}/steps")).await;
            if steps
                .items()
                .iter()
                .any(|step| step["run"]["polls"].as_u64() > Some(0))
            {
                return;
            }
            let request = self.request(Method::GET, &path).header("if-none-match", tag);
            answer(request.header("prefer", "wait=5")).await;
        }
        panic!("no step of saga {saga} falls asleep");
    }
}

pub async fn answer(request: RequestBuilder) -> Answer {
    let response = tokio::time::timeout(Duration::from_secs(90), request.send());
    let response = response.await.expect("an answer in time").expect("an answer");
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer {
        status,
        headers,
        body,
    }
}

/// A service that says yes to everything.
async fn agreeable() -> ServiceConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let yes = Router::new().fallback(|| async { (StatusCode::OK, "{}") });
    tokio::spawn(axum::serve(listener, yes).into_future());
    ServiceConfig {
        name: "test".to_owned(),
        base_url: url,
        credential: None,
        credential_file: None,
        allow: vec![Grant {
            service: "test".to_owned(),
            methods: vec!["GET".to_owned(), "POST".to_owned()],
            path_prefixes: vec!["/".to_owned()],
        }],
        per_minute: 10_000,
        per_hour: 100_000,
        identity: None,
        origin: None,
    }
}

/// A step that sleeps until somebody ends it.
pub fn sleeper(name: &str) -> Value {
    json!({ "name": name, "component": "scripted", "params": { "run": [{ "again": { "after_ms": 3_600_000 } }] } })
}
