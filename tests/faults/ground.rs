//! The stand that the cases of one table share, and what is seen of each case on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use arcadia::{
    engine::{Asked, PlanSource, StartSaga, Verb},
    saga::{Json, Kind, SagaId, Status, Turning},
    simulator::{Entry, Fault, Rules},
    store::{Page, ResourceFilter, SagaRow},
};
use serde_json::{Value, json};

use super::{Posts, Seen, beginning_of, tag_of, wish};
use crate::support::stand::Stand;

/// How long a saga may take to come to rest on a machine that is busy with everything else.
const RESTS_IN: Duration = Duration::from_secs(120);
/// How often a test looks whether something that it waits for has happened.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS: usize = 3_000;

/// Where the cases of one table run.
pub struct Ground {
    pub(super) stand: Stand,
    /// The faults that were set, by case.
    faults: Mutex<BTreeMap<String, Vec<u64>>>,
}

/// Intervals that make a test quick; those of one step with more laid over them.
fn quick(extra: (&str, &Value)) -> BTreeMap<String, serde_json::Map<String, Value>> {
    let mut all = BTreeMap::new();
    for step in ["create", "wait", "register", "snapshot", "destroy"] {
        let mut params = match step {
            "wait" => json!({ "poll_interval_ms": 200 }),
            _ => json!({ "poll_interval_ms": 200, "settle_ms": 2_000, "absence_recheck_ms": 200 }),
        };
        if let (true, Some(params), Some(more)) =
            (step == extra.0, params.as_object_mut(), extra.1.as_object())
        {
            params.extend(more.clone());
        }
        if let Value::Object(params) = params {
            all.insert(step.to_owned(), params);
        }
    }
    all
}

impl Ground {
    pub(super) async fn new() -> Ground {
        Ground::with(Rules {
            rate_per_minute: 1_000_000,
            rate_per_hour: 10_000_000,
            ..Rules::default()
        })
        .await
    }

    pub(super) async fn with(rules: Rules) -> Ground {
        let rules = Rules {
            activation_ms: 400,
            delete_ms: 200,
            snapshot_ms: 400,
            ..rules
        };
        Ground {
            stand: Stand::with(rules, |store| Arc::new(store)).await,
            faults: Mutex::default(),
        }
    }

    /// Sets faults for the requests of one case.
    pub(super) async fn set_faults(&self, case: &str, faults: &[Fault]) {
        for fault in faults {
            let mut fault = fault.clone();
            fault.matcher.tag = Some(tag_of(case));
            let id = self.stand.control.add_fault(fault).await;
            let mut all = self.faults.lock().unwrap();
            all.entry(case.to_owned()).or_default().push(id);
        }
    }

    pub(super) async fn start(&self, plan: PlanSource, inputs: Value, extra: (&str, &Value)) -> SagaId {
        let mut params = quick(extra);
        let engine = self.stand.engine();
        let names: Vec<String> = match &plan {
            PlanSource::Inline { steps, .. } => names_of(steps),
            PlanSource::Definition { name } => {
                let row = engine.store().definition(name).await.unwrap().unwrap();
                names_of(&row.body.to_value()["steps"])
            }
        };
        params.retain(|step, _| names.contains(step));
        let request = StartSaga {
            plan,
            inputs: Json::of(&inputs),
            params,
            paused: false,
            deployment_id: None,
            triggered_by: "test".to_owned(),
            actor: "test".to_owned(),
            idempotency: None,
        };
        engine.start_saga(request).await.unwrap().saga
    }

    pub(super) async fn define(&self, definition: &str, inputs: Value, extra: (&str, &Value)) -> SagaId {
        let plan = PlanSource::Definition {
            name: definition.to_owned(),
        };
        self.start(plan, inputs, extra).await
    }

    pub(super) async fn plan(&self, steps: Vec<Value>, inputs: Value) -> SagaId {
        let plan = PlanSource::Inline {
            kind: Kind::Test,
            steps: Value::Array(steps),
        };
        self.start(plan, inputs, ("", &json!({}))).await
    }

    pub(super) async fn rest(&self, saga: SagaId) -> SagaRow {
        let engine = self.stand.engine();
        engine.standing(saga, None, RESTS_IN).await.unwrap();
        let row = engine.store().saga(saga).await.unwrap().unwrap();
        assert!(
            row.status.is_final() || row.status == Status::NeedsAttention,
            "not at rest: {row:?}"
        );
        row
    }

    pub(super) async fn cancel(&self, saga: SagaId) {
        let asked = Asked {
            actor: "tester".to_owned(),
            reason: None,
        };
        self.stand.engine().verb(saga, Verb::Cancel, asked).await.unwrap();
    }

    /// A droplet of this case, provisioned without any fault.
    pub(super) async fn droplet(&self, case: &str) -> i64 {
        let saga = self
            .define("provision_droplet", wish(case), ("", &json!({})))
            .await;
        let row = self.rest(saga).await;
        assert_eq!(row.status, Status::Completed, "{case}: {:?}", row.turning);
        let droplets = self.live_droplets(case).await;
        *droplets.first().unwrap()
    }

    pub(super) async fn live_droplets(&self, case: &str) -> BTreeSet<i64> {
        let tag = tag_of(case);
        let state = self.stand.control.state().await;
        let own = state
            .droplets
            .into_iter()
            .filter(|droplet| droplet.live && droplet.tags.contains(&tag));
        own.map(|droplet| droplet.id).collect()
    }

    pub(super) async fn live_snapshots(&self, case: &str) -> BTreeSet<i64> {
        let beginning = beginning_of(case);
        let state = self.stand.control.state().await;
        let own = state
            .snapshots
            .into_iter()
            .filter(|snapshot| !snapshot.deleted && snapshot.name.starts_with(&beginning));
        own.map(|snapshot| snapshot.id).collect()
    }

    /// The requests of a case, by method.
    pub(super) async fn journal(&self, case: &str, method: &str) -> Vec<Entry> {
        self.stand.control.journal_of(method, &tag_of(case)).await
    }

    /// Looks until there is something to see.
    pub(super) async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> T {
        for _ in 0..LOOKS {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("waited in vain for {what}");
    }

    /// What became of a case, whose last saga this is.
    pub(super) async fn seen(&self, case: &str, saga: SagaId) -> Seen {
        let row = self.rest(saga).await;
        let store = self.stand.engine().store();
        let page = Page {
            limit: 100,
            after: None,
        };
        let findings = store.findings(Some(saga), true, page).await.unwrap();
        let code = row.turning.as_ref().and_then(|turning| {
            match serde_json::from_value::<Turning>(turning.to_value()).unwrap() {
                Turning::Failure { code, .. } => Some(code),
                Turning::Cancel { .. } | Turning::Rollback { .. } => None,
            }
        });
        let droplets = self.live_droplets(case).await;
        let snapshots = self.live_snapshots(case).await;
        let recorded = self.recorded(case).await;
        let cloud: BTreeSet<String> = droplets.union(&snapshots).map(i64::to_string).collect();
        let posts = self.journal(case, "POST").await;
        Seen {
            status: row.status,
            code,
            findings: findings.into_iter().map(|finding| finding.code).collect(),
            droplets: droplets.len(),
            snapshots: snapshots.len(),
            creates: count(&posts, |path| path == "/v2/droplets"),
            snapshot_requests: count(&posts, |path| path.ends_with("/actions")),
            disagreements: cloud.symmetric_difference(&recorded).count(),
            idle_faults: self.idle_faults(case).await,
        }
    }

    pub(super) async fn idle_faults(&self, case: &str) -> usize {
        let journal = self.stand.control.journal().await;
        let hits: BTreeSet<u64> = journal.into_iter().flat_map(|entry| entry.faults).collect();
        let all = self.faults.lock().unwrap();
        let own = all.get(case).into_iter().flatten();
        own.filter(|fault| !hits.contains(fault)).count()
    }

    /// Provider ids of the case's live inventory rows.
    pub(super) async fn recorded(&self, case: &str) -> BTreeSet<String> {
        let page = Page {
            limit: 10_000,
            after: None,
        };
        let everything = ResourceFilter::default();
        let rows = self.stand.engine().store().resources(&everything, page);
        let beginning = beginning_of(case);
        let own = rows.await.unwrap().into_iter().filter(|row| {
            let resource = &row.resource;
            resource.tags.contains(&tag_of(case))
                || (resource.key.kind == "snapshot"
                    && resource
                        .name
                        .as_ref()
                        .is_some_and(|name| name.starts_with(&beginning)))
        });
        own.map(|row| row.resource.key.provider_id).collect()
    }
}

fn names_of(steps: &Value) -> Vec<String> {
    let steps = steps.as_array().map_or(&[][..], Vec::as_slice);
    steps
        .iter()
        .filter_map(|step| step["name"].as_str().map(str::to_owned))
        .collect()
}

fn count(posts: &[Entry], wanted: impl Fn(&str) -> bool) -> Posts {
    let posts: Vec<&Entry> = posts.iter().filter(|entry| wanted(&entry.path)).collect();
    Posts {
        sent: posts.len(),
        effective: posts.iter().filter(|entry| !entry.effects.is_empty()).count(),
    }
}
