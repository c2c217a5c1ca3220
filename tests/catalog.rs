//! The catalogue over a store and real components: uploads, channels, definitions, and what a restart changes.

use std::sync::Arc;

use arcadia::{
    engine::{
        PlanSource,
        catalog::{
            BuiltIn, Catalog, CatalogError, ChannelError, CompileError, DefinitionError, MAX_COMPONENT_BYTES,
            Overlay, UploadError, Uploaded,
        },
    },
    saga::{Json, Kind, id::sha256_hex},
    store::{MemoryStore, Store},
};
use serde_json::{Value, json};

use crate::step_guest::{Guest, RUNTIME};

pub fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(1_000))
}

/// What was uploaded before is older than what comes now.
pub async fn open(store: &Arc<MemoryStore>, built_in: &BuiltIn) -> Catalog {
    store.advance_ms(1);
    Catalog::open(store.clone(), RUNTIME.clone(), built_in)
        .await
        .unwrap()
}

async fn empty() -> Catalog {
    open(&store(), &BuiltIn::default()).await
}

/// A component with this manifest; `pages` makes others of the same manifest.
pub fn component_of(manifest: &Value, pages: u32) -> Arc<[u8]> {
    let guest = Guest {
        manifest: manifest.to_string(),
        pages,
        ..Guest::default()
    };
    guest.wasm().into()
}

pub fn greet(version: &str) -> Arc<[u8]> {
    component_of(&json!({"name": "greet", "version": version}), 2)
}

pub fn hello(summary: &str) -> Value {
    json!({"kind": "test", "summary": summary, "steps": [{"name": "greet", "component": "greet"}]})
}

pub async fn push(catalog: &Catalog, bytes: &Arc<[u8]>) -> Uploaded {
    catalog.upload(bytes.clone(), None, "ada", false).await.unwrap()
}

pub fn greets_with(catalog: &Catalog, component: &str) -> String {
    let source = PlanSource::Inline {
        kind: Kind::Test,
        steps: json!([{"name": "a", "component": component}]),
    };
    let resolved = catalog
        .resolve(&source, &Overlay::new(), &Json::trusted("{}"))
        .unwrap();
    resolved.plan.steps[0].component.digest.clone()
}

#[tokio::test]
async fn the_first_component_of_a_name_becomes_stable_and_later_ones_only_on_request() {
    let catalog = empty().await;
    let (first, second, third) = (greet("0.1.0"), greet("0.2.0"), greet("0.3.0"));
    let uploaded = push(&catalog, &first).await;
    assert_eq!(
        (uploaded.created, uploaded.channel_moved.as_deref()),
        (true, Some("stable"))
    );
    assert_eq!(uploaded.row.digest, sha256_hex(&first));

    let uploaded = push(&catalog, &second).await;
    assert_eq!((uploaded.created, uploaded.channel_moved), (true, None));
    assert_eq!(greets_with(&catalog, "greet"), sha256_hex(&first));
    assert_eq!(greets_with(&catalog, "greet@0.2.0"), sha256_hex(&second));

    let uploaded = catalog
        .upload(third.clone(), Some("stable"), "ada", false)
        .await
        .unwrap();
    assert_eq!(uploaded.channel_moved.as_deref(), Some("stable"));
    assert_eq!(greets_with(&catalog, "greet"), sha256_hex(&third));

    let uploaded = catalog
        .upload(second.clone(), Some("next"), "ada", false)
        .await
        .unwrap();
    assert_eq!(
        (uploaded.created, uploaded.channel_moved.as_deref()),
        (false, Some("next"))
    );
    assert_eq!(greets_with(&catalog, "greet#next"), sha256_hex(&second));
    let versions: Vec<String> = catalog.steps()[0]
        .components
        .iter()
        .map(|row| row.version.clone())
        .collect();
    assert_eq!(versions.len(), 3);
}

#[tokio::test]
async fn the_same_bytes_are_the_same_component_and_other_bytes_need_another_version() {
    let store = store();
    let catalog = open(&store, &BuiltIn::default()).await;
    let first = push(&catalog, &greet("0.1.0")).await;
    store.advance_ms(1);
    let again = push(&catalog, &greet("0.1.0")).await;
    assert_eq!(
        (again.created, again.channel_moved, &again.row),
        (false, None, &first.row)
    );

    let other = component_of(&json!({"name": "greet", "version": "0.1.0"}), 3);
    match catalog.upload(other.clone(), Some("stable"), "ada", false).await {
        Err(UploadError::VersionExists(row)) => assert_eq!(*row, first.row),
        answer => panic!("{answer:?}"),
    }
    assert_eq!(greets_with(&catalog, "greet"), first.row.digest);
    assert!(catalog.component(&sha256_hex(&other)).is_none());

    let replaced = catalog
        .upload(other.clone(), Some("stable"), "ada", true)
        .await
        .unwrap();
    assert!(replaced.created);
    assert_eq!(greets_with(&catalog, "greet@0.1.0"), sha256_hex(&other));
    catalog.pinned(&first.row.digest).await.unwrap();
}

#[tokio::test]
async fn a_refused_upload_leaves_no_trace() {
    let store = store();
    let catalog = open(&store, &BuiltIn::default()).await;
    let refused = async |bytes: Arc<[u8]>| catalog.upload(bytes, None, "ada", false).await.unwrap_err();
    let pointers = |error: UploadError| match error {
        UploadError::Manifest(problems) => problems
            .into_iter()
            .map(|problem| problem.pointer)
            .collect::<Vec<_>>(),
        error => panic!("{error:?}"),
    };

    let large: Arc<[u8]> = vec![0; MAX_COMPONENT_BYTES + 1].into();
    assert!(
        matches!(refused(large).await, UploadError::TooLarge { bytes } if bytes == MAX_COMPONENT_BYTES + 1)
    );
    let module: Arc<[u8]> = wat::parse_str("(module)").unwrap().into();
    assert!(matches!(
        refused(module).await,
        UploadError::Compile(CompileError::CoreModule)
    ));
    let trapping = Guest {
        describe: "unreachable",
        ..Guest::default()
    };
    assert!(matches!(
        refused(trapping.wasm().into()).await,
        UploadError::Describe(_)
    ));
    let manifest = |extra: Value| {
        let mut manifest = json!({"name": "greet", "version": "0.1.0"});
        manifest
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        component_of(&manifest, 2)
    };
    let foreign = manifest(json!({"params_schema": {"properties": {"a": {"$ref": "http://127.0.0.1:1/a"}}}}));
    let found = pointers(refused(foreign).await);
    assert!(
        found.iter().all(|pointer| pointer.starts_with("/params_schema")) && found.len() == 1,
        "{found:?}"
    );
    let slow = manifest(json!({"output_schema": {"properties": {"a": {"pattern": "(?=a)b"}}}}));
    assert_eq!(
        pointers(refused(slow).await),
        ["/output_schema/properties/a/pattern"]
    );
    let closed = manifest(json!({"inputs_schema": {"additionalProperties": false}}));
    assert_eq!(
        pointers(refused(closed).await),
        ["/inputs_schema/additionalProperties"]
    );
    assert_eq!(
        pointers(refused(manifest(json!({"version": "1"}))).await),
        ["/version"]
    );
    let error = catalog
        .upload(greet("0.1.0"), Some("No"), "ada", false)
        .await
        .unwrap_err();
    assert!(matches!(error, UploadError::ChannelName(name) if name == "No"));

    assert_eq!(store.components().await.unwrap(), []);
    assert_eq!(store.channels().await.unwrap(), []);
    assert_eq!(catalog.steps(), []);
}

#[tokio::test]
async fn moving_a_channel_changes_plans_that_are_made_afterwards() {
    let catalog = empty().await;
    let (old, new) = (
        push(&catalog, &greet("0.1.0")).await.row,
        push(&catalog, &greet("0.2.0")).await.row,
    );
    catalog
        .put_definition("hello", &Json::of(&hello("x")), "ada")
        .await
        .unwrap();
    let source = PlanSource::Definition {
        name: "hello".to_owned(),
    };
    let plan = || {
        catalog
            .resolve(&source, &Overlay::new(), &Json::trusted("{}"))
            .unwrap()
    };
    let before = plan();
    assert_eq!(before.digest, plan().digest);
    let row = catalog
        .set_channel("greet", "stable", &format!("sha256:{}", new.digest), "bob")
        .await
        .unwrap();
    assert_eq!(
        (row.digest, row.moved_by.as_str(), row.built_in),
        (new.digest.clone(), "bob", false)
    );
    assert_eq!(before.plan.steps[0].component.digest, old.digest);
    assert_eq!(plan().plan.steps[0].component.digest, new.digest);

    let set = async |step: &str, channel: &str, to: &str| catalog.set_channel(step, channel, to, "bob").await;
    assert!(matches!(
        set("greet", "No!", "0.1.0").await,
        Err(ChannelError::Name(_))
    ));
    assert!(matches!(
        set("nobody", "stable", "0.1.0").await,
        Err(ChannelError::UnknownStep(_))
    ));
    for to in ["0.9.0", "latest", &format!("sha256:{}", "0".repeat(64))] {
        assert!(
            matches!(
                set("greet", "stable", to).await,
                Err(ChannelError::UnknownComponent(_))
            ),
            "{to}"
        );
    }
    assert_eq!(plan().plan.steps[0].component.digest, new.digest);
}

#[tokio::test]
async fn a_definition_gets_a_version_only_when_it_changes() {
    let catalog = empty().await;
    push(&catalog, &greet("0.1.0")).await;
    let put = async |text: &str| {
        catalog
            .put_definition("hello", &Json::parse(text).unwrap(), "ada")
            .await
    };
    let first = put(r#"{"kind":"test","steps":[{"name":"a","component":"greet"}]}"#)
        .await
        .unwrap();
    let same = put(r#"{ "steps": [{"component": "greet", "name": "a"}], "kind": "test" }"#)
        .await
        .unwrap();
    assert_eq!((first.version, &same), (1, &first));
    let second = put(r#"{"kind":"test","steps":[{"name":"b","component":"greet"}]}"#)
        .await
        .unwrap();
    assert_eq!(second.version, 2);

    match put(r#"{"kind":"test","steps":[{"name":"b","component":"nobody"}],"step":1}"#).await {
        Err(DefinitionError::Invalid(problems)) => assert_eq!(problems[0].pointer, "/step"),
        answer => panic!("{answer:?}"),
    }
    match put(r#"{"kind":"test","steps":[{"name":"b","component":"nobody"}]}"#).await {
        Err(DefinitionError::Invalid(problems)) => assert_eq!(problems[0].pointer, "/steps/0/component"),
        answer => panic!("{answer:?}"),
    }
    let body = Json::of(&hello("x"));
    let error = catalog.put_definition("Hello", &body, "ada").await.unwrap_err();
    assert!(matches!(error, DefinitionError::Name(_)));
    assert_eq!(catalog.definitions(), [second]);
}

#[tokio::test]
async fn a_pinned_component_is_compiled_once_and_found_again() {
    let store = store();
    let row = push(&open(&store, &BuiltIn::default()).await, &greet("0.1.0"))
        .await
        .row;
    let catalog = Arc::new(open(&store, &BuiltIn::default()).await);
    let calls = (0..8).map(|_| {
        let (catalog, digest) = (catalog.clone(), row.digest.clone());
        tokio::spawn(async move { catalog.pinned(&digest).await.unwrap() })
    });
    let mut found = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        found.push(call.await.unwrap());
    }
    assert!(found.iter().all(|pinned| Arc::ptr_eq(pinned, &found[0])));
    assert_eq!(
        (found[0].component.digest(), found[0].manifest.name.as_str()),
        (row.digest.as_str(), "greet")
    );
    let wit = found[0].component.wit().unwrap();
    assert!(wit.contains("export arcadia:step/step@0.1.0;"), "{wit}");
    let unknown = catalog.pinned(&"0".repeat(64)).await;
    assert!(matches!(unknown, Err(CatalogError::Unknown(_))));
}
