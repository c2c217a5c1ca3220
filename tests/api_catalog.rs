//! Components, channels and definitions over HTTP, when all is well.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::api_server::{Api, TOKEN, answer, example};

/// The component with a section that nobody reads, so that it has this many bytes.
fn padded(mut component: Vec<u8>, size: usize) -> Vec<u8> {
    let content = size - component.len() - 6;
    component.push(0);
    let mut length = content;
    for last in [false, false, false, false, true] {
        let byte = (length & 0x7f) as u8;
        component.push(if last { byte } else { byte | 0x80 });
        length >>= 7;
    }
    component.extend_from_slice(b"\x03pad");
    component.resize(size, 0);
    component
}

#[tokio::test]
async fn a_component_is_taken_once_and_read_back() {
    let api = Api::start().await;
    let noop = padded(example("noop"), 40_000);
    let same_version = api.upload("", noop).await;
    assert_eq!(
        (same_version.status, same_version.body["code"].as_str()),
        (409, Some("version-exists"))
    );

    let greet = example("greet-c");
    let new = api.upload("?channel=next", greet.clone()).await;
    assert_eq!(new.status, 201, "{new:?}");
    let again = api.upload("", greet.clone()).await;
    assert_eq!(
        (again.status, &again.body["component"]),
        (200, &new.body["component"]),
        "{again:?}"
    );

    let component = &new.body["component"];
    let path = format!("/v1/components/{}", component["digest"].as_str().unwrap());
    assert_eq!(new.header("location"), Some(path.as_str()));
    let shown = api.get(&path).await;
    assert_eq!(shown.body["manifest"]["name"], component["name"]);
    assert_eq!(shown.body["size_bytes"], greet.len());
    let wasm = api
        .request(Method::GET, &format!("{path}/wasm"))
        .send()
        .await
        .unwrap();
    assert_eq!(wasm.headers()["content-type"], "application/wasm");
    assert_eq!(wasm.bytes().await.unwrap(), greet);
    let wit = api.get(&format!("{path}/wit")).await.body;
    assert!(
        wit.as_str().unwrap().contains("export arcadia:step/step@0.1.0;"),
        "{wit}"
    );

    let name = component["name"].as_str().unwrap();
    let steps = api.get("/v1/steps").await;
    let step = steps.items().iter().find(|step| step["name"] == name).unwrap();
    let channels: BTreeSet<&str> = step["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["channel"].as_str().unwrap())
        .collect();
    assert!(channels.contains("next"), "{step}");
    let one = api.get(&format!("/v1/components?name={name}")).await;
    assert_eq!(one.items(), &vec![component.clone()]);
}

/// The answer to an upload, for a client that reads nothing until it has sent everything.
async fn sent_whole(api: &Api, size: usize) -> String {
    let mut stream = tokio::net::TcpStream::connect(api.url.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let head = format!(
        "POST /v1/components HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/wasm\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
        .write_all(&vec![0; size])
        .await
        .expect("the server takes what it refuses");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_component_of_20_mb_is_taken_and_one_over_the_limit_is_told_the_limit() {
    let api = Api::start().await;
    let large = api.upload("", padded(example("greet-c"), 20 << 20)).await;
    assert_eq!(
        (large.status, &large.body["component"]["size_bytes"]),
        (201, &json!(20 << 20)),
        "{large:?}"
    );
    let before = api.get("/v1/components").await.body;
    let too_large = sent_whole(&api, (64 << 20) + 1).await;
    assert!(too_large.starts_with("HTTP/1.1 413 "), "{too_large}");
    assert!(too_large.contains("67108864"), "{too_large}");
    let streamed = api
        .request(Method::POST, "/v1/components")
        .header("content-type", "application/wasm");
    let chunks = (0..65).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 1 << 20]));
    let unannounced =
        answer(streamed.body(reqwest::Body::wrap_stream(futures_util::stream::iter(chunks)))).await;
    assert_eq!(
        (unannounced.status, unannounced.body["code"].as_str()),
        (413, Some("body-too-large"))
    );
    assert_eq!(api.get("/v1/components").await.body, before);
}

#[tokio::test]
async fn a_channel_moves_by_version_and_by_digest() {
    let api = Api::start().await;
    let steps = api.get("/v1/steps").await;
    let noop = steps
        .items()
        .iter()
        .find(|step| step["name"] == "noop")
        .unwrap()
        .clone();
    let version = &noop["versions"][0];
    assert_eq!(noop["channels"][0]["built_in"], true);
    for body in [
        json!({ "version": version["version"] }),
        json!({ "digest": version["digest"] }),
    ] {
        let moved = api.put("/v1/steps/noop/channels/next", body).await;
        assert_eq!(moved.status, 200, "{moved:?}");
        assert_eq!(moved.body["digest"], version["digest"]);
        assert_eq!(
            (&moved.body["built_in"], &moved.body["moved_by"]),
            (&json!(false), &json!("admin"))
        );
    }
}

#[tokio::test]
async fn a_definition_gets_a_version_only_when_its_body_changes() {
    let api = Api::start().await;
    let body = json!({ "kind": "test", "steps": [{ "name": "one", "component": "noop" }] });
    let first = api.put("/v1/definitions/greet", body.clone()).await;
    assert_eq!(
        (first.status, &first.body["version"]),
        (201, &json!(1)),
        "{first:?}"
    );
    let same = api.put("/v1/definitions/greet", body).await;
    assert_eq!((same.status, &same.body), (200, &first.body));
    let other = json!({ "kind": "test", "steps": [{ "name": "two", "component": "noop" }] });
    let second = api.put("/v1/definitions/greet", other.clone()).await;
    assert_eq!((second.status, &second.body["version"]), (200, &json!(2)));
    assert_eq!(api.get("/v1/definitions/greet").await.body["body"], other);
    let names: Vec<Value> = api
        .get("/v1/definitions")
        .await
        .items()
        .iter()
        .map(|row| row["name"].clone())
        .collect();
    assert_eq!(
        names,
        [
            "destroy_droplet",
            "greet",
            "provision_droplet",
            "snapshot_droplet"
        ]
    );
}
