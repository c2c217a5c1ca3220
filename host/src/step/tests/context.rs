//! The context, checkpoints and the fence.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use super::{FakeHost, droplet, get, guest, request, set};
use crate::{
    saga::{InventoryWrite, Json, Phase, Writes},
    step::{
        bindings::arcadia::step::{
            context::{ContextError, Host as Context},
            http::{Host as Http, HttpError},
            inventory::{Host as Inventory, InventoryError},
        },
        limits::MAX_CONTEXT_WRITES,
    },
};

#[tokio::test]
async fn reads_see_the_inputs_and_the_calls_own_writes() {
    let mut guest = guest(&Arc::default(), Phase::Run);
    assert_eq!(get(&mut guest, "__inputs__").as_deref(), Some(r#"{"in":1}"#));
    assert_eq!(get(&mut guest, "a"), None);
    assert!(set(&mut guest, "a", "1").is_ok());
    assert!(
        Context::remove(&mut guest, "old".to_owned())
            .expect("no trap")
            .is_ok()
    );
    assert_eq!(get(&mut guest, "a").as_deref(), Some("1"));
    assert_eq!(get(&mut guest, "old"), None);
    assert_eq!(guest.keys().expect("no trap"), ["__inputs__", "a"]);
    assert_eq!(
        guest.into_writes().context,
        BTreeMap::from([
            ("a".to_owned(), Some(Json::trusted("1"))),
            ("old".to_owned(), None)
        ])
    );
}

#[tokio::test]
async fn a_key_is_written_only_if_it_is_well_formed_and_declared() {
    let mut guest = guest(&Arc::default(), Phase::Run);
    let long = "k".repeat(129);
    for (key, value, expected) in [
        ("", "1", "invalid-key"),
        ("a b", "1", "invalid-key"),
        (long.as_str(), "1", "invalid-key"),
        ("b", "1", "denied"),
        ("__inputs__", "1", "denied"),
        ("__secret", "1", "denied"),
        ("a", "{", "invalid-json"),
        ("a", "\"\\u0000\"", "invalid-json"),
    ] {
        let found = match set(&mut guest, key, value) {
            Err(ContextError::InvalidKey(_)) => "invalid-key",
            Err(ContextError::Denied(_)) => "denied",
            Err(ContextError::InvalidJson(_)) => "invalid-json",
            other => panic!("{key} = {value}: {other:?}"),
        };
        assert_eq!(found, expected, "{key} = {value}");
    }
    let large = format!("\"{}\"", "x".repeat(256 * 1024));
    assert!(matches!(
        set(&mut guest, "a", &large),
        Err(ContextError::TooLarge(262_144))
    ));
    assert_eq!(guest.into_writes(), Writes::default());
}

#[tokio::test]
async fn context_writes_are_limited_in_number_and_in_bytes() {
    let mut counted = guest(&Arc::default(), Phase::Run);
    for _ in 0..MAX_CONTEXT_WRITES {
        assert!(set(&mut counted, "a", "1").is_ok());
    }
    assert!(matches!(
        set(&mut counted, "a", "1"),
        Err(ContextError::Other(why)) if why.contains("1000")
    ));
    let mut weighed = guest(&Arc::default(), Phase::Run);
    let large = format!("\"{}\"", "x".repeat(200 * 1024));
    let taken = (0..100)
        .take_while(|_| set(&mut weighed, "a", &large).is_ok())
        .count();
    assert_eq!(taken, 40, "8 MiB of 200 KiB each");
    assert!(matches!(
        set(&mut weighed, "a", &large),
        Err(ContextError::TooLarge(8_388_608))
    ));
}

#[tokio::test]
async fn a_checkpoint_hands_over_what_is_new_and_keeps_it_readable() {
    let host = Arc::new(FakeHost::default());
    let mut guest = guest(&host, Phase::Run);
    assert!(guest.checkpoint().await.expect("no trap").is_ok());
    assert!(
        host.checkpoints.lock().unwrap().is_empty(),
        "there was nothing to save"
    );
    set(&mut guest, "a", "1").unwrap();
    let resource_id = guest.upsert(droplet("7")).expect("no trap").unwrap();
    assert!(guest.checkpoint().await.expect("no trap").is_ok());
    set(&mut guest, "old", "2").unwrap();
    assert!(guest.checkpoint().await.expect("no trap").is_ok());
    assert_eq!(get(&mut guest, "a").as_deref(), Some("1"));
    let saved = host.checkpoints.lock().unwrap();
    assert_eq!(saved.len(), 2);
    assert_eq!(saved[0].context.len(), 1);
    let [InventoryWrite::Upsert(row)] = &saved[0].inventory[..] else {
        panic!("{:?}", saved[0]);
    };
    assert_eq!(row.key.account, "account of digitalocean");
    assert_eq!(row.key.resource_id(), resource_id);
    assert_eq!(row.public_ip, None, "an empty text is none");
    assert_eq!(
        saved[1],
        Writes {
            context: BTreeMap::from([("old".to_owned(), Some(Json::trusted("2")))]),
            inventory: Vec::new(),
        }
    );
}

#[tokio::test]
async fn after_a_fenced_checkpoint_everything_that_writes_or_sends_is_fenced() {
    let host = Arc::new(FakeHost::default());
    host.fenced.store(true, Ordering::Relaxed);
    let mut guest = guest(&host, Phase::Run);
    set(&mut guest, "a", "1").unwrap();
    assert!(matches!(guest.checkpoint().await, Ok(Err(ContextError::Fenced))));
    assert!(matches!(set(&mut guest, "a", "2"), Err(ContextError::Fenced)));
    assert!(matches!(
        guest.upsert(droplet("7")),
        Ok(Err(InventoryError::Fenced))
    ));
    assert!(matches!(
        Http::fetch(&mut guest, request("cloud")).await,
        Ok(Err(HttpError::Fenced))
    ));
    assert_eq!(host.fetched.load(Ordering::Relaxed), 0);
    assert_eq!(get(&mut guest, "a").as_deref(), Some("1"));
}
