//! Several live stores on one PostgreSQL database that do the same things at the same moment.

use std::{collections::BTreeMap, sync::Arc};

use arcadia::{
    saga::SagaId,
    store::{
        AddToken, Applied, Change, ComponentStatus, Fence, HostId, Idempotency, NewComponent, NewToken,
        PutComponent, Scope, SqlStore, Store, TokenMark,
    },
};
use futures_util::future::join_all;
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use uuid::Uuid;

use super::fixture::{LEASE_MS, accept, json, plan, saga};
use crate::support::postgres;

const HOSTS: u128 = 4;
const ROUNDS: u128 = 25;

struct Peer {
    number: u128,
    store: SqlStore,
}

impl Peer {
    fn fence(&self) -> Fence {
        Fence {
            owner: HostId(Uuid::from_u128(self.number)),
            number: 1,
        }
    }
}

/// `None`: there is no PostgreSQL here.
async fn peers() -> Option<Vec<Arc<Peer>>> {
    let url = postgres::shared()?.database();
    let mut peers = Vec::new();
    for number in 1..=HOSTS {
        let store = SqlStore::postgres(&url).await.unwrap();
        let host = HostId(Uuid::from_u128(number));
        store.open_host(host, LEASE_MS).await.unwrap();
        peers.push(Arc::new(Peer { number, store }));
    }
    Some(peers)
}

/// What each of them answers, asked at the same moment, each on a thread of its own.
async fn at_once<T: Send + 'static, F>(peers: &[Arc<Peer>], ask: impl Fn(Arc<Peer>) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let asked: Vec<_> = peers.iter().map(|peer| tokio::spawn(ask(peer.clone()))).collect();
    let answers = join_all(asked).await;
    answers.into_iter().map(Result::unwrap).collect()
}

/// Each host brings sagas of its own, in an order of its own, under the keys of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sagas_that_come_to_several_hosts_under_one_key_one_is_accepted_and_all_are_told_which() {
    let Some(peers) = peers().await else { return };
    let seed: u64 = rand::random();
    println!("seed {seed}");
    for round in 0..ROUNDS {
        let answers = at_once(&peers, move |peer| async move {
            let mut keys: Vec<u128> = (0..8).collect();
            keys.shuffle(&mut StdRng::seed_from_u64(
                seed ^ (round * HOSTS + peer.number) as u64,
            ));
            let sagas: Vec<SagaId> = keys
                .iter()
                .map(|key| SagaId(Uuid::from_u128(1 + key + 8 * (peer.number + HOSTS * round))))
                .collect();
            let changes = keys.iter().zip(&sagas).map(|(key, id)| {
                let mut accept = accept(&saga(id.0.as_u128(), plan()), peer.fence());
                accept.idempotency = Some(Idempotency {
                    key: format!("{round}-{key}"),
                    request_hash: "same".to_owned(),
                });
                Change::Accept(Box::new(accept))
            });
            let applied = peer.store.commit(changes.collect()).await.unwrap();
            let answered = keys.into_iter().zip(sagas).zip(applied);
            answered
                .map(|((key, saga), applied)| (key, saga, applied))
                .collect::<Vec<_>>()
        })
        .await;
        let mut accepted: BTreeMap<u128, SagaId> = BTreeMap::new();
        for (key, saga, applied) in answers.iter().flatten() {
            if *applied == Applied::Done {
                assert_eq!(accepted.insert(*key, *saga), None, "key {key} of round {round}");
            }
        }
        assert_eq!(accepted.len(), 8, "round {round}");
        for (key, _, applied) in answers.into_iter().flatten() {
            if applied != Applied::Done {
                let request_hash = "same".to_owned();
                let saga = accepted[&key];
                assert_eq!(
                    applied,
                    Applied::Duplicate { saga, request_hash },
                    "key {key} of round {round}"
                );
            }
        }
    }
    let events = peers[0].store.events_after(0, 10_000).await.unwrap();
    let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    assert_eq!(
        ids,
        (1..=8 * ROUNDS as i64).collect::<Vec<_>>(),
        "one event each, without a gap"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_several_hosts_put_into_the_catalogue_at_once_is_there_once() {
    let Some(peers) = peers().await else { return };
    for round in 0..ROUNDS {
        let component = move |digest: String, version: u128| NewComponent {
            bytes: Arc::from(digest.as_bytes()),
            digest,
            name: "greet".to_owned(),
            version: format!("{version}.{round}.0"),
            manifest: json("{}"),
            built_in: false,
            uploaded_by: "ann".to_owned(),
            status: ComponentStatus::Approved,
            granted: None,
        };
        let same = at_once(&peers, move |peer| async move {
            peer.store
                .put_component(component(format!("same-{round}"), 1), false)
                .await
                .unwrap()
        })
        .await;
        let added = same
            .iter()
            .filter(|put| matches!(put, PutComponent::Added(_)))
            .count();
        let found = same
            .iter()
            .filter(|put| matches!(put, PutComponent::Same(_)))
            .count();
        assert_eq!((added, found), (1, same.len() - 1), "{same:?}");
        let others = at_once(&peers, move |peer| async move {
            let digest = format!("other-{round}-{}", peer.number);
            peer.store
                .put_component(component(digest, 2), false)
                .await
                .unwrap()
        })
        .await;
        let added = others
            .iter()
            .filter(|put| matches!(put, PutComponent::Added(_)))
            .count();
        let taken = others
            .iter()
            .filter(|put| matches!(put, PutComponent::VersionExists(_)))
            .count();
        assert_eq!((added, taken), (1, others.len() - 1), "{others:?}");
        let mut versions = at_once(&peers, move |peer| async move {
            let body = json(&format!(r#"{{"round": {round}, "by": {}}}"#, peer.number));
            let put = peer.store.put_definition("greeting", &body, false, "ann").await;
            u128::from(put.unwrap().version)
        })
        .await;
        versions.sort_unstable();
        let expected: Vec<u128> = (1..=HOSTS).map(|number| HOSTS * round + number).collect();
        assert_eq!(versions, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_that_several_hosts_give_a_token_at_once_is_given_once() {
    let Some(peers) = peers().await else { return };
    let mark = |text: String| TokenMark {
        hash: text.clone(),
        hint: text,
    };
    let admins = at_once(&peers, move |peer| async move {
        let mark = mark(format!("admin-{}", peer.number));
        peer.store.admin_token(mark, false).await.unwrap()
    })
    .await;
    assert!(admins.iter().all(|row| *row == admins[0]), "{admins:?}");
    for round in 0..ROUNDS {
        let added = at_once(&peers, move |peer| async move {
            let token = NewToken {
                mark: mark(format!("{round}-{}", peer.number)),
                name: format!("ci-{round}"),
                scope: Scope::Run,
                created_by: "admin".to_owned(),
                expires_ms: None,
            };
            peer.store.add_token(token).await.unwrap()
        })
        .await;
        let (mut won, mut lost) = (Vec::new(), Vec::new());
        for answer in added {
            match answer {
                AddToken::Added(row) => won.push(row),
                AddToken::NameTaken(row) => lost.push(row),
            }
        }
        assert_eq!(won.len(), 1);
        assert!(lost.iter().all(|row| *row == won[0]), "{lost:?}");
    }
}
