//! What the client sends, and how it reads answers that are allowed to be odd.

use std::cell::RefCell;

use digitalocean::{
    Action, ActionStatus, Client, Deletion, Droplet, Error, Listing, NewDroplet, Once, Refusal, Request,
    Response, Snapshot, Transport, read_created,
};
use serde_json::{Value, json};

/// Answers in the order given, and keeps what was asked.
#[derive(Default)]
struct Script {
    answers: RefCell<Vec<Response>>,
    asked: RefCell<Vec<Request>>,
}

impl Transport for &Script {
    type Error = String;

    fn send(&self, request: Request) -> Result<Response, String> {
        self.asked.borrow_mut().push(request);
        let mut answers = self.answers.borrow_mut();
        if answers.is_empty() {
            Err("no answer".to_owned())
        } else {
            Ok(answers.remove(0))
        }
    }
}

fn answer(status: u16, body: &Value) -> Response {
    Response {
        status,
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
    }
}

fn script(answers: Vec<Response>) -> Script {
    Script {
        answers: RefCell::new(answers),
        asked: RefCell::default(),
    }
}

fn ids(droplets: &[Droplet]) -> Vec<i64> {
    droplets.iter().map(|droplet| droplet.id).collect()
}

fn page(ids: &[i64], next: &Value) -> Response {
    let droplets: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
    answer(
        200,
        &json!({"droplets": droplets, "links": {"pages": {"next": next}}, "meta": {"total": 99}}),
    )
}

#[test]
fn every_page_is_asked_with_the_callers_parameters_and_the_address_is_never_followed() {
    let script = script(vec![
        page(
            &[3, 1],
            &json!("https://api.provider.example/v2/other?page=2&per_page=7"),
        ),
        page(
            &[1, 2],
            &json!("https://elsewhere.example/steal?per_page=7&page=3&tag_name=evil"),
        ),
        page(&[], &json!(null)),
    ]);
    let droplets = Client::new(&script)
        .list_droplets_by_tag("arcadia-r-k3v", Some(5_000))
        .expect("a listing");
    assert_eq!(ids(&droplets), [1, 2, 3]);
    let parameter = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (index, request) in script.asked.borrow().iter().enumerate() {
        let mut query = vec![
            parameter("tag_name", "arcadia-r-k3v"),
            parameter("per_page", "200"),
        ];
        if index > 0 {
            query.push(parameter("page", &(index + 1).to_string()));
        }
        let expected = Request {
            method: "GET",
            path: "/v2/droplets".to_owned(),
            query,
            body: None,
            max_age_ms: Some(5_000),
            once: None,
        };
        assert_eq!(request, &expected);
    }
    assert_eq!(script.asked.borrow().len(), 3);
}

#[test]
fn the_three_forms_of_links_end_a_listing() {
    for links in [None, Some(json!({})), Some(json!({"pages": {}}))] {
        let mut body = json!({"snapshots": [{"id": "5"}]});
        if let Some(links) = &links {
            body["links"] = links.clone();
        }
        let script = script(vec![answer(200, &body)]);
        assert_eq!(
            Client::new(&script).list_snapshots().expect("a listing").len(),
            1,
            "{links:?}"
        );
    }
}

#[test]
fn a_failed_page_or_a_next_page_that_leads_nowhere_fails_the_whole_listing() {
    let again = json!("https://x/?page=2");
    for second in [
        answer(503, &json!({})),
        answer(200, &json!({"items": []})),
        page(&[4], &again),
        page(&[4], &json!("https://x/?page=x")),
    ] {
        let script = script(vec![page(&[1], &again), second]);
        assert!(Client::new(&script).list_droplets_by_tag("t", None).is_err());
    }
    let script = script(vec![answer(200, &json!({"droplets": [{"name": "no id"}]}))]);
    assert!(matches!(
        Client::new(&script).list_droplets_by_name("n"),
        Err(Error::Unreadable { status: 200, .. })
    ));
}

#[test]
fn a_listing_by_an_unknown_tag_is_empty() {
    let script = script(vec![answer(404, &json!({"id": "not_found"}))]);
    assert_eq!(
        Client::new(&script).list_droplets_by_tag("t", None),
        Ok(Vec::new())
    );
}

#[test]
fn any_listing_can_be_read_with_parameters_of_its_own() {
    let script = script(vec![answer(200, &json!({"things": [1, 2]}))]);
    let parameters = [("resource_type", "droplet"), ("per_page", "3")];
    let listing = Listing {
        path: "/v2/things",
        items: "things",
        parameters: &parameters,
        max_age_ms: None,
    };
    assert_eq!(
        Client::new(&script).list_paginated(&listing, Value::as_i64),
        Ok(vec![1, 2])
    );
}

#[test]
fn a_droplet_is_read_whatever_is_null_missing_new_or_odd() {
    let raw = json!({
        "id": 5_720_003_821_i64,
        "name": "web-1",
        "status": "hibernating",
        "kernel": null,
        "vpc_uuid": null,
        "next_backup_window": null,
        "something_new": {"deep": [1]},
        "region": {"slug": "fra1"},
        "image": {"id": 161_000_000_000_i64, "slug": null},
        "size": {"slug": "s-1vcpu-1gb"},
        "tags": null,
        "networks": {"v6": [], "v4": [
            {"ip_address": "10.1.0.2", "gateway": "nil", "type": "private"},
            {"ip_address": "198.51.100.4", "gateway": null, "type": "public"},
        ]},
    });
    let droplet = Droplet::read(&raw).expect("a droplet");
    let expected = Droplet {
        id: 5_720_003_821,
        name: "web-1".to_owned(),
        status: "hibernating".to_owned(),
        region: Some("fra1".to_owned()),
        size_slug: Some("s-1vcpu-1gb".to_owned()),
        image_id: Some(161_000_000_000),
        image_slug: None,
        public_ipv4: Some("198.51.100.4".to_owned()),
        private_ipv4: Some("10.1.0.2".to_owned()),
        tags: None,
        raw: raw.to_string(),
    };
    assert_eq!(droplet, expected);
    let bare = Droplet::read(&json!({"id": 1, "networks": null, "image": null})).expect("a droplet");
    assert_eq!((bare.public_ipv4, bare.image_id, bare.tags), (None, None, None));
    for unreadable in [
        json!({}),
        json!({"id": null}),
        json!({"id": 0}),
        json!({"id": -4}),
        json!({"id": 1.5}),
        json!([]),
    ] {
        assert_eq!(Droplet::read(&unreadable), None, "{unreadable}");
    }
}

#[test]
fn tags_are_compared_ignoring_case() {
    let droplet = Droplet::read(&json!({"id": 1, "tags": ["Arcadia-R-K3V"]})).expect("a droplet");
    assert!(droplet.has_tag("arcadia-r-k3v"));
    assert!(!droplet.has_tag("arcadia-r"));
}

#[test]
fn a_create_sends_what_was_ordered_and_reads_the_id_and_the_action() {
    let accepted = json!({"droplet": {"id": 7}, "links": {"actions": [
        {"id": 1, "rel": "other"}, {"id": 9_000_000_000_i64, "rel": "create", "href": "https://elsewhere.example/"},
    ]}});
    let script = script(vec![answer(202, &accepted)]);
    let order = NewDroplet {
        name: "web-1".to_owned(),
        region: "fra1".to_owned(),
        size: "s-1vcpu-1gb".to_owned(),
        image: json!(77),
        tags: vec!["a".to_owned()],
        ssh_keys: vec![json!(12), json!("ab:cd")],
    };
    let once = Once {
        key: "create",
        refusals: &[400, 422],
    };
    let created = Client::new(&script)
        .create_droplet(&order, once.clone())
        .expect("accepted");
    assert_eq!(
        (created.droplet.id, created.create_action_id),
        (7, Some(9_000_000_000))
    );
    let asked = script.asked.borrow();
    assert_eq!(
        (asked[0].method, asked[0].path.as_str(), asked[0].once.as_ref()),
        ("POST", "/v2/droplets", Some(&once))
    );
    let body: Value = serde_json::from_str(asked[0].body.as_deref().expect("a body")).expect("JSON");
    assert_eq!(
        body,
        json!({"name": "web-1", "region": "fra1", "size": "s-1vcpu-1gb", "image": 77, "tags": ["a"], "ssh_keys": [12, "ab:cd"]})
    );
}

#[test]
fn an_accepted_create_without_its_action_is_still_a_create() {
    for links in [
        json!(null),
        json!({}),
        json!({"actions": []}),
        json!({"actions": null}),
    ] {
        let created = read_created::<String>(&answer(202, &json!({"droplet": {"id": 7}, "links": links})));
        assert_eq!(
            created.map(|created| (created.droplet.id, created.create_action_id)),
            Ok((7, None))
        );
    }
    for body in ["", "{}", "<html>", "{\"droplet\":{}}", "{\"droplet\":{\"id\":"] {
        let response = Response {
            status: 202,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        assert!(
            matches!(
                read_created::<String>(&response),
                Err(Error::Unreadable { status: 202, .. })
            ),
            "{body}"
        );
    }
}

#[test]
fn a_delete_is_accepted_not_found_or_refused() {
    let answers = vec![
        answer(204, &json!(null)),
        answer(404, &json!({})),
        answer(422, &json!({"id": "unprocessable_entity", "message": "pending"})),
    ];
    let script = script(answers);
    let client = Client::new(&script);
    assert_eq!(client.destroy_droplet(4), Ok(Deletion::Accepted));
    assert_eq!(client.destroy_snapshot("5"), Ok(Deletion::NotFound));
    let Err(Error::Refused(refusal)) = client.destroy_droplet(4) else {
        panic!("a refusal")
    };
    assert_eq!(
        (refusal.status, refusal.to_string().as_str()),
        (422, "status 422: pending")
    );
    assert_eq!(
        client.destroy_droplet(4),
        Err(Error::Transport("no answer".to_owned()))
    );
    assert!(script.asked.borrow().iter().all(|request| request.once.is_none()));
}

#[test]
fn errors_are_read_in_every_form() {
    let read = |status, body: &str| {
        Refusal::read(&Response {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        })
    };
    assert_eq!(read(500, "<html>").to_string(), "status 500");
    assert_eq!(read(500, "").message, "");
    let roots = r#"{"error":"bad","messages":["one","two"],"root_causes":[]}"#;
    assert_eq!(read(400, roots).message, "one; two");
    assert_eq!(read(400, r#"{"error":"bad","messages":[]}"#).message, "bad");
    assert_eq!(
        read(400, &json!({"message": "x".repeat(5_000)}).to_string())
            .message
            .len(),
        300
    );
}

#[test]
fn the_wait_after_a_429_is_told_by_either_header_and_bounded() {
    let wait = |headers: &[(&str, &str)]| {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Refusal::read(&Response {
            status: 429,
            headers,
            body: Vec::new(),
        })
        .wait_ms(1_000_000)
    };
    assert_eq!(
        wait(&[("Retry-After", "7"), ("ratelimit-reset", "9999")]),
        Some(7_000)
    );
    assert_eq!(wait(&[("RateLimit-Reset", "1060")]), Some(60_000));
    assert_eq!(wait(&[("ratelimit-reset", "1")]), Some(0));
    assert_eq!(wait(&[("retry-after", "1000000000")]), Some(3_600_000));
    assert_eq!(wait(&[("retry-after", "Tue, 24 Nov 2026 11:00:00 GMT")]), None);
    assert_eq!(
        wait(&[
            ("retry-after", "Tue, 24 Nov 2026 11:00:00 GMT"),
            ("ratelimit-reset", "4600")
        ]),
        None,
        "the hourly window says nothing about the burst limit"
    );
    assert_eq!(wait(&[]), None);
}

#[test]
fn actions_are_judged_by_their_status_alone() {
    let read = |status: &str| {
        Action::read(&json!({"id": 1, "type": "create", "status": status, "completed_at": null}))
            .map(|action| action.status)
    };
    assert_eq!(read("completed"), Some(ActionStatus::Completed));
    assert_eq!(read("errored"), Some(ActionStatus::Errored));
    assert_eq!(read("in-progress"), Some(ActionStatus::InProgress));
    assert_eq!(read("paused"), Some(ActionStatus::Unknown("paused".to_owned())));
}

#[test]
fn a_snapshots_id_is_text_whether_it_comes_as_text_or_number() {
    for id in [json!("6372321"), json!(6_372_321)] {
        let snapshot = Snapshot::read(&json!({"id": id, "name": "n", "tags": null, "regions": null}))
            .expect("a snapshot");
        assert_eq!((snapshot.id.as_str(), snapshot.tags.len()), ("6372321", 0));
    }
    assert_eq!(Snapshot::read(&json!({"id": ""})), None);
}

#[test]
fn an_unknown_droplet_is_none_and_its_actions_too() {
    let script = script(vec![
        answer(404, &json!({})),
        answer(404, &json!({})),
        answer(404, &json!({})),
        answer(500, &json!({})),
    ]);
    let client = Client::new(&script);
    assert_eq!(client.get_droplet(4), Ok(None));
    assert_eq!(client.list_droplet_actions(4), Ok(None));
    assert_eq!(client.get_action(4), Ok(None));
    assert!(matches!(client.get_droplet(4), Err(Error::Refused(_))));
}
