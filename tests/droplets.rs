//! The shipped definitions against the simulator, through the whole engine.

use arcadia::{saga::Status, simulator::Rules};
use serde_json::json;

use crate::support::stand::Stand;

fn rules() -> Rules {
    Rules {
        activation_ms: 300,
        delete_ms: 200,
        snapshot_ms: 300,
        ..Rules::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_droplet_is_provisioned_snapshotted_and_destroyed() {
    let stand = Stand::with(rules(), |store| std::sync::Arc::new(store)).await;
    let inputs = json!({
        "droplet_name": "web-1", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
    });
    let saga = stand.define("provision_droplet", inputs).await;
    let row = stand.rest(saga).await;
    assert_eq!(row.status, Status::Completed, "{:?}", row.turning);
    let droplet = *stand.control.live_droplet_ids().await.first().unwrap();

    let target = json!({ "droplet_provider_id": droplet.to_string(), "snapshot_label": "nightly" });
    let row = stand.rest(stand.define("snapshot_droplet", target).await).await;
    assert_eq!(row.status, Status::Completed, "{:?}", row.turning);
    assert_eq!(stand.control.state().await.snapshots.len(), 1);

    let row = stand
        .rest(
            stand
                .define(
                    "destroy_droplet",
                    json!({ "droplet_provider_id": droplet.to_string() }),
                )
                .await,
        )
        .await;
    assert_eq!(row.status, Status::Completed, "{:?}", row.turning);
    assert!(stand.control.live_droplet_ids().await.is_empty());
}
