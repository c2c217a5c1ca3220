//! What the demo does, and what it says about it.

use std::{collections::BTreeMap, path::Path};

use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::cloud::DemoCloud;
use crate::{
    api::dto::{CreateDroplet, CreateSnapshot, Page, ResourceSummary, StartSaga, Started},
    cli::{
        client::Client,
        droplet::{RESOURCE_HEADER, resource_rows},
        failure::CliError,
        output,
        picture::Picture,
        watch::{Show, follow},
    },
    saga::{Kind, Status},
};

pub struct Story {
    client: Client,
    cloud: DemoCloud,
    json: bool,
    faults: Vec<Value>,
}

/// What is there at the end.
#[derive(Debug, Serialize)]
pub struct Left {
    pub droplets: usize,
    pub droplets_ever: usize,
    pub snapshots: usize,
}

/// Parameters of one step.
type Params = Map<String, Value>;

impl Story {
    pub fn new(client: Client, cloud: DemoCloud, json: bool, faults: Vec<Value>) -> Story {
        Story {
            client,
            cloud,
            json,
            faults,
        }
    }

    fn say(&self, text: &str) -> Result<(), CliError> {
        if self.json { Ok(()) } else { output::line(text) }
    }

    pub fn introduce(&self, folder: &Path, url: &str) -> Result<(), CliError> {
        self.say(&format!(
            "\
Arcadia runs sagas: jobs of several steps that either finish or are undone, whatever happens in between.
All that follows really happens, with a cloud that is simulated but speaks real HTTP.

  host    {url}
  cloud   {}  (a simulated DigitalOcean; what goes on in it: {})
  data    {}",
            self.cloud.api_url(),
            self.cloud.control_url(),
            folder.display(),
        ))
    }

    /// The whole of it. Anything that isn't as it should be is an error.
    pub async fn tell(&self) -> Result<Left, CliError> {
        let droplet = self.provision().await?;
        self.snapshot(&droplet).await?;
        self.destroy(&droplet).await?;
        self.fail_at_the_last_step().await?;
        let left = self.count().await?;
        self.conclude()?;
        Ok(left)
    }

    async fn provision(&self) -> Result<ResourceSummary, CliError> {
        self.say(
            "\n1. Provision a droplet: POST /v1/droplets\n   Each step is a WebAssembly component. It has no network and no \
             secret: the host sends its requests.\n",
        )?;
        let body = CreateDroplet {
            droplet_name: Some("demo-1".into()),
            droplet_region: Some("fra1".into()),
            droplet_size: Some("s-1vcpu-1gb".into()),
            droplet_image: Some("ubuntu-24-04-x64".into()),
            params: quick(&["create", "wait", "register"]),
            ..CreateDroplet::default()
        };
        let picture = self.start(Method::POST, "/v1/droplets", &body).await?;
        expect(&picture, Status::Completed)?;

        let rows = self.inventory(&picture, false).await?;
        let [droplet] = rows.as_slice() else {
            return Err(unexpected(format!(
                "{} rows of it are in the inventory, not one",
                rows.len()
            )));
        };
        if droplet.status != "active" || droplet.public_ip.is_none() {
            return Err(unexpected(format!("the inventory says {droplet:?}")));
        }
        self.say("\n   The inventory knows it, by the saga that made it:\n")?;
        self.show_rows(&rows)?;
        Ok(droplet.clone())
    }

    async fn snapshot(&self, droplet: &ResourceSummary) -> Result<(), CliError> {
        let path = format!("/v1/droplets/{}/snapshots", droplet.provider_id);
        self.say(&format!("\n2. Take a snapshot of it: POST {path}\n"))?;
        let body = CreateSnapshot {
            snapshot_label: Some("demo".into()),
            params: quick(&["snapshot"]),
            ..CreateSnapshot::default()
        };
        let picture = self.start(Method::POST, &path, &body).await?;
        expect(&picture, Status::Completed)
    }

    async fn destroy(&self, droplet: &ResourceSummary) -> Result<(), CliError> {
        self.say("\n3. Destroy it: POST /v1/sagas, by the definition destroy_droplet\n")?;
        let id = json!({ "droplet_provider_id": droplet.provider_id });
        let body = StartSaga {
            definition: Some("destroy_droplet".into()),
            inputs: id.as_object().cloned(),
            params: quick(&["destroy"]),
            ..StartSaga::default()
        };
        let picture = self.start(Method::POST, "/v1/sagas", &body).await?;
        expect(&picture, Status::Completed)
    }

    async fn fail_at_the_last_step(&self) -> Result<(), CliError> {
        self.say(
            "\n4. Provision another one, whose last step fails: POST /v1/sagas, with its four steps in the request\n   The \
             simulated cloud was told to accept the snapshot and then to fail it. Watch what was made being undone,\n   last step \
             first.\n",
        )?;
        self.cloud.let_the_next_snapshot_fail().await?;
        for fault in &self.faults {
            self.cloud.fault(fault).await?;
        }
        let inputs = json!({
            "droplet_name": "demo-2", "droplet_region": "fra1",
            "droplet_size": "s-1vcpu-1gb", "droplet_image": "ubuntu-24-04-x64",
        });
        let names = ["create", "wait", "register", "snapshot"];
        let body = StartSaga {
            kind: Some(Kind::Provision),
            steps: Some(json!([
                { "name": "create", "component": "create-droplet" },
                { "name": "wait", "component": "wait-droplet-active" },
                { "name": "register", "component": "register-droplet" },
                { "name": "snapshot", "component": "create-droplet-snapshot" },
            ])),
            inputs: inputs.as_object().cloned(),
            params: quick(&names),
            ..StartSaga::default()
        };
        let picture = self.start(Method::POST, "/v1/sagas", &body).await?;
        expect(&picture, Status::Compensated)?;

        let live = self.inventory(&picture, false).await?;
        if !live.is_empty() {
            return Err(unexpected(format!("the inventory still has {live:?}")));
        }
        self.say("\n   Its rows stay in the inventory, with their end:\n")?;
        self.show_rows(&self.inventory(&picture, true).await?)
    }

    /// Asks the simulator itself: neither the host nor the inventory is believed here.
    async fn count(&self) -> Result<Left, CliError> {
        let count = self.cloud.count().await?;
        let snapshots = self.cloud.snapshots().await?;
        let left = Left {
            droplets: count.live,
            droplets_ever: count.ever,
            snapshots: snapshots.len(),
        };
        self.say(&format!(
            "\n5. What the cloud itself says: {} droplets ({} were made), {} snapshot (the one from 2; snapshots outlive \
             their droplet)",
            left.droplets, left.droplets_ever, left.snapshots
        ))?;
        if (left.droplets, left.droplets_ever, left.snapshots) != (0, 2, 1) {
            return Err(unexpected(format!(
                "0 of 2 droplets and 1 snapshot should be there, not {left:?}"
            )));
        }
        Ok(left)
    }

    fn conclude(&self) -> Result<(), CliError> {
        self.say(
            "
What you saw: every step was written down before and after it ran, so a crash at any moment changes nothing: the host
goes on where it was, never creates a droplet twice, and loses none. What can't be undone would be named in
`arcadia findings`.

Try next:
  arcadia dev                       a host with a simulated cloud that stays; prints a curl to start with
  arcadia step new greet            write a step of your own, in any language that compiles to a component
  README.md, \"The next ten minutes\"  the same, line by line",
        )
    }

    /// Starts a saga and follows it until it rests.
    async fn start<B: Serialize>(&self, method: Method, path: &str, body: &B) -> Result<Picture, CliError> {
        let started: Started = self.client.start(method, path, Some(body), None).await?;
        let show = if self.json {
            Show::Nothing
        } else {
            Show::fitting(false)
        };
        follow(&self.client, started.id, show, None).await
    }

    /// What a saga has in the inventory.
    async fn inventory(&self, picture: &Picture, deleted: bool) -> Result<Vec<ResourceSummary>, CliError> {
        let query = [
            ("saga", picture.saga.id.to_string()),
            ("deleted", deleted.to_string()),
        ];
        let page: Page<ResourceSummary> = self.client.get("/v1/inventory/resources", &query).await?;
        Ok(page.items)
    }

    fn show_rows(&self, rows: &[ResourceSummary]) -> Result<(), CliError> {
        let table = output::render(RESOURCE_HEADER, resource_rows(rows));
        let indented: Vec<String> = table.lines().map(|line| format!("   {line}")).collect();
        self.say(&indented.join("\n"))
    }
}

fn expect(picture: &Picture, status: Status) -> Result<(), CliError> {
    if picture.saga.status == status {
        return Ok(());
    }
    Err(unexpected(format!(
        "{}; it should be {}",
        picture.ending(),
        status.as_str()
    )))
}

fn unexpected(what: String) -> CliError {
    CliError::failed(what)
}

/// Short intervals, for these steps of a saga: the simulated cloud is quick.
fn quick(steps: &[&str]) -> BTreeMap<String, Params> {
    let params = |step: &str| -> Params {
        let interval = |name: &str, ms: u64| (name.to_owned(), Value::from(ms));
        let looks = [interval("poll_interval_ms", 200)];
        let settling = [interval("settle_ms", 600), interval("absence_recheck_ms", 200)];
        match step {
            "wait" => looks.into_iter().collect(),
            _ => looks.into_iter().chain(settling).collect(),
        }
    };
    steps
        .iter()
        .map(|step| ((*step).to_owned(), params(step)))
        .collect()
}
