//! The row, the desired state, and taking the latter back.

use fake::{End, FakeHost, What, on};
use register_droplet::{compensate, run};
use serde_json::json;

const DROPLETS: &str = "/v2/droplets";

fn host() -> FakeHost {
    let host = FakeHost::new(json!({"droplet_image": "debian-12-x64"}));
    let id = host
        .cloud
        .borrow_mut()
        .add("web-1", &["managed-by-arcadia-cloud", "web"]);
    host.cloud.borrow_mut().now_ms = 60_000;
    host.with_context("droplet_id", json!(id.to_string()))
}

#[test]
fn it_records_what_the_droplet_is_and_what_it_shall_be() {
    let host = host();
    let end = fake::run(&host, run);
    let id = host.cloud.borrow().ids()[0].to_string();
    let spec = json!({"size_slug": "s-1vcpu-1gb", "region": "fra1", "image": "debian-12-x64", "image_id": 7});
    let resource_id = format!("res-{id}");
    assert_eq!(
        end,
        End::Done(json!({"resource_id": resource_id, "droplet_id": id, "spec": spec}))
    );
    assert_eq!(host.context("droplet_resource_id"), Some(json!(resource_id)));
    let durable = host.durable.borrow();
    assert_eq!(durable.provisioned[&resource_id], spec);
    let row = &durable.inventory[&("droplet".to_owned(), id)];
    assert_eq!(row.status, "active");
    assert_eq!(row.public_ip.as_deref(), Some("203.0.113.7"));
    assert_eq!(row.tags, ["managed-by-arcadia-cloud", "web"]);
    assert_eq!(host.sent.borrow().len(), 1);
}

#[test]
fn compensation_takes_back_the_desired_state_and_leaves_the_row() {
    let host = host();
    let done = fake::run(&host, run);
    assert!(matches!(fake::compensate(&host, &done, compensate), End::Done(_)));
    let durable = host.durable.borrow();
    assert!(durable.provisioned.is_empty());
    assert_eq!(durable.inventory.len(), 1);
    assert!(durable.deleted.is_empty());
}

#[test]
fn compensation_of_a_step_that_never_ran_does_nothing() {
    let host = host();
    assert!(matches!(
        fake::compensate(&host, &End::Cancelled, compensate),
        End::Done(_)
    ));
    assert_eq!(host.sent.borrow().len(), 0);
}

#[test]
fn a_droplet_that_lags_is_waited_for_and_one_that_is_not_there_fails() {
    let host = self::host().with_cloud(|cloud| {
        cloud.droplets[0].listed_ms = 90_000;
        cloud.droplets[0].readable_ms = 90_000;
    });
    fake::run(&host, run).output();
    let host = self::host().with_cloud(|cloud| cloud.droplets[0].gone_ms = Some(1));
    assert_eq!(fake::run(&host, run), End::Failed("droplet-not-found".to_owned()));
    assert!(host.durable.borrow().inventory.is_empty());
}

#[test]
fn a_listing_older_than_the_activation_is_not_believed() {
    let host = host().with_cloud(|cloud| cloud.droplets[0].active_ms = Some(60_005));
    fake::run(&host, run);
    assert_eq!(
        host.durable
            .borrow()
            .inventory
            .values()
            .next()
            .expect("a row")
            .status,
        "active"
    );
}

#[test]
fn errors_and_deaths_on_the_way_change_nothing() {
    for what in [
        What::Connect,
        What::Unavailable,
        What::LostBefore,
        What::DieAnswered,
        What::Answer {
            status: 503,
            body: String::new(),
            effect: false,
        },
    ] {
        let host = host().with_faults([on("GET", DROPLETS, what).times(3)]);
        fake::run(&host, run).output();
        assert_eq!(host.durable.borrow().provisioned.len(), 1);
    }
}
