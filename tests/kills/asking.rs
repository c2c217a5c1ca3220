//! A client of one host, which may die at any moment: then there is no answer.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::order::Order;

#[derive(Debug, Clone)]
pub struct Asking {
    pub http: Client,
    pub url: String,
    pub token: String,
}

impl Asking {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        request.bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Option<Value> {
        match answer(self.request(Method::GET, path)).await? {
            (200, body) => Some(body),
            other => panic!("GET {path}: {other:?}"),
        }
    }

    /// The id of the saga that the host says it has accepted.
    pub async fn start(&self, order: &Order) -> Option<String> {
        let request = self.request(Method::POST, "/v1/sagas");
        let request = request.header("idempotency-key", order.key()).json(&order.body());
        match answer(request).await? {
            (200 | 202, body) => Some(body["id"].as_str().unwrap().to_owned()),
            (503, _) => None,
            other => panic!("{order:?} was answered {other:?}"),
        }
    }

    /// Whether the cancel was taken, or came too late.
    pub async fn cancel(&self, saga: &str) -> Option<bool> {
        let request = self.request(Method::POST, &format!("/v1/sagas/{saga}/cancel"));
        match answer(request.json(&json!({ "reason": "on purpose" }))).await? {
            (200 | 202, _) => Some(true),
            (409, _) => Some(false),
            (503, _) => None,
            other => panic!("the cancel of {saga} was answered {other:?}"),
        }
    }

    /// By an operator, who has seen that host after host died under it.
    pub async fn retry(&self, saga: &str) -> Option<u16> {
        let request = self.request(Method::POST, &format!("/v1/sagas/{saga}/retry"));
        let answer = answer(request.json(&json!({ "reason": "the hosts were killed" }))).await?;
        Some(answer.0)
    }
}

async fn answer(request: RequestBuilder) -> Option<(u16, Value)> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.ok()?))
}
