//! Tokens over HTTP: what each scope opens, and what a token opens no more once it has ended.

use std::time::Duration;

use arcadia::engine::{Scope, tokens::TokenText};
use arcadia::store::{AddToken, NewToken};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    api_document::Document,
    api_server::{Answer, Api, TOKEN, answer, sleeper},
};

/// Makes a token; its text.
pub async fn token(api: &Api, name: &str, scope: &str) -> String {
    let made = api
        .post("/v1/tokens", json!({ "name": name, "scope": scope }))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    made.body["secret"].as_str().unwrap().to_owned()
}

pub fn with(api: &Api, token: &str, method: Method, path: &str) -> RequestBuilder {
    api.http
        .request(method, format!("{}{path}", api.url))
        .bearer_auth(token)
}

async fn get(api: &Api, token: &str, path: &str) -> Answer {
    answer(with(api, token, Method::GET, path)).await
}

async fn revoke(api: &Api, name: &str) -> Answer {
    answer(api.request(Method::DELETE, &format!("/v1/tokens/{name}"))).await
}

pub fn refused(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.body["code"].as_str())
}

/// A path that the template fits, and at which nothing is.
fn somewhere(template: &str) -> String {
    let path = template.replace("{id}", "01939f3e-0000-7aaa-8bbb-ccccdddddddd");
    let parts: Vec<&str> = path
        .split('/')
        .map(|part| if part.starts_with('{') { "x" } else { part })
        .collect();
    // Without a mistake in it, its answer would have no end.
    parts.join("/").replace("/v1/stream", "/v1/stream?nonsense=1")
}

#[tokio::test]
async fn every_operation_needs_the_scope_that_it_names_and_no_less() {
    let api = Api::start().await;
    let mut tokens = Vec::new();
    for scope in Scope::ALL {
        tokens.push((scope, token(&api, scope_name(scope), scope.as_str()).await));
    }
    let document = Document::of(&api).await;
    let mut seen = 0;
    for (path, item) in document.whole["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !path.starts_with("/v1/") {
                continue;
            }
            let needed = operation["security"][0]["token"][0].as_str();
            let needed = needed.and_then(Scope::parse).unwrap_or_else(|| {
                panic!("{method} {path} names no scope: {operation}");
            });
            let told = operation["description"].as_str().unwrap();
            assert!(told.contains(&format!("`{}`", needed.as_str())), "{told}");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let path = somewhere(path);
            for (has, token) in &tokens {
                let got = answer(with(&api, token, method.clone(), &path)).await;
                assert!(
                    document.promises(method.as_str(), &path, &got),
                    "{method} {path}: {got:?}"
                );
                if *has < needed {
                    assert_eq!(refused(&got), (403, Some("scope-missing")), "{method} {path}");
                    let detail = got.body["detail"].as_str().unwrap();
                    let (needed, has) = (needed.as_str(), has.as_str());
                    assert!(detail.contains(&format!("the scope {needed};")), "{detail}");
                    assert!(detail.ends_with(&format!("has {has}")), "{detail}");
                } else {
                    assert!(!matches!(got.status, 401 | 403), "{method} {path}: {got:?}");
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[tokio::test]
async fn who_looks_starts_nothing_who_starts_changes_nothing_and_who_changes_opens_no_door() {
    let api = Api::start().await;
    let document = Document::of(&api).await;
    for (method, path, expected) in [
        ("get", "/v1/sagas/{id}/context", "read"),
        ("get", "/v1/components/{digest}/wasm", "read"),
        ("get", "/v1/stream", "read"),
        ("post", "/v1/sagas", "run"),
        ("post", "/v1/sagas/batch", "run"),
        ("post", "/v1/sagas/{id}/cancel", "run"),
        ("delete", "/v1/droplets/{provider_id}", "run"),
        ("post", "/v1/sagas/{id}/retry", "operate"),
        ("put", "/v1/definitions/{name}", "operate"),
        ("put", "/v1/steps/{name}/channels/{channel}", "operate"),
        ("post", "/v1/components", "operate"),
        ("post", "/v1/components/{digest}/approve", "admin"),
        ("post", "/v1/components/{digest}/retire", "admin"),
        ("post", "/v1/components/{digest}/revoke", "admin"),
        ("get", "/v1/tokens", "admin"),
        ("post", "/v1/tokens", "admin"),
        ("delete", "/v1/tokens/{name}", "admin"),
    ] {
        let needed = &document.whole["paths"][path][method]["security"][0]["token"][0];
        assert_eq!(needed, expected, "{method} {path}");
    }
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "reader",
        Scope::Run => "runner",
        Scope::Operate => "operator",
        Scope::Admin => "second-admin",
    }
}

#[tokio::test]
async fn who_may_only_read_is_told_of_unknown_paths_and_wrong_methods_like_everybody() {
    let api = Api::start().await;
    let reader = token(&api, "reader", "read").await;
    let got = get(&api, &reader, "/v1/nothing").await;
    assert_eq!(refused(&got), (404, Some("unknown-route")));
    let got = answer(with(&api, &reader, Method::PATCH, "/v1/sagas")).await;
    assert_eq!(refused(&got), (405, Some("method-not-allowed")));
    let head = |path: &'static str| answer(with(&api, &reader, Method::HEAD, path));
    assert_eq!(head("/v1/sagas").await.status, 200);
    assert_eq!(head("/v1/tokens").await.status, 403);
}

#[tokio::test]
async fn a_guessed_token_is_told_nothing_and_one_that_ended_is_told_so() {
    let api = Api::start().await;
    let expired = TokenText::of([7; 32]);
    let row = NewToken {
        mark: expired.mark(),
        name: "expired".to_owned(),
        scope: Scope::Admin,
        created_by: "admin".to_owned(),
        expires_ms: Some(1_000),
    };
    let added = api.engine.store().add_token(row).await.unwrap();
    assert!(matches!(added, AddToken::Added(_)));
    let api = api.with_tokens_read_anew().await;
    let revoked = token(&api, "revoked", "run").await;
    assert_eq!(get(&api, &revoked, "/v1/sagas").await.status, 200);
    assert_eq!(revoke(&api, "revoked").await.status, 200);
    let guessed = TokenText::of([8; 32]);
    // The same but for its last character.
    let near = format!("{}a", &revoked[..revoked.len() - 1]);
    let near = if near == revoked {
        format!("{}b", &near[..near.len() - 1])
    } else {
        near
    };
    for (token, code) in [
        (expired.reveal(), "token-expired"),
        (revoked.as_str(), "token-revoked"),
        (guessed.reveal(), "unauthorized"),
        (near.as_str(), "unauthorized"),
    ] {
        let got = get(&api, token, "/v1/sagas").await;
        assert_eq!(refused(&got), (401, Some(code)));
        assert_eq!(got.header("www-authenticate"), Some("Bearer realm=\"arcadia\""));
        let told = got.body["detail"].as_str().unwrap();
        assert_eq!(
            told == "the token is not valid here",
            code == "unauthorized",
            "{told}"
        );
    }
    let listed = api.get("/v1/tokens").await;
    let statuses: Vec<(&str, &str)> = listed
        .items()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        statuses,
        [("admin", "valid"), ("expired", "expired"), ("revoked", "revoked")]
    );
}

#[tokio::test]
async fn a_token_is_shown_once_and_afterwards_only_its_end() {
    let api = Api::start().await;
    let body = json!({ "name": "ci", "scope": "run", "expires_in_s": 3_600 });
    let made = api.post("/v1/tokens", body.clone()).await;
    assert_eq!(
        (made.status, made.header("cache-control")),
        (201, Some("no-store")),
        "{made:?}"
    );
    let secret = made.body["secret"].as_str().unwrap();
    let row = &made.body["token"];
    assert!(secret.starts_with("arc_") && secret.len() == 56, "{secret}");
    assert!(secret.ends_with(row["hint"].as_str().unwrap()));
    assert_eq!(
        (&row["created_by"], &row["status"]),
        (&json!("admin"), &json!("valid"))
    );
    let listed = api.get("/v1/tokens").await;
    assert_eq!(&listed.items()[1], row);
    let hash = TokenText::known(secret).mark().hash;
    let text = listed.body.to_string();
    assert!(!text.contains(secret) && !text.contains(&hash), "{text}");

    let again = api.post("/v1/tokens", body).await;
    assert_eq!(refused(&again), (409, Some("token-name-taken")));
    let (first, second) = (revoke(&api, "ci").await, revoke(&api, "ci").await);
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(
        (&first.body["status"], &first.body),
        (&json!("revoked"), &second.body)
    );
}

#[tokio::test]
async fn the_last_admin_token_cannot_be_revoked_and_the_message_says_what_to_do() {
    let api = Api::start().await;
    token(&api, "operator", "operate").await;
    let last = revoke(&api, "admin").await;
    assert_eq!(refused(&last), (409, Some("last-admin-token")));
    let detail = last.body["detail"].as_str().unwrap();
    assert!(detail.contains("create another one"), "{detail}");
    assert_eq!(api.get("/v1/tokens").await.status, 200);
    let second = token(&api, "second", "admin").await;
    assert_eq!(revoke(&api, "admin").await.status, 200);
    assert_eq!(
        refused(&get(&api, TOKEN, "/v1/tokens").await),
        (401, Some("token-revoked"))
    );
    let own = answer(with(&api, &second, Method::DELETE, "/v1/tokens/second")).await;
    assert_eq!(refused(&own), (409, Some("last-admin-token")));
}

#[tokio::test]
async fn what_a_token_does_stands_under_its_name_whatever_it_says_itself() {
    let api = Api::start().await;
    let (runner, operator) = (
        token(&api, "ci", "run").await,
        token(&api, "ann@example.com", "operate").await,
    );
    let body = json!({ "kind": "test", "steps": [sleeper("one")], "triggered_by": "admin" });
    let started = answer(with(&api, &runner, Method::POST, "/v1/sagas").json(&body)).await;
    assert_eq!(started.status, 202, "{started:?}");
    let saga = format!("/v1/sagas/{}", started.body["id"].as_str().unwrap());
    let cancel = with(&api, &operator, Method::POST, &format!("{saga}/cancel"));
    assert_eq!(answer(cancel).await.status, 200);
    let events = api.get(&format!("{saga}/events")).await;
    let actor = |kind: &str| {
        let event = events.items().iter().find(|event| event["kind"] == kind);
        event.map(|event| event["actor"].clone()).unwrap()
    };
    assert_eq!(
        (actor("accepted"), actor("cancel-requested")),
        (json!("ci"), json!("ann@example.com"))
    );
    assert_eq!(api.get(&saga).await.body["triggered_by"], "admin");

    let definition = json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }] });
    let put = with(&api, &operator, Method::PUT, "/v1/definitions/mine").json(&definition);
    assert_eq!(answer(put).await.body["created_by"], "ann@example.com");
    let listed = api.get("/v1/definitions").await;
    let makers: Vec<(&Value, &Value)> = listed
        .items()
        .iter()
        .map(|row| (&row["name"], &row["created_by"]))
        .collect();
    assert_eq!(makers[0], (&json!("destroy_droplet"), &json!("host")));
    assert_eq!(makers[1], (&json!("mine"), &json!("ann@example.com")));
    let moved = with(&api, &operator, Method::PUT, "/v1/steps/noop/channels/next");
    let moved = answer(moved.json(&json!({ "version": "0.1.0" }))).await;
    assert_eq!(moved.body["moved_by"], "ann@example.com", "{moved:?}");
}

#[tokio::test]
async fn a_stream_ends_when_the_token_that_opened_it_is_revoked() {
    let api = Api::start().await;
    let reader = token(&api, "reader", "read").await;
    let stays = token(&api, "stays", "read").await;
    let open = |token: String| with(&api, &token, Method::GET, "/v1/stream").send();
    let (mut cut, mut kept) = (open(reader).await.unwrap(), open(stays).await.unwrap());
    assert!(cut.chunk().await.unwrap().is_some() && kept.chunk().await.unwrap().is_some());
    assert_eq!(revoke(&api, "reader").await.status, 200);
    let ends = async { while cut.chunk().await.unwrap().is_some() {} };
    let ends = tokio::time::timeout(Duration::from_secs(10), ends).await;
    assert!(ends.is_ok(), "the stream of a revoked token goes on");
    api.saga(json!([{ "name": "one", "component": "noop" }])).await;
    assert!(
        kept.chunk().await.unwrap().is_some(),
        "the other one is told of the saga"
    );
}
