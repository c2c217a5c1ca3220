//! Requests, the inventory, and facts of the call.

use std::sync::{Arc, atomic::Ordering};

use super::{FakeHost, droplet, guest, request, set};
use crate::{
    saga::{InventoryWrite, Json, Phase},
    step::{
        bindings::arcadia::step::{
            context::ContextError,
            http::{self, Host as Http, HttpError},
            info::Host as Info,
            inventory::{self, Host as Inventory, InventoryError},
            types,
        },
        limits::{LimitHit, MAX_REQUESTS},
    },
};

#[tokio::test]
async fn a_fenced_request_fences_the_call() {
    let host = Arc::new(FakeHost::default());
    host.fenced.store(true, Ordering::Relaxed);
    let mut guest = guest(&host, Phase::Run);
    assert!(matches!(
        Http::fetch(&mut guest, request("cloud")).await,
        Ok(Err(HttpError::Fenced))
    ));
    assert!(matches!(set(&mut guest, "a", "1"), Err(ContextError::Fenced)));
}

#[tokio::test]
async fn requests_are_limited_in_number_and_in_bytes_answered() {
    let host = Arc::new(FakeHost::default());
    let mut counted = guest(&host, Phase::Run);
    for _ in 0..MAX_REQUESTS {
        assert!(matches!(
            Http::fetch(&mut counted, request("cloud")).await,
            Ok(Ok(_))
        ));
    }
    assert!(matches!(
        Http::fetch(&mut counted, request("cloud")).await,
        Ok(Err(HttpError::BudgetExhausted))
    ));
    assert_eq!(host.fetched.load(Ordering::Relaxed), MAX_REQUESTS);
    let host = Arc::new(FakeHost {
        answer_bytes: 20 << 20,
        ..FakeHost::default()
    });
    let mut weighed = guest(&host, Phase::Run);
    for _ in 0..4 {
        assert!(matches!(
            Http::fetch(&mut weighed, request("cloud")).await,
            Ok(Ok(_))
        ));
    }
    assert!(matches!(
        Http::fetch(&mut weighed, request("cloud")).await,
        Ok(Err(HttpError::BudgetExhausted))
    ));
}

#[tokio::test]
async fn what_was_recorded_is_recalled_case_by_case() {
    let mut guest = guest(&Arc::default(), Phase::Compensate);
    let mut recall = async |phase, key: &str| {
        let recorded = Http::recall(&mut guest, phase, key.to_owned()).await;
        match recorded.expect("no trap") {
            http::Recorded::Never => "never",
            http::Recorded::Open(Some(7)) => "open",
            http::Recorded::Open(_) => "open otherwise",
            http::Recorded::Refused(_) => "refused",
            http::Recorded::Answered(_) => "answered",
        }
    };
    for key in ["never", "open", "refused", "answered"] {
        assert_eq!(recall(types::Phase::Run, key).await, key);
    }
    assert_eq!(recall(types::Phase::Compensate, "open").await, "never");
}

#[tokio::test]
async fn an_entry_out_of_shape_is_invalid_and_the_field_is_named() {
    let mut guest = guest(&Arc::default(), Phase::Run);
    for (field, break_it) in [
        (
            "provider",
            (|entry| entry.provider = String::new()) as fn(&mut inventory::CloudResource),
        ),
        ("provider-id", |entry| entry.provider_id = "x".repeat(513)),
        ("status", |entry| entry.status = "a\0b".to_owned()),
        ("tags", |entry| entry.tags = vec![String::new()]),
        ("raw", |entry| entry.raw = "{".to_owned()),
    ] {
        let mut entry = droplet("7");
        break_it(&mut entry);
        let Ok(Err(InventoryError::Invalid(why))) = guest.upsert(entry) else {
            panic!("{field} passed");
        };
        assert!(why.starts_with(field), "{why}");
    }
    for spec in ["1", "[]", r#"{"a":{}}"#, r#"{"a":[]}"#] {
        let id = guest.upsert(droplet("7")).expect("no trap").unwrap();
        assert!(matches!(
            guest.record_provisioned(id, spec.to_owned()),
            Ok(Err(InventoryError::Invalid(_)))
        ));
    }
    assert!(matches!(
        guest.record_provisioned("7".to_owned(), "{}".to_owned()),
        Ok(Err(InventoryError::Invalid(_)))
    ));
    assert!(matches!(
        guest.report(
            "No Code".to_owned(),
            "digitalocean".to_owned(),
            "droplet".to_owned(),
            "7".to_owned(),
            String::new()
        ),
        Ok(Err(InventoryError::Invalid(_)))
    ));
}

#[tokio::test]
async fn inventory_writes_keep_their_order_and_are_limited() {
    let mut guest = guest(&Arc::default(), Phase::Run);
    let id = guest.upsert(droplet("7")).expect("no trap").unwrap();
    guest
        .record_provisioned(id.clone(), r#"{"size":"s"}"#.to_owned())
        .expect("no trap")
        .unwrap();
    let found = Inventory::get(
        &mut guest,
        "digitalocean".to_owned(),
        "droplet".to_owned(),
        "7".to_owned(),
    );
    assert_eq!(found.await.expect("no trap").unwrap().unwrap().status, "new");
    let mut deletions = 0;
    let refused = loop {
        match guest
            .mark_deleted("digitalocean".to_owned(), "droplet".to_owned(), "7".to_owned())
            .expect("no trap")
        {
            Ok(()) => deletions += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, InventoryError::TooMany));
    assert_eq!(deletions, 998);
    let writes = guest.into_writes().inventory;
    assert!(matches!(writes[0], InventoryWrite::Upsert(_)));
    assert_eq!(
        writes[1],
        InventoryWrite::RecordProvisioned {
            resource_id: id,
            spec: Json::trusted(r#"{"size":"s"}"#),
        }
    );
}

#[tokio::test]
async fn a_panic_of_the_host_ends_the_call_and_not_the_process() {
    let mut guest = guest(&Arc::default(), Phase::Run);
    let error = Inventory::get(
        &mut guest,
        "digitalocean".to_owned(),
        "droplet".to_owned(),
        "8".to_owned(),
    )
    .await
    .unwrap_err();
    assert_eq!(
        error.downcast_ref::<LimitHit>(),
        Some(&LimitHit::Host("inventory.get"))
    );
}

#[tokio::test]
async fn a_cancel_is_seen_in_run_and_never_in_compensate() {
    let host = Arc::new(FakeHost::default());
    let (mut run, mut compensate) = (guest(&host, Phase::Run), guest(&host, Phase::Compensate));
    assert!(!run.cancel_requested().unwrap());
    host.cancelled.store(true, Ordering::Relaxed);
    assert!(run.cancel_requested().unwrap());
    assert!(!compensate.cancel_requested().unwrap());
}

#[tokio::test]
async fn random_bytes_go_on_from_ask_to_ask_and_have_a_limit() {
    let host = Arc::new(FakeHost::default());
    let (mut one, mut other) = (guest(&host, Phase::Run), guest(&host, Phase::Run));
    let first = one.random(5).unwrap();
    let second = one.random(5).unwrap();
    assert_ne!(first, second);
    assert_eq!(
        (first, second),
        (other.random(5).unwrap(), other.random(5).unwrap())
    );
    assert_eq!(one.random(4_096).unwrap().len(), 4_096);
    let error = one.random(4_097).unwrap_err();
    assert_eq!(error.downcast_ref::<LimitHit>(), Some(&LimitHit::Random(4_097)));
}
