//! The simulator held to the official OpenAPI description, answer by answer.

use std::collections::BTreeSet;

use arcadia::simulator::{LinksForm, Rules, Token, UnknownTag};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    openapi::Description,
    provider::{Bench, Cloud, wish},
};

/// Endpoints that the simulator doesn't have: importing an image from a URL.
const NOT_SIMULATED: [&str; 1] = ["POST /v2/images"];

/// Sends requests, and collects what the answers violate.
struct Tour {
    description: Description,
    cloud: Cloud,
    answered: BTreeSet<String>,
    violations: Vec<String>,
}

impl Tour {
    fn with(cloud: Cloud) -> Self {
        Self {
            description: Description::official(),
            cloud,
            answered: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    async fn ask(&mut self, method: Method, path: &str, body: Option<Value>, expected: u16) -> Value {
        let answer = self
            .cloud
            .send(method.clone(), path, body.as_ref())
            .await
            .expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("a whole answer");
        assert_eq!(status, expected, "{method} {path}: {text}");
        let body = if text.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_str(&text)
        };
        let body = body.expect("JSON");
        let plain = path.split('?').next().unwrap_or(path);
        let operation = self.description.operation(method.as_str(), plain);
        let operation = operation.unwrap_or_else(|| panic!("{method} {path} is not described"));
        let found = self.description.violations(&operation, status, &headers, &body);
        self.violations.extend(found);
        if status < 300 {
            self.answered.insert(operation);
        }
        body
    }

    async fn get(&mut self, path: &str) -> Value {
        self.ask(Method::GET, path, None, 200).await
    }

    fn end(self) {
        assert!(self.violations.is_empty(), "{}", self.violations.join("\n"));
    }
}

async fn see_the_catalogue(tour: &mut Tour) {
    for path in [
        "account",
        "regions",
        "sizes",
        "images",
        "images?type=distribution",
        "images/debian-13-x64",
    ] {
        tour.get(&format!("/v2/{path}")).await;
    }
    let key = json!({"name": "laptop", "public_key": "ssh-ed25519 AAAA laptop"});
    let key = tour.ask(Method::POST, "/v2/account/keys", Some(key), 201).await;
    let path = format!("/v2/account/keys/{}", key["ssh_key"]["id"]);
    tour.get("/v2/account/keys").await;
    tour.get(&path).await;
    tour.ask(Method::PUT, &path, Some(json!({"name": "desk"})), 200)
        .await;
    tour.ask(Method::DELETE, &path, None, 204).await;
}

async fn see_the_tags(tour: &mut Tour, droplet: i64) {
    tour.ask(Method::POST, "/v2/tags", Some(json!({"name": "extra"})), 201)
        .await;
    tour.ask(Method::POST, "/v2/tags", Some(json!({"name": "no.dots"})), 400)
        .await;
    let resources = json!({"resources": [{"resource_id": droplet.to_string(), "resource_type": "droplet"}]});
    tour.ask(
        Method::POST,
        "/v2/tags/extra/resources",
        Some(resources.clone()),
        204,
    )
    .await;
    tour.get("/v2/tags").await;
    tour.get("/v2/tags/extra").await;
    tour.ask(Method::DELETE, "/v2/tags/extra/resources", Some(resources), 204)
        .await;
    tour.ask(Method::DELETE, "/v2/tags/extra", None, 204).await;
    tour.ask(Method::DELETE, "/v2/tags/extra", None, 404).await;
}

async fn first_snapshot(tour: &mut Tour) -> Value {
    tour.get("/v2/snapshots?resource_type=droplet").await["snapshots"][0]["id"].clone()
}

async fn see_the_snapshots(tour: &mut Tour, bench: &Bench, droplet: i64) {
    let body = json!({"type": "snapshot", "name": "kept"});
    let path = format!("/v2/droplets/{droplet}");
    let actions = format!("{path}/actions");
    let action = tour.ask(Method::POST, &actions, Some(body.clone()), 201).await;
    tour.ask(Method::POST, &actions, Some(body.clone()), 422).await;
    let action = action["action"]["id"].as_i64().expect("an id");
    for path in [
        actions.clone(),
        format!("{actions}/{action}"),
        "/v2/actions".into(),
        format!("/v2/actions/{action}"),
    ] {
        tour.get(&path).await;
    }
    bench.control.advance(30_000).await;
    tour.ask(
        Method::POST,
        "/v2/droplets/actions?tag_name=fleet",
        Some(body),
        201,
    )
    .await;
    bench.control.advance(30_000).await;
    tour.get(&format!("/v2/actions/{action}")).await;
    for rest in ["", "/snapshots", "/backups", "/destroy_with_associated_resources"] {
        tour.get(&format!("{path}{rest}")).await;
    }
    let image = json!({"resources": [{"resource_id": first_snapshot(tour).await, "resource_type": "image"}]});
    tour.ask(Method::POST, "/v2/tags", Some(json!({"name": "images"})), 201)
        .await;
    tour.ask(Method::POST, "/v2/tags/images/resources", Some(image), 204)
        .await;
    tour.get("/v2/tags/images").await;
    let tagged = tour.get("/v2/images?tag_name=images").await;
    assert_eq!(tagged["images"][0]["tags"], json!(["images"]));
    tour.get("/v2/images?private=true").await;
    let snapshots = tour.get("/v2/snapshots").await["snapshots"].clone();
    let ids: Vec<&str> = snapshots
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|snapshot| snapshot["id"].as_str())
        .collect();
    let (first, second) = (ids[0], ids[1]);
    tour.get(&format!("/v2/snapshots/{first}")).await;
    tour.ask(
        Method::PUT,
        &format!("/v2/images/{first}"),
        Some(json!({"name": "new"})),
        200,
    )
    .await;
    tour.ask(Method::DELETE, &format!("/v2/images/{first}"), None, 204)
        .await;
    tour.ask(Method::DELETE, &format!("/v2/snapshots/{second}"), None, 204)
        .await;
    tour.ask(Method::DELETE, &format!("/v2/snapshots/{second}"), None, 404)
        .await;
}

#[tokio::test]
async fn every_answer_conforms_to_the_official_description() {
    let bench = Bench::new().await;
    let mut tour = Tour::with(bench.cloud.clone());
    see_the_catalogue(&mut tour).await;
    let created = tour
        .ask(Method::POST, "/v2/droplets", Some(wish("web-1", "fleet")), 202)
        .await;
    let droplet = created["droplet"]["id"].as_i64().expect("an id");
    let mut many = wish("", "others");
    many.as_object_mut().expect("an object").remove("name");
    many["names"] = json!(["a", "b", "c"]);
    tour.ask(Method::POST, "/v2/droplets", Some(many), 202).await;
    let gpu = json!({
        "name": "gpu", "region": "tor1", "size": "gpu-h100x1-80gb", "image": "gpu-h100x1-base", "ipv6": true,
    });
    tour.ask(Method::POST, "/v2/droplets", Some(gpu), 202).await;
    tour.ask(Method::POST, "/v2/droplets", Some(json!({"name": "x"})), 422)
        .await;
    tour.get("/v2/droplets").await;
    bench.control.advance(20_000).await;
    for query in [
        "",
        "?type=gpus",
        "?tag_name=fleet",
        "?name=A",
        "?per_page=2",
        "?per_page=2&page=2",
    ] {
        tour.get(&format!("/v2/droplets{query}")).await;
    }
    see_the_snapshots(&mut tour, &bench, droplet).await;
    see_the_tags(&mut tour, droplet).await;
    let path = format!("/v2/droplets/{droplet}");
    tour.ask(Method::DELETE, &path, None, 204).await;
    tour.ask(Method::DELETE, "/v2/droplets?tag_name=others", None, 204)
        .await;
    bench.control.advance(3_000).await;
    tour.ask(Method::GET, &path, None, 404).await;
    tour.ask(Method::DELETE, &path, None, 404).await;

    let unanswered: Vec<String> = tour
        .description
        .operations()
        .difference(&tour.answered)
        .cloned()
        .collect();
    assert_eq!(unanswered, NOT_SIMULATED);
    tour.end();
}

/// A request to every endpoint for something that isn't there.
fn requests_in_vain(operation: &str) -> (Method, String, Option<Value>) {
    let (method, template) = operation.split_once(' ').expect("a method and a path");
    let named = template.replace("{tag_id}", "unknown");
    let mut path: String = named
        .split('/')
        .map(|segment| if segment.starts_with('{') { "1" } else { segment })
        .collect::<Vec<_>>()
        .join("/");
    if (method, template) == ("DELETE", "/v2/droplets") || template == "/v2/droplets/actions" {
        path.push_str("?tag_name=unknown");
    }
    let body = match (method, template) {
        ("POST" | "DELETE", "/v2/tags/{tag_id}/resources") => Some(json!({"resources": []})),
        ("POST", template) if template.ends_with("/actions") => Some(json!({"type": "reboot"})),
        ("POST" | "PUT", _) => Some(json!({"name": "x"})),
        _ => None,
    };
    (method.parse().expect("a method"), path, body)
}

#[tokio::test]
async fn every_operation_refuses_in_the_described_form() {
    let rules = Rules {
        tokens: vec![Token::full("sim-token"), Token::scoped("nothing", &[])],
        unknown_tag: UnknownTag::NotFound,
        ..Rules::default()
    };
    let bench = Bench::with(rules).await;
    let mut tour = Tour::with(bench.cloud.clone());
    let operations = tour.description.operations();
    let simulated = operations
        .iter()
        .filter(|operation| !NOT_SIMULATED.contains(&operation.as_str()));
    let simulated: Vec<&String> = simulated.collect();
    for (token, status) in [("nobody", 401), ("nothing", 403)] {
        tour.cloud = Cloud::of(&bench.simulator, token);
        for operation in &simulated {
            let (method, path, body) = requests_in_vain(operation);
            tour.ask(method, &path, body, status).await;
        }
    }
    tour.cloud = bench.cloud.clone();
    let mut not_found = 0;
    for operation in &simulated {
        let (method, path, body) = requests_in_vain(operation);
        if tour.description.names(operation, 404) {
            tour.ask(method.clone(), &path, body.clone(), 404).await;
            not_found += 1;
        }
        if matches!(
            operation.as_str(),
            "POST /v2/droplets" | "POST /v2/account/keys" | "POST /v2/tags"
        ) {
            tour.ask(method, &path, Some(json!({"name": 5})), 422).await;
        }
    }
    assert_eq!(not_found, 22);
    let broken = json!("no object");
    tour.ask(Method::POST, "/v2/droplets", Some(broken), 400).await;
    for status in [500, 503, 429] {
        let answer = json!({"kind": "answer", "point": "before-effect", "status": status});
        let fault = serde_json::from_value(json!({"fault": answer})).expect("a fault");
        bench.control.add_fault(fault).await;
        for operation in &simulated {
            let (method, path, body) = requests_in_vain(operation);
            tour.ask(method, &path, body, status).await;
        }
        bench.control.clear_faults().await;
    }
    tour.end();
}

#[tokio::test]
async fn every_form_of_links_and_a_true_rate_limit_conform_too() {
    let rules = Rules {
        rate_per_minute: 2,
        ..Rules::default()
    };
    let bench = Bench::with(rules).await;
    let mut tour = Tour::with(bench.cloud.clone());
    for form in [LinksForm::Absent, LinksForm::EmptyPages] {
        bench.control.patch(json!({"links": form})).await;
        tour.get("/v2/droplets").await;
    }
    tour.ask(Method::GET, "/v2/droplets", None, 429).await;
    tour.end();
}

#[tokio::test]
async fn the_check_reports_all_that_is_wrong_with_an_answer() {
    let bench = Bench::new().await;
    let id = bench.active_droplet("a").await;
    let path = format!("/v2/droplets/{id}");
    let answer = bench
        .cloud
        .send(Method::GET, &path, None)
        .await
        .expect("an answer");
    let mut headers = answer.headers().clone();
    let mut body: Value = answer.json().await.expect("JSON");
    let description = Description::official();
    let operation = description.operation("GET", &path).expect("it is described");
    assert_eq!(description.violations(&operation, 200, &headers, &body), [""; 0]);

    headers.remove("ratelimit-limit");
    headers.insert("ratelimit-reset", "soon".parse().expect("a value"));
    headers.insert("content-type", "text/html".parse().expect("a value"));
    let droplet = body["droplet"].as_object_mut().expect("an object");
    droplet.remove("networks");
    droplet.insert("id".into(), json!("5"));
    droplet.insert("status".into(), json!("hibernating"));
    droplet.insert("created_at".into(), json!("yesterday"));
    droplet.insert("kernal".into(), Value::Null);
    droplet["region"]["slug"] = json!(["fra1"]);
    let found = description.violations(&operation, 200, &headers, &body);
    for part in [
        "no header ratelimit-limit",
        "the header ratelimit-reset is \"soon\"",
        "the content type Some(\"text/html\")",
        "\"networks\" is a required property",
        "at /droplet/id",
        "at /droplet/status",
        "at /droplet/created_at",
        "an undescribed field kernal at /droplet",
        "at /droplet/region/slug",
    ] {
        assert!(
            found.iter().any(|violation| violation.contains(part)),
            "{part} is not among {found:#?}"
        );
    }
    assert_eq!(found.len(), 9, "{found:#?}");
}
