//! Components, channels, definitions, plans.

use std::sync::Arc;

use arcadia::store::{ChannelRow, ComponentStatus, NewComponent, PutComponent, SetStatus};

use super::fixture::{Fixture, json, on_every_store, plan};

fn component(digest: &str, version: &str) -> NewComponent {
    NewComponent {
        digest: digest.to_owned(),
        name: "greet".to_owned(),
        version: version.to_owned(),
        manifest: json(r#"{"name": "greet", "unknown": 1}"#),
        bytes: Arc::from(digest.as_bytes()),
        built_in: false,
        uploaded_by: "ann".to_owned(),
        status: ComponentStatus::Pending,
        granted: None,
    }
}

async fn digests(store: &Fixture) -> Vec<String> {
    let rows = store.store.components().await.unwrap();
    let mut digests: Vec<String> = rows.into_iter().map(|row| row.digest).collect();
    digests.sort();
    digests
}

on_every_store! {
    a_component_is_kept_with_its_bytes(store) {
        let PutComponent::Added(row) = store.store.put_component(component("d1", "0.1.0"), false).await.unwrap() else {
            panic!("nothing like it is there");
        };
        assert_eq!((row.name.as_str(), row.version.as_str(), row.size_bytes), ("greet", "0.1.0", 2));
        assert_eq!(store.store.component("d1").await.unwrap(), Some(row.clone()));
        assert_eq!(store.store.component_bytes("d1").await.unwrap().as_deref(), Some(&b"d1"[..]));
        assert_eq!(store.store.components().await.unwrap(), [row]);
        assert_eq!(store.store.component("d2").await.unwrap(), None);
        assert_eq!(store.store.component_bytes("d2").await.unwrap(), None);
    }

    the_same_bytes_are_the_same_component_and_a_version_has_one_set_of_bytes(store) {
        let PutComponent::Added(row) = store.store.put_component(component("d1", "0.1.0"), false).await.unwrap() else {
            panic!("nothing like it is there");
        };
        let same = store.store.put_component(component("d1", "9.9.9"), false).await.unwrap();
        assert_eq!(same, PutComponent::Same(row.clone()));
        let other = store.store.put_component(component("d2", "0.1.0"), false).await.unwrap();
        assert_eq!(other, PutComponent::VersionExists(row));
        assert_eq!(digests(store).await, ["d1"]);
        let replaced = store.store.put_component(component("d2", "0.1.0"), true).await.unwrap();
        assert!(matches!(replaced, PutComponent::Added(_)), "{replaced:?}");
        assert_eq!(digests(store).await, ["d1", "d2"], "pinned sagas keep the old one");
        store.store.put_component(component("d3", "0.2.0"), false).await.unwrap();
        assert_eq!(digests(store).await, ["d1", "d2", "d3"]);
    }

    a_component_says_where_it_stands_and_who_said_so(store) {
        let PutComponent::Added(row) = store.store.put_component(component("d1", "0.1.0"), false).await.unwrap() else {
            panic!("nothing like it is there");
        };
        let stands = (row.status, row.status_by.as_str(), row.status_ms);
        assert_eq!(stands, (ComponentStatus::Pending, "ann", row.uploaded_ms));
        let set = |digest: &str, status, granted| SetStatus {
            digest: digest.to_owned(),
            status,
            by: "bob".to_owned(),
            granted,
        };
        let granted = Some(json("[]"));
        let approve = set("d1", ComponentStatus::Approved, granted.clone());
        let approved = store.store.set_component_status(approve).await.unwrap().unwrap();
        assert_eq!((approved.status, approved.status_by.as_str()), (ComponentStatus::Approved, "bob"));
        assert_eq!((&approved.granted, &approved.uploaded_by), (&granted, &row.uploaded_by));
        let retire = set("d1", ComponentStatus::Retired, None);
        let retired = store.store.set_component_status(retire).await.unwrap().unwrap();
        assert_eq!((retired.status, &retired.granted), (ComponentStatus::Retired, &granted));
        assert_eq!(store.store.component("d1").await.unwrap(), Some(retired.clone()));
        assert_eq!(store.store.components().await.unwrap(), [retired]);
        let nobody = set("d2", ComponentStatus::Approved, None);
        assert_eq!(store.store.set_component_status(nobody).await.unwrap(), None);
    }

    a_channel_says_who_moved_it_where(store) {
        let row = |digest: &str, built_in: bool| ChannelRow {
            step: "greet".to_owned(),
            channel: "stable".to_owned(),
            digest: digest.to_owned(),
            built_in,
            moved_by: "ann".to_owned(),
            moved_ms: 5,
        };
        store.store.set_channel(row("d1", true)).await.unwrap();
        store.store.set_channel(row("d2", false)).await.unwrap();
        let canary = ChannelRow { channel: "canary".to_owned(), ..row("d3", false) };
        store.store.set_channel(canary.clone()).await.unwrap();
        assert_eq!(store.store.channels().await.unwrap(), [canary, row("d2", false)]);
    }

    a_definition_has_a_new_version_only_when_it_changed(store) {
        assert_eq!(store.store.definition("d").await.unwrap(), None);
        let body = json(r#"{"steps": []}"#);
        let first = store.store.put_definition("d", &body, true, "host").await.unwrap();
        assert_eq!((first.version, first.built_in, &first.body), (1, true, &body));
        assert_eq!(first.created_by, "host");
        assert_eq!(store.store.put_definition("d", &body, false, "ann").await.unwrap(), first);
        let second = store.store.put_definition("d", &json("{}"), false, "ann").await.unwrap();
        assert_eq!((second.version, second.built_in, second.created_by.as_str()), (2, false, "ann"));
        let back = store.store.put_definition("d", &body, false, "ann").await.unwrap();
        assert_eq!(back.version, 3);
        let other = store.store.put_definition("a", &body, false, "ann").await.unwrap();
        assert_eq!(store.store.definition("d").await.unwrap(), Some(back.clone()));
        assert_eq!(store.store.definitions().await.unwrap(), [other, back]);
    }

    a_plan_is_there_once_a_saga_is_pinned_to_it(store) {
        let digest = plan().digest();
        assert_eq!(store.store.plan(&digest).await.unwrap(), None);
        store.start(1).await;
        store.start(2).await;
        assert_eq!(store.store.plan(&digest).await.unwrap(), Some(plan()));
    }
}
