//! A simulator on virtual time with a plain client of its API.

use arcadia::simulator::{ClockMode, Options, Rules, Simulator};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{http, simulator::Control};

/// A simulator on virtual time, its control and a client of its API.
pub struct Bench {
    pub simulator: Simulator,
    pub control: Control,
    pub cloud: Cloud,
}

impl Bench {
    pub async fn with(rules: Rules) -> Self {
        let options = Options {
            clock: ClockMode::Virtual,
            rules,
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.expect("free ports");
        Self {
            control: Control::of(&simulator),
            cloud: Cloud::of(&simulator, "sim-token"),
            simulator,
        }
    }

    pub async fn new() -> Self {
        Self::with(Rules::default()).await
    }

    /// A droplet that is active.
    pub async fn active_droplet(&self, tag: &str) -> i64 {
        let id = self.cloud.create("web-1", tag).await;
        self.control.advance(20_000).await;
        id
    }
}

/// A plain client of the provider's API.
#[derive(Clone)]
pub struct Cloud {
    base: String,
    token: String,
    http: reqwest::Client,
}

pub fn wish(name: &str, tag: &str) -> Value {
    json!({
        "name": name, "region": "fra1", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "tags": [tag],
    })
}

impl Cloud {
    pub fn of(simulator: &Simulator, token: &str) -> Self {
        Self {
            base: simulator.api_url(),
            token: token.into(),
            http: http::client(),
        }
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Response> {
        let request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        }
    }

    pub async fn status(&self, method: Method, path: &str, body: Option<&Value>) -> u16 {
        let answer = self.send(method, path, body).await.expect("an answer");
        answer.status().as_u16()
    }

    /// Status and JSON body; null without one.
    pub async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let answer = self.send(method, path, body).await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a whole answer");
        let body = if text.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_str(&text)
        };
        (status, body.expect("JSON"))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.json(Method::GET, path, None).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    pub async fn create(&self, name: &str, tag: &str) -> i64 {
        let body = wish(name, tag);
        let (status, body) = self.json(Method::POST, "/v2/droplets", Some(&body)).await;
        assert_eq!(status, 202, "{body}");
        body["droplet"]["id"].as_i64().expect("an id")
    }

    pub async fn ids_by_tag(&self, tag: &str) -> Vec<i64> {
        let body = self.get(&format!("/v2/droplets?tag_name={tag}")).await;
        let droplets = body["droplets"].as_array().expect("a list").iter();
        droplets.filter_map(|droplet| droplet["id"].as_i64()).collect()
    }
}
