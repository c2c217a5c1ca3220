//! Context and inventory writes of a call, desired state, findings.

use arcadia::{
    saga::{CloudResource, InventoryWrite, Phase, ResourceKey, Saga, Writes},
    store::{
        Applied, Change, Checkpoint, Cursor, FindingRow, Page, ProvisionedRow, ResourceFilter, ResourceRow,
        SagaFindings,
    },
};

use super::fixture::{Fixture, T0, advance, done, finding, json, on_every_store, page};

fn key(id: &str) -> ResourceKey {
    ResourceKey {
        provider: "digitalocean".to_owned(),
        account: "team-1".to_owned(),
        kind: "droplet".to_owned(),
        provider_id: id.to_owned(),
    }
}

fn droplet(id: &str, status: &str) -> CloudResource {
    CloudResource {
        key: key(id),
        name: Some("web-1".to_owned()),
        region: Some("nyc3".to_owned()),
        status: status.to_owned(),
        public_ip: None,
        tags: vec!["arcadia-r-x".to_owned()],
        raw: json(r#"{"id": 7}"#),
    }
}

fn writes(inventory: Vec<InventoryWrite>) -> Writes {
    Writes {
        inventory,
        ..Writes::default()
    }
}

async fn checkpoint(store: &Fixture, saga: &Saga, step: usize, at_ms: i64, writes: Writes) {
    let change = Checkpoint {
        saga: saga.id,
        fence: store.fence(),
        step,
        phase: Phase::Run,
        scope: String::new(),
        writes,
        at_ms,
    };
    assert_eq!(
        store.one(Change::Checkpoint(Box::new(change))).await,
        Applied::Done
    );
}

async fn inventory(store: &Fixture, saga: &Saga, step: usize, at_ms: i64, write: InventoryWrite) {
    checkpoint(store, saga, step, at_ms, writes(vec![write])).await;
}

async fn found(store: &Fixture, id: &str) -> ResourceRow {
    store.store.resource(&key(id)).await.unwrap().unwrap()
}

fn upsert(id: &str, status: &str) -> InventoryWrite {
    InventoryWrite::Upsert(droplet(id, status))
}

fn record(spec: &str) -> InventoryWrite {
    InventoryWrite::RecordProvisioned {
        resource_id: key("7").resource_id(),
        spec: json(spec),
    }
}

fn withdraw() -> InventoryWrite {
    InventoryWrite::WithdrawProvisioned {
        resource_id: key("7").resource_id(),
    }
}

/// `(version, spec, withdrawn)`, newest first.
async fn versions(store: &Fixture) -> Vec<(u32, String, bool)> {
    let rows = store.store.provisioned(&key("7").resource_id()).await.unwrap();
    rows.iter()
        .map(|row: &ProvisionedRow| {
            let spec = row.spec.as_str().to_owned();
            (row.spec_version, spec, row.withdrawn_ms.is_some())
        })
        .collect()
}

async fn findings(store: &Fixture, open_only: bool) -> Vec<FindingRow> {
    store.store.findings(None, open_only, page(10)).await.unwrap()
}

on_every_store! {
    context_writes_are_merged_key_by_key_within_their_scope(store) {
        let start = store.start(1).await;
        let mut first = Writes::default();
        for (key, value) in [("a", Some(json("1"))), ("b", Some(json("2"))), ("none", None)] {
            first.context.insert(key.to_owned(), value);
        }
        checkpoint(store, &start, 0, 2_000, first).await;
        let mut change = advance(&start, done(0), store.fence());
        let mut second = Writes::default();
        second.context.insert("a".to_owned(), None);
        second.context.insert("b".to_owned(), Some(json("[3]")));
        second.context.insert("c".to_owned(), Some(json("null")));
        change.writes = Some((0, Phase::Run, second));
        assert_eq!(store.one(Change::Advance(Box::new(change))).await, Applied::Done);
        let entry = |key: &str, value: &str| (String::new(), key.to_owned(), json(value));
        let context = store.store.context(start.id).await.unwrap();
        assert_eq!(context, [entry("b", "[3]"), entry("c", "null")]);
        let loaded = store.store.load(start.id).await.unwrap().unwrap();
        assert_eq!(loaded.context.len(), 2);
    }

    the_first_maker_of_a_resource_stays_its_maker(store) {
        let (first, second) = (store.start(1).await, store.start(2).await);
        inventory(store, &first, 0, 2_000, upsert("7", "new")).await;
        inventory(store, &second, 2, 3_000, upsert("7", "active")).await;
        let expected = ResourceRow {
            resource_id: key("7").resource_id(),
            resource: droplet("7", "active"),
            saga: first.id,
            step: "create".to_owned(),
            first_seen_ms: 2_000,
            last_seen_ms: 3_000,
            deleted_ms: None,
        };
        assert_eq!(found(store, "7").await, expected);
        assert_eq!(store.store.resource_by_id(&key("7").resource_id()).await.unwrap(), Some(expected));
        assert_eq!(store.store.resource(&key("8")).await.unwrap(), None);
    }

    two_sagas_may_write_one_resource_in_one_commit(store) {
        let (first, second) = (store.start(1).await, store.start(2).await);
        let change = |saga: &Saga, status: &str| {
            let mut change = advance(saga, done(0), store.fence());
            change.writes = Some((0, Phase::Run, writes(vec![upsert("7", status)])));
            Change::Advance(Box::new(change))
        };
        store.commit(vec![change(&first, "new"), change(&second, "active")]).await;
        let row = found(store, "7").await;
        assert_eq!((row.saga, row.resource.status.as_str()), (first.id, "active"));
    }

    what_is_gone_keeps_its_row_and_lives_again_only_when_it_is_seen_again(store) {
        let start = store.start(1).await;
        let gone = || InventoryWrite::MarkDeleted(key("7"));
        inventory(store, &start, 0, 2_000, gone()).await;
        assert_eq!(store.store.resource(&key("7")).await.unwrap(), None);
        inventory(store, &start, 0, 3_000, upsert("7", "active")).await;
        inventory(store, &start, 0, 4_000, gone()).await;
        inventory(store, &start, 0, 5_000, gone()).await;
        assert_eq!(found(store, "7").await.deleted_ms, Some(4_000));
        inventory(store, &start, 0, 6_000, upsert("7", "deleted")).await;
        assert_eq!(found(store, "7").await.deleted_ms, Some(4_000));
        inventory(store, &start, 0, 7_000, upsert("7", "active")).await;
        assert_eq!(found(store, "7").await.deleted_ms, None);
    }

    listings_of_resources_are_filtered_and_leave_out_what_is_gone(store) {
        let (first, second) = (store.start(1).await, store.start(2).await);
        for (saga, id, at_ms) in [(&first, "7", 2_000), (&second, "8", 3_000), (&second, "9", 4_000)] {
            inventory(store, saga, 0, at_ms, upsert(id, "active")).await;
        }
        inventory(store, &first, 0, 5_000, InventoryWrite::MarkDeleted(key("8"))).await;
        let any = ResourceFilter::default;
        let cases = [
            (any(), vec!["9", "7"]),
            (ResourceFilter { with_deleted: true, ..any() }, vec!["9", "8", "7"]),
            (ResourceFilter { saga: Some(second.id), with_deleted: true, ..any() }, vec!["9", "8"]),
            (ResourceFilter { kind: Some("snapshot".to_owned()), ..any() }, vec![]),
            (ResourceFilter { provider: Some("digitalocean".to_owned()), ..any() }, vec!["9", "7"]),
        ];
        for (filter, expected) in cases {
            let rows = store.store.resources(&filter, page(10)).await.unwrap();
            let ids: Vec<&str> = rows.iter().map(|row| row.resource.key.provider_id.as_str()).collect();
            assert_eq!(ids, expected, "{filter:?}");
        }
        let after = Page { limit: 10, after: Some(Cursor { at_ms: 4_000, id: key("9").resource_id() }) };
        let rest = store.store.resources(&any(), after).await.unwrap();
        assert_eq!(rest.len(), 1);
    }

    the_same_step_recording_twice_records_once(store) {
        let start = store.start(1).await;
        inventory(store, &start, 2, 2_000, record(r#"{"size":"s","region":"nyc3"}"#)).await;
        inventory(store, &start, 2, 3_000, record(r#"{"region":"nyc3","size":"s"}"#)).await;
        assert_eq!(versions(store).await, [(1, r#"{"size":"s","region":"nyc3"}"#.to_owned(), false)]);
        inventory(store, &start, 2, 4_000, record(r#"{"size":"m"}"#)).await;
        assert_eq!(versions(store).await, [(1, r#"{"size":"m"}"#.to_owned(), false)]);
    }

    a_changed_desired_state_is_the_next_version_and_an_equal_one_is_none(store) {
        let (first, second) = (store.start(1).await, store.start(2).await);
        inventory(store, &first, 2, 2_000, record(r#"{"size":"s"}"#)).await;
        inventory(store, &second, 2, 3_000, record(r#"{"size":"s"}"#)).await;
        assert_eq!(versions(store).await.len(), 1);
        inventory(store, &second, 2, 4_000, record(r#"{"size":"m"}"#)).await;
        let (s, m) = (r#"{"size":"s"}"#.to_owned(), r#"{"size":"m"}"#.to_owned());
        assert_eq!(versions(store).await, [(2, m, false), (1, s, false)]);
    }

    a_step_takes_back_its_own_version_only_and_numbers_are_never_used_twice(store) {
        let (first, second) = (store.start(1).await, store.start(2).await);
        inventory(store, &first, 2, 2_000, record(r#"{"size":"s"}"#)).await;
        inventory(store, &second, 2, 3_000, record(r#"{"size":"m"}"#)).await;
        inventory(store, &second, 2, 4_000, withdraw()).await;
        inventory(store, &second, 2, 5_000, withdraw()).await;
        let (s, m) = (r#"{"size":"s"}"#.to_owned(), r#"{"size":"m"}"#.to_owned());
        assert_eq!(versions(store).await, [(2, m.clone(), true), (1, s.clone(), false)]);
        inventory(store, &second, 2, 6_000, record(r#"{"size":"m"}"#)).await;
        assert_eq!(versions(store).await, [(3, m.clone(), false), (2, m, true), (1, s, false)]);
    }

    the_same_report_again_is_the_same_finding(store) {
        let start = store.start(1).await;
        let report = |message: &str| InventoryWrite::Report {
            code: "untagged".to_owned(),
            resource: key("7"),
            message: message.to_owned(),
        };
        inventory(store, &start, 0, 2_000, report("once")).await;
        inventory(store, &start, 0, 3_000, report("twice")).await;
        let all = findings(store, false).await;
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].message.as_str(), all[0].created_ms), ("twice", 2_000));
        assert_eq!((all[0].saga, all[0].step.as_deref()), (Some(start.id), Some("create")));
        assert_eq!(all[0].resource, Some(key("7")));
        inventory(store, &start, 1, 4_000, report("another step")).await;
        assert_eq!(findings(store, false).await.len(), 2);
    }

    findings_of_a_whole_saga_come_and_go_without_a_change_of_its_state(store) {
        let start = store.start(1).await;
        let change = |resolved_codes, findings| {
            Change::Findings(Box::new(SagaFindings {
                saga: start.id,
                fence: store.fence(),
                resolved_codes,
                findings,
                at_ms: 2_000,
            }))
        };
        assert_eq!(store.one(change(vec![], vec![finding("changed", None)])).await, Applied::Done);
        let loaded = store.store.load(start.id).await.unwrap().unwrap();
        assert_eq!((loaded.saga, loaded.open_findings), (start.clone(), ["changed".to_owned()].into()));
        let of_a_step = store.one(change(vec!["changed"], vec![finding("changed", Some(0))])).await;
        assert!(matches!(of_a_step, Applied::Failed(_)), "{of_a_step:?}");
        assert_eq!(findings(store, true).await.len(), 1);
        assert_eq!(store.one(change(vec!["changed", "other"], vec![])).await, Applied::Done);
        assert!(store.store.load(start.id).await.unwrap().unwrap().open_findings.is_empty());
        assert_eq!(findings(store, false).await[0].resolved_ms, Some(2_000));
    }

    a_row_without_an_account_gives_way_to_the_one_with_it(store) {
        let start = store.start(1).await;
        let bare = ResourceKey { account: String::new(), ..key("7") };
        let other = ResourceKey { account: "team-2".to_owned(), ..key("7") };
        let seen = |key: &ResourceKey| InventoryWrite::Upsert(CloudResource { key: key.clone(), ..droplet("7", "active") });
        let live = async || {
            let rows = store.store.resources(&ResourceFilter::default(), page(10)).await.unwrap();
            rows.into_iter().map(|row| row.resource.key).collect::<Vec<_>>()
        };
        inventory(store, &start, 0, 2_000, seen(&bare)).await;
        inventory(store, &start, 0, 3_000, seen(&key("7"))).await;
        assert_eq!(live().await, [key("7")]);
        inventory(store, &start, 0, 4_000, seen(&other)).await;
        assert_eq!(live().await.len(), 2, "accounts don't give way to each other");
        inventory(store, &start, 0, 5_000, seen(&bare)).await;
        inventory(store, &start, 0, 6_000, InventoryWrite::MarkDeleted(key("7"))).await;
        assert_eq!(live().await, std::slice::from_ref(&other));
        inventory(store, &start, 0, 7_000, seen(&bare)).await;
        inventory(store, &start, 0, 8_000, InventoryWrite::MarkDeleted(bare)).await;
        assert_eq!(live().await, [other]);
    }

    findings_are_resolved_by_code_and_opened_again_by_the_same_change(store) {
        let start = store.start(1).await;
        let mut change = advance(&start, done(0), store.fence());
        change.findings = vec![finding("stuck", Some(0)), finding("stuck", Some(1)), finding("paused", None)];
        assert_eq!(store.one(Change::Advance(Box::new(change.clone()))).await, Applied::Done);
        assert_eq!(findings(store, true).await.len(), 3);
        let mut later = advance(&change.saga, done(1), store.fence());
        later.resolved_codes = vec!["stuck"];
        later.findings = vec![finding("stuck", Some(1))];
        assert_eq!(store.one(Change::Advance(Box::new(later))).await, Applied::Done);
        let mut open: Vec<(String, Option<String>, i64)> = findings(store, true)
            .await
            .into_iter()
            .map(|row| (row.code, row.step, row.created_ms))
            .collect();
        open.sort();
        let expected = [
            ("paused".to_owned(), None, T0 + 1),
            ("stuck".to_owned(), Some("wait".to_owned()), T0 + 1),
        ];
        assert_eq!(open, expected);
        assert_eq!(findings(store, false).await.len(), 3);
        let of_another = store.store.findings(Some(store.start(2).await.id), false, page(10)).await.unwrap();
        assert_eq!(of_another, []);
    }
}
